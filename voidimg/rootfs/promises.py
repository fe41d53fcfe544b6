"""What package scripts promised about a tree, and which of it is not there. Pure: one rule.

A trigger that fails ends a generated script with status 0, so what the script exports for its
triggers is held against the tree (void-packages, ``srcpkgs/xbps-triggers/files``):

* ``system_accounts``, ``system_groups`` (system-accounts): accounts and groups;
* ``make_dirs`` (mkdirs): directories with mode and owner;
* ``register_shell`` (register-shell): login shells in /etc/shells;
* ``kernel_hooks_version`` (kernel-hooks): the initramfs, where dracut's hook makes one;
* the bundle of certificates that the text of ca-certificates makes.

What other triggers make (caches, indexes, byte code) depends on programs that may not be there, and
is made anew by every update; it is not asked for.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, Protocol

from voidimg.xbps.script_exports import GeneratedScript, parse_generated

PASSWD, SHADOW, GROUP, SHELLS = "/etc/passwd", "/etc/shadow", "/etc/group", "/etc/shells"
READ = (PASSWD, SHADOW, GROUP, SHELLS)
"""The files whose content is looked at."""

CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
_CERTIFICATE_WORDS = ("update-ca-certificates", CERTIFICATES[1:])
_CERTIFICATE_PROGRAMS = ("/usr/bin/update-ca-certificates", "/usr/sbin/update-ca-certificates")
DRACUT = "/usr/bin/dracut"
"""The program of the initramfs."""
_INITRAMFS_HOOKS = ("20-dracut", "20-initramfs")
_OTHER_GENERATORS = frozenset({"booster", "mkinitcpio", "tinyramfs", "ugrd"})
_VOLATILE = tuple(
    f"/{place}/" for place in ("run", "tmp", "var/cache", "var/lock",
                               "var/run", "var/tmp")
)  # fmt: skip
"""What is below these is made anew by a running system, and cleaned out of trees."""

_WORD_END = re.compile(r"[\s\"'`;|&()<>=${}]+")
_RECURSIVE = re.compile(r"\s(?:-[A-Za-z]*R|--recursive)")
_MAX_WISHES = 32
"""Most different wishes that are looked at of one account or directory."""

_MOUNTED = re.compile(r"/(?:dev|proc|sys)(?:/|$)")
_SPECIAL = 0o6000
_NAMES = frozenset({"root", "nobody"})
"""Accounts that base-files brings, whatever other packages ask for."""


Lasts = Literal["always", "usually", "at first"]


class Place(Protocol):
    """What is at a path of a tree when links are followed."""

    @property
    def kind(self) -> str:
        """``file``, ``directory`` or something else."""
        ...

    @property
    def mode(self) -> int:
        """The twelve permission bits."""
        ...

    @property
    def uid(self) -> int:
        """The number of its owner."""
        ...

    @property
    def gid(self) -> int:
        """The number of its group."""
        ...

    @property
    def size_bytes(self) -> int:
        """The size of a file."""
        ...


class Places(Protocol):
    """A tree, as far as promises are about it."""

    def read(self, path: str) -> bytes | None:
        """The content of one of the files `READ`; None when there is none."""
        ...

    def leads_to(self, path: str) -> Place | None:
        """What is at `path`, links followed inside the tree; None when nothing is."""
        ...


@dataclass(frozen=True, slots=True)
class BrokenPromise:
    """What a package's INSTALL script should have made, and what is there instead.

    Attributes:
        package: its pkgver.
        variable: what the script exports for it, or the file that its text makes.
        promised: what should be there.
        found: what is.
        hint: what to do.
        lasts: ``always`` is what no finished tree is without; ``usually`` is what a profile or a
            hook may have changed on purpose; ``at first`` is what ordinary words of a profile
            change, so that it is only asked for right after configuring.
    """

    package: str
    variable: str
    promised: str
    found: str
    hint: str
    lasts: Lasts


@dataclass(frozen=True, slots=True)
class PackageScript:
    """An installed package and its INSTALL script, as the package database keeps it."""

    pkgname: str
    pkgver: str
    script: bytes


def broken_promises(
    scripts: Sequence[PackageScript],
    tree: Places,
    *,
    of: Collection[str] | None = None,
    known: Collection[str] = (),
    held_back: Collection[str] = (),
) -> tuple[BrokenPromise, ...]:
    """What the INSTALL scripts of a tree promised and is not there, in the order of `scripts`.

    Args:
        scripts: every package of the tree that has an INSTALL script.
        tree: the tree.
        of: the pkgnames whose promises are asked for; all by default. What the others say still
            counts, where two promise the same thing in different ways.
        known: accounts that were there before the scripts ran: what they are like is not theirs.
        held_back: programs that scripts could not run, so that nothing of theirs was promised.
    """
    names = frozenset(package.pkgname for package in scripts)
    asked = _Tree(tree, tuple(_read(scripts)), names, _NAMES.union(known), held_back)
    return tuple(
        broken
        for one in asked.promising
        if of is None or one.package.pkgname in of
        for broken in _broken(one, asked)
    )


def unread_promises(scripts: Sequence[PackageScript]) -> tuple[tuple[str, str], ...]:
    """The pkgver and variable of what scripts promise in words that only a shell can read."""
    return tuple(
        (one.package.pkgver, name)
        for one in _read(scripts)
        for name in ("system_groups", "system_accounts", "make_dirs", "register_shell")
        if name in one.says.unread
    )


@dataclass(frozen=True, slots=True)
class _Promising:
    package: PackageScript
    says: GeneratedScript


def _read(scripts: Sequence[PackageScript]) -> Iterator[_Promising]:
    for package in scripts:
        says = parse_generated(package.script)
        if says is not None:
            yield _Promising(package, says)


@dataclass(frozen=True, slots=True)
class _Account:
    """An account that a script promises; what is None is left to the trigger."""

    name: str
    uid: str | None
    home: str | None
    shell: str | None
    groups: tuple[str, ...]
    primary: tuple[str, ...]
    """Names or numbers of the groups that may be its first one."""


def _accounts(says: GeneratedScript) -> tuple[_Account, ...]:
    found: list[_Account] = []
    kept = ""
    for word in says.words("system_accounts", "system-accounts"):
        name, _, uid = word.partition(":")
        own = (says.value(f"{name}_pgroup") or word).partition(":")[0]
        found.append(
            _Account(
                name,
                uid or None,
                says.value(f"{name}_homedir"),
                says.value(f"{name}_shell"),
                tuple(filter(None, (says.value(f"{name}_groups") or "").split(",")))[:_MAX_WISHES],
                tuple(filter(None, (kept, uid, own))),
            )
        )
        # The trigger forgets to forget: an account without a number of its own gets the first
        # group of one before it.
        kept = uid or kept or own
    return tuple(found)


def _groups(says: GeneratedScript) -> Iterator[tuple[str, str]]:
    """Each group that a script promises, and the variable that does."""
    for word in says.words("system_groups", "system-accounts"):
        yield word.partition(":")[0], "system_groups"
    for word in says.words("system_accounts", "system-accounts"):
        name = word.partition(":")[0]
        yield (says.value(f"{name}_pgroup") or name).partition(":")[0], "system_accounts"


@dataclass(frozen=True, slots=True)
class _Directory:
    path: str
    mode: int
    owner: str
    group: str


def _directories(says: GeneratedScript) -> Iterator[_Directory]:
    words = says.words("make_dirs", "mkdirs")
    for path, mode, owner, group in zip(*(words[at::4] for at in range(4)), strict=False):
        # In the sandbox the excepted ones are not those of the tree.
        plain = path.startswith("/") and ".." not in path.split("/") and not _MOUNTED.match(path)
        if plain and mode and set(mode) <= set("01234567") and len(mode) <= 5:
            yield _Directory(path.rstrip("/") or "/", int(mode, 8), owner, group)


@dataclass
class _Tree:
    """The tree, and everything that is promised about it."""

    places: Places
    promising: tuple[_Promising, ...]
    pkgnames: Collection[str]
    known: Collection[str]
    held_back: Collection[str]
    _tables: dict[str, dict[str, Sequence[str]]] = field(default_factory=dict)

    def table(self, path: str) -> Mapping[str, Sequence[str]]:
        """The lines of an account file by name, split at colons."""
        if path not in self._tables:
            text = (self.places.read(path) or b"").decode("utf-8", "surrogateescape")
            rows = (line.split(":") for line in text.split("\n"))
            found = self._tables.setdefault(path, {})
            for row in rows:
                if len(row) > 1:
                    found.setdefault(row[0], row)  # of two lines the first counts
        return self._tables[path]

    @cached_property
    def has_shadow(self) -> bool:
        return self.places.read(SHADOW) is not None

    @cached_property
    def shells(self) -> str:
        return (self.places.read(SHELLS) or b"").decode("utf-8", "surrogateescape")

    @cached_property
    def accounts(self) -> Mapping[str, Collection[_Account]]:
        """Every account that is promised, by name: several packages may want the same."""
        found: dict[str, dict[_Account, None]] = {}
        for one in self.promising:
            for account in _accounts(one.says):
                wishes = found.setdefault(account.name, {})
                if len(wishes) < _MAX_WISHES:
                    wishes[account] = None
        return found

    @cached_property
    def directories(self) -> Mapping[str, Collection[_Directory]]:
        """Every directory that is promised, by path."""
        found: dict[str, dict[_Directory, None]] = {}
        for one in self.promising:
            for directory in _directories(one.says):
                wishes = found.setdefault(directory.path, {})
                if len(wishes) < _MAX_WISHES:
                    wishes[directory] = None
        return found

    @cached_property
    def own_words(self) -> tuple[frozenset[str], frozenset[str]]:
        """The words of the scripts' own texts, as paths without a slash around them.

        First all, then those of lines that change whole directories.
        """
        named: set[str] = set()
        recursive: set[str] = set()
        for one in self.promising:
            for line in one.says.own.split("\n"):
                words = {word.removeprefix(".").strip("/") for word in _WORD_END.split(line)}
                named |= words
                if _RECURSIVE.search(line):
                    recursive |= words
        return frozenset(named), frozenset(recursive)

    def number(self, path: str, name: str) -> int | None:
        """The number that the owner or group `name` has, or is."""
        row = self.table(path).get(name)
        text = row[2] if row is not None and len(row) > 2 else name
        return int(text) if len(text) <= 10 and text.isascii() and text.isdigit() else None

    def own_text_changes(self, path: str) -> bool:
        """Whether the own text of a script names `path`, or changes what is above it with -R."""
        named, recursive = self.own_words
        parts = path.strip("/").split("/")
        above = {"/".join(parts[:count]) for count in range(1, len(parts))}
        return "/".join(parts) in named or not recursive.isdisjoint(above)


def _broken(one: _Promising, tree: _Tree) -> Iterator[BrokenPromise]:
    yield from _broken_groups(one, tree)
    for account in _accounts(one.says):
        yield from _broken_account(one, account, tree)
    for directory in _directories(one.says):
        yield from _broken_directory(one, directory, tree)
    yield from _broken_shells(one, tree)
    yield from _broken_initramfs(one, tree)
    yield from _broken_certificates(one, tree)


_ACCOUNT_HINT = "the package shadow must be in the tree, and useradd must take the name"


def _broken_groups(one: _Promising, tree: _Tree) -> Iterator[BrokenPromise]:
    for name, variable in dict(_groups(one.says)).items():
        if name not in tree.table(GROUP) and tree.number(GROUP, name) is None:
            yield BrokenPromise(
                one.package.pkgver, variable, f"the group {name}", f"{GROUP} has no line of it",
                _ACCOUNT_HINT, "always",
            )  # fmt: skip


def _broken_account(one: _Promising, account: _Account, tree: _Tree) -> Iterator[BrokenPromise]:
    def broken(promised: str, found: str, lasts: Lasts) -> BrokenPromise:
        return BrokenPromise(
            one.package.pkgver, "system_accounts", promised, found, _ACCOUNT_HINT, lasts
        )

    name = account.name
    row = tree.table(PASSWD).get(name)
    if row is None:
        yield broken(f"the account {name}", f"{PASSWD} has no line of it", "always")
        return
    if tree.has_shadow and name not in tree.table(SHADOW):
        yield broken(f"the account {name}", f"{SHADOW} has no line of it", "always")
    if len(row) != 7:
        found = f"its line in {PASSWD} has {len(row)} fields, not 7"
        yield broken(f"the account {name}", found, "always")
    elif name not in tree.known:
        for promised, found, lasts in _differences(account, row, tree):
            yield broken(promised, found, lasts)


def _differences(
    account: _Account, row: Sequence[str], tree: _Tree
) -> Iterator[tuple[str, str, Lasts]]:
    """Where an account is not as its package wants it; several packages may want the same one."""
    name, others = account.name, tree.accounts[account.name]
    wishes: tuple[tuple[str, str | None, list[str | None], Lasts], ...] = (
        ("the uid", row[2], [other.uid for other in others], "usually"),
        ("the home", _bare(row[5]), [_bare(other.home) for other in others], "at first"),
        ("the shell", row[6], [other.shell for other in others], "at first"),
    )
    for what, found, wanted, lasts in wishes:
        if None not in wanted and found not in wanted:
            yield f"{what} {wanted[0]} of the account {name}", f"it is {found or 'empty'}", lasts
    first = {tree.number(GROUP, group) for other in others for group in other.primary}
    if row[3] not in {str(number) for number in first}:
        promised = f"the group {account.primary[-1]} as the first of {name}"
        yield promised, f"its first is {row[3]}", "usually"
    for group in account.groups if len(others) == 1 else ():
        if not _is_member(tree, row, group):
            yield f"the account {name} in the group {group}", "it is not in it", "at first"


def _bare(home: str | None) -> str | None:
    return home if home is None else home.rstrip("/") or "/"


def _is_member(tree: _Tree, row: Sequence[str], group: str) -> bool:
    found = tree.table(GROUP).get(group, ())
    return len(found) > 3 and (row[0] in found[3].split(",") or row[3] == found[2])


def _broken_directory(
    one: _Promising, directory: _Directory, tree: _Tree
) -> Iterator[BrokenPromise]:
    path = directory.path
    place = tree.places.leads_to(path)
    promised = f"{path} with mode {directory.mode:04o} of {directory.owner}:{directory.group}"

    def broken(found: str, lasts: Lasts) -> BrokenPromise:
        hint = "look at what its script wrote with voidimg -v build"
        return BrokenPromise(one.package.pkgver, "make_dirs", promised, found, hint, lasts)

    if place is None or place.kind != "directory":
        found = "nothing is there" if place is None else f"it is a {place.kind}"
        yield broken(found, "at first" if path.startswith(_VOLATILE) else "always")
        return
    wanted = tree.directories[path]
    if any(_fits(place, other, tree) for other in wanted) or tree.own_text_changes(path):
        return
    yield broken(
        f"it has mode {place.mode:04o} of {place.uid}:{place.gid}"
        + "".join(f", and there is no {what}" for what in _missing(directory, tree)),
        "usually",
    )


def _missing(directory: _Directory, tree: _Tree) -> Iterator[str]:
    if tree.number(PASSWD, directory.owner) is None:
        yield f"account {directory.owner}"
    if tree.number(GROUP, directory.group) is None:
        yield f"group {directory.group}"


def _fits(place: Place, directory: _Directory, tree: _Tree) -> bool:
    """chmod(1) leaves the set-id bits of a directory unless they are given."""
    mode = directory.mode
    return (
        place.uid == tree.number(PASSWD, directory.owner)
        and place.gid == tree.number(GROUP, directory.group)
        and place.mode & ~_SPECIAL == mode & ~_SPECIAL
        and place.mode & mode & _SPECIAL == mode & _SPECIAL
    )


def _broken_shells(one: _Promising, tree: _Tree) -> Iterator[BrokenPromise]:
    for shell in one.says.words("register_shell", "register-shell"):
        # The trigger is content with a line that the path is only a part of.
        if shell not in tree.shells:
            yield BrokenPromise(
                one.package.pkgver, "register_shell", f"the login shell {shell}",
                f"{SHELLS} has no line of it", "nobody who has this shell can change it, or log in "
                "where the shell is asked for", "usually",
            )  # fmt: skip


def _broken_initramfs(one: _Promising, tree: _Tree) -> Iterator[BrokenPromise]:
    versions = one.says.words("kernel_hooks_version", "kernel-hooks")
    if not versions or DRACUT in tree.held_back or _OTHER_GENERATORS & set(tree.pkgnames):
        return
    hooks = [f"/etc/kernel.d/post-install/{name}" for name in _INITRAMFS_HOOKS]
    if not (_can_run(tree, DRACUT) and any(_can_run(tree, hook) for hook in hooks)):
        return
    path = f"/boot/initramfs-{versions[0]}.img"
    place = tree.places.leads_to(path)
    if place is None or place.kind != "file" or not place.size_bytes:
        found = "nothing is there" if place is None else "it is empty, or no file"
        yield BrokenPromise(
            one.package.pkgver, "kernel_hooks_version", path, found,
            "dracut failed in the kernel's hook: see what it wrote with voidimg -v build",
            "usually",
        )  # fmt: skip


def _can_run(tree: _Tree, path: str) -> bool:
    place = tree.places.leads_to(path)
    return place is not None and place.kind == "file" and bool(place.mode & 0o111)


def _broken_certificates(one: _Promising, tree: _Tree) -> Iterator[BrokenPromise]:
    if not any(word in one.says.own for word in _CERTIFICATE_WORDS):
        return
    # Others make the bundle anew where the program is, and have nothing to do where it is not.
    program = any(_can_run(tree, path) for path in _CERTIFICATE_PROGRAMS)
    if one.package.pkgname != "ca-certificates" and not program:
        return
    place = tree.places.leads_to(CERTIFICATES)
    if place is None or place.kind != "file" or not place.size_bytes:
        found = "nothing is there" if place is None else "it is empty, or no file"
        yield BrokenPromise(
            one.package.pkgver, CERTIFICATES, "the bundle of certificates", found,
            "no program can check a certificate without it: update-ca-certificates failed",
            "always",
        )  # fmt: skip
