"""Runs a recipe's hooks: scripts of its author that change the tree at the end of a stage."""

from __future__ import annotations

from collections.abc import Sequence

from voidimg.errors import ScriptError
from voidimg.events import Listener, Message
from voidimg.rootfs.files import Render
from voidimg.spec.stage_model import Hook
from voidimg.xbps.install.scripts import ScriptRunner, ending, require_whole, tell


def run_hooks(
    hooks: Sequence[Hook], scripts: ScriptRunner, *, render: Render, listener: Listener
) -> None:
    """Run `hooks`, in their order; each ends at its first failing command.

    Raises:
        SandboxError: the shell cannot be started.
        ScriptError: a hook failed, or the tree has no shell.
        SpecError: a template is missing or broken.
    """
    for hook in hooks:
        text = render(hook.template) if hook.template is not None else hook.script or ""
        listener(Message("note", f"hook: {hook.name}"))
        ended = scripts(b"set -e\n" + text.encode("utf-8", "surrogateescape"), ())
        if ended is None:
            raise ScriptError(
                f"the hook {hook.name!r} cannot be run: the tree has no shell",
                code="HOOK-SHELL",
                where=hook.name,
                hint="add a shell to the packages of this stage or an earlier one",
            )
        speech = tell(ended.output, hook.name, "hook", "", listener)
        if ended.status != 0:
            raise ScriptError(
                f"the hook {hook.name!r} {ending(ended.status)}",
                code="HOOK",
                where=hook.name,
                output="\n".join(speech.lines),
            )
        require_whole(speech, f"the hook {hook.name!r}", hook.name)
