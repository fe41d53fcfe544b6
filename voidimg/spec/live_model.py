"""The models of live systems: how they start, and how they present themselves."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from voidimg.spec.base import Model
from voidimg.spec.stage_model import File, Stage
from voidimg.spec.words import (
    AccountName,
    AlternativeGroup,
    Bytes,
    HttpUrl,
    KeyboardLayout,
    KeymapName,
    PackageName,
    PackageRequest,
    Password,
    ProfileName,
    SerialPort,
    ServiceName,
)

Loader = Literal["isolinux", "grub-x86_64-efi", "grub-i386-efi", "grub-arm64-efi"]
"""Boot loaders of an ISO: one for BIOS, and GRUB for the kinds of UEFI."""


PUBLIC_PASSWORD = "voidlinux"  # noqa: S105 - it is no secret
"""What Void's own live systems have for root and for the live user."""


class Keyboard(Model):
    """The layouts of X that the greeter and the session offer, the first being in force.

    X can hold four at once. A keymap chosen at boot (``vconsole.keymap``) comes before them.
    """

    layouts: tuple[KeyboardLayout, ...] = Field(default=("us",), min_length=1, max_length=4)
    options: str = Field(default="", pattern=r"^[a-z0-9_:,-]*$")
    """XkbOptions, such as ``grp:alt_shift_toggle``."""


class Access(Model):
    """Who can do what on the live system; the account is made when it starts.

    `sudo` is what its members of the group wheel may do;
    `polkit` lets them do without asking what desktops ask the system for.
    """

    user: AccountName = "anon"
    """The name of the account; ``live.user`` on the command line says another."""
    password: Password = PUBLIC_PASSWORD
    """Void's, known to everybody; ``false`` locks the account."""
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
    graphics_services: tuple[ServiceName, ...] = ()
    """Services of the packages in `graphics`."""
    replaced: dict[PackageName, PackageName] = Field(default={})
    """Package that profiles ask for -> the one that the platform has in its place."""
    profiles: dict[ProfileName, ProfileName] = Field(default={})
    """Profile that is asked for -> the one whose content it has on this platform."""
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
    volume_id: str | None = None
    """Of the ISO, by which the live system finds it among other media.

    ``{date}``, ``{platform}``, ``{arch}`` and ``{profile}`` stand for its own. By default it has
    date, platform and profile, as far as there is room, and a digest of their names.
    """
    squashfs: Squashfs = Squashfs()
    initramfs: Literal["xz", "zstd", "gzip", "lz4", "bzip2"] = "zstd"
    """How the initramfs is compressed, by a program of the target; kernels unpack zstd since 5.9.

    xz makes it 15 % smaller, and takes several times as long to start.
    """
    alternatives: dict[AlternativeGroup, PackageName] = Field(default={})
    """Group -> the package that has it, whatever the order in which packages are configured."""
    service_packages: dict[ServiceName, PackageName] = Field(default={})
    """Service -> the package that brings it, to be told of its want before anything is fetched."""


class Live(LiveContent, LiveBoot):
    """A live system: the platform's and the profile's part as one."""
