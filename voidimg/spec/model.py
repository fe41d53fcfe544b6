"""The typed, frozen models of a recipe: what platform and profile files resolve to.

Every model refuses unknown keys. Sizes and modes are strings with units in TOML (``"256MiB"``,
``"0644"``) and whole numbers (bytes, permission bits) here.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from voidimg.arch import Libc
from voidimg.spec.base import Model
from voidimg.spec.disk_model import Disk
from voidimg.spec.live_model import Live
from voidimg.spec.smoke_model import Smoke
from voidimg.spec.stage_model import Stage
from voidimg.spec.words import (
    AccountDescription,
    AccountName,
    Fingerprint,
    HostName,
    ImagePath,
    LocaleName,
    Password,
    RepositoryLocation,
    SerialPort,
    TimeZone,
)

GrubPlatform = Literal["i386-pc", "x86_64-efi", "i386-efi", "arm64-efi"]
"""GRUB's names of the kinds of firmware that its loaders are for."""

UNNAMED = "void"
"""The host name that Void's packages come with."""
LIVE_HOSTNAME = "void-live"
"""Void's live systems are called so."""


class User(Model):
    """An account; `password` None locks it. `root` changes the existing account."""

    name: AccountName
    password: Password = None
    """In plain text, as it is typed."""
    uid: int | None = Field(default=None, ge=0, lt=2**32)
    """The next free one when absent."""
    groups: tuple[AccountName, ...] = ()
    shell: ImagePath | None = None
    description: AccountDescription = ""
    """The full name, for people."""


class Grub(Model):
    """GRUB on a disk: a loader for each of `platforms`, and its menu in ``/boot/grub``.

    The loaders find the menu by the UUID of its filesystem. BIOS needs room for one in the gap
    after an MBR, or in a BIOS boot partition; UEFI an EFI system partition.
    """

    platforms: tuple[GrubPlatform, ...] = Field(min_length=1)
    """``i386-pc`` is BIOS."""
    timeout_seconds: int = Field(default=3, ge=0, le=3600)
    """Until the first entry starts; 0 starts it at once."""
    serial_port: SerialPort | None = None
    """The menu is on this serial port too: ``ttyS0,115200``."""


class Boot(Model):
    """How the machine starts: `cmdline` is given to templates, without ``root=``."""

    cmdline: str = Field(default="", pattern=r"^[^\n]*$")
    firmware: Literal["raspberry-pi", "u-boot", "none"] = "none"
    """Who loads the kernel; ``raspberry-pi`` reads config.txt and cmdline.txt from the FAT,
    ``u-boot`` extlinux.conf or boot.scr from ``/boot``."""
    grub: Grub | None = None
    """Absent: no GRUB is put on the disk."""
    initramfs: Literal["dracut", "none"] = "none"
    """Who makes an initramfs for any machine, for each kernel of the PLATFORMFS."""


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
    own_profile: str = ""
    """The platform's own profile: artifacts made with another one say so in their names."""
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
    no_disk: str = ""
    boot: Boot
    smoke: Smoke

    @property
    def live_hostname(self) -> str:
        """The host name of the live system: the profile's, or Void's own ``void-live``.

        ``void`` is what every system is called that nobody gave a name.
        """
        return LIVE_HOSTNAME if self.hostname == UNNAMED else self.hostname
