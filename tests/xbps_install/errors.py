"""What xbps-install says when it refuses."""

from __future__ import annotations

from collections.abc import Sequence

from voidimg.errors import ResolveError

_CODES = {
    2: "NOT-FOUND",
    6: "BAD-DEPENDENCY",
    8: "SHLIB",
    11: "CONFLICT",
    16: "XBPS-FIRST",
    19: "MISSING",
    28: "SPACE",
    40: "TOO-DEEP",
}


class XbpsRefusedError(ResolveError):
    """xbps-install 0.60.7 would refuse.

    Attributes:
        status: its exit code.
        lines: what it would say on stderr.
        notes: what it would say on stdout.
        plan: the pkgvers of the plan that it would have shown before.
    """

    def __init__(
        self,
        status: int,
        lines: Sequence[str],
        *,
        notes: Sequence[str] = (),
        plan: Sequence[str] = (),
    ):
        super().__init__("; ".join(lines), code=_CODES[status])
        self.status = status
        self.lines = tuple(lines)
        self.notes = tuple(notes)
        self.plan = tuple(plan)
