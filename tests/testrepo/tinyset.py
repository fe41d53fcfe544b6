"""The tiny package set: a static busybox, accounts, a service, boot files; installs in seconds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from .convert import assemble
from .deb import read_deb
from .model import Package
from .selection import Selection, void_version
from .source import read_source, source_names
from .target import COMMON, DEFAULT, Target

TINY = Path(__file__).parent / "tiny"
_SHARED = ("base-files", "xbps-triggers")
_DEBS = {"busybox": "busybox-static", "musl": "musl"}
"""Packages that are made of one of Debian's."""


def tiny_selection(selection: Selection) -> Selection:
    """The Debian packages the tiny set needs, of those chosen for the whole one."""
    wanted = {deb: selection.debs[deb] for deb in _DEBS.values() if deb in selection.debs}
    return Selection(selection.names, wanted)


def tiny_packages(
    selection: Selection, deb_files: Mapping[str, Path], target: Target = DEFAULT
) -> Iterator[Package]:
    """The packages in order of name: the directory `tiny`, two of the whole set, the layers."""
    layers = [layer / "packages" for layer in target.layers]
    for name in sorted({*source_names((TINY, *layers)), *_SHARED}):
        source = read_source(name, COMMON if name in _SHARED else TINY, *layers)
        debs = [_DEBS[name]] if name in _DEBS else []
        yield assemble(
            source,
            [read_deb(deb_files[deb]) for deb in debs],
            [],
            version=source.version or void_version(selection.debs[debs[0]].version),
            short_desc=source.short_desc,
            needs={},
            architecture=target.arch,
        )
