"""Walks and removals at any depth, with one descriptor open, and no link followed."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from voidimg.errors import StoreError
from voidimg.rootfs.normalise import normalise_times
from voidimg.rootfs.tar import write_tar
from voidimg.tree.paths import MAX_PATH_BYTES, encode_path
from voidimg.tree.tree import Tree
from voidimg.tree.walk import descend, empty_directory, remove_directory


def make_deep(top: Path, levels: int, name: str = "d") -> None:
    """`levels` directories in one another, a file in each, below the new directory `top`."""
    top.mkdir()
    at = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=at)
        os.close(os.open("f", os.O_CREAT | os.O_WRONLY, dir_fd=at))
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


@pytest.fixture
def few_files(tmp_path: Path) -> Iterator[None]:
    """Few descriptors, so that a walk that keeps them would end; nothing is left for pytest."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)
    empty_directory(tmp_path)


@pytest.mark.parametrize("levels", [10, 1200, 4000])
@pytest.mark.usefixtures("few_files")
def test_any_depth_is_removed(levels: int, tmp_path: Path) -> None:
    """The links in it as links."""
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    make_deep(tmp_path / "deep", levels)
    (tmp_path / "deep/link").symlink_to(kept)
    (tmp_path / "deep/d/link").symlink_to(kept)
    remove_directory(tmp_path / "deep")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (kept / "file").exists()


@pytest.mark.usefixtures("few_files")
def test_what_is_kept_stays(tmp_path: Path) -> None:
    """`empty_directory` leaves the names that it is told."""
    make_deep(tmp_path / "deep", 3000)
    (tmp_path / "lock").touch()
    empty_directory(tmp_path, kept={b"lock"})
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(NotADirectoryError):
        empty_directory(tmp_path / "link")


@pytest.mark.usefixtures("few_files")
def test_walks_reach_the_longest_path_and_refuse_longer_ones(tmp_path: Path) -> None:
    """2047 levels of one letter are a path of 4094 bytes; 2049 are too long for any program."""
    make_deep(tmp_path / "tree", 2047)
    with Tree(tmp_path / "tree") as tree:
        entries = list(tree.walk())
    assert len(entries) == 2 * 2047
    assert len(entries[2046].path) == MAX_PATH_BYTES - 1
    assert normalise_times(tmp_path / "tree", 10**9) == 2 * 2047 + 1

    make_deep(tmp_path / "longer", 2050)
    for use in (
        lambda: list(Tree(tmp_path / "longer").walk()),
        lambda: normalise_times(tmp_path / "longer", 0),
        lambda: write_tar(tmp_path / "longer", _Nowhere(), epoch=0),
    ):
        with pytest.raises(StoreError, match="longer than 4095 bytes") as caught:
            use()
        assert caught.value.code == "E-STORE-TREE-LENGTH"
    top = os.open(tmp_path / "longer", os.O_RDONLY)
    assert sum(1 for _ in descend(top, max_bytes=None)) == 2 * 2050
    os.close(top)


class _Nowhere:
    def write(self, data: bytes, /) -> int:
        return len(data)


@pytest.mark.usefixtures("few_files")
def test_parents_are_made_without_recursion(tmp_path: Path) -> None:
    """As for a package whose one file lies deep."""
    path = "/d" * 2000
    with Tree(tmp_path / "tree", create=True) as tree:
        tree.write(f"{path}/f", b"x", parents=True)
        assert tree.read(f"{path}/f") == b"x"
        tree.remove_tree("/d")
    with pytest.raises(StoreError, match="longer than 4095 bytes"):
        encode_path("/d" * 2100)


def test_a_moved_directory_is_noticed(tmp_path: Path) -> None:
    """The way back leads to where the walk came from, or the walk ends."""
    make_deep(tmp_path / "tree", 3)
    (tmp_path / "other").mkdir()
    top = os.open(tmp_path / "tree", os.O_RDONLY)
    walk = descend(top)
    while next(walk).path != b"d/d/d":
        pass
    os.rename(tmp_path / "tree/d/d", tmp_path / "other/d")
    with pytest.raises(OSError, match=r"[Ss]tale"):
        list(walk)
    os.close(top)
