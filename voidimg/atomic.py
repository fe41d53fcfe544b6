"""Files and directories appear whole or not at all, and what killed runs left behind is removed.

What is being made lies in a private directory beside its target and gets its name by a rename.
Its name cannot be guessed, and a mark inside repeats it::

    .voidimg-<32 hex digits>/     mode 0700, locked while its run lives
        mark                      "voidimg <the 32 digits>", and what a rename of two steps replaces
        ...                       what is being made

Only such a directory, owned by the caller and locked by nobody, is ever removed as left behind:
whatever else lies there belongs to somebody else, whatever it is called.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from voidimg.errors import StoreError, UsageError, full_disk_told, storing
from voidimg.file_locks import hold, try_to_hold
from voidimg.foreign import kind_in_words, read_regular

_NAME = re.compile(r"\.voidimg-([0-9a-f]{32})")
_MARK = "mark"
_MAX_MARK_BYTES = 4096
_NEW = "new"
_OLD = "old"
_AT_FDCWD = -100
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
_RENAME_NOREPLACE = 1
_RENAME_EXCHANGE = 2
_STREAM = re.compile(r"/dev/(?:fd/|std)(?:\d+|out|err)|/proc/self/fd/\d+")


def require_writable(directory: Path) -> None:
    """Ensure that files can be made in `directory`, or where it would be made; nothing is left.

    Raises:
        StoreError: they cannot.
    """
    with storing(directory, "write to"):
        existing = directory
        while not existing.exists():
            existing = existing.parent
        with tempfile.TemporaryFile(dir=existing):
            pass


# --- private directories ---


@contextmanager
def private_directory(parent: Path, replaced: str = "") -> Iterator[Path]:
    """A new directory in `parent` that nobody else uses, removed with all in it at the end.

    It holds nothing but its mark. Those in `parent` that killed runs left are removed first.
    When a run is killed whose directory holds `old`, that gets back the name `replaced`.

    Raises:
        OSError: it cannot be made.
        DiskFullError: a program failed in the block, and there is no room left.
    """
    remove_abandoned(parent)
    descriptor, path = _create(parent)
    try:
        _write_mark(path, replaced)
        with full_disk_told(path):
            yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(descriptor)


def remove_abandoned(parent: Path) -> None:
    """Remove the private directories in `parent` that killed runs left, and nothing else.

    What a killed run was replacing gets its name back. What cannot be looked at stays.
    """
    with os.scandir(parent) as entries:
        names = sorted(entry.name for entry in entries if _NAME.fullmatch(entry.name))
    for name in names:
        with suppress(OSError):
            _remove_if_abandoned(parent, name)


def is_private_name(name: str) -> bool:
    """Whether a file called `name` may be a private directory of a run, alive or killed."""
    return _NAME.fullmatch(name) is not None


def _create(parent: Path) -> tuple[int, Path]:
    while True:
        path = parent / f".voidimg-{os.urandom(16).hex()}"
        path.mkdir(mode=0o700)
        # Between its making and its lock another run may take it for left over.
        with suppress(FileNotFoundError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            _lock(descriptor)
            if os.fstat(descriptor).st_nlink:
                return descriptor, path
            os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Lock a directory of ours; where the file system has no locks, nobody can take it for left."""
    try:
        hold(descriptor)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _write_mark(private: Path, replaced: str) -> None:
    lines = f"voidimg {private.name.removeprefix('.voidimg-')}\n{replaced}"
    (private / _MARK).write_bytes(os.fsencode(lines))


def _remove_if_abandoned(parent: Path, name: str) -> None:
    path = parent / name
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_uid != os.geteuid():
            return
        if not try_to_hold(descriptor):
            return
        replaced = _replaced_by(path, os.listdir(descriptor))
        if replaced is None:
            return
        if replaced and not os.path.lexists(parent / replaced) and (path / _OLD).exists():
            (path / _OLD).rename(parent / replaced)
        shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(descriptor)


def _replaced_by(private: Path, names: list[str]) -> str | None:
    """The name that the run of `private` was replacing, or ""; None when the mark is not ours.

    Without a mark only what holds nothing at all is ours: its run was killed before it was marked.
    """
    if not names:
        return ""
    content = os.fsdecode(read_regular(private / _MARK, _MAX_MARK_BYTES, follow=False))
    first, _, replaced = content.partition("\n")
    if not content and names == [_MARK]:
        return ""
    is_ours = first == f"voidimg {private.name.removeprefix('.voidimg-')}" and "/" not in replaced
    return replaced if is_ours else None


# --- files ---


def path_of(descriptor: int) -> Path:
    """A path by which programs that we start can open `descriptor`, of a file without a name.

    What has no name leaves nothing behind, however we end.
    """
    return Path(f"/proc/{os.getpid()}/fd/{descriptor}")


@contextmanager
def replacing(target: Path, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of `target` when the block ends well.

    Raises:
        StoreError, DiskFullError: it cannot be written.
    """
    with storing(target, "write"), private_directory(target.parent) as private:
        with new_file(private, target, mode) as file:
            yield file
        sync_directory(target.parent)


@contextmanager
def new_file(private: Path, target: Path, mode: int = 0o644) -> Iterator[IO[bytes]]:
    """As `replacing`, in a private directory that is there: for many files of one directory.

    Raises:
        OSError: it cannot be written.
    """
    new = private / _NEW
    with new.open("wb") as file:
        os.fchmod(file.fileno(), mode)
        yield file
        file.flush()
        os.fsync(file.fileno())
    new.replace(target)


def replace_by_bytes(target: Path, content: bytes, mode: int = 0o644) -> None:
    """Make `content` the content of the file `target`, atomically; its directory exists.

    Raises:
        StoreError, DiskFullError: it cannot be written.
    """
    with replacing(target, mode) as file:
        file.write(content)


def replace_by_file(target: Path, content: Path) -> None:
    """Give the file `content` also the name `target`, atomically: a hard link, else a copy.

    Raises:
        StoreError, DiskFullError: it cannot be written.
    """
    with storing(target, "write"), private_directory(target.parent) as private:
        new = private / _NEW
        try:
            os.link(content, new)
        except OSError:
            shutil.copyfile(content, new)
            new.chmod(0o644)
            write_out(new)
        new.replace(target)


def write_atomically(target: Path, content: bytes) -> None:
    """Write a small output by rename, mode 0644; its directory is made if needed.

    Raises:
        StoreError, DiskFullError: it cannot be written.
    """
    with storing(target, "write"):
        target.parent.mkdir(parents=True, exist_ok=True)
    replace_by_bytes(target, content)


def write_new(path: Path, content: bytes, mode: int) -> None:
    """Make `path` with `content`; a file that exists is never touched.

    Raises:
        FileExistsError: `path` exists.
        StoreError, DiskFullError: the directory cannot be written.
    """
    with _writing_new(path), private_directory(path.parent) as private:
        new = private / _NEW
        with new.open("wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(new, path, follow_symlinks=False)
        except PermissionError:  # no hard links, as on a FAT file system
            if not _renamed(new, path, _RENAME_NOREPLACE):
                raise
        sync_directory(path.parent)


@contextmanager
def _writing_new(path: Path) -> Iterator[None]:
    try:
        with storing(path, "write"):
            yield
    except StoreError as error:
        if isinstance(error.__cause__, FileExistsError):
            raise error.__cause__ from None
        raise


def write_out(path: Path) -> None:
    """Wait until the content of the file `path` is on the disk.

    Raises:
        OSError: it cannot be written there.
    """
    with path.open("rb") as file:
        os.fsync(file.fileno())


def sync_directory(directory: Path) -> None:
    """Wait until the names in `directory` are on the disk.

    Raises:
        OSError: it cannot be opened.
    """
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


# --- files that the user names ---


def write_result(
    target: Path, content: bytes, is_ours: Callable[[bytes], bool], what: str, where: str
) -> None:
    """Write `content` to the `target` that a user named, in place of an older one of its kind.

    A file appears at once and whole; a link leads to the file that is written; pipes and devices,
    and what is open already such as ``/dev/stdout``, get the bytes as they are.

    Args:
        target: where.
        content: what.
        is_ours: whether a file with these bytes is one that may be replaced; an empty one always.
        what: what such a file is, like "a lock".
        where: the option that names it.

    Raises:
        UsageError: something else is there, which stays as it is.
        StoreError, DiskFullError: it cannot be written.
    """
    require_replaceable(target, is_ours, what, where)
    if is_stream(target):
        with storing(target, "write"), open_stream_output(target) as stream:
            stream.write(content)
    else:
        write_atomically(Path(os.path.realpath(target)), content)


def open_result(target: Path, is_ours: Callable[[bytes], bool], what: str, where: str) -> IO[bytes]:
    """The `target` that a user named, open to be written from its beginning while work goes on.

    As `write_result`, but a file is there at once and grows.

    Raises:
        UsageError: something else is there, which stays as it is.
        StoreError: it cannot be opened, or is a pipe that nobody reads.
    """
    require_replaceable(target, is_ours, what, where)
    with storing(target, "write"):
        return open_stream_output(target) if is_stream(target) else target.open("wb")


def require_replaceable(
    target: Path, is_ours: Callable[[bytes], bool], what: str, where: str
) -> None:
    """Ensure that `write_result` may write to `target`; see there.

    Raises:
        UsageError: something else is there.
        StoreError: it cannot be looked at.
    """
    with storing(target, "look at"):
        try:
            mode = target.stat().st_mode
        except FileNotFoundError:
            return
        if stat.S_ISDIR(mode) or stat.S_ISBLK(mode) or stat.S_ISSOCK(mode):
            raise UsageError(
                f"{target} is {kind_in_words(mode)}",
                code="OUTPUT-KIND",
                where=where,
                hint="name a file",
            )
        if is_stream(target):
            return
        content = read_regular(target, _MAX_RESULT_BYTES)
    if content and not is_ours(content):
        raise UsageError(
            f"{target} exists and is not {what}, so it is not replaced",
            code="OUTPUT-FOREIGN",
            where=where,
            hint="name another file, or move that one away",
        )


_MAX_RESULT_BYTES = 256 * 2**20


def is_stream(target: Path) -> bool:
    """Whether bytes go to `target` as they are: a pipe, a device, or what is open already."""
    if _STREAM.fullmatch(str(target)):
        return True
    try:
        mode = target.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def open_stream_output(target: Path) -> IO[bytes]:
    """The pipe or device `target`, open for writing; of what is open already another descriptor.

    Raises:
        OSError: it cannot be opened, or is a pipe that nobody reads.
    """
    text = str(target)
    if _STREAM.fullmatch(text):
        word = text.rpartition("/")[2]
        number = {"stdout": 1, "stderr": 2}.get(word)
        # Opened anew, a file would be written from its beginning.
        return os.fdopen(os.dup(int(word) if number is None else number), "wb")
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENXIO:
            raise OSError(errno.ENXIO, "nobody reads from this pipe", str(target)) from error
        raise
    os.set_blocking(descriptor, True)
    return open(target, "wb", opener=lambda _path, _flags: descriptor)  # keeps its name


# --- directories ---


@contextmanager
def replacing_directory(
    target: Path, require_ours: Callable[[Path], None], mode: int = 0o755
) -> Iterator[Path]:
    """An empty directory to fill that takes the place of `target` when the block ends well.

    What was there is removed: `require_ours` is asked about it just before, and raises when it may
    not be. Where the file system can, the two change places at once.

    Raises:
        OSError: it cannot be written.
    """
    with private_directory(target.parent, replaced=target.name) as private:
        new = private / _NEW
        new.mkdir()
        yield new
        new.chmod(mode)
        if not os.path.lexists(target):
            _rename_no_replace(new, target)
            return
        require_ours(target)
        if not _renamed(new, target, _RENAME_EXCHANGE):
            _replace_in_two_steps(new, target, private / _OLD)
            return
        # It is out of its place now: nobody can have added to it in between unseen.
        try:
            require_ours(new)
        except BaseException:
            _renamed(new, target, _RENAME_EXCHANGE)
            raise


def _replace_in_two_steps(new: Path, target: Path, old: Path) -> None:
    try:
        target.rename(old)
        new.rename(target)
    finally:
        if old.exists() and not os.path.lexists(target):
            old.rename(target)


def _rename_no_replace(new: Path, target: Path) -> None:
    """Rename a directory; onto an empty one at most (rename(2)), which loses nothing."""
    try:
        new.rename(target)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
            raise StoreError(
                f"{target} was made by somebody else in the meantime",
                code="EXISTS",
                where=str(target),
                hint="try again, or name another directory",
            ) from error
        raise


def _renamed(one: Path, other: Path, flags: int) -> bool:
    """Rename as renameat2(2) does with `flags`; False where the system or file system cannot."""
    import ctypes  # seldom needed

    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is None:  # musl before 1.2.6
        return False
    names = [ctypes.c_char_p(os.fsencode(path)) for path in (one, other)]
    here = ctypes.c_int(_AT_FDCWD)
    if call(here, names[0], here, names[1], ctypes.c_uint(flags)) == 0:
        return True
    number = ctypes.get_errno()
    if number in (errno.ENOSYS, errno.EINVAL):
        return False
    raise OSError(number, os.strerror(number), str(other))
