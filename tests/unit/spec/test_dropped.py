"""`voidimg check` says what a plain list leaves out of the one that it replaces."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.spec.conftest import Write
from tests.unit.spec.test_command import Command, voidimg
from voidimg import Catalog

__all__ = ["voidimg"]

HEAD = 'schema = 1\nkind = "profile"\nsummary = "x"\nextends = "parent"\n'
PARENT = """\
schema = 1
kind = "profile"
summary = "x"
users = [{ name = "root", password = "a" }, { name = "eve" }]
[platformfs]
packages = ["nano", "tmux"]
services = ["sshd"]
files = [{ path = "/etc/a", content = "" }, { path = "/etc/b", content = "" }]
[glibc]
platformfs.packages = { add = ["gcompat"] }
[live]
packages = ["jq"]
access = { groups = ["wheel", "audio"] }
"""


@pytest.mark.parametrize(
    ("text", "place", "notes"),
    [
        ('users = [{ name = "eve" }]', "5:1", {"users": ("root",)}),
        ('platformfs.packages = ["nano"]', "5:12", {"platformfs.packages": ("tmux", "gcompat")}),
        ("platformfs.services = []", "5:12", {"platformfs.services": ("sshd",)}),
        ('platformfs.files = [{ path = "/etc/b", content = "x" }]', "5:12",
         {"platformfs.files": ("/etc/a",)}),
        ('[live]\naccess.groups = ["wheel"]', "6:8", {"live.access.groups": ("audio",)}),
        ('[musl]\nplatformfs.packages = ["nano"]', "6:12", {"platformfs.packages": ("tmux",)}),
        ('users = { add = [{ name = "bob" }] }', "", {}),
        ('users = { remove = ["root"] }', "", {}),
        ('platformfs.packages = ["tmux", "nano", "gcompat", "vim"]', "", {}),
        ('rootfs.packages = ["vim"]', "", {}),
    ],
)  # fmt: skip
def test_what_a_list_leaves_out(
    text: str, place: str, notes: dict[str, tuple[str, ...]], write: Write, tmp_path: Path
) -> None:
    """By name or path, once for both libraries; what is removed by `remove` is meant."""
    write("profiles/parent.toml", PARENT)
    child = write("profiles/child.toml", HEAD + text + "\n")
    found = Catalog((tmp_path,)).dropped([child])
    own = {one.list: one.left_out for one in found}
    for name, left_out in notes.items():
        assert set(left_out) <= set(own.get(name, ()))
        (one, *_) = (one for one in found if one.list == name)
        assert f"{one.where.line}:{one.where.column}" == place
        assert f"child.toml:{place}: note: {name} replaces" in str(one)
    assert set(own) == set(notes)


def test_check_says_it_and_ends_well(voidimg: Command, write: Write) -> None:
    """On stderr, with and without --json: it is no error. Root is told as what it is."""
    write("profiles/parent.toml", PARENT)
    child = write("profiles/child.toml", HEAD + 'users = [{ name = "eve" }]\n')
    for words in (["check", child], ["check", "--json", child]):
        said = voidimg(*words)
        assert said in ("", "[]\n")
        assert "leaves out root (so nobody can log in as root)" in voidimg.stderr


def test_shipped_files_leave_nothing_out_by_mistake() -> None:
    """What they mean to take away they remove."""
    catalog = Catalog()
    assert catalog.dropped(catalog.files()) == []
