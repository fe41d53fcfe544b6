"""Which programs can change a byte is written once; every program that builds start is judged."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import voidimg
from voidimg.arch import ARCHES, emulators_of, without_libc
from voidimg.catalog.catalog import Catalog
from voidimg.identity import ReleaseDate
from voidimg.pipeline import cache_key
from voidimg.programs import CHANGE_NOTHING, program_path, programs_that_change_bytes

PACKAGE = Path(voidimg.__file__).parent
BUILDING = ("artifacts", "disk", "live", "pipeline", "rootfs", "sandbox", "tree", "xbps")


def programs_started() -> Iterator[tuple[str, str]]:
    """Each program that a building room starts by a constant name, and where."""
    for room in BUILDING:
        for path in (PACKAGE / room).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.List) and node.elts:
                    first = node.elts[0]
                    if isinstance(first, ast.Constant) and isinstance(first.value, str):
                        yield first.value, path.name


def test_every_program_that_is_started_is_judged() -> None:
    """A new program must be named as one that changes bytes, or as one that does not."""
    known = {*programs_that_change_bytes("x86_64"), *CHANGE_NOTHING}
    found = {name for name, _ in programs_started() if program_path(name) is not None}
    assert {"mke2fs", "mkfs.vfat", "mksquashfs", "openssl"} <= found
    assert found - known == set()


@pytest.mark.parametrize("arch", ARCHES)
def test_another_emulator_of_any_architecture_is_another_key(
    arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the recipe's architecture is, an upgraded emulator of it changes the key."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    program = tmp_path / emulators_of(arch)[0]
    program.write_text("#!/bin/sh\n# one version\n")
    program.chmod(0o755)
    before = key_of(arch)
    assert key_of(arch) == before
    program.write_text("#!/bin/sh\n# and the next one\n")
    assert key_of(arch) != before


def key_of(arch: str) -> str:
    """The key of a ROOTFS for `arch`, made by a program that has just started."""
    cache_key._tool_stamps.cache_clear()
    resolved = Catalog().recipe("rpi-aarch64")
    changed = replace(resolved, recipe=resolved.recipe.model_copy(update={"arch": arch}))
    date = ReleaseDate.parse("20240314")
    return cache_key.rootfs_tree_key(changed, date, packages={"rootfs": []}, keys=[])


def test_every_architecture_has_an_emulator() -> None:
    """The C library makes no difference to it."""
    for arch in ARCHES:
        assert emulators_of(arch)
        assert emulators_of(arch) == emulators_of(without_libc(arch))
    assert emulators_of("pdp11") == ()
