"""Reads what an artifact is, so that it can be compared with another one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from voidimg.inspection.access import LiveAccess
from voidimg.inspection.disk import Filesystem, InspectedDisk, InspectedPartition, Inspection
from voidimg.inspection.findings import FoundAccess, FoundBoot
from voidimg.inspection.iso import IsoInspection, inspect
from voidimg.inspection.rights import Account
from voidimg.lint.subject import Subject, open_subject
from voidimg.release.difference import ArtifactContent, FileFacts, name_of

Facts = Mapping[str, str]
"""What -> its text, in the order in which people read them."""


def read_content(path: Path, scratch: Path | None = None) -> ArtifactContent:
    """What the artifact at `path` is, every file of it read to its end.

    Args:
        path: the artifact; images and tars may be compressed.
        scratch: where a compressed image is unpacked for the while, as a sparse file.

    Raises:
        LayoutError: it is not an artifact, or damaged or truncated.
        StoreError: it cannot be read, or `scratch` not be written.
        ToolError: a program that reads its file systems is missing or failed.
    """
    found = inspect(path, scratch=scratch)
    with open_subject(path, scratch) as subject:
        files = dict(_files(subject))
    return ArtifactContent(
        name=path.name,
        kind=found.kind,
        file_bytes=found.file_bytes,
        packages={name_of(one.pkgver): one.pkgver for one in found.packages},
        files=files,
        facts=_iso_facts(found) if isinstance(found, IsoInspection) else _facts(found),
    )


def _files(subject: Subject) -> Iterator[tuple[str, FileFacts]]:
    """Every file of the system and of the boot partition, by path."""
    digests = subject.digests
    for path, one in subject.entries.items():
        digest = digests.get(path) if one.kind == "file" else None
        yield (
            path,
            FileFacts(one.kind, one.mode, one.uid, one.gid, one.size_bytes, one.target, digest),
        )
    for name in subject.boot:
        path = f"/boot{name}"
        if path not in subject.entries:  # on a partition that keeps neither mode nor owner
            size = subject.entry_at(path)
            yield (
                path,
                FileFacts(
                    "file", 0, 0, 0, 0 if size is None else size.size_bytes, "", digests.get(path)
                ),
            )


def _facts(found: Inspection) -> Mapping[str, Facts]:
    return {
        "artifact": {"kind": found.kind, "architecture": found.architecture or "unknown"},
        "disk": {} if found.disk is None else dict(_disk(found.disk)),
        "fstab": {f"mount {_mounted(line)}": line for line in found.fstab},
        "boot": dict(_boot(found.boot)),
        "services": dict.fromkeys(found.services, "enabled"),
        "access": dict(_access(found.access)),
    }


def _iso_facts(found: IsoInspection) -> Mapping[str, Facts]:
    return {
        "artifact": {"kind": found.kind, "architecture": found.architecture or "unknown"},
        "disk": {"volume id": found.volume_id, "created": found.created},
        "boot": dict(_iso_boot(found)),
        "services": dict.fromkeys(found.services, "enabled"),
        "access": dict(_live_access(found.access)),
    }


def _disk(disk: InspectedDisk) -> Iterator[tuple[str, str]]:
    yield "partition table", f"{disk.label} {disk.identifier}"
    yield "size", f"{disk.size_bytes} bytes"
    for one in disk.partitions:
        yield f"partition {one.number}", _partition(one)
        if one.filesystem is not None:
            yield f"file system of partition {one.number}", _filesystem(one.filesystem)


def _partition(one: InspectedPartition) -> str:
    extra = (" active" if one.active else "") + (f" {one.name!r}" if one.name else "")
    return (
        f"sectors {one.start_sector} to {one.start_sector + one.sectors - 1}, type {one.type},"
        f" PARTUUID {one.partuuid}{extra}"
    )


def _filesystem(one: Filesystem) -> str:
    journal = "" if one.journal is None else ", journal" if one.journal else ", no journal"
    features = "" if one.features is None else f", features {' '.join(one.features)}"
    return (
        f"{one.type} {one.uuid} {one.label!r}, {one.size_bytes} bytes in units of"
        f" {one.unit_bytes}{journal}{features}"
    )


def _boot(boot: FoundBoot) -> Iterator[tuple[str, str]]:
    yield from ((f"kernel {path}", "there") for path in boot.kernels)
    yield "device trees", str(boot.device_trees)
    yield "overlays", str(boot.overlays)
    if boot.cmdline is not None:
        yield "cmdline.txt", boot.cmdline
    if boot.config is not None:
        lines = (line.strip() for line in boot.config.splitlines())
        yield from ((f"config.txt: {line}", "there") for line in lines if line)


def _iso_boot(found: IsoInspection) -> Iterator[tuple[str, str]]:
    for entry in found.boot_entries:
        yield f"starts from a CD: {entry.platform}", entry.path or f"block {entry.block}"
    if found.kernel is not None:
        yield "kernel", f"{found.kernel.path} {found.kernel.release or ''}".rstrip()
    if found.initramfs is not None:
        yield "initramfs", found.initramfs.compression
        yield from ((f"module {name}", "in the initramfs") for name in found.initramfs.modules)
    if found.esp is not None:
        for name in found.esp.files:
            yield f"ESP {name}", found.esp.grub.get(name) or "there"
    for menu in found.menus:
        for one in menu.entries:
            yield f"{menu.path}: {one.title}", f"{' '.join(one.files)} {one.cmdline}".strip()


def _access(access: FoundAccess) -> Iterator[tuple[str, str]]:
    yield "password of root", access.root_password
    yield "ssh as root", access.permit_root_login or "no sshd"
    yield from _accounts(access.accounts)


def _live_access(access: LiveAccess) -> Iterator[tuple[str, str]]:
    yield "live user", access.user or "none"
    yield "groups of the live user", ", ".join(access.groups)
    yield "password of the live user", access.user_password
    yield "sudo of the group wheel", access.sudo
    yield "logged in without being asked", "yes" if access.autologin else "no"
    yield "password of root", access.root_password
    yield "sshd", "started" if access.sshd else "not started"
    yield "ssh by password", "yes" if access.ssh_passwords else "no"
    yield "ssh as root", access.ssh_root or "no sshd"
    yield from _accounts(access.accounts)


def _accounts(accounts: Iterable[Account]) -> Iterator[tuple[str, str]]:
    for one in accounts:
        rights = f", can become root by {', '.join(one.root)}" if one.root else ""
        shell = "" if one.logs_in else ", without a shell"
        yield f"account {one.name}", f"password {one.password}{shell}{rights}"


def _mounted(line: str) -> str:
    """Where a line of fstab mounts what it names."""
    return next(iter(line.split()[1:]), line)
