"""Package names: splitting a pkgver and a binary package's file name.

A *pkgver* is ``<name>-<version>_<revision>``, as in ``libfoo-1.2.3_1``. Throughout voidimg
*version* means the whole part after the last ``-``, revision included (``1.2.3_1``), as libxbps
0.60.7 does.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

NOARCH = "noarch"
"""The one architecture that fits every other."""

MAX_NAME_BYTES = 63
"""libxbps keeps names in buffers of 64 bytes; a longer one is no package name to it."""

_DIGITS = frozenset("0123456789")
_REVISION = _DIGITS | {"_"}
_SUFFIX = ".xbps"


@dataclass(frozen=True, slots=True, order=False)
class Pkgver:
    """A pkgver taken apart. `version` includes the revision: ``1.2.3_1``."""

    name: str
    version: str

    @property
    def revision(self) -> str:
        """The text after the last ``_`` of the version, such as ``1``."""
        return self.version.rpartition("_")[2]

    def __str__(self) -> str:
        """The pkgver as written."""
        return f"{self.name}-{self.version}"


@dataclass(frozen=True, slots=True)
class FileName:
    """The file name of a binary package taken apart: ``<pkgver>.<arch>.xbps``."""

    pkgver: Pkgver
    arch: str

    def __str__(self) -> str:
        """The file name as written."""
        return f"{self.pkgver}.{self.arch}{_SUFFIX}"


@lru_cache(maxsize=1 << 16)
def split_pkgver(text: str) -> Pkgver | None:
    """`text` as a pkgver, or None if it is not one.

    The last ``-`` ends the name. The version needs a digit before its first ``_``, and after that
    only digits and ``_``, at least one: ``foo-a1_1`` and ``perl-Digest-1.17_01_1`` are pkgvers,
    ``foo-1.0``, ``foo-a_1`` and ``foo-1.0_1a`` are not. Names are 1 to 63 bytes long and otherwise
    free (``gtk+3``, ``libstdc++``, ``foo_bar``).

    >>> split_pkgver("libfoo-1.2.3_1")
    Pkgver(name='libfoo', version='1.2.3_1')
    """
    name, dash, version = text.rpartition("-")
    if not dash or not is_name(name):
        return None
    number, underscore, revision = version.partition("_")
    if not underscore or not revision or _DIGITS.isdisjoint(number):
        return None
    return Pkgver(name, version) if _REVISION.issuperset(revision) else None


def is_name(text: str) -> bool:
    """Whether `text` is short enough to be a package name and not empty."""
    if not text or len(text) > MAX_NAME_BYTES:
        return False
    return text.isascii() or len(text.encode("utf-8", "surrogateescape")) <= MAX_NAME_BYTES


def file_name_parts(text: str) -> FileName | None:
    """The file name or path `text` of a binary package taken apart, or None if it is none.

    The architecture is what stands between the last two dots.

    >>> str(file_name_parts("repo/foo-1.0_1.noarch.xbps").pkgver)
    'foo-1.0_1'
    """
    base = text.rpartition("/")[2]
    if not base.endswith(_SUFFIX):
        return None
    stem, dot, arch = base.removesuffix(_SUFFIX).rpartition(".")
    pkgver = split_pkgver(stem) if dot and arch else None
    return None if pkgver is None else FileName(pkgver, arch)


def file_name(pkgver: str, arch: str) -> str:
    """The file name of the binary package `pkgver` built for `arch`."""
    return f"{pkgver}.{arch}{_SUFFIX}"
