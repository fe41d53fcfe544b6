"""Names for isolinux: unique, of the right form, the same in any order."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from voidimg.live.iso_names import iso_names

NAME = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=40)


def test_names_that_need_only_upper_case_are_kept() -> None:
    """Also when another file would be called the same."""
    names = iso_names(["/b/vmlinuz", "/b/VMLINUZ_", "/b/vm-linuz", "/b/vm_linuz", "/b/ldlinux.c32"])
    assert names == {
        "/b": "/B",
        "/b/vmlinuz": "/B/VMLINUZ.;1",
        "/b/VMLINUZ_": "/B/VMLINUZ_.;1",
        "/b/vm_linuz": "/B/VM_LINUZ.;1",
        "/b/vm-linuz": "/B/VM_LINUZ_1.;1",
        "/b/ldlinux.c32": "/B/LDLINUX.C32;1",
    }


@given(st.lists(NAME, min_size=1, max_size=30, unique=True), st.randoms())
def test_names_are_valid_and_unique(texts: list[str], chance: object) -> None:
    """ECMA-119 7.5, level 3; the order of the files does not matter."""
    paths = [f"/d.d/{text}" for text in texts]
    names = iso_names(paths)
    files = [names[path] for path in paths]
    assert len(set(files)) == len(files)
    for file in files:
        assert re.fullmatch(r"/D_D/[A-Z0-9_]*\.[A-Z0-9_]{0,8};1", file)
        assert len(file.removeprefix("/D_D/")) <= 30 + 1 + 2
    assert iso_names(reversed(paths)) == names


@given(st.lists(NAME, min_size=1, max_size=30, unique=True))
def test_directories_are_valid_and_unique(texts: list[str]) -> None:
    """ECMA-119 7.6: no dots, 31 characters."""
    names = iso_names([f"/{text}/x" for text in texts])
    directories = [names[f"/{text}"] for text in texts]
    assert len(set(directories)) == len(directories)
    assert all(re.fullmatch(r"/[A-Z0-9_]{1,31}", name) for name in directories)
