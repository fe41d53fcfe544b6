"""The typed, frozen models of a recipe: what platform and profile files resolve to.

Every model refuses unknown keys. Sizes and modes are strings with units in TOML (``"256MiB"``,
``"0644"``) and whole numbers (bytes, permission bits) here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from voidimg.spec.base import Model
from voidimg.spec.smoke_model import Smoke
from voidimg.spec.words import (
    AccountDescription,
    AccountName,
    Bytes,
    Fingerprint,
    HostName,
    HttpUrl,
    ImagePath,
    KeyboardLayout,
    KeymapName,
    LinkTarget,
    LocaleName,
    Mode,
    PackageName,
    PackageRequest,
    PartitionSize,
    PartitionType,
    Regex,
    RepositoryLocation,
    SerialPort,
    ServiceName,
    Sha256,
    SourceName,
    TimeZone,
)

StageName = Literal["rootfs", "platformfs", "image", "live", "wsl"]
Libc = Literal["glibc", "musl"]
Loader = Literal["isolinux", "grub-x86_64-efi", "grub-i386-efi", "grub-arm64-efi"]
"""Boot loaders of an ISO: one for BIOS, and GRUB for the kinds of UEFI."""

WSL_ARCHES = ("x86_64", "aarch64")
"""Architectures, with either libc, that Windows can run."""


class File(Model):
    """A file to write into the tree, from exactly one of the five things that can make it.

    Templates are those of Jinja2 on the search path (`voidimg/templates` for shipped ones), sources
    lie in ``files/`` on the search path. A file that exists is replaced.
    """

    path: ImagePath
    """Where it lies; missing directories are made."""
    content: str | None = None
    """The text itself."""
    template: str | None = None
    """The name of a template, such as ``fstab.j2``."""
    link: LinkTarget | None = None
    """What a symbolic link says."""
    source: SourceName | None = None
    """A file below ``files/``, as it is."""
    directory: SourceName | None = None
    """A directory below ``files/``: what is in it comes below `path`, files executable or not."""
    sha256: Sha256 | None = None
    """Pins `source`: a file with other content is refused."""
    mode: Mode = 0o644
    """Of a file; links have none."""
    uid: int = Field(default=0, ge=0, lt=2**32)
    gid: int = Field(default=0, ge=0, lt=2**32)

    @model_validator(mode="after")
    def _one_source(self) -> File:
        given = [
            name
            for name in ("content", "template", "link", "source", "directory")
            if getattr(self, name) is not None
        ]
        if len(given) != 1:
            raise PydanticCustomError(
                "file_source",
                "file {path} needs exactly one of content, template, link, source and directory, "
                "not {given}",
                {"path": self.path, "given": " and ".join(given) or "none"},
            )
        return self

    @model_validator(mode="after")
    def _fitting(self) -> File:
        if self.sha256 is not None and self.source is None:
            raise PydanticCustomError("file_pin", "sha256 pins a source, and {path} has none",
                                      {"path": self.path})  # fmt: skip
        if self.directory is not None and "mode" in self.model_fields_set:
            raise PydanticCustomError(
                "file_mode",
                "{path} comes from a directory: each file in it has its own mode",
                {"path": self.path},
            )
        return self


class Edit(Model):
    """Sets one line of a text file: the first line that `match` (a regex) finds becomes `line`.

    Without a matching line `line` is appended, unless `required`, which makes that an error.
    """

    path: ImagePath
    match: Regex
    line: str
    required: bool = False
    """Whether a file without such a line is an error."""


class User(Model):
    """An account; `password` None locks it. `root` changes the existing account."""

    name: AccountName
    password: str | None = None
    """In plain text, as it is typed."""
    uid: int | None = Field(default=None, ge=0, lt=2**32)
    """The next free one when absent."""
    groups: tuple[AccountName, ...] = ()
    shell: ImagePath | None = None
    description: AccountDescription = ""
    """The full name, for people."""


class Hook(Model):
    """A script that changes the tree at the end of a stage; exactly one of `script`, `template`.

    The shell of the tree runs it in the sandbox, as root, with the tree as ``/`` and without a
    network, until its first failing command. What it writes must follow from the tree alone.
    """

    name: str = Field(pattern=r"^[^\n]+$")
    """What it does, for people."""
    script: str | None = None
    """The script itself."""
    template: str | None = None
    """The name of a template that makes it."""

    @model_validator(mode="after")
    def _one_source(self) -> Hook:
        if (self.script is None) == (self.template is None):
            raise PydanticCustomError(
                "hook_source", "hook {name!r} needs exactly one of script and template",
                {"name": self.name},
            )  # fmt: skip
        return self


class Stage(Model):
    """What one stage (ROOTFS, PLATFORMFS, image, live, WSL) adds to the tree, in this order.

    Packages are installed, edits and files applied, services linked into
    ``/etc/runit/runsvdir/default``, hooks run. The image stage has no packages: everything an image
    needs is in the plan before anything is fetched.
    """

    packages: tuple[PackageRequest, ...] = ()
    """Installed with all that they need; the order in which they are listed is of no account."""
    services: tuple[ServiceName, ...] = ()
    """Directories of ``/etc/sv`` that runit starts."""
    edits: tuple[Edit, ...] = ()
    """Lines to set in files of packages."""
    files: tuple[File, ...] = ()
    """Files to write, over those of packages."""
    hooks: tuple[Hook, ...] = ()
    """Scripts to run in the tree, in this order."""


class Fat(Model):
    """How a FAT filesystem is made; `sectors_per_cluster` None lets the planner choose a valid one.

    `bits` is decided by cluster count alone (< 4085: 12, < 65525: 16), so it must agree with the
    size (facts of the format: Microsoft FAT specification).
    """

    bits: Literal[12, 16, 32] = 32
    """The width of a cluster number."""
    sectors_per_cluster: Literal[1, 2, 4, 8, 16, 32, 64, 128] | None = None


class Ext4(Model):
    """How an ext4 filesystem is made. `reserved_percent` is kept for root."""

    journal: bool = False
    """Whether it has one: flash wears out sooner with it."""
    reserved_percent: int = Field(default=1, ge=0, le=50)


class Partition(Model):
    """One partition, numbered by its place in the list from 1.

    `size` is bytes or ``"rest"`` (the last one only: grows to hold its content plus
    `Disk.headroom`). `type` is an MBR type byte (``"0x0c"``) or a GPT type GUID. A partition with a
    `mount` is filled from that directory of the tree.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9_-]*$")
    """What templates call it."""
    size: PartitionSize
    type: PartitionType
    filesystem: Literal["vfat", "ext4"]
    label: str = ""
    """The name of the filesystem."""
    active: bool = False
    """Whether the MBR marks it as the one to start from."""
    mount: ImagePath | None = None
    """The directory that fills it."""
    fstab_options: str = "defaults"
    fat: Fat = Fat()
    ext4: Ext4 = Ext4()


class Blob(Model):
    """A boot loader file of the tree written raw at `offset` bytes of the disk."""

    source: ImagePath
    offset: Bytes


class Disk(Model):
    """The partitioned disk image. `size` None derives it from the content plus `headroom`."""

    label: Literal["mbr", "gpt"]
    """The kind of the partition table."""
    size: Bytes | None = None
    headroom: Bytes = 64 * 2**20
    """Room left free in the last partition."""
    first_partition: Bytes = 2**20
    """Where the first partition begins."""
    partitions: tuple[Partition, ...] = Field(min_length=1)
    blobs: tuple[Blob, ...] = ()


class Boot(Model):
    """How the machine starts: `cmdline` is given to templates, without ``root=``."""

    cmdline: str = Field(default="", pattern=r"^[^\n]*$")
    firmware: Literal["raspberry-pi", "none"] = "none"
    """Who loads the kernel; ``raspberry-pi`` reads config.txt and cmdline.txt from the FAT."""


class Keyboard(Model):
    """The layouts of X that the greeter and the session offer, the first being in force.

    X can hold four at once. A keymap chosen at boot (``vconsole.keymap``) comes before them.
    """

    layouts: tuple[KeyboardLayout, ...] = Field(default=("us",), min_length=1, max_length=4)
    options: str = Field(default="", pattern=r"^[a-z0-9_:,-]*$")
    """XkbOptions, such as ``grp:alt_shift_toggle``."""


class Access(Model):
    """Who can do what on the live system; the account is made when it starts.

    `password` None locks the account. `sudo` is what its members of the group wheel may do;
    `polkit` lets them do without asking what desktops ask the system for.
    """

    user: AccountName = "anon"
    """The name of the account; ``live.user`` on the command line says another."""
    password: str | None = "voidlinux"  # noqa: S105 - Void's, known to everybody
    groups: tuple[AccountName, ...] = ("audio", "video", "wheel")
    """Those of the account that the system has."""
    sudo: Literal["none", "password", "passwordless"] = "passwordless"
    polkit: bool = True


class Squashfs(Model):
    """How the root of a live system is packed; `level` None is the compressor's own."""

    compression: Literal["zstd", "xz", "gzip", "lz4"] = "zstd"
    level: int | None = Field(default=None, ge=1, le=22)
    block_size: Bytes = 2**20


class MenuMachine(Model):
    """A machine that the generic boot entries do not fit: it gets a submenu of its own.

    `devicetree` is a file below ``/boot/dtbs`` of the tree; `packages` are part of the live system.
    """

    name: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    title: str
    packages: tuple[PackageRequest, ...] = ()
    cmdline: str = Field(default="", pattern=r"^[^\n]*$")
    devicetree: str = Field(pattern=r"^[\w+-][\w.+-]*(/[\w+-][\w.+-]*)*\.dtb$")


class Netboot(Model):
    """How a live system is started over the network (PXE), from the files of its tarball.

    `build_packages` make an initramfs that can fetch the root; like those of the medium they leave
    the tree.
    """

    build_packages: tuple[PackageRequest, ...] = ()
    url: HttpUrl = "http://SERVER/squashfs.img"
    """Where machines fetch the root; ``SERVER`` is to be replaced by whoever serves it."""


class LiveBoot(Model):
    """How a live system starts on an architecture.

    `build_packages` make the initramfs or are boot loaders; they leave the tree before it is
    packed, unless something that stays needs them.
    """

    kernel: PackageRequest | None = None
    """The package of the kernel."""
    build_packages: tuple[PackageRequest, ...] = ()
    loaders: tuple[Loader, ...] = ()
    """What starts the ISO, for each kind of firmware."""
    memtest: bool = False
    """Whether `build_packages` bring memtest86+, and menus offer it."""
    serial_port: SerialPort | None = None
    """The first serial port, with its speed: ``ttyS0,115200``."""
    machines: tuple[MenuMachine, ...] = ()
    """Machines with a submenu of their own."""
    netboot: Netboot | None = None
    """Absent: there is no netboot tarball."""


class LiveHardware(LiveBoot):
    """The live part of a platform; `graphics` are for profiles that are `graphical`."""

    packages: tuple[PackageRequest, ...] = ()
    graphics: tuple[PackageRequest, ...] = ()
    files: tuple[File, ...] = ()
    """Files that every live system of the platform has, instead of the profile's of their path."""


class LiveContent(Stage):
    """The live part of a profile: a stage, and how it presents itself.

    The tree of a live system is one of its own: ROOTFS and PLATFORMFS are no part of it.
    """

    kernel: PackageRequest | None = None
    """Instead of the platform's, such as ``linux-mainline``."""
    graphical: bool = False
    session: str | None = Field(default=None, pattern=r"^[\w.+-]+$")
    """The session that the display manager starts, a file of ``/usr/share/xsessions``."""
    autologin: bool = False
    """Whether the display manager logs the live user in; ``live.autologin`` always does."""
    keymap: KeymapName = "us"
    """Of the console, unless ``vconsole.keymap`` says another."""
    keyboard: Keyboard = Keyboard()
    access: Access = Access()
    title: str = "Void Linux"
    """Of the menu."""
    cmdline: str = Field(default="", pattern=r"^[^\n]*$")
    """Added to the kernel command line of every entry."""
    timeout_seconds: int = Field(default=15, ge=0, le=3600)
    """Until the first entry of the boot menu starts; 0 waits for ever."""
    serial: bool = False
    """Whether menu and kernel speak on the platform's serial port too."""
    volume_id: str = "VOID_LIVE"
    """Of the ISO, by which the live system finds it; ``{date}`` stands for that of the set."""
    squashfs: Squashfs = Squashfs()
    initramfs: Literal["xz", "zstd", "gzip", "lz4", "bzip2"] = "zstd"
    """How the initramfs is compressed, by a program of the target; kernels unpack zstd since 5.9.

    xz makes it 15 % smaller, and takes several times as long to start.
    """
    service_packages: dict[ServiceName, PackageName] = Field(default={})
    """Service -> the package that brings it, to be told of its want before anything is fetched."""


class Live(LiveContent, LiveBoot):
    """A live system: the platform's and the profile's part as one."""


class Recipe(Model):
    """Platform and profile merged, defaults filled in: all that a build needs to know."""

    platform: str
    """With ``-musl`` where it applies, as in file names: ``rpi-aarch64-musl``."""
    summary: str
    arch: str
    """XBPS architecture with libc: ``aarch64`` or ``aarch64-musl``."""
    libc: Libc
    boards: tuple[str, ...]
    profile: str
    repositories: tuple[RepositoryLocation, ...]
    keys: tuple[Fingerprint, ...]
    """Fingerprints of the repository keys that are trusted by default."""
    locale: LocaleName | None
    timezone: TimeZone
    hostname: HostName
    users: tuple[User, ...]
    rootfs: Stage
    platformfs: Stage
    image: Stage
    live: Live | None
    wsl: Stage | None
    disk: Disk | None
    boot: Boot
    smoke: Smoke
