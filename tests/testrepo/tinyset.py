"""The tiny package set: a static busybox, accounts, a service, boot files; installs in seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from .convert import assemble
from .deb import read_deb
from .model import Package
from .selection import Selection, void_version
from .source import read_source

TINY = Path(__file__).parent / "tiny"
_SHARED = ("base-files", "xbps-triggers")
_BUSYBOX = "busybox-static"


def tiny_selection(selection: Selection) -> Selection:
    """The Debian packages the tiny set needs, of those chosen for the whole one."""
    return Selection(selection.names, {_BUSYBOX: selection.debs[_BUSYBOX]})


def tiny_packages(selection: Selection, deb_files: Mapping[str, Path]) -> Iterator[Package]:
    """The packages in order of name: those of the directory `tiny`, and two of the whole set."""
    busybox = read_deb(deb_files[_BUSYBOX])
    own = {path.parent.name: read_source(path.parent.name, TINY) for path in _sources()}
    shared = {name: read_source(name) for name in _SHARED}
    for name, source in sorted({**own, **shared}.items()):
        debs = [busybox] if name == "busybox" else []
        yield assemble(
            source,
            debs,
            [],
            version=source.version or void_version(selection.debs[_BUSYBOX].version),
            short_desc=source.short_desc,
            needs={},
        )


def _sources() -> list[Path]:
    return sorted(TINY.glob("*/package.toml"))
