"""Foreign files: opened in one way alone, which neither waits nor reads without end."""

from __future__ import annotations

import ast
import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

import voidimg
from voidimg.foreign import ForeignFileError, open_regular, read_regular, why_not_secret

PACKAGE = Path(voidimg.__file__).parent


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


SHAPES: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a socket": _socket,
    "holds more than": _sparse,
}


@pytest.mark.parametrize("said", SHAPES)
def test_what_is_no_small_regular_file_is_refused_at_once(said: str, tmp_path: Path) -> None:
    """In words, by an `OSError` that every teller of unreadable files tells."""
    path = tmp_path / "file"
    SHAPES[said](path)
    with pytest.raises(ForeignFileError) as caught:
        read_regular(path, 2**20)
    assert said in str(caught.value.strerror)
    assert caught.value.hint


def test_a_directory_is_told_as_the_system_does(tmp_path: Path) -> None:
    """Readers that take a directory for a missing file go on doing so."""
    with pytest.raises(IsADirectoryError):
        open_regular(tmp_path)


def test_links_are_followed_only_where_they_may_be(tmp_path: Path) -> None:
    """The last component; what it leads to has to be regular."""
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", 100) == b"content"
    with pytest.raises(ForeignFileError, match="a symbolic link"):
        read_regular(tmp_path / "link", 100, follow=False)


def test_the_bound_is_what_may_be_read(tmp_path: Path) -> None:
    """As many bytes are fine, one more is too much."""
    path = tmp_path / "file"
    path.write_bytes(b"1234")
    assert read_regular(path, 4) == b"1234"
    with pytest.raises(ForeignFileError):
        read_regular(path, 3)


@pytest.mark.parametrize(("mode", "secret"), [(0o600, True), (0o400, True), (0o640, False),
                                              (0o604, False), (0o620, False)])  # fmt: skip
def test_a_secret_is_for_its_owner_alone(mode: int, secret: bool, tmp_path: Path) -> None:
    """Neither the group nor others may read or write it."""
    path = tmp_path / "key"
    path.touch()
    path.chmod(mode)
    assert (why_not_secret(path.stat()) is None) is secret


# --- nobody opens a foreign file in another way ---

OWN_FILES = {
    "voidimg/__init__.py": "its own stub",
    "voidimg/atomic.py": "what it makes itself, and directories",
    "voidimg/file_locks.py": "directories of the cache",
    "voidimg/foreign.py": "it is the opener",
    "voidimg/cli/main.py": "/dev/null",
    "voidimg/disk/block_cache.py": "entries of the cache",
    "voidimg/disk/compress.py": "the artifact that is being made",
    "voidimg/disk/ext4.py": "the image that is being made",
    "voidimg/arguments.py": "only to give a program the path of it",
    "voidimg/disk/image.py": "files of the tree",
    "voidimg/disk/sparse.py": "the image that is being made",
    "voidimg/fetch/cache.py": "entries of the cache",
    "voidimg/fetch/fetcher.py": "parts of downloads in the cache",
    "voidimg/flashing/target.py": "the medium that is written to, after it was looked at",
    "voidimg/fetch/repodata.py": "entries of the cache",
    "voidimg/fetch/upkeep.py": "entries of the cache",
    "voidimg/disk/grub_core.py": "files of the tree",
    "voidimg/disk/grub_disk.py": "copies of files of the tree",
    "voidimg/live/media.py": "files of the tree",
    "voidimg/live/netboot.py": "files of the tree",
    "voidimg/disk/fat.py": "the trial image that it makes",
    "voidimg/fetch/door.py": "what the kernel shows",
    "voidimg/lint/content_checks.py": "copies that it makes itself",
    "voidimg/lint/subject.py": "copies that it makes itself",
    "voidimg/spec/templates.py": "what the kernel shows",
    "voidimg/diagnosis/machine.py": "what the kernel shows",
    "voidimg/disk/contents.py": "files of the tree, by descriptor",
    "voidimg/disk/pack_qcow2.py": "the image that is being made",
    "voidimg/disk/pack_containers.py": "the image that is being made",
    "voidimg/host_packages.py": "what the host says of itself",
    "voidimg/pipeline/run.py": "entries of the cache",
    "voidimg/pipeline/store.py": "entries of the cache",
    "voidimg/rootfs/normalise.py": "directories of the tree, by descriptor",
    "voidimg/sandbox/limits.py": "what the kernel shows",
    "voidimg/supply/seen.py": "entries of the cache",
    "voidimg/supply/seen_versions.py": "entries of the cache",
    "voidimg/tree/beneath.py": "files of the tree, by descriptor",
    "voidimg/tree/copy_out.py": "files of the tree, by descriptor",
    "voidimg/work_filesystem.py": "what it makes itself",
    "voidimg/xbps/shipped_keys.py": "data of the package",
    "voidimg/supply/remembered.py": "entries of the cache",
    "voidimg/pipeline/workdir.py": "directories of the cache",
    "voidimg/rootfs/tar.py": "files of the tree, by descriptor",
    "voidimg/sandbox/binfmt.py": "what the kernel shows",
    "voidimg/sandbox/idmap.py": "what the host says of its users",
    "voidimg/sandbox/jail.py": "files of the tree and the kernel",
    "voidimg/sandbox/worker.py": "descriptors that it was given",
    "voidimg/smoke/uefi.py": "the firmware of the host",
    "voidimg/smoke/verdict.py": "logs that it made itself",
    "voidimg/spec/schema.py": "modules of the project",
    "voidimg/tree/walk.py": "directories of the tree, by descriptor",
    "voidimg/xbps/install/file_plan.py": "files of the tree, by descriptor",
    "voidimg/tree/openat2.py": "directories of the tree, by descriptor",
    "voidimg/tree/tree.py": "files of the tree, by descriptor",
    "voidimg/xbps/install/payload.py": "files of the tree, by descriptor",
    "voidimg/disk/table_writer.py": "the image that is being made",
    "voidimg/live/hybrid.py": "the image that is being made",
    "voidimg/sandbox/kernel.py": "what the kernel shows",
    "voidimg/sandbox/landlock.py": "names places for the kernel, and reads nothing",
}
"""Modules that open files in other ways, and which: nothing that a user or a mirror names.
"""

_READING = {"read_bytes", "read_text"}
_NOT_FILES = {"BinaryPackage", "Image", "tarfile", "self", "cls", "state"}


def _opens(tree: ast.AST) -> list[int]:
    """The lines on which a file is opened to be read."""
    return [
        node.lineno for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_opening(node)
    ]


def _is_opening(call: ast.Call) -> bool:
    function = call.func
    if isinstance(function, ast.Name):
        return function.id == "open" and not _only_writes(call.args[1:])
    if not isinstance(function, ast.Attribute):
        return False
    if function.attr in _READING:
        return True
    if function.attr != "open":
        return False
    owner = function.value
    if isinstance(owner, ast.Name) and owner.id in _NOT_FILES:
        return False
    if isinstance(owner, ast.Call):  # an object that was just made, such as RepositoryState(...)
        return isinstance(owner.func, ast.Name) and owner.func.id == "Path"
    if isinstance(owner, ast.Name) and owner.id == "os":
        return True
    return not _only_writes(call.args)


def _only_writes(modes: list[ast.expr]) -> bool:
    mode = modes[0] if modes else None
    return (
        isinstance(mode, ast.Constant)
        and str(mode.value)[:1] in "wx"
        and "+" not in str(mode.value)
    )


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("open(path)", 1),
        ("open(path, 'rb')", 1),
        ("path.open('rb')", 1),
        ("os.open(path, 0)", 1),
        ("(a / b).open()", 1),
        ("path.read_text()", 1),
        ("path.open('wb')", 0),
        ("open(path, 'xb')", 0),
        ("open_regular(path)", 0),
    ],
)
def test_an_open_elsewhere_would_be_seen(text: str, seen: int) -> None:
    """In every form that the project uses; writing is no reading."""
    assert len(_opens(ast.parse(text))) == seen


def test_every_foreign_file_is_opened_by_the_one_opener() -> None:
    """All other modules read files through `voidimg.foreign` alone."""
    wrong = [
        f"{path.relative_to(PACKAGE.parent)}:{line}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if str(path.relative_to(PACKAGE.parent)) not in OWN_FILES
        for line in _opens(ast.parse(path.read_text()))
    ]
    assert wrong == []
