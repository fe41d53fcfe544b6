"""What is made of a tree is opened beneath it; nobody else joins a tree and a path."""

from __future__ import annotations

import ast
import os
from collections.abc import Callable
from pathlib import Path

import pytest

import voidimg
from voidimg.disk.contents import measure_tree, mount_point, other_mount_points
from voidimg.errors import LayoutError
from voidimg.live.media import SYSLINUX, syslinux_file
from voidimg.live.squashfs import SquashfsOptions, write_squashfs
from voidimg.spec.disk_model import Disk
from voidimg.tree import beneath
from voidimg.tree.copy_out import take_file, take_files

PACKAGE = Path(voidimg.__file__).parent
CANARY = b"a file of the host\n"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A tree, and beside it a directory ``host`` that has the same names."""
    for top in ("tree", "host"):
        for name in ("boot/dtbs", "etc/default", "usr/lib/syslinux", "dev", "proc", "sys"):
            (tmp_path / top / name).mkdir(parents=True)
        for name in ("boot/kernel", "boot/dtbs/board.dtb", "usr/lib/syslinux/isolinux.bin"):
            (tmp_path / top / name).write_bytes(CANARY if top == "host" else b"of the tree\n")
    return tmp_path / "tree"


def turned_into_link(tree: Path, path: str) -> None:
    """Put a link to the host's directory or file in the place of `path`."""
    place = tree / path
    os.rename(place, tree.parent / "moved")
    place.symlink_to(tree.parent / "host" / path)


def disk(mount: str, blob: str | None = None) -> Disk:
    partition = {"name": "p", "size": "40MiB", "type": "0x0c", "filesystem": "vfat", "mount": mount}
    blobs = () if blob is None else ({"source": blob, "offset": "1MiB"},)
    values = {"label": "mbr", "partitions": (partition,), "blobs": blobs}
    return Disk.model_validate(values)


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "mount point": ("boot", lambda tree: measure_tree(tree, disk("/boot"))),
    "mount point above": ("boot", lambda tree: measure_tree(tree, disk("/boot/dtbs"))),
    "mount point itself": ("boot/dtbs", lambda tree: measure_tree(tree, disk("/boot/dtbs"))),
    "blob": ("boot/kernel", lambda tree: measure_tree(tree, disk("/etc", "/boot/kernel"))),
    "blob above": ("boot", lambda tree: measure_tree(tree, disk("/etc", "/boot/kernel"))),
    "kernel": ("boot/kernel", lambda tree: take_file(tree, "/boot/kernel", tree.parent / "out")),
    "kernel above": ("boot", lambda tree: take_file(tree, "/boot/kernel", tree.parent / "out")),
    "modules": (
        "usr/lib/syslinux",
        lambda tree: take_files(tree, SYSLINUX, tree.parent / "out"),
    ),
    "modules above": ("usr/lib", lambda tree: take_files(tree, SYSLINUX, tree.parent / "out")),
    "modules far above": ("usr", lambda tree: take_files(tree, SYSLINUX, tree.parent / "out")),
    "loader": ("usr/lib/syslinux/isolinux.bin", lambda tree: syslinux_file(tree, "isolinux.bin")),
    "is it a file": ("boot/kernel", lambda tree: beneath.is_file(tree, "/boot/kernel")),
    "is it a directory": ("boot", lambda tree: beneath.is_directory(tree, "/boot")),
    "root of a live system": (
        "usr",
        lambda tree: write_squashfs(tree, tree.parent / "out", SquashfsOptions(), epoch=0),
    ),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
def test_a_link_is_refused_wherever_it_is(reader: str, relative: bool, tree: Path) -> None:
    """At the end, right above, far above; nothing of the host is read."""
    path, read = READERS[reader]
    turned_into_link(tree, path)
    if relative:
        (tree / path).unlink()
        (tree / path).symlink_to("../" * (path.count("/") + 1) + f"host/{path}")
    with pytest.raises(LayoutError, match="does not stay inside the tree") as caught:
        read(tree)
    assert caught.value.code == "E-LAYOUT-OUTSIDE"
    out = tree.parent / "out"
    assert not out.is_file() or CANARY not in out.read_bytes()


@pytest.mark.parametrize("path", ["/boot/../..", "/..", "/./boot", "/boot/."])
def test_a_path_that_climbs_is_refused(path: str, tree: Path) -> None:
    """Also one that would come down again."""
    with pytest.raises(LayoutError):
        beneath.open_directory(tree, path)


def test_what_is_none_is_none(tree: Path) -> None:
    """Missing, of another kind, or a pipe, which must not be waited for."""
    os.mkfifo(tree / "boot/pipe")
    assert beneath.open_file(tree, "/boot/pipe") is None
    assert beneath.open_file(tree, "/boot") is None
    assert beneath.open_file(tree, "/boot/none") is None
    assert beneath.open_file(tree, "/boot/kernel/none") is None
    assert beneath.open_file(tree, "/") is None
    assert beneath.open_directory(tree, "/boot/kernel") is None
    assert beneath.open_directory(tree, "/none") is None
    with mount_point(tree, "/") as top:
        assert sorted(os.listdir(top)) == sorted(path.name for path in tree.iterdir())


def test_mount_points_below_another() -> None:
    """Relative to it; itself and those beside it are none."""
    mounts = ["/", "/boot", "/boot/efi", "/bootstrap", "/home/"]
    assert other_mount_points("/boot", mounts) == {"efi"}
    assert other_mount_points("/", mounts) == {"boot", "boot/efi", "bootstrap", "home"}


# --- nobody else ------------------------------------------------------------------------------

TREES = {"tree", "_tree", "root", "_root", "rootfs", "top", "tools"}
"""What modules call the directory of a tree."""
ROOM = {"tree/beneath.py"}
PARTS = ("disk", "live", "rootfs", "pipeline", "lint", "xbps", "sandbox", "inspection", "artifacts")


def names_tree(node: ast.expr) -> bool:
    """Whether the expression is a variable or attribute that holds a tree's directory."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
        return node.func.id in ("str", "Path") and names_tree(node.args[0])
    if isinstance(node, ast.Name):
        return node.id in TREES
    return isinstance(node, ast.Attribute) and node.attr in TREES


def joins(module: ast.Module) -> list[int]:
    """The lines where a tree is joined with something."""
    found = []
    for node in ast.walk(module):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and names_tree(node.left):
            found.append(node.lineno)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner, name = node.func.value, node.func.attr
            if name in ("joinpath", "glob", "rglob", "iterdir") and names_tree(owner):
                found.append(node.lineno)
            if name == "join" and node.args and names_tree(node.args[0]):
                found.append(node.lineno)
        if isinstance(node, ast.JoinedStr) and len(node.values) > 1:
            first, second = node.values[:2]
            tree = isinstance(first, ast.FormattedValue) and names_tree(first.value)
            text = second.value if isinstance(second, ast.Constant) else ""
            if tree and str(text).startswith("/"):
                found.append(node.lineno)
    return found


def modules() -> list[Path]:
    return [
        path
        for part in PARTS
        for path in sorted((PACKAGE / part).rglob("*.py"))
        if str(path.relative_to(PACKAGE)) not in ROOM
    ]


OWN = {
    # directories that are walked as sources of packages and of templates, not trees of target code
    "xbps/pkgdir.py",
    "xbps/package/directory.py",
}


def test_no_other_module_joins_a_tree_and_a_path() -> None:
    """A path of a tree becomes one of the host in one room only."""
    found = {
        f"{path.relative_to(PACKAGE)}:{line}"
        for path in modules()
        if str(path.relative_to(PACKAGE)) not in OWN
        for line in joins(ast.parse(path.read_text()))
    }
    assert found == set()


def test_the_search_finds_what_it_should() -> None:
    """Each shape that once led out."""
    for text in ("tree / 'boot'", "self._tree / path", "self._root.joinpath('etc')",
                 "os.path.join(root, 'boot')", "f'{tree}/boot'", "str(tree) + '/boot'",
                 "tools.iterdir()"):  # fmt: skip
        expected = [] if "+" in text else [1]
        assert joins(ast.parse(text)) == expected, text


def test_nothing_that_walks_or_removes_recurses() -> None:
    """A tree may be as deep as a package likes: `shutil.rmtree`, `os.walk` and recursion end there.

    What recurses over our own files and documents is listed.
    """
    ours = {
        "cli/man.py": "commands", "fetch/fetcher.py": "one more try",
        "spec/compose.py": "documents", "spec/document.py": "documents",
        "spec/dropped.py": "documents",
        "spec/merge.py": "documents", "spec/problems.py": "models", "spec/schema.py": "schemas",
        "spec/sources.py": "a profile's directory", "spec/tree.py": "documents",
        "xbps/config.py": "includes, counted", "xbps/preserve.py": "a pattern",
        "xbps/install/preserve.py": "a pattern",
        "atomic.py": "directories of ours", "supply/bundle.py": "directories of ours",
        "spec/templates.py": "models", "work_filesystem.py": "a directory of its own",
    }  # fmt: skip
    found = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        module = ast.parse(path.read_text())
        name = str(path.relative_to(PACKAGE))
        for node in ast.walk(module):
            if isinstance(node, ast.Attribute) and ast.unparse(node) in (
                "shutil.rmtree",
                "os.walk",
            ):
                found.add(name)
            if isinstance(node, ast.FunctionDef) and _calls_itself(node):
                found.add(name)
    assert found - set(ours) == set()


def _calls_itself(function: ast.FunctionDef) -> bool:
    """A call of the same name as a plain function, or as a method of the same object."""
    arguments = {argument.arg for argument in function.args.args}
    method = "self" in arguments
    for node in ast.walk(function):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name) and node.func.id == function.name and not method:
            return True
        of_self = isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)
        if of_self and method and node.func.attr == function.name and node.func.value.id == "self":  # type: ignore[attr-defined]
            return True
    return False
