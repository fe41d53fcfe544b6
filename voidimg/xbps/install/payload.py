"""Unpacking a package's payload into a tree: every byte checked, nothing outside ever touched.

The payload must be exactly what ``files.plist`` lists: each path once, with the kind and SHA256
given there. Rules for what is already there follow xbps 0.60.7 (``lib/package_unpack.c``);
libarchive's part (owners, modes, times, links) is done here with directory descriptors.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from voidimg.errors import DiskFullError, PackageError, StoreError
from voidimg.formats.tar_reader import CHUNK_BYTES, Member
from voidimg.tree.directories import Directories, Directory
from voidimg.tree.tree import NotInTreeError, Tree
from voidimg.tree.walk import temporary_name, write_all
from voidimg.xbps.config import is_excluded
from voidimg.xbps.install.conffile import Situation, Verdict, decide
from voidimg.xbps.install.file_plan import digest_of
from voidimg.xbps.package.file_list import Kind, Listed
from voidimg.xbps.package.reader import BinaryPackage
from voidimg.xbps.reserved import require_link_text

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIN = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_SPECIAL_BITS = stat.S_ISUID | stat.S_ISGID | stat.S_ISVTX


@dataclass(frozen=True, slots=True)
class Rules:
    """What the user wants done with files, the same for all packages of a transaction.

    Attributes:
        noextract: which paths are not extracted; see `voidimg.xbps.config.is_excluded`.
        preserved: absolute paths that are left alone where they exist.
        keep_conf: ``keepconf=true``: never overwrite a configuration file.
        overwrite_conf: overwrite configuration files always.
    """

    noextract: tuple[str, ...] = ()
    preserved: frozenset[str] = frozenset()
    keep_conf: bool = False
    overwrite_conf: bool = False


def owner_of(member: Member) -> tuple[int, int]:
    """The uid and gid of `member`. Names are not looked up on the host; only ``root`` is 0."""
    return (
        0 if member.uname == "root" else member.uid,
        0 if member.gname == "root" else member.gid,
    )


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What unpacking a package did: the ``.new-`` files written beside existing ones."""

    beside: tuple[str, ...]


def unpack(
    tree: Tree,
    package: BinaryPackage,
    listed: Sequence[Listed],
    *,
    version: str,
    rules: Rules,
    installed: Mapping[str, Listed] | None,
) -> Unpacked:
    """Unpack the payload of `package` into `tree`. The process's umask must be 0.

    Without effective uid 0 owners stay those of the process and suid and sgid bits are dropped,
    as xbps does.

    Args:
        tree: where to.
        package: an open package, its payload not yet read.
        listed: its file list, decoded.
        version: with revision, for the names of ``.new-`` files.
        rules: the user's wishes.
        installed: file list by path of the installed version; None when there is none.

    Raises:
        PackageError: the payload and the list differ, or something hostile.
        DiskFullError, StoreError: the tree cannot be written.
    """
    payload = _Payload(tree, package, listed, version=version, rules=rules, installed=installed)
    with _mapped(package.where):
        return payload.unpack()


@contextmanager
def _mapped(where: str) -> Iterator[None]:
    """Map `OSError` of the tree; the file's name is in it where the call knew one."""
    try:
        yield
    except OSError as error:
        name = os.fsdecode(error.filename) if error.filename else "a file"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(
                f"the disk is full: cannot unpack {name} of {where}",
                code="FULL",
                where=where,
                hint="free some space, or choose another --cache directory",
            ) from error
        hint = "check that the tree belongs to you"
        if error.errno == errno.EINVAL:
            hint = "its owner may have no id in this user namespace: see /etc/subuid"
        raise StoreError(
            f"cannot unpack {name}: {error.strerror}", code="UNPACK", where=where, hint=hint
        ) from error


class _Payload:
    """One package on its way into the tree."""

    def __init__(
        self,
        tree: Tree,
        package: BinaryPackage,
        listed: Sequence[Listed],
        *,
        version: str,
        rules: Rules,
        installed: Mapping[str, Listed] | None,
    ) -> None:
        self.tree = tree
        self.package = package
        self.where = package.where
        self.version = version
        self.rules = rules
        self.installed = installed
        self.expected = {one.path: one for one in listed if one.kind is not Kind.DIRECTORY}
        self.hashes = Counter(one.sha256 for one in self.expected.values() if one.is_regular)
        self.met: dict[str, Listed] = {}
        self.beside: list[str] = []
        self.carriers: list[str] = []
        self.directories = Directories(tree.fd, package.where)
        self.sets_owners = tree.sets_owners
        self.group = os.getegid()

    def unpack(self) -> Unpacked:
        try:
            for member in self.package.members():
                self._member(member)
        finally:
            self.directories.close()
        if self.expected:
            raise self._error(
                f"the payload lacks {next(iter(self.expected))}"
                f" ({len(self.expected)} listed paths are missing)",
                "MISSING-PAYLOAD",
            )
        for path in self.carriers:
            self.tree.remove(path, missing_ok=True)
        return Unpacked(tuple(self.beside))

    def _member(self, member: Member) -> None:
        path = member.name[1:]
        listed = self.expected.pop(path, None)
        if listed is None:
            raise self._error(f"the payload holds {path}, which is not listed", "UNLISTED")
        self.met[path] = listed
        self.hashes[listed.sha256] -= 1
        raw = path[1:].encode("utf-8", "surrogateescape")
        parent, _, base = raw.rpartition(b"/")
        extracted = not is_excluded(path, self.rules.noextract)
        if not extracted and not self._may_carry(listed):
            return
        if not extracted:
            self.carriers.append(path)
        directory = self.directories.get(parent)
        if member.kind == "file" and listed.is_regular:
            self._file(member, listed, directory, base)
        elif member.kind == "symlink" and listed.kind is Kind.LINK:
            self._symlink(member, path, directory, base)
        elif member.kind == "hardlink" and listed.is_regular:
            self._hardlink(member, listed, directory, base)
        else:
            raise self._error(
                f"{path} is a {member.kind}, but a {listed.kind.value} is listed", "MEMBER-KIND"
            )

    def _may_carry(self, listed: Listed) -> bool:
        """Whether a later hard link may need this file although it is not to be extracted."""
        return listed.is_regular and self.hashes[listed.sha256] > 0

    # Regular files

    def _file(self, member: Member, listed: Listed, directory: Directory, base: bytes) -> None:
        try:
            fd = os.open(base, _CREATE, member.mode & 0o777, dir_fd=directory.fd)
        except FileExistsError:
            self._file_over(member, listed, directory, base)
            return
        self._fill(fd, member, listed, directory, base)

    def _file_over(self, member: Member, listed: Listed, directory: Directory, base: bytes) -> None:
        """A file where something is already."""
        if listed.path in self.rules.preserved:
            return
        status = os.stat(base, dir_fd=directory.fd, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            self._remove_directory(directory, base, listed.path)
        elif listed.kind is Kind.CONF_FILE:
            verdict = self._judge(listed, status)
            if verdict is Verdict.BESIDE:
                base += b".new-" + self.version.encode()
                self.beside.append(f"{listed.path}.new-{self.version}")
            elif verdict is Verdict.KEEP:
                self._correct(member, directory, base)
                return
        elif stat.S_ISREG(status.st_mode) and self._digest(listed.path) == listed.sha256:
            self._verify(member, listed)
            self._correct(member, directory, base)
            return
        new = temporary_name(directory.fd)
        fd = os.open(new, _CREATE, member.mode & 0o777, dir_fd=directory.fd)
        self._fill(fd, member, listed, directory, new)
        os.rename(new, base, src_dir_fd=directory.fd, dst_dir_fd=directory.fd)

    def _judge(self, listed: Listed, status: os.stat_result) -> Verdict:
        """What to do with an existing configuration file."""
        is_link = stat.S_ISLNK(status.st_mode)
        present = None if is_link else self._digest(listed.path)
        recorded = (self.installed or {}).get(listed.path)
        return decide(
            Situation(
                new=listed.sha256,
                present=present,
                is_link=is_link,
                is_update=self.installed is not None,
                recorded=recorded.sha256 if recorded and recorded.kind is Kind.CONF_FILE else None,
            ),
            keep=self.rules.keep_conf,
            overwrite=self.rules.overwrite_conf,
        )

    def _digest(self, path: str) -> str:
        try:
            return digest_of(self.tree, path)
        except NotInTreeError:
            return ""

    def _fill(
        self, fd: int, member: Member, listed: Listed, directory: Directory, base: bytes
    ) -> None:
        """Write the content into the new file, then owner, mode and time; check the hash."""
        try:
            if self._copy(member, fd) != listed.sha256:
                os.unlink(base, dir_fd=directory.fd)
                raise self._error(f"{listed.path} does not have the hash listed", "PAYLOAD-HASH")
            uid, gid = owner_of(member)
            if self.sets_owners and (uid or gid or self.group or directory.gives_group):
                os.fchown(fd, uid, gid)
            if member.mode & _SPECIAL_BITS:
                os.fchmod(fd, self._mode(member))
            time = member.mtime * 10**9  # whole: a fraction marks times of the kernel's clock
            os.utime(fd, ns=(time, time))
        finally:
            os.close(fd)

    def _copy(self, member: Member, fd: int | None) -> str:
        """Read the member's content, into `fd` if given. Returns its SHA256."""
        if member.size <= CHUNK_BYTES:
            content = self.package.read(CHUNK_BYTES)
            if fd is not None:
                write_all(fd, content)
            return hashlib.sha256(content).hexdigest()
        digest = hashlib.sha256()
        for content in self.package.chunks():
            digest.update(content)
            if fd is not None:
                write_all(fd, content)
        return digest.hexdigest()

    def _verify(self, member: Member, listed: Listed) -> None:
        if self._copy(member, None) != listed.sha256:
            raise self._error(f"{listed.path} does not have the hash listed", "PAYLOAD-HASH")

    def _mode(self, member: Member) -> int:
        dropped = 0 if self.sets_owners else stat.S_ISUID | stat.S_ISGID
        return member.mode & 0o7777 & ~dropped

    def _correct(self, member: Member, directory: Directory, base: bytes) -> None:
        """Give a file that stays the packaged owner and mode."""
        pinned = os.open(base, _PIN, dir_fd=directory.fd)
        try:
            if self.sets_owners:
                os.chown(f"/proc/self/fd/{pinned}", *owner_of(member))
            os.chmod(f"/proc/self/fd/{pinned}", self._mode(member))
        finally:
            os.close(pinned)

    # Links

    def _symlink(self, member: Member, path: str, directory: Directory, base: bytes) -> None:
        require_link_text(path, member.target, where=self.where)
        target = member.target.encode("utf-8", "surrogateescape")
        try:
            os.symlink(target, base, dir_fd=directory.fd)
        except FileExistsError:
            if path in self.rules.preserved:
                return
            self._clear(directory, base, path)
            os.symlink(target, base, dir_fd=directory.fd)
        uid, gid = owner_of(member)
        if self.sets_owners and (uid or gid or self.group or directory.gives_group):
            os.chown(base, uid, gid, dir_fd=directory.fd, follow_symlinks=False)
        time = member.mtime * 10**9
        os.utime(base, ns=(time, time), dir_fd=directory.fd, follow_symlinks=False)

    def _hardlink(self, member: Member, listed: Listed, directory: Directory, base: bytes) -> None:
        """Another name of a file of the same package; `members` saw to it that it came before."""
        target = member.target
        if self.met[target[1:]].sha256 != listed.sha256:
            raise self._error(f"{listed.path} does not have the hash listed", "PAYLOAD-HASH")
        if listed.path in self.rules.preserved and self.tree.exists(listed.path, follow=False):
            return
        parent, _, source = target[2:].encode("utf-8", "surrogateescape").rpartition(b"/")
        self._clear(directory, base, listed.path)
        into = os.dup(directory.fd)  # the next line may close what is not used now
        try:
            from_ = self.directories.get(parent)
            os.link(source, base, src_dir_fd=from_.fd, dst_dir_fd=into, follow_symlinks=False)
        finally:
            os.close(into)

    def _clear(self, directory: Directory, base: bytes, path: str) -> None:
        """Remove the file, link or empty directory in the way."""
        try:
            os.unlink(base, dir_fd=directory.fd)
        except FileNotFoundError:
            return
        except IsADirectoryError:
            self._remove_directory(directory, base, path)

    def _remove_directory(self, directory: Directory, base: bytes, path: str) -> None:
        try:
            os.rmdir(base, dir_fd=directory.fd)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            raise self._error(
                f"{path} cannot be unpacked: a directory that is not empty is in its place",
                "DIRECTORY-IN-PLACE",
                hint="move the directory away",
            ) from error

    def _error(
        self, what: str, code: str, hint: str = "the package is malformed or hostile; do not use it"
    ) -> PackageError:
        return PackageError(what, code=code, where=self.where, hint=hint)
