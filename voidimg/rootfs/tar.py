"""Writes a tree as a tar archive whose bytes follow from the tree's content alone.

Members come package by package, so that a changed package changes one region of the archive, and
the compressed blocks of all the others can be used again.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from voidimg.errors import StoreError
from voidimg.events import Listener, Progress, ignore
from voidimg.formats import tar_writer
from voidimg.formats.tar_writer import Member, encode_member, end_of_archive
from voidimg.rootfs.attributes import CAPABILITY, is_kept, socket_in_tree
from voidimg.tree.beneath import held
from voidimg.tree.paths import mapped
from voidimg.tree.walk import DIRECTORY, descend

_PIECE = 1 << 20
_STEP = 16 << 20
"""Bytes of content between two reports of progress."""


class Sink(Protocol):
    """Where the archive goes: anything with a `write` that takes all it is given."""

    def write(self, data: bytes, /) -> object:
        """Take `data`."""
        ...


@dataclass(frozen=True, slots=True)
class Archive:
    """What was written: `members` and uncompressed `size_bytes`."""

    members: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class _Found:
    """A path of the tree, relative to its root, and its status."""

    path: bytes
    status: os.stat_result


def write_tar(
    tree: Path,
    out: Sink,
    *,
    epoch: int,
    order: Sequence[Collection[str]] = (),
    listener: Listener = ignore,
) -> Archive:
    """Write `tree` to `out` as a POSIX tar archive; runs inside the namespace of the tree.

    The order is: for each collection of absolute paths in `order` (the files of one package), its
    paths by name; then everything else by name. A directory comes right before its first content,
    an empty one among everything else. The first name of a file with several carries its content,
    the others are hard links. Names begin with ``./``. Owners are numbers, times whole seconds and
    at most `epoch`. Extended attributes ``user.*`` and ``security.capability`` are kept; labels of
    the host's security modules are not.

    Raises:
        LayoutError: the tree has a socket.
        StoreError: a file cannot be read or changes while it is read.
    """
    found = {item.path: item for item in _scan(tree)}
    total = sum(item.status.st_size for item in found.values() if _is_file(item))
    writer = _Writer(tree, out, epoch, total, listener)
    try:
        for item in _ordered(found, order):
            writer.add(item)
    finally:
        writer.close()
    end = end_of_archive(writer.written)
    out.write(end)
    return Archive(writer.members, writer.written + len(end))


def _is_file(item: _Found) -> bool:
    return stat.S_ISREG(item.status.st_mode)


def _scan(tree: Path) -> Iterator[_Found]:
    """The root itself (empty path) and everything below."""
    top = os.open(tree, DIRECTORY)
    try:
        yield _Found(b"", os.fstat(top))
        with mapped("pack", "/"):
            for met in descend(top):
                yield _Found(met.path, met.status)
    finally:
        os.close(top)


def _ordered(found: dict[bytes, _Found], order: Sequence[Collection[str]]) -> Iterator[_Found]:
    done: set[bytes] = set()

    def with_parents(path: bytes) -> Iterator[_Found]:
        missing = [path]
        while missing[-1]:
            parent = missing[-1].rpartition(b"/")[0]
            if parent in done:
                break
            missing.append(parent)
        for name in reversed(missing):
            if name not in done:
                done.add(name)
                yield found[name]

    yield from with_parents(b"")
    for paths in order:
        for path in sorted({path.encode("utf-8", "surrogateescape").strip(b"/") for path in paths}):
            # A listed path may be missing, not extracted or moved by an alternative.
            if path in found and path not in done:
                yield from with_parents(path)
    for path in sorted(found):
        if path not in done:
            yield from with_parents(path)


class _Writer:
    """Turns paths into members, in the order in which they are given."""

    def __init__(self, tree: Path, out: Sink, epoch: int, total: int, listener: Listener):
        self._fd = os.open(tree, DIRECTORY)
        self._top = os.fsencode(held(self._fd))
        self._out = out
        self._epoch = epoch
        self._total = total
        self._listener = listener
        self._names: dict[tuple[int, int], bytes] = {}
        self._content = 0
        self._reported = 0
        self.written = 0
        self.members = 0

    def close(self) -> None:
        os.close(self._fd)

    def add(self, item: _Found) -> None:
        status, kind = item.status, stat.S_IFMT(item.status.st_mode)
        name = b"./" + item.path
        if kind == stat.S_IFREG:
            self._add_file(name, item)
        elif kind == stat.S_IFDIR:
            name = name if name == b"./" else name + b"/"
            self._put(self._member(name, tar_writer.DIRECTORY, status, item.path))
        elif kind == stat.S_IFLNK:
            target = os.readlink(item.path, dir_fd=self._fd)
            self._put(self._member(name, tar_writer.SYMBOLIC_LINK, status, None, target=target))
        elif kind == stat.S_IFSOCK:
            raise socket_in_tree(item.path)
        else:
            kinds = {
                stat.S_IFIFO: tar_writer.FIFO,
                stat.S_IFCHR: tar_writer.CHARACTER,
                stat.S_IFBLK: tar_writer.BLOCK_DEVICE,
            }
            device = (os.major(status.st_rdev), os.minor(status.st_rdev))
            self._put(self._member(name, kinds[kind], status, None, device=device))

    def _add_file(self, name: bytes, item: _Found) -> None:
        status = item.status
        if status.st_nlink > 1:
            first = self._names.setdefault((status.st_dev, status.st_ino), name)
            if first != name:
                self._put(self._member(name, tar_writer.HARD_LINK, status, None, target=first))
                return
        size = status.st_size
        member = self._member(name, tar_writer.FILE, status, item.path, size=size)
        try:
            file = os.open(item.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._fd)
        except OSError as error:
            raise _unreadable(item.path, error) from error
        try:
            self._copy(file, encode_member(member), size, item.path)
        finally:
            os.close(file)
        self.members += 1

    def _copy(self, file: int, header: bytes, size: int, path: bytes) -> None:
        left = size
        pending = header
        while True:
            try:
                piece = os.read(file, min(left, _PIECE)) if left else b""
            except OSError as error:
                raise _unreadable(path, error) from error
            if left and not piece:
                text = os.fsdecode(path)
                raise StoreError(
                    f"/{text} of the tree became shorter while it was read",
                    code="TREE-CHANGED",
                    where=f"/{text}",
                    hint="nothing else may work on the cache meanwhile; run again",
                )
            left -= len(piece)
            fill = b"" if left else bytes(-size % tar_writer.BLOCK)
            self._write(pending + piece + fill)
            pending = b""
            if not left:
                break
        self._content += size
        if self._content - self._reported >= _STEP:
            self._reported = self._content
            self._listener(Progress("tar", self._content, self._total, "bytes"))

    def _member(
        self,
        name: bytes,
        kind: int,
        status: os.stat_result,
        attributes_of: bytes | None,
        *,
        size: int = 0,
        target: bytes = b"",
        device: tuple[int, int] = (0, 0),
    ) -> Member:
        return Member(
            name,
            kind,
            0o777 if kind == tar_writer.SYMBOLIC_LINK else stat.S_IMODE(status.st_mode),
            status.st_uid,
            status.st_gid,
            min(status.st_mtime_ns // 10**9, self._epoch),
            size,
            target,
            device,
            None if attributes_of is None else self._attributes(attributes_of),
        )

    def _attributes(self, path: bytes) -> dict[str, bytes] | None:
        full = self._top + b"/" + path
        names = os.listxattr(full, follow_symlinks=False)
        kept = [name for name in names if is_kept(name)]
        if not kept:
            return None
        return {
            name: _portable(name, os.getxattr(full, name, follow_symlinks=False))
            for name in sorted(kept)
        }

    def _put(self, member: Member) -> None:
        self._write(encode_member(member))
        self.members += 1

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self.written += len(data)


def _portable(name: str, value: bytes) -> bytes:
    """A file capability as every system takes it: revision 2, without a namespace's root id.

    The value is ``__le32 magic`` (revision in the top byte), four words of capability bits and,
    in revision 3 only, the root id (linux/capability.h).
    """
    if name == CAPABILITY and len(value) == 24 and value[3] == 3:
        return value[:3] + b"\x02" + value[4:20]
    return value


def _unreadable(path: bytes, error: OSError) -> StoreError:
    text = f"/{os.fsdecode(path)}"
    return StoreError(
        f"cannot read {text} of the tree: {error.strerror}", code="TREE-READ", where=text
    )
