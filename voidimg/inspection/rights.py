"""Says who can become root in an installed tree, how, and by what password.

What is read: passwd(5), shadow(5), group(5), sudoers(5), doas.conf(5) and the rules of polkit(8).
Rules are read widely: what only a condition of a rule could forbid counts as allowed. Of the
programs of the host only openssl is asked, whether a password is the public one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from voidimg.inspection.public_password import is_public
from voidimg.inspection.tree_files import TreeFiles

PASSWD, SHADOW, GROUP = "/etc/passwd", "/etc/shadow", "/etc/group"
SUDOERS, DOAS = "/etc/sudoers", "/etc/doas.conf"
SUDOERS_DIRECTORY = "/etc/sudoers.d/"
POLKIT_DIRECTORIES = ("/etc/polkit-1/rules.d/", "/usr/share/polkit-1/rules.d/")
READ = (PASSWD, SHADOW, GROUP, SUDOERS, DOAS, SUDOERS_DIRECTORY, *POLKIT_DIRECTORIES)
"""The files that are looked at; a path that ends with / stands for every file in the directory."""

_AS_GOOD_AS_ROOT = ("disk", "docker", "kmem", "lxd", "shadow")
"""Groups whose members can read or write what makes them root."""
_HARMLESS = ("halt", "poweroff", "reboot", "shutdown", "suspend", "zzz", "ZZZ")
_NO_SHELLS = ("false", "nologin", "sync", "halt", "shutdown")
_DOAS_OPTIONS = ("nopass", "keepenv", "persist", "nolog")
_HASH = re.compile(r"\$[0-9a-z]+\$\S+|_[./0-9A-Za-z]{19}|[./0-9A-Za-z]{13}")
"""crypt(5): a method with its salt and hash, or one of the two old forms without a method."""
_TAGS = re.compile(r"^((?:[A-Z_]+:\s*)*)")
_SPECIFICATION = re.compile(r"((?:[^\s\\,]|\\.|,\s*)+)\s+(\S.*?)\s*=\s*(.*)")
_POLKIT_GROUP = re.compile(r"""isInGroup\(\s*["']([^"']+)["']\s*\)""")
_POLKIT_USER = re.compile(r"""subject\.user\s*===?\s*["']([^"']+)["']""")


@dataclass(frozen=True, slots=True)
class Right:
    """Somebody (``eve``, ``%wheel``) may do everything as root, by the rule in the file `where`.

    `unasked` means without being asked for a password.
    """

    who: str
    by: str
    where: str
    unasked: bool


@dataclass(frozen=True, slots=True)
class Account:
    """An account; `root` says how it can become root, empty when it cannot.

    `password` is ``set``, ``public`` (Void's well-known one), ``locked`` or ``empty``. `logs_in`
    says whether its shell lets it in.
    """

    name: str
    password: str
    logs_in: bool
    root: tuple[str, ...]

    @property
    def is_open(self) -> bool:
        """Whether it has no password: whoever types its name is in."""
        return self.password == "empty"  # noqa: S105 - the name of a state

    @property
    def has_public_password(self) -> bool:
        """Whether its password is the one that everybody knows."""
        return self.password == "public"  # noqa: S105 - the name of a state


def secret_state(secret: str) -> str:
    """What a password's field of shadow(5) means: ``set``, ``public``, ``locked`` or ``empty``.

    What is no hash is compared with none that a password gives: it locks, whatever it says.

    Raises:
        ToolError: openssl is missing.
    """
    if not secret:
        return "empty"
    if not _HASH.fullmatch(secret):
        return "locked"
    return "public" if is_public(secret) else "set"


def find_accounts(files: TreeFiles) -> tuple[Account, ...]:
    """Every account of the tree, in the order of its passwd(5).

    Raises:
        ToolError: openssl is missing.
    """
    shadow = {fields[0]: fields[1] for fields in _rows(files, SHADOW, 2)}
    groups = {fields[0]: fields for fields in _rows(files, GROUP, 4)}
    rights = find_rights(files)
    found = []
    for fields in _rows(files, PASSWD, 7):
        name, field, uid, gid = fields[:4]
        member = {
            group
            for group, row in groups.items()
            if name in row[3].split(",") or (row[2] == gid and gid)
        }
        who = {name, f"#{uid}", "ALL", *(f"%{group}" for group in member)}
        reasons = ["uid 0"] if uid.isdigit() and int(uid) == 0 else []
        reasons += [f"{right.by} ({right.who})" for right in rights if right.who in who]
        reasons += [f"group {group}" for group in _AS_GOOD_AS_ROOT if group in member]
        found.append(
            Account(
                name,
                # Without the x the password is here, and shadow is not asked (passwd(5)).
                secret_state(shadow.get(name, "!") if field == "x" else field),
                fields[6].rpartition("/")[2] not in _NO_SHELLS,
                tuple(dict.fromkeys(reasons)),
            )
        )
    return tuple(found)


def find_rights(files: TreeFiles) -> tuple[Right, ...]:
    """Who may do everything as root by a rule of sudo, doas or polkit; root itself is left out."""
    found = [*_sudo(files), *_doas(files), *_polkit(files)]
    return tuple(right for right in found if right.who != "root")


def _rows(files: TreeFiles, path: str, least: int) -> Iterator[list[str]]:
    for line in _text(files, path).splitlines():
        fields = line.split(":")
        if len(fields) >= least and not line.startswith("#"):
            yield fields


def _text(files: TreeFiles, path: str) -> str:
    return (files.read(path) or b"").decode("utf-8", "replace")


def _in(files: TreeFiles, directory: str) -> Iterator[str]:
    return (directory + name for name in files.names(directory.rstrip("/")))


def _sudo(files: TreeFiles) -> Iterator[Right]:
    """Sudo leaves out files whose name ends with ~ or holds a dot."""
    paths = [SUDOERS]
    for path in _in(files, SUDOERS_DIRECTORY):
        name = path.rpartition("/")[2]
        if "." not in name and not name.endswith("~"):
            paths.append(path)
    lines = [(path, line) for path in paths for line in _sudoers_lines(_text(files, path))]
    aliases = dict(_user_aliases(line for _, line in lines))
    never_asks = any(re.match(r"Defaults\s+.*!authenticate", line) for _, line in lines)
    for path, line in lines:
        match = _SPECIFICATION.fullmatch(line)
        if match is None or re.match(r"Defaults|[A-Za-z]+_Alias\b|[@#]include", line):
            continue
        commands = match[3]
        if not _as_root(commands) or not _is_broad(commands):
            continue
        unasked = never_asks or "NOPASSWD:" in commands
        for word in _words(match[1]):
            for who in aliases.get(word, (word,)):
                by = "sudo without a password" if unasked else "sudo"
                yield Right(who, by, path, unasked)


def _sudoers_lines(text: str) -> Iterator[str]:
    for line in text.replace("\\\n", " ").splitlines():
        # A comment begins with # and no number: those are user ids.
        plain = re.sub(r"(^|\s)#(?!\d|include).*", "", line).strip()
        if plain:
            yield plain


def _user_aliases(lines: Iterable[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    for line in lines:
        kind, _, rest = line.partition(" ")
        for part in rest.split(":") if kind == "User_Alias" else ():
            name, _, members = part.partition("=")
            yield name.strip(), tuple(_words(members))


def _words(text: str) -> Iterator[str]:
    return (word.strip().strip('"') for word in text.split(",") if word.strip())


def _as_root(commands: str) -> bool:
    """Whether the rule lets commands run as root; without ``(...)`` it does."""
    match = re.match(r"\(([^)]*)\)", commands)
    users = None if match is None else match[1].partition(":")[0]
    return users is None or not users.strip() or bool({"ALL", "root", "#0"} & set(_words(users)))


def _is_broad(commands: str) -> bool:
    """Whether more may be done than to stop the machine."""
    plain = re.sub(r"^\([^)]*\)\s*", "", commands)
    for command in plain.split(","):
        program = _TAGS.sub("", command.strip()).split(" ")[0]
        if program.rpartition("/")[2] not in _HARMLESS and not program.startswith("!"):
            return True
    return False


def _doas(files: TreeFiles) -> Iterator[Right]:
    for line in _text(files, DOAS).splitlines():
        words = line.partition("#")[0].split()
        if not words or words[0] != "permit":
            continue
        rest = re.sub(r"^setenv\s*\{[^}]*\}", "", " ".join(words[1:]))
        options = [word for word in rest.split() if word in _DOAS_OPTIONS]
        others = [word for word in rest.split() if word not in options]
        if not others or ("as" in others and others[others.index("as") + 1 :][:1] != ["root"]):
            continue
        if "cmd" in others and others[-1].rpartition("/")[2] in _HARMLESS:
            continue
        unasked = "nopass" in options
        who = f"%{others[0][1:]}" if others[0].startswith(":") else others[0]
        yield Right(who, "doas without a password" if unasked else "doas", DOAS, unasked)


def _polkit(files: TreeFiles) -> Iterator[Right]:
    """Rules that say yes to whoever is in a group or has a name, whatever is to be done."""
    for directory in POLKIT_DIRECTORIES:
        for path in _in(files, directory):
            text = re.sub(r"/\*.*?\*/|//[^\n]*", "", _text(files, path), flags=re.DOTALL)
            for rule in text.split("addRule")[1:]:
                if "Result.YES" not in rule or "action.id" in rule or "action.lookup" in rule:
                    continue
                who = [f"%{name}" for name in _POLKIT_GROUP.findall(rule)]
                who += _POLKIT_USER.findall(rule)
                for one in who or ["ALL"]:
                    yield Right(one, "polkit without a password", path, True)
