"""How a package's INSTALL and REMOVE scripts are called; who runs them is the caller's choice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from voidimg.errors import ScriptError
from voidimg.xbps.names import split_pkgver

Action = Literal["pre", "post", "purge"]
ScriptName = Literal["INSTALL", "REMOVE"]

_OUTPUT_TAIL = 2000
"""Characters of a failed script's output that its error message quotes."""


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


def run_script(runner: ScriptRunner | None, script: bytes, call: Call) -> bool:
    """Run `script` as `call` says. Returns whether it was run.

    An empty script counts as run. Without `runner` nothing is.

    Raises:
        ScriptError: it ended with another status than 0 (``FAILED``), with its output.
    """
    if not script:
        return True
    outcome = None if runner is None else runner(script, call.arguments)
    if outcome is None:
        return False
    if outcome.status != 0:
        ending = (
            f"was killed by signal {-outcome.status}"
            if outcome.status < 0
            else f"failed with status {outcome.status}"
        )
        said = outcome.output.strip()[-_OUTPUT_TAIL:] or "it said nothing"
        raise ScriptError(
            f"the {call.name} script of {call.pkgver} {ending} in its {call.action} part: {said}",
            code="FAILED",
            where=call.pkgver,
            hint="the script comes with the package; the tree is left as it was then",
            output=outcome.output,
        )
    return True
