"""How a package's INSTALL and REMOVE scripts are called; who runs them is the caller's choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from voidimg.errors import ScriptError
from voidimg.events import Listener, Message, ScriptOutput, ignore
from voidimg.xbps.names import split_pkgver
from voidimg.xbps.script_output import Speech, hear

Action = Literal["pre", "post", "purge"]
ScriptName = Literal["INSTALL", "REMOVE"]
SpokenName = Literal["INSTALL", "REMOVE", "hook"]


@dataclass(frozen=True, slots=True)
class ScriptOutcome:
    """A script that ran: its exit status (negative: killed by that signal) and its output."""

    status: int
    output: str = ""


class ScriptRunner(Protocol):
    """Runs scripts of target code, with the tree as working directory and umask 022.

    The script's shebang is ignored: the shell is ``sh``.
    """

    def __call__(self, script: bytes, arguments: Sequence[str]) -> ScriptOutcome | None:
        """The outcome of `script` called with `arguments`.

        Returns:
            None when it cannot be run here, as without a shell in the tree. A package whose
            ``post`` script cannot be run stays unpacked; other scripts are passed over.
        """
        ...


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a script: what the script sees as ``$1`` to ``$6``.

    Attributes:
        name: INSTALL or REMOVE.
        action: ``pre``, ``post`` or ``purge``.
        pkgver: of the version whose script it is.
        update: whether the package is being updated.
        arch: native architecture of the target.
    """

    name: ScriptName
    action: Action
    pkgver: str
    update: bool
    arch: str

    @property
    def arguments(self) -> tuple[str, ...]:
        """Action, package name, version with revision, ``yes`` when updating, ``no``, arch.

        The fifth once named a configuration file; xbps 0.60 always gives the word ``no``.
        """
        split = split_pkgver(self.pkgver)
        name, version = (split.name, split.version) if split else (self.pkgver, "")
        return (self.action, name, version, "yes" if self.update else "no", "no", self.arch)


def run_script(
    runner: ScriptRunner | None, script: bytes, call: Call, listener: Listener = ignore
) -> bool:
    """Run `script` as `call` says. Returns whether it was run.

    An empty script counts as run. Without `runner` nothing is. What it writes is an event, and a
    warning each line that says so.

    Raises:
        ScriptError: it ended with another status than 0 (``FAILED``), was not done in time
            (``TIME``), or said that a resource of this machine ran out or that a program in it was
            killed, whatever its status (``BROKE-DOWN``).
    """
    if not script:
        return True
    who = f"the {call.name} script of {call.pkgver}"
    try:
        outcome = None if runner is None else runner(script, call.arguments)
    except ScriptError as error:
        speech = tell(error.output, call.pkgver, call.name, call.action, listener)
        raise ScriptError(
            f"{who} failed in its {call.action} part: {error.what}",
            code="TIME",
            where=call.pkgver,
            hint="the script comes with the package; the machine may be too slow for it",
            output="\n".join(speech.lines),
        ) from error
    if outcome is None:
        return False
    speech = tell(outcome.output, call.pkgver, call.name, call.action, listener)
    if outcome.status != 0:
        raise ScriptError(
            f"{who} {ending(outcome.status)} in its {call.action} part: "
            + (speech.last_words or "it said nothing"),
            code="FAILED",
            where=call.pkgver,
            hint="the script comes with the package; the tree is left as it was then",
            output="\n".join(speech.lines),
        )
    require_whole(speech, f"{who}, in its {call.action} part,", call.pkgver)
    return True


def tell(output: str, package: str, script: SpokenName, action: str, listener: Listener) -> Speech:
    """Make an event of what a script wrote, and warnings of the lines that say so."""
    speech = hear(output)
    said = ScriptOutput(package, script, action, speech.lines, speech.left_out)
    if speech.lines:
        listener(said)
    # All pre scripts run before the first package, that of the triggers too, is unpacked.
    absent = () if action == "pre" else speech.absent
    for line in (*speech.warnings, *absent):
        listener(Message("warning", f"{said.speaker}: {line}"))
    return speech


def require_whole(speech: Speech, who: str, where: str) -> None:
    """Raise when a script that ended well said that something in it broke down.

    A shell goes on when it cannot start a program, or when one was killed: what the tree holds then
    depends on the machine and on chance.

    Raises:
        ScriptError: a resource ran out, or a program was killed.
    """
    if speech.breakdowns:
        raise ScriptError(
            f"{who} ran out of a resource of this machine, or a program in it was killed: "
            + " / ".join(speech.breakdowns[:3]),
            code="BROKE-DOWN",
            where=where,
            hint="make room on the disk and raise the limits of processes, memory and open files "
            "(ulimit -a, and those of the cgroup), then build again",
            output="\n".join(speech.lines),
        )


def ending(status: int) -> str:
    """How a program with this exit `status` ended; negative ones are signals.

    A shell says 126 of a program that cannot be run, 127 of one that is not there, and 128 + N of
    one that signal N killed (sh(1), POSIX 2.8.2).
    """
    if status < 0:
        return f"was killed by signal {-status}"
    why = {126: ": a program in it cannot be run", 127: ": a program in it is not there"}.get(
        status, f": signal {status - 128} killed a program in it" if 128 < status < 193 else ""
    )
    return f"failed with status {status}{why and f' ({why[2:]})'}"
