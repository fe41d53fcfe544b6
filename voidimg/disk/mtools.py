"""How mtools is called, so that nothing but its arguments decides what it does."""

from __future__ import annotations

MTOOLS_ENVIRONMENT = {"MTOOLSRC": "/dev/null"}
"""No configuration of the host's decides how mtools behaves."""


def literal(path: str) -> str:
    """`path` as a pattern of mtools that stands for nothing else."""
    return path.replace("[", "[[]")
