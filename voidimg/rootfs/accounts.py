"""Users, groups and passwords, written straight into the account files.

The formats are those of passwd(5), shadow(5), group(5) and gshadow(5). No tool of the target runs,
so that nothing depends on emulation, on its clock or on its salt.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from voidimg.errors import PackageError, SpecError
from voidimg.identity import Identity
from voidimg.run import run
from voidimg.spec.model import User
from voidimg.spec.words import PASSWORD_BYTES
from voidimg.tree.tree import Tree

_LOCKED = "!"
_AGES = ("0", "99999", "7", "", "", "")
"""shadow(5) fields 4 to 9: days until a change is allowed, required, warned of; the rest unset."""

_FIRST_UID = 1000
_NOBODY = 65534


def crypt_password(password: str, salt: str) -> str:
    """SHA512-crypt (``$6$``, 5000 rounds) of `password`, by openssl, which reads it from a pipe.

    Raises:
        SpecError: the password is empty, has a line break or NUL, or more than 256 bytes.
        ToolError: openssl is missing.
    """
    raw = password.encode("utf-8")
    # Of nothing openssl makes the text <NULL>, which is no hash: the account would be locked.
    if not 0 < len(raw) <= PASSWORD_BYTES or any(byte in raw for byte in (b"\n", b"\r", b"\0")):
        raise SpecError(
            "the password cannot be stored",
            code="PASSWORD",
            hint=f"use 1 to {PASSWORD_BYTES} bytes on one line",
        )
    ended = run(["openssl", "passwd", "-6", "-salt", salt, "-stdin"], stdin=raw + b"\n")
    return ended.stdout.decode("ascii").strip()


def apply_users(
    tree: Tree, users: Sequence[User], *, identity: Identity, day: date, epoch: int
) -> None:
    """Make or change `users`; a password's salt derives from `identity` and the name.

    A new user gets a group of the same name and number, and a home with the content of /etc/skel.
    A user without a password is locked. Every password's day of change becomes `day`.

    Raises:
        PackageError: the line of a user or group in an account file is malformed.
        SpecError: a group or shell does not exist, a shell is no program, or a name, uid or home is
            taken.
        StoreError: the tree has no /etc/passwd.
    """
    accounts = _Accounts.read(tree, day)
    for user in users:
        _apply(tree, accounts, user, identity, epoch)
    accounts.write(tree, epoch)


def check_live_account(tree: Tree, name: str, groups: Sequence[str]) -> None:
    """Raise for what would keep the account `name` from being made when a live system starts.

    useradd makes a group of the same name, so neither may be there; all of `groups` must be.

    Raises:
        SpecError: the name is taken, or a group does not exist.
        StoreError: the tree has no /etc/passwd.
    """
    accounts = _Accounts.read(tree, date(1970, 1, 1))
    for kind, table in (("user", accounts.passwd), ("group", accounts.group)):
        if table.row(name) is not None:
            raise _taken(f"the live user {name}", kind, name)
    for group in groups:
        _group(accounts, f"the live user {name}", group)


def _taken(whose: str, kind: str, name: str) -> SpecError:
    return SpecError(
        f"{whose} has the name of a {kind} that the system has already",
        code="NAME-TAKEN",
        where=name,
        hint="choose another name",
    )


@dataclass(slots=True)
class _Table:
    """One account file: its lines split at colons, comments and blank lines as they are."""

    path: str
    fields: int
    mode: int
    gid: int = 0
    rows: list[list[str]] = field(default_factory=list)
    there: bool = False

    @classmethod
    def read(cls, tree: Tree, path: str, fields: int, mode: int) -> _Table:
        status = tree.lstat(path)
        if status is None:
            return cls(path, fields, mode)
        text = tree.read(path).decode("utf-8", "surrogateescape")
        # Only a line feed ends a line here, whatever Unicode says of other characters.
        rows = [line.split(":") for line in text.removesuffix("\n").split("\n")] if text else []
        return cls(path, fields, stat.S_IMODE(status.st_mode), status.st_gid, rows, True)

    def row(self, name: str) -> list[str] | None:
        """The line of `name`, which can be changed in place."""
        row = next((row for row in self.rows if row[0] == name and len(row) > 1), None)
        if row is not None and len(row) != self.fields:
            raise PackageError(
                f"the line of {name} in {self.path} has {len(row)} fields, not {self.fields}",
                code="ACCOUNT",
                where=self.path,
                hint="the package that brings this file is broken",
            )
        return row

    def write(self, tree: Tree, epoch: int) -> None:
        text = "".join(":".join(row) + "\n" for row in self.rows)
        content = text.encode("utf-8", "surrogateescape")
        tree.write(self.path, content, self.mode, 0, self.gid, epoch)


@dataclass(slots=True)
class _Accounts:
    """The four account files of a tree."""

    passwd: _Table
    shadow: _Table
    group: _Table
    gshadow: _Table
    day: str

    @classmethod
    def read(cls, tree: Tree, day: date) -> _Accounts:
        tree.stat("/etc/passwd")
        accounts = cls(
            _Table.read(tree, "/etc/passwd", 7, 0o644),
            _Table.read(tree, "/etc/shadow", 9, 0o600),
            _Table.read(tree, "/etc/group", 4, 0o644),
            _Table.read(tree, "/etc/gshadow", 4, 0o600),
            str((day - date(1970, 1, 1)).days),
        )
        if not accounts.shadow.there:
            accounts._make_shadow()
        return accounts

    def _make_shadow(self) -> None:
        """Move the passwords out of /etc/passwd, as pwconv does."""
        for row in self.passwd.rows:
            if len(row) > 1:
                old = row[1] if row[1] not in ("", "x") else _LOCKED
                self.shadow.rows.append([row[0], old, self.day, *_AGES])
                row[1] = "x"

    def write(self, tree: Tree, epoch: int) -> None:
        for row in self.shadow.rows:
            # 0 asks for a change at the next login, nothing means no aging: both are meant.
            if len(row) > 2 and row[2] not in ("", "0"):
                row[2] = self.day
        tables = (self.passwd, self.shadow, self.group, self.gshadow)
        for table in tables if self.gshadow.there else tables[:3]:
            table.write(tree, epoch)


def _apply(tree: Tree, accounts: _Accounts, user: User, identity: Identity, epoch: int) -> None:
    row = accounts.passwd.row(user.name)
    if row is None:
        row = _add(accounts, user)
        _make_home(tree, row, epoch)
    elif user.password is not None and user.name != "root" and _is_of_system(row):
        raise SpecError(
            f"user {user.name} is an account of the system, which nobody logs in to",
            code="NAME-TAKEN",
            where=user.name,
            hint="choose another name, or leave out the password",
        )
    elif user.uid is not None and row[2] != str(user.uid):
        raise SpecError(
            f"user {user.name} exists with uid {row[2]}, not {user.uid}",
            code="UID",
            where=user.name,
            hint="leave out the uid of an account that a package makes",
        )
    if user.shell is not None:
        if not tree.is_program(user.shell):
            why = "is no program" if tree.exists(user.shell) else "does not exist"
            raise SpecError(
                f"the shell {user.shell} of user {user.name} {why}",
                code="SHELL",
                where=user.name,
                hint="name a program, and add the package that brings it",
            )
        row[6] = user.shell
    if user.description:
        row[4] = user.description
    for group in user.groups:
        _join(accounts, user.name, group)
    secret = accounts.shadow.row(user.name)
    if secret is None:
        secret = [user.name, _LOCKED, accounts.day, *_AGES]
        accounts.shadow.rows.append(secret)
    secret[1] = (
        _LOCKED
        if user.password is None
        else crypt_password(user.password, identity.salt(f"password/{user.name}"))
    )
    secret[2] = accounts.day


def _is_of_system(row: Sequence[str]) -> bool:
    """Whether packages made it: people have numbers from 1000 on (login.defs, UID_MIN)."""
    return not row[2].isdigit() or not _FIRST_UID <= int(row[2]) < _NOBODY


def _add(accounts: _Accounts, user: User) -> list[str]:
    if accounts.group.row(user.name) is not None:
        raise _taken(f"user {user.name}", "group", user.name)
    taken = {row[2] for table in (accounts.passwd, accounts.group) for row in table.rows if row[2:]}
    if user.uid is not None and str(user.uid) in taken:
        raise SpecError(
            f"uid {user.uid} of user {user.name} is taken",
            code="UID",
            where=user.name,
            hint="choose another, or leave it out",
        )
    free = (number for number in range(_FIRST_UID, _NOBODY) if str(number) not in taken)
    number = str(next(free) if user.uid is None else user.uid)
    row = [user.name, "x", number, number, "", f"/home/{user.name}", "/bin/sh"]
    accounts.passwd.rows.append(row)
    accounts.group.rows.append([user.name, "x", number, ""])
    if accounts.gshadow.there:
        accounts.gshadow.rows.append([user.name, _LOCKED, "", ""])
    return row


def _group(accounts: _Accounts, whose: str, group: str) -> list[str]:
    row = accounts.group.row(group)
    if row is None:
        raise SpecError(
            f"the group {group} of {whose} does not exist",
            code="GROUP",
            where=group,
            hint="add the package that makes it",
        )
    return row


def _join(accounts: _Accounts, name: str, group: str) -> None:
    row = _group(accounts, f"user {name}", group)
    for found in (row, accounts.gshadow.row(group)):
        if found is not None:
            members = [member for member in found[3].split(",") if member]
            if name not in members:
                found[3] = ",".join((*members, name))


def _require_home(row: Sequence[str], status: os.stat_result) -> None:
    """Raise when what is there already cannot be the home of the new account `row`."""
    name, uid, home = row[0], int(row[2]), row[5]
    if not stat.S_ISDIR(status.st_mode):
        what = "is no directory"
    elif os.geteuid() == 0 and status.st_uid != uid:  # else everything is our own
        what = f"is there already, and belongs to uid {status.st_uid}"
    else:
        return
    raise SpecError(
        f"the home of user {name} cannot be {home}, which {what}",
        code="HOME",
        where=name,
        hint="remove what brings it, or give it the user's uid",
    )


def _make_home(tree: Tree, row: Sequence[str], epoch: int) -> None:
    home, uid, gid = row[5], int(row[2]), int(row[3])
    status = tree.lstat(home)
    if status is not None:
        _require_home(row, status)
        return
    tree.mkdir(home, 0o700, uid, gid, parents=True)
    if not tree.exists("/etc/skel"):
        return
    for entry in list(tree.walk("/etc/skel")):
        path = home + entry.path.removeprefix("/etc/skel")
        mode = stat.S_IMODE(entry.stat.st_mode)
        if stat.S_ISDIR(entry.stat.st_mode):
            tree.mkdir(path, mode, uid, gid)
        elif stat.S_ISLNK(entry.stat.st_mode):
            tree.symlink(path, tree.readlink(entry.path), uid, gid, epoch)
        else:
            tree.write(path, tree.read(entry.path), mode, uid, gid, epoch)
