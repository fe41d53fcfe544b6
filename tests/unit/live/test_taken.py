"""What is taken out of a tree of packages for a medium; what a hostile one cannot have taken."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import pytest

from voidimg.errors import LayoutError
from voidimg.live.media import SYSLINUX, syslinux_file
from voidimg.tree.copy_out import take_file, take_files

KERNEL = "/boot/vmlinuz-6.6.21_1"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree with a kernel, syslinux, and a secret of the host beside it."""
    tree = tmp_path / "tree"
    for path in (KERNEL, f"{SYSLINUX}/isolinux.bin", f"{SYSLINUX}/chain.c32"):
        (tree / path[1:]).parent.mkdir(parents=True, exist_ok=True)
        (tree / path[1:]).write_text(path)
    (tmp_path / "host").mkdir()
    for name in ("secret", "isolinux.bin"):
        (tmp_path / "host" / name).write_text("of this host")
    return tree


def replaced(path: Path, target: Path) -> None:
    """Put a link to `target` in the place of `path`."""
    path.rename(path.with_name("moved"))
    path.symlink_to(target)


def test_a_file_is_taken(tree: Path, tmp_path: Path) -> None:
    """Its content."""
    take_file(tree, KERNEL, tmp_path / "vmlinuz")
    assert (tmp_path / "vmlinuz").read_text() == KERNEL


@pytest.mark.parametrize("link", ["boot", KERNEL[1:]])
def test_a_file_is_not_taken_through_a_link(link: str, tree: Path, tmp_path: Path) -> None:
    """Neither a link in its place nor one above it."""
    replaced(tree / link, tmp_path / "host")
    with pytest.raises(LayoutError, match=r"the tree has no|does not stay inside the tree"):
        take_file(tree, KERNEL, tmp_path / "vmlinuz")
    assert not (tmp_path / "vmlinuz").exists()


def test_files_of_a_directory_are_taken(tree: Path, tmp_path: Path) -> None:
    """Regular ones: no links, no pipes, no directories."""
    place = tree / SYSLINUX[1:]
    (place / "link.c32").symlink_to(tmp_path / "host/secret")
    (place / "below.c32").mkdir()
    os.mkfifo(place / "pipe.c32")
    taken = take_files(tree, SYSLINUX, tmp_path / "all")
    assert taken == {"isolinux.bin", "chain.c32"} == {p.name for p in (tmp_path / "all").iterdir()}
    assert take_files(tree, SYSLINUX, tmp_path / "some", (".c32", ".x")) == {"chain.c32"}


@pytest.mark.parametrize("link", ["usr/lib/syslinux", "usr/lib/syslinux/isolinux.bin"])
def test_a_directory_is_not_taken_through_a_link(link: str, tree: Path, tmp_path: Path) -> None:
    """What is not taken, the medium lacks: it is not made."""
    replaced(tree / link, tmp_path / "host")
    with suppress(LayoutError):
        assert "isolinux.bin" not in take_files(tree, SYSLINUX, tmp_path / "parts" / SYSLINUX[1:])
    with pytest.raises(LayoutError, match=r"the tree has no /usr/lib/syslinux/isolinux.bin"):
        syslinux_file(tmp_path / "parts", "isolinux.bin")
    assert not (tmp_path / "parts" / SYSLINUX[1:] / "isolinux.bin").exists()
    replaced(tree / "usr/lib", tmp_path / "host")
    with pytest.raises(LayoutError, match="does not stay inside the tree"):
        take_files(tree, SYSLINUX, tmp_path / "other")
