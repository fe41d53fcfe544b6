"""Whether two first boots of one image made two machines: keys, identifiers and seeds differ.

What is compared is `voidimg.rootfs.identities`, the table by which trees are cleaned and linted;
and a number that the kernel drew, which is the same where its randomness is.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from voidimg.rootfs.identities import IDENTITIES
from voidimg.smoke.verdict import Check

CHECK = "keys, identifiers and seeds are of this boot alone"
_DRAWN = "/proc/sys/kernel/random/boot_id"
_LINE = re.compile(r"^([0-9a-f]{64})  (/.*)$", re.MULTILINE)
_TOPS = sorted({f"/{one.pattern.split('/')[1]}" for one in IDENTITIES if one.is_unique})

Identities = Mapping[str, str]
"""Path -> SHA-256 of what is there."""


def command() -> str:
    """What root types to be told the identities of a machine, as `parse` reads them.

    In the patterns of the table, as in those of find, ``*`` crosses slashes.
    """
    patterns = [one.pattern for one in IDENTITIES if one.is_unique]
    places = " -o ".join(f"-path {shlex.quote(pattern)}" for pattern in patterns)
    return (
        f"sha256sum {_DRAWN}; find {' '.join(_TOPS)} -type f -size +0 \\( {places} \\)"
        " -exec sha256sum {} + 2>/dev/null; true"
    )


def parse(output: str) -> Identities:
    """The identities in the answer to `command`."""
    return {path: digest for digest, path in _LINE.findall(output)}


def compare(mine: Identities, earlier: Sequence[tuple[str, Identities]]) -> Check:
    """Whether nothing of `mine` is in one of the `earlier` boots, which have names."""
    faults = [
        f"{path} is that of {name}"
        for name, theirs in earlier
        for path, digest in sorted(mine.items())
        if digest in theirs.values()
    ]
    if len(mine) < 1:
        faults = ["the guest told nothing of its identities"]
    return Check(
        CHECK,
        "failed" if faults else "passed",
        0.0,
        code="IDENTITIES" if faults else None,
        message="; ".join(faults),
        command=command(),
        output="\n".join(sorted(mine)),
        attempts=1,
    )
