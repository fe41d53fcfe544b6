"""Says what an installed tree is by a few of its files: packages, services, boot. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from voidimg.inspection.rights import READ, SHADOW, Account, find_accounts, secret_state
from voidimg.inspection.tree_files import TreeFiles
from voidimg.xbps.install.pkgdb import FILE as PKGDB
from voidimg.xbps.install.pkgdb import Pkgdb
from voidimg.xbps.plist import decode

SERVICES = "/etc/runit/runsvdir/default"
"""What runit starts: a link for each service."""
FSTAB = "/etc/fstab"
SSHD = "/etc/ssh/sshd_config"
_KERNEL = re.compile(r"/(kernel[^/]*\.img|vmlinu[xz][^/]*|[uz]?Image[^/]*)")

WANTED = (PKGDB, FSTAB, SSHD, "/boot/cmdline.txt", "/boot/config.txt", *READ)
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
    """Who may log in: `root_password` is ``set``, ``locked``, ``empty`` or ``absent``.

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
    """
    packages = tuple(_packages(files.read(PKGDB)))
    counted = Counter(p.architecture for p in packages if p.architecture != "noarch")
    fstab = (files.read(FSTAB) or b"").decode("utf-8", "replace").splitlines()
    return Findings(
        architecture=counted.most_common(1)[0][0] if counted else None,
        packages=packages,
        services=files.names(SERVICES),
        fstab=tuple(" ".join(line.split()) for line in fstab if _is_entry(line)),
        access=FoundAccess(
            password_state(files.read(SHADOW), "root"),
            sshd_value(files.read(SSHD), "PermitRootLogin", "prohibit-password"),
            notable_accounts(files),
        ),
    )


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


def password_state(shadow: bytes | None, user: str) -> str:
    """The state of the password of `user` by shadow(5): ``set``, ``locked``, ``empty``, ``absent``.

    ``absent`` means that there is no such user.
    """
    secret = password_hash(shadow, user)
    if secret is None:
        return "absent"
    return secret_state(secret)


def password_hash(shadow: bytes | None, user: str) -> str | None:
    """The second field of the line of `user` in shadow(5); None when there is no such line."""
    for line in (shadow or b"").decode("utf-8", "replace").splitlines():
        fields = line.split(":")
        if fields[0] == user and len(fields) > 1:
            return fields[1]
    return None


def sshd_value(config: bytes | None, keyword: str, default: str) -> str | None:
    """What is in force for everybody in sshd_config(5), in lower case; None without a file.

    The first value counts; a Match block holds for some only.
    """
    if config is None:
        return None
    for line in config.decode("utf-8", "replace").splitlines():
        words = line.replace("=", " ", 1).split()
        found = words[0].lower() if words else ""
        if found == "match":
            break
        if found == keyword.lower() and len(words) > 1:
            return words[1].lower()
    return default
