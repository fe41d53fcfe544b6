"""Checks of every file against what the package database says, and of filesystems to their end."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from posixpath import normpath

from voidimg.disk.fsck import fsck_ext4, fsck_fat
from voidimg.errors import LayoutError, ToolError
from voidimg.foreign import open_regular
from voidimg.formats.cpio import decode_initramfs
from voidimg.formats.entries import TreeEntry
from voidimg.formats.kernel_image import read_kernel_image
from voidimg.formats.partition_table import PartitionEntry
from voidimg.formats.squashfs import read_squashfs
from voidimg.formats.tar_reader import open_archive
from voidimg.inspection.opened import not_sound, temporary_file
from voidimg.inspection.squashfs_files import SquashfsFiles
from voidimg.inspection.tree_files import real_path
from voidimg.lint.model import Problem
from voidimg.lint.subject import Subject
from voidimg.xbps.install.pkgdb import metafile
from voidimg.xbps.package.file_list import Kind, Listed

_REBUILD = "the artifact is damaged or was changed: compare its checksum, and build it again"
_REPLACED = "if a profile or a person replaced it, that is meant; else build the artifact again"
_MAX_TOLD = 20
"""Most defects of one kind that are told one by one: a lost directory has thousands."""
_COPY_BYTES = 2**20
_NETBOOT_PARTS = ("squashfs.img", "initrd", "vmlinuz")
_WORLD_WRITABLE, _STICKY, _SETUID, _EXECUTABLE = 0o002, 0o1000, 0o4000, 0o111


def package_files(subject: Subject) -> Iterator[Problem]:
    """Every file and link of every package is there, with the content that the package has."""
    yield from _few(_package_files(subject))


def package_conf_files(subject: Subject) -> Iterator[Problem]:
    """The configuration files of packages are there, and are not zeros; their content is free."""
    try:
        yield from _few(_conf_files(subject))
    except LayoutError:
        return  # `package_files` has told it


def package_modes(subject: Subject) -> Iterator[Problem]:
    """Files of packages have groups that exist, and not everybody can write to them."""
    yield from _few(_modes(subject))


def _few(problems: Iterator[Problem]) -> Iterator[Problem]:
    """The first problems, and how many more there are."""
    more = 0
    for count, problem in enumerate(problems):
        if count < _MAX_TOLD:
            yield problem
        else:
            more += 1
    if more:
        yield Problem("and more", f"{more} further files are not right", _REBUILD)


def _package_files(subject: Subject) -> Iterator[Problem]:
    yield from _lists(subject)
    digests = subject.digests  # reads everything, whether or not a package lists it
    for pkgname, listed in subject.listed:
        entry = subject.entry_at(listed.path)
        where = f"{listed.path} ({pkgname})"
        if listed.kind is Kind.CONF_FILE:
            continue
        if entry is None:
            yield Problem(where, f"there is no such {listed.kind.value}", _REBUILD)
        elif entry.kind != _KINDS[listed.kind] and not _is_merged(subject, listed, entry):
            yield Problem(where, f"it is a {entry.kind}, and not a {listed.kind.value}", _REBUILD)
        elif listed.kind is Kind.LINK and not _leads_right(subject, listed, entry):
            what = f"it leads to {entry.target}, and not to {listed.target}"
            yield Problem(where, what, _REPLACED)
        elif listed.kind is Kind.FILE and entry.kind == "file":
            found = digests.get(subject.real(listed.path) or "")
            if found != listed.sha256:
                yield Problem(where, _differs(listed, entry, found), _REPLACED)


def _is_merged(subject: Subject, listed: Listed, entry: TreeEntry) -> bool:
    """Whether a directory of a package is a link to one, as /bin is, or a file is a link now.

    Alternatives and triggers put links in the place of directories, never of files.
    """
    if listed.kind is not Kind.DIRECTORY or entry.kind != "symlink":
        return False
    found = subject.leads_to(listed.path)
    return found is not None and found.kind == "directory"


def _leads_right(subject: Subject, listed: Listed, entry: TreeEntry) -> bool:
    """Whether a link leads to where its package says: in words, or as directories are linked now.

    xbps records most targets as absolute paths (`voidimg.xbps.package.link_target`).
    """
    directory = listed.path.rpartition("/")[0]
    text = entry.target if entry.target.startswith("/") else f"{directory}/{entry.target}"
    if normpath(listed.target) in (normpath(text), normpath(entry.target)):
        return True
    real = real_path(subject.entries, text)
    return real is not None and real == real_path(subject.entries, listed.target)


def _differs(listed: Listed, entry: TreeEntry, found: str | None) -> str:
    """How the content of a file differs from that of its package."""
    if found is None:
        return "its content could not be read"
    if listed.size and entry.size_bytes != listed.size:
        longer = "longer" if entry.size_bytes > listed.size else "shorter"
        return (
            f"it is {longer} than in its package: {entry.size_bytes} bytes instead of {listed.size}"
        )
    if _is_zeros(entry, found):
        return f"it is {entry.size_bytes} zeros: its content is lost"
    return "its content is not that of its package: the SHA-256 differs"


def _is_zeros(entry: TreeEntry, found: str) -> bool:
    return 0 < entry.size_bytes <= 2**26 and found == sha256(bytes(entry.size_bytes)).hexdigest()


def _lists(subject: Subject) -> Iterator[Problem]:
    """The file lists are those that the package database names by their SHA-256."""
    for pkgname, entry in subject.pkgdb.items():
        expected, content = entry.get("metafile-sha256"), subject.package_lists.get(pkgname)
        if expected is None:
            continue
        if content is None:
            what = "there is no such file, so nothing says what the package's files are"
            yield Problem(metafile(pkgname), what, _REBUILD)
        elif sha256(content).hexdigest() != expected:
            what = "the list of the package's files is not the one that the database names"
            yield Problem(metafile(pkgname), what, _REBUILD)


def _conf_files(subject: Subject) -> Iterator[Problem]:
    for pkgname, listed in subject.listed:
        if listed.kind is not Kind.CONF_FILE:
            continue
        entry = subject.entry_at(listed.path)
        where = f"{listed.path} ({pkgname})"
        if entry is None:
            yield Problem(where, "there is no such configuration file", _REPLACED)
        elif entry.kind == "file":
            found = subject.digests.get(subject.real(listed.path) or "")
            if found is not None and found != listed.sha256 and _is_zeros(entry, found):
                what = f"it is {entry.size_bytes} zeros: its content is lost"
                yield Problem(where, what, _REBUILD)


def _modes(subject: Subject) -> Iterator[Problem]:
    groups = _ids(subject, "/etc/group")
    for where, _, entry in _owned(subject):
        if groups and entry.gid not in groups:
            yield Problem(where, f"it belongs to the gid {entry.gid}, which no group has", _REBUILD)
        if entry.mode & _WORLD_WRITABLE and not entry.mode & _STICKY and entry.kind != "other":
            what = f"everybody can write to it: its mode is {entry.mode:04o}"
            yield Problem(where, what, _REPLACED)


def package_programs(subject: Subject) -> Iterator[Problem]:
    """Files of packages have owners that exist; programs can be run, and are owned by root."""
    yield from _few(_programs(subject))


def _programs(subject: Subject) -> Iterator[Problem]:
    users = _ids(subject, "/etc/passwd")
    for where, path, entry in _owned(subject):
        if users and entry.uid not in users:
            yield Problem(where, f"it belongs to the uid {entry.uid}, which no user has", _REBUILD)
        elif entry.kind == "file" and path.startswith("/usr/bin/"):
            if not entry.mode & _EXECUTABLE:
                what = f"nobody can run it: its mode is {entry.mode:04o}"
                yield Problem(where, what, _REPLACED)
            if entry.uid and not entry.mode & _SETUID:
                what = f"it belongs to the uid {entry.uid}, who can replace what everybody runs"
                yield Problem(where, what, _REPLACED)


def _owned(subject: Subject) -> Iterator[tuple[str, str, TreeEntry]]:
    """What is told of each file of a package, its path, and its entry; of no link and no FAT."""
    for pkgname, listed in subject.listed:
        if subject.is_boot(listed.path):
            continue
        entry = subject.entries.get(subject.real(listed.path) or "")
        if entry is not None and entry.kind != "symlink":
            yield f"{listed.path} ({pkgname})", listed.path, entry


def _ids(subject: Subject, path: str) -> frozenset[int]:
    text = (subject.tree.contents([path]).get(path) or b"").decode("utf-8", "replace")
    fields = (line.split(":") for line in text.splitlines())
    return frozenset(int(one[2]) for one in fields if len(one) > 2 and one[2].isdigit())


_KINDS = {Kind.FILE: "file", Kind.CONF_FILE: "file", Kind.LINK: "symlink",
          Kind.DIRECTORY: "directory"}  # fmt: skip


def fat_sound(subject: Subject) -> Iterator[Problem]:
    """fsck.vfat reads each FAT filesystem to its end and finds nothing wrong with it."""
    if subject.disk is not None:
        for entry, _ in subject.disk.fats:
            yield from _fsck_fat(subject, subject.disk.image, entry)


def ext4_sound(subject: Subject) -> Iterator[Problem]:
    """e2fsck reads the root filesystem to its end and finds nothing wrong with it."""
    root = None if subject.disk is None else subject.disk.root
    if subject.disk is not None and root is not None:
        check = partial(fsck_ext4, subject.disk.image, root[0].offset_bytes)
        yield from _fsck(check, f"partition {root[0].number}")


def iso_efi_sound(subject: Subject) -> Iterator[Problem]:
    """fsck.vfat reads the EFI system partition to its end and finds nothing wrong with it."""
    medium = subject.medium
    entry = None if medium is None else medium.boot_entry("efi")
    if medium is None or entry is None or medium.esp_volume is None:
        return
    with temporary_file(subject.scratch, "esp.img") as copy:
        size = medium.esp_volume.sectors * 512
        _copy_out(medium.iso.path, entry.block * 2048, size, copy)
        yield from _fsck(partial(fsck_fat, copy), "EFI system partition")


def iso_kernel_file(subject: Subject) -> Iterator[Problem]:
    """The kernel on the ISO is the one that a package of the live system has, to the last byte."""
    medium = subject.medium
    if medium is None or medium.kernel_path is None:
        return
    known = {
        one.sha256: one.path
        for _, one in subject.listed
        if one.is_regular and one.path.startswith("/boot/vmlinu")
    }
    content = medium.iso.read(medium.kernel_path, 2**27)
    if known and sha256(content).hexdigest() not in known:
        what = f"it is not {' or '.join(sorted(known.values()))} of the live system"
        yield Problem(medium.kernel_path, what, _REBUILD)


def _fsck_fat(subject: Subject, image: Path, entry: PartitionEntry) -> Iterator[Problem]:
    with temporary_file(subject.scratch, "fat.img") as copy:
        _copy_out(image, entry.offset_bytes, entry.size_bytes, copy)
        yield from _fsck(partial(fsck_fat, copy), f"partition {entry.number}")


def _fsck(check: Callable[[], None], where: str) -> Iterator[Problem]:
    try:
        check()
    except ToolError as error:
        if error.code.endswith("MISSING"):
            raise
        said = " ".join(error.what.split())
        yield Problem(where, f"the filesystem is damaged: {said[:500]}", _REBUILD)


def _copy_out(source: Path, at: int, size: int, target: Path) -> None:
    """Copy a part of `source` into the file `target`; zeros become holes."""
    zeros = bytes(_COPY_BYTES)
    with open_regular(source, block_device=True) as file, target.open("xb", buffering=0) as copy:
        file.seek(at)
        done = 0
        while done < size and (piece := file.read(min(_COPY_BYTES, size - done))):
            if piece != zeros[: len(piece)]:
                os.pwrite(copy.fileno(), piece, done)
            done += len(piece)
        copy.truncate(done)


def netboot_parts(subject: Subject) -> Iterator[Problem]:
    """The kernel, the initramfs and every block of the squashfs of a netboot tarball are whole."""
    with temporary_file(subject.scratch, "netboot") as place:
        place.mkdir()
        _unpack_netboot(subject, place)
        root, initrd, kernel = (place / name for name in ("squashfs.img", "initrd", "vmlinuz"))
        if root.exists():
            read_squashfs(root)
            SquashfsFiles(root).file_digests()
        if initrd.exists():
            decode_initramfs(initrd.read_bytes(), lambda _: False, "initrd")
        if kernel.exists() and read_kernel_image(kernel.read_bytes()).release is None:
            yield Problem("/vmlinuz", "the file is empty, damaged or no kernel", _REBUILD)


def _unpack_netboot(subject: Subject, place: Path) -> None:
    """Copy the parts that are read from a file out of the tarball."""
    path = subject.artifact.path
    with not_sound(path), open_archive(path) as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if member.kind == "file" and name in _NETBOOT_PARTS:
                with (place / name).open("wb") as file:
                    for piece in archive.chunks():
                        file.write(piece)
