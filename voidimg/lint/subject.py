"""Opens an artifact for the checks: whatever its kind, its parts are asked for in the same way."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from voidimg.arch import PI_KERNELS, without_libc
from voidimg.errors import PackageError
from voidimg.foreign import open_regular
from voidimg.formats.entries import TreeEntry
from voidimg.formats.ext4 import Ext4Volume, read_ext4
from voidimg.formats.fat import FatVolume, read_fat
from voidimg.formats.kernel_image import KernelImage, read_kernel_image
from voidimg.formats.partition_table import PartitionEntry, PartitionTable, read_table
from voidimg.inspection.boot_files import BootFiles
from voidimg.inspection.disk import boot_fat
from voidimg.inspection.ext4_files import Ext4Files
from voidimg.inspection.findings import WANTED, Findings, find, fstab_of
from voidimg.inspection.medium import LiveMedium, open_medium
from voidimg.inspection.opened import Artifact, not_sound, open_artifact, raw_image, temporary_file
from voidimg.inspection.tree_files import TarFiles, TreeFiles, real_path
from voidimg.rootfs.configured import package_scripts
from voidimg.rootfs.promises import DRACUT, BrokenPromise, broken_promises
from voidimg.rootfs.promises import READ as PROMISED
from voidimg.xbps.install.pkgdb import DIRECTORY, Pkgdb, metafile
from voidimg.xbps.install.pkgdb import FILE as PKGDB
from voidimg.xbps.package.file_list import Listed, decode_list
from voidimg.xbps.plist import PlistDict, decode

GREETER = "/etc/lightdm/lightdm-gtk-greeter.conf"
SESSION = "/etc/lightdm/.session"
PXELINUX_CONFIG = "/pxelinux.cfg/default"
NETBOOT_ROOT = "/squashfs.img"
INCUS_METADATA = "/metadata.yaml"
GROWPART = "/etc/default/growpart"
_READ = (*WANTED, *PROMISED, "/etc/passwd", "/etc/group", PXELINUX_CONFIG, GROWPART, GREETER,
         SESSION, INCUS_METADATA, *(f"/boot/{name}" for name in PI_KERNELS.values()))  # fmt: skip
"""The files that checks read: of a tar no others are kept."""

_BOOT_FILES = "/boot/*"
"""What the firmware of a Raspberry Pi may be told to load; of a tar these are kept too."""


@dataclass(frozen=True, slots=True)
class DiskParts:
    """A disk image: its table, and its filesystems with the partitions they are in.

    `fats` are all FAT filesystems, `fat` is the one among them that is ``/boot``.
    """

    image: Path
    table: PartitionTable
    fat: tuple[PartitionEntry, FatVolume] | None
    root: tuple[PartitionEntry, Ext4Volume] | None
    fats: tuple[tuple[PartitionEntry, FatVolume], ...] = ()

    @classmethod
    def of(cls, image: Path) -> DiskParts:
        """The parts of the raw `image`.

        Raises:
            LayoutError: its table is missing or damaged.
        """
        table = read_table(image)
        fats: list[tuple[PartitionEntry, FatVolume]] = []
        roots: list[tuple[PartitionEntry, Ext4Volume]] = []
        with open_regular(image, block_device=True) as file:
            for entry in table.partitions:
                volume = read_fat(file, entry.offset_bytes, entry.size_bytes)
                ext4 = read_ext4(file, entry.offset_bytes)
                if volume is not None:
                    fats.append((entry, volume))
                if ext4 is not None:
                    roots.append((entry, ext4))
        systems = ((root, Ext4Files(image, root[0].offset_bytes)) for root in roots)
        whole = next(((root, files) for root, files in systems if files.names("/etc")), None)
        fstab = () if whole is None else fstab_of(whole[1])
        root = None if whole is None else whole[0]
        return cls(image, table, boot_fat(fats, fstab), root, tuple(fats))


class Subject:
    """An artifact while it is checked; made by `open_subject`."""

    def __init__(
        self,
        artifact: Artifact,
        tree: TreeFiles,
        *,
        disk: DiskParts | None = None,
        medium: LiveMedium | None = None,
        scratch: Path | None = None,
    ):
        """What `artifact` holds: a tree, and the disk or the medium around it.

        `scratch` is a directory for temporary files.
        """
        self.scratch = scratch
        self._boot_read: dict[str, bytes] = {}
        self._kernels: dict[str, KernelImage] = {}
        self.artifact = artifact
        self.tree = tree
        self.disk = disk
        self.medium = medium

    @cached_property
    def entries(self) -> Mapping[str, TreeEntry]:
        """Every file of the system."""
        return self.tree.entries()

    @cached_property
    def found(self) -> Findings:
        """Packages, services, fstab."""
        with not_sound(self.artifact.path):
            return find(self.tree)

    @property
    def arch(self) -> str | None:
        """The architecture without its libc."""
        arch = self.found.architecture
        return None if arch is None else without_libc(arch)

    @cached_property
    def packages(self) -> frozenset[str]:
        """The names of its packages."""
        return frozenset(package.pkgver.rpartition("-")[0] for package in self.found.packages)

    @cached_property
    def pkgdb(self) -> Mapping[str, PlistDict]:
        """By pkgname: the entries of the package database; empty when there is none."""
        content = self.tree.read(PKGDB)
        if content is None:
            return {}
        with not_sound(self.artifact.path):
            return Pkgdb(decode(content, where=PKGDB)).packages

    @cached_property
    def package_lists(self) -> Mapping[str, bytes]:
        """By pkgname: the file list of each package that has one."""
        places = {metafile(name): name for name in self.pkgdb}
        return {places[path]: found for path, found in self.tree.contents(places).items()}

    def is_of_package(self, path: str) -> bool:
        """Whether a file is as its package has it, by its size when its content is not read."""
        listed = self._packaged.get(path)
        entry = self.entries.get(path)
        return listed is not None and entry is not None and entry.size_bytes == listed.size

    @cached_property
    def listed(self) -> tuple[tuple[str, Listed], ...]:
        """Each path of each package, with the pkgname; lists that cannot be read have none."""
        found = []
        for pkgname, content in self.package_lists.items():
            where = metafile(pkgname)
            try:
                listed = decode_list(decode(content, where=where), where=where)
            except PackageError:
                continue  # a check says so by its SHA-256
            found += [(pkgname, one) for one in listed]
        return tuple(found)

    @cached_property
    def _packaged(self) -> Mapping[str, Listed]:
        return {one.path: one for _, one in self.listed if one.is_regular}

    @cached_property
    def digests(self) -> Mapping[str, str]:
        """The SHA-256 of every file of the system, boot partition included, by path.

        Raises:
            LayoutError: a file cannot be read to its end.
        """
        found = dict(self.tree.file_digests())
        if self._fat is not None:
            found |= {f"/boot{path}": one[1] for path, one in self._fat_files.items()}
        return found

    @property
    def _fat_sizes(self) -> Mapping[str, int]:
        return {path: one[0] for path, one in self._fat_files.items()}

    @cached_property
    def _fat_files(self) -> Mapping[str, tuple[int, str]]:
        """The size and SHA-256 of each file of the boot partition."""
        assert self._fat is not None  # noqa: S101 - asked for by `digests` only
        with temporary_file(self.scratch, "boot") as place:
            place.mkdir()
            self._fat.copy_all(place)
            found = {}
            for path in sorted(place.rglob("*")):
                if path.is_file() and not path.is_symlink():
                    with path.open("rb") as file:
                        digest = hashlib.file_digest(file, "sha256").hexdigest()
                    name = "/" + path.relative_to(place).as_posix()
                    found[name] = path.stat().st_size, digest
        return found

    @property
    def repositories(self) -> Mapping[str, str]:
        """By pkgname: the repository that the package database says it is from, where it does."""
        return {name: str(entry["repository"]) for name, entry in sorted(self.pkgdb.items())
                if "repository" in entry}  # fmt: skip

    @cached_property
    def broken_promises(self) -> tuple[BrokenPromise, ...]:
        """What INSTALL scripts promised and is not there.

        The initramfs of an ISO is outside of its system, which is made without one.
        """
        held_back = () if self.medium is None else (DRACUT,)
        return broken_promises(package_scripts(self.pkgdb), _Promised(self), held_back=held_back)

    def leads_to(self, path: str) -> TreeEntry | None:
        """What is at `path` of the system when links are followed."""
        real = real_path(self.entries, path)
        return None if real is None else self.entries.get(real)

    def real(self, path: str) -> str | None:
        """The path at which a package's file lies: directories on the way may be links.

        None when nothing is there. Names on a FAT differ by more than case.
        """
        if self.is_boot(path):
            return self._boot_names.get(path.casefold())
        parent, _, name = path.rpartition("/")
        real = real_path(self.entries, parent) if parent else ""
        return None if real is None else f"{real.rstrip('/')}/{name}"

    def entry_at(self, path: str) -> TreeEntry | None:
        """The entry of a package's file at `path`; a link at its end is not followed."""
        real = self.real(path)
        if real is None:
            return None
        if self.is_boot(path):
            return self._boot_entries.get(real)
        return self.entries.get(real)

    def is_boot(self, path: str) -> bool:
        """Whether `path` lies on the boot partition, which keeps neither owners nor links."""
        return self._fat is not None and path.startswith("/boot/")

    @cached_property
    def _boot_entries(self) -> Mapping[str, TreeEntry]:
        found = {f"/boot{path}": TreeEntry("file", 0o644, size) for path, size in
                 self._fat_sizes.items()}  # fmt: skip
        for path in tuple(found):
            while (path := path.rpartition("/")[0]) != "/boot":
                found[path] = TreeEntry("directory", 0o755, 0)
        return found

    @cached_property
    def _boot_names(self) -> Mapping[str, str]:
        return {path.casefold(): path for path in self._boot_entries}

    @cached_property
    def boot(self) -> tuple[str, ...]:
        """The paths of the boot files, from the top of the boot partition: ``/kernel8.img``."""
        if self._fat is not None:
            return self._fat.list()
        return tuple(
            path.removeprefix("/boot")
            for path, entry in self.entries.items()
            if path.startswith("/boot/") and entry.kind == "file"
        )

    def read_boot(self, path: str) -> bytes | None:
        """The content of the boot file at `path`; None when there is none."""
        if path not in self.boot:
            return None
        return self.tree.read(f"/boot{path}") if self._fat is None else self._fat.read(path)

    def read_boot_any(self, name: str) -> bytes | None:
        """The content of the boot file `name`, whatever the case of its letters, as on a FAT."""
        path = self._boot_paths.get(f"/{name.lstrip('/')}".casefold())
        if path is None:
            return None
        if path not in self._boot_read:
            self._boot_read[path] = self.read_boot(path) or b""
        return self._boot_read[path]

    def boot_kernel(self, name: str) -> KernelImage:
        """What the kernel at `name` of the boot files says of itself."""
        if name not in self._kernels:
            self._kernels[name] = read_kernel_image(self.read_boot_any(name) or b"")
        return self._kernels[name]

    @cached_property
    def _boot_paths(self) -> Mapping[str, str]:
        return {path.casefold(): path for path in self.boot}

    @cached_property
    def _fat(self) -> BootFiles | None:
        if self.disk is None or self.disk.fat is None:
            return None
        return BootFiles(self.disk.image, self.disk.fat[0].offset_bytes)


@dataclass(frozen=True, slots=True)
class _Promised:
    """A subject as `voidimg.rootfs.promises.Places`."""

    subject: Subject

    def read(self, path: str) -> bytes | None:
        return self.subject.tree.read(path)

    def leads_to(self, path: str) -> TreeEntry | None:
        return self.subject.leads_to(path)


@contextmanager
def open_subject(path: Path, scratch: Path | None) -> Iterator[Subject]:
    """The artifact at `path`, while this lasts.

    Raises:
        LayoutError: it is no artifact, or damaged or truncated.
        StoreError: it cannot be read, or `scratch` not be written.
        ToolError: mtools or debugfs is missing or failed.
    """
    artifact = open_artifact(path)
    if artifact.kind == "tar":
        lists = (f"{DIRECTORY}/.*-files.plist", _BOOT_FILES)
        files = TarFiles.of(path, _READ, patterns=lists, digests=True)
        yield Subject(artifact, files, scratch=scratch)
    elif artifact.kind == "ISO image":
        with open_medium(path) as medium:
            yield Subject(artifact, medium.tree, medium=medium, scratch=scratch)
    else:
        with raw_image(artifact, scratch) as image:
            disk = DiskParts.of(image)
            root = disk.root
            tree = TarFiles() if root is None else Ext4Files(image, root[0].offset_bytes)
            yield Subject(artifact, tree, disk=disk, scratch=scratch)
