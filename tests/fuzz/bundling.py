"""Lays a directory that a fuzzer describes, and asks for a bundle in its place.

An input is lines: a letter, a path and, after a blank, what is there. ``f`` makes a file, ``l`` a
link, ``p`` a pipe, ``d`` a directory. ``@lock``, ``@key`` and ``@index`` stand for sound content.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from tests.fuzz.scratch import scratch
from voidimg.atomic import replacing_directory
from voidimg.supply.bundle import Bundle, require_bundle_place
from voidimg.supply.lock import Lock, LockedRepository
from voidimg.supply.supply import read_lock
from voidimg.supply.trust import read_key

_VECTORS = Path(__file__).parent.parent / "vectors" / "xbps"
_MOST_LINES = 40
_FOREIGN = b"somebody's"


def replace_bundle(data: bytes, refusing: Callable[[], AbstractContextManager[None]]) -> None:
    """Read the directory as a bundle, then put another in its place, or leave all as it is."""
    top = scratch() / "bundles"
    shutil.rmtree(top, ignore_errors=True)
    place = top / "kept"
    place.mkdir(parents=True)
    (top / ".kept.old").write_bytes(_FOREIGN)
    for line in data.split(b"\n")[:_MOST_LINES]:
        with suppress(OSError, ValueError):
            _lay(place, line)
    before = _names(place)
    with refusing():
        found = Bundle.at(place)
        if found is not None:
            found.repositories()
            for path in found.key_files():
                with refusing():
                    read_key(path)
    with refusing():
        read_lock(place)
    replaced = False
    with refusing(), replacing_directory(place, require_bundle_place) as new:
        (new / "lock.json").write_bytes(b"")
        replaced = True
    after = _names(place)
    assert replaced
    assert after == before or after == {"lock.json"}
    if after != before:
        assert all(name.partition("/")[0].startswith(("lock.json", "keys", "repository-"))
                   for name in before)  # fmt: skip
    assert sorted(os.listdir(top)) == [".kept.old", "kept"]


def _lay(place: Path, line: bytes) -> None:
    path, _, content = os.fsdecode(line[1:]).partition(" ")
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    if not parts:
        return
    target = place.joinpath(*parts[:4])
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(target):  # a pipe that is opened to be written waits
        return
    match line[:1]:
        case b"f":
            target.write_bytes(_SOUND.get(content, os.fsencode(content)))
        case b"l":
            target.symlink_to(content)
        case b"p":
            os.mkfifo(target)
        case b"d":
            target.mkdir()


def _names(place: Path) -> set[str]:
    return {
        os.path.relpath(os.path.join(directory, name), place)
        for directory, folders, files in os.walk(place)
        for name in (*folders, *files)
    }


_SOUND = {
    "@lock": Lock(
        (LockedRepository("https://example.org", "aarch64", "0" * 64, None),), ()
    ).encode(),
    "@key": next(iter(sorted((_VECTORS / "keys").glob("*.plist")))).read_bytes(),
    "@index": b"",
}
