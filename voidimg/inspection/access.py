"""Says who gets into a live system, by the files that decide it. Pure, but for openssl."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from voidimg.inspection.findings import (
    SERVICES,
    notable_accounts,
    root_password,
)
from voidimg.inspection.rights import Account, secret_state
from voidimg.inspection.sshd import lets_in_by_password, sshd_value
from voidimg.inspection.tree_files import TreeFiles

Sudo = Literal["passwordless", "password", "none"]


@dataclass(frozen=True, slots=True)
class LiveAccess:
    """Who gets into a live system.

    `user` is the live user, None when the initramfs makes none, and `groups` are those it asks for.
    The passwords are ``set``, ``public`` (Void's well-known one), ``empty``, ``locked`` or
    ``absent``. `sudo` is what the group wheel may. `autologin` means that the display manager logs
    the live user in without being asked. `sshd` says whether it is started, `ssh_passwords` whether
    it lets people in by their passwords, `ssh_root` is its PermitRootLogin (None without sshd).

    `accounts` are those of the tree that can become root, and those without a password.
    """

    user: str | None
    groups: tuple[str, ...]
    user_password: str
    sudo: Sudo
    autologin: bool
    root_password: str
    sshd: bool
    ssh_passwords: bool
    ssh_root: str | None
    accounts: tuple[Account, ...] = ()


def decode_live_conf(content: bytes | None) -> Mapping[str, str]:
    """The variables of our ``live.conf``, which the hooks in the initramfs source."""
    found = {}
    for line in (content or b"").decode("utf-8", "replace").splitlines():
        name, equals, value = line.partition("=")
        if equals and name.isidentifier():
            try:
                found[name] = " ".join(shlex.split(value))
            except ValueError:  # quotes that do not end: the shell would not take it either
                continue
    return found


def find_access(files: TreeFiles, conf: Mapping[str, str]) -> LiveAccess:
    """Who gets into the live system of `files`, whose ``live.conf`` is `conf`.

    Raises:
        ToolError: openssl is missing.
    """
    user = conf.get("LIVE_USER") or None
    secret = conf.get("LIVE_PASSWORD", "")
    sudo = conf.get("LIVE_SUDO", "none")
    return LiveAccess(
        user=user,
        groups=tuple(conf.get("LIVE_GROUPS", "").split()),
        user_password="absent" if user is None else secret_state(secret or "!"),
        sudo="passwordless" if sudo == "passwordless" else "password" if sudo == "password"
        else "none",
        autologin=conf.get("LIVE_AUTOLOGIN") == "1",
        root_password=root_password(files),
        sshd="sshd" in files.names(SERVICES),
        ssh_passwords=lets_in_by_password(files),
        ssh_root=sshd_value(files, "PermitRootLogin", "prohibit-password"),
        accounts=notable_accounts(files),
    )  # fmt: skip
