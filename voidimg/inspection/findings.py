"""Says what an installed tree is by a few of its files: packages, services, boot."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from voidimg.inspection import sshd
from voidimg.inspection.rights import (
    PASSWD,
    READ,
    SHADOW,
    Account,
    find_accounts,
    secret_state,
)
from voidimg.inspection.sshd import sshd_value
from voidimg.inspection.tree_files import TreeFiles
from voidimg.xbps.install.pkgdb import FILE as PKGDB
from voidimg.xbps.install.pkgdb import Pkgdb
from voidimg.xbps.plist import decode

SERVICES = "/etc/runit/runsvdir/default"
"""What runit starts: a link for each service."""
FSTAB = "/etc/fstab"
_KERNEL = re.compile(r"/(kernel[^/]*\.img|vmlinu[xz][^/]*|[uz]?Image[^/]*)")

WANTED = (PKGDB, FSTAB, "/boot/cmdline.txt", "/boot/config.txt", *READ, *sshd.READ)
"""The files whose content is looked at."""

BOOT_DIRECTORIES = ("/boot", "/boot/dtbs", "/boot/overlays")


@dataclass(frozen=True, slots=True)
class Package:
    """One package of the tree's database."""

    pkgver: str
    architecture: str
    state: str
    automatic: bool


@dataclass(frozen=True, slots=True)
class FoundBoot:
    """What the machine boots from; `device_trees` and `overlays` count files.

    `cmdline` and `config` are the texts of the Raspberry Pi's files, None where there are none.
    """

    kernels: tuple[str, ...]
    device_trees: int
    overlays: int
    cmdline: str | None
    config: str | None


@dataclass(frozen=True, slots=True)
class FoundAccess:
    """Who may log in: `root_password` is as `Account.password`, or ``absent``.

    `permit_root_login` is the value in force for sshd, None without an sshd. `accounts` are those
    that can become root, and those without a password.
    """

    root_password: str
    permit_root_login: str | None
    accounts: tuple[Account, ...] = ()


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found in a tree; `architecture` is that of most packages."""

    architecture: str | None
    packages: tuple[Package, ...]
    services: tuple[str, ...]
    fstab: tuple[str, ...]
    access: FoundAccess


def find(files: TreeFiles) -> Findings:
    """What the tree of `files` is.

    Raises:
        PackageError: its package database cannot be decoded.
        ToolError: openssl is missing.
    """
    packages = tuple(_packages(files.read(PKGDB)))
    counted = Counter(p.architecture for p in packages if p.architecture != "noarch")
    return Findings(
        architecture=counted.most_common(1)[0][0] if counted else None,
        packages=packages,
        services=files.names(SERVICES),
        fstab=fstab_of(files),
        access=FoundAccess(
            root_password(files),
            sshd_value(files, "PermitRootLogin", "prohibit-password"),
            notable_accounts(files),
        ),
    )


def fstab_of(files: TreeFiles) -> tuple[str, ...]:
    """The entries of fstab, with single blanks."""
    fstab = (files.read(FSTAB) or b"").decode("utf-8", "replace").splitlines()
    return tuple(" ".join(line.split()) for line in fstab if _is_entry(line))


def mounted_at(fstab: Iterable[str], uuid: str, partuuid: str) -> str | None:
    """Where the lines of `fstab` mount the filesystem with these identifiers; None: nowhere."""
    names = {f"uuid={uuid.lower()}", f"partuuid={partuuid.lower()}"}
    for line in fstab:
        words = line.split()
        if len(words) > 1 and words[0].replace('"', "").lower() in names:
            return words[1]
    return None


def find_boot(paths: Iterable[str], cmdline: bytes | None, config: bytes | None) -> FoundBoot:
    """What the boot files are; `paths` are relative to the boot directory, as ``/kernel8.img``."""
    known = sorted(paths)
    return FoundBoot(
        kernels=tuple(path for path in known if _KERNEL.fullmatch(path)),
        device_trees=sum(path.endswith(".dtb") for path in known),
        overlays=sum(path.endswith(".dtbo") for path in known),
        cmdline=None if cmdline is None else cmdline.decode("utf-8", "replace").strip(),
        config=None if config is None else config.decode("utf-8", "replace"),
    )


def _packages(content: bytes | None) -> Iterable[Package]:
    if content is None:
        return
    for name, entry in sorted(Pkgdb(decode(content, where=PKGDB)).packages.items()):
        yield Package(
            pkgver=str(entry.get("pkgver", name)),
            architecture=str(entry.get("architecture", "")),
            state=str(entry.get("state", "")),
            automatic=entry.get("automatic-install") is True,
        )


def notable_accounts(files: TreeFiles) -> tuple[Account, ...]:
    """The accounts, but for root, that can become root or have no password."""
    return tuple(
        account
        for account in find_accounts(files)
        if account.name != "root" and (account.root or account.is_open)
    )


def _is_entry(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith("#")


def root_password(files: TreeFiles) -> str:
    """The state of root's password, as of `Account.password`; ``absent`` without a user root.

    Raises:
        ToolError: openssl is missing.
    """
    if files.read(PASSWD) is None:  # shadow alone says it
        lines = (files.read(SHADOW) or b"").decode("utf-8", "replace").splitlines()
        fields = (line.split(":") for line in lines if line.startswith("root:"))
        return next((secret_state(row[1]) for row in fields), "absent")
    found = (one.password for one in find_accounts(files) if one.name == "root")
    return next(found, "absent")
