"""XBPS configuration: the lines of ``xbps.d``, noextract patterns, and repository directory names.

The rules are those of xbps 0.60.7. Everything here is text in, value out: the files come as a
mapping, so that configuration inside a tree is read through the tree and never through the host.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from voidimg.errors import PackageError
from voidimg.xbps.pattern import glob_matches

KEYS = (
    "architecture",
    "bestmatching",
    "cachedir",
    "ignorepkg",
    "include",
    "keepconf",
    "noextract",
    "preserve",
    "repository",
    "rootdir",
    "staging",
    "syslog",
    "virtualpkg",
)
"""Every key, in byte order."""

DIRECTORIES = ("/etc/xbps.d", "/usr/share/xbps.d")
"""Where configuration lies in a tree; a file name in the first masks the same in the second."""

_BLANKS = " \t"


@dataclass(frozen=True, slots=True)
class Setting:
    """One line that counts: a key of `KEYS` and its value, blanks around it removed."""

    key: str
    value: str

    @property
    def enabled(self) -> bool:
        """The value as a boolean: ``true`` in any case, everything else is false."""
        return self.value.lower() == "true"

    @property
    def provider(self) -> tuple[str, str] | None:
        """The virtual name and the package of a ``virtualpkg`` line, None if it is malformed."""
        name, colon, package = self.value.partition(":")
        return (name, package) if colon and package else None


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the configuration files say together. Paths and URLs are as written."""

    repositories: tuple[str, ...] = ()
    ignorepkg: tuple[str, ...] = ()
    virtualpkg: Mapping[str, str] = field(default_factory=dict)
    noextract: tuple[str, ...] = ()
    preserve: tuple[str, ...] = ()
    architecture: str | None = None
    bestmatching: bool = False
    keepconf: bool = False
    staging: bool = False


def parse_line(line: str) -> Setting | None:
    """The setting in one line, or None for blank lines, comments and what XBPS ignores.

    ``key = value``: no quotes, no comments after a value, keys in their own case.

    >>> parse_line("repository = /srv/repo ")
    Setting(key='repository', value='/srv/repo')
    """
    if not line.strip(_BLANKS) or line.lstrip(_BLANKS).startswith("#"):
        return None
    word, equals, value = line.partition("=")
    word = word.strip(_BLANKS)
    key = _known_key(word) if equals and not any(blank in word for blank in _BLANKS) else None
    return None if key is None else Setting(key, value.strip(_BLANKS))


def _known_key(text: str) -> str | None:
    """The key that xbps finds for `text`.

    It searches its table by halves and compares only as many characters as were written, so the
    start of a key can stand for it (``repo``). Files that rely on it work for its users.
    """
    low, high = 0, len(KEYS)
    while low < high:
        middle = (low + high) // 2
        start = KEYS[middle][: len(text)]
        if text == start:
            return KEYS[middle]
        low, high = (low, middle) if text < start else (middle + 1, high)
    return None


def parse_files(files: Mapping[str, str]) -> Configuration:
    """What `files` (path inside the tree -> text) configure together.

    Reads ``*.conf`` of `DIRECTORIES` in byte order of the names. ``include=`` takes a glob,
    relative to the including file or absolute inside the tree, one level deep. Empty files mask
    files of the same name as a link to /dev/null does.
    """
    settings: list[Setting] = []
    for path in _configuration_files(files):
        settings += _settings_of(files, path, nested=False)
    return combine(settings)


def combine(settings: Iterable[Setting]) -> Configuration:
    """The configuration that `settings` make, in their order; of single values the last counts."""
    lists: dict[str, list[str]] = {
        key: [] for key in ("repository", "ignorepkg", "noextract", "preserve")
    }
    last: dict[str, Setting] = {}
    providers: dict[str, str] = {}
    for setting in settings:
        if setting.key in lists:
            if setting.value or setting.key == "repository":
                lists[setting.key].append(setting.value)
        elif setting.key == "virtualpkg":
            providers.update([setting.provider] if setting.provider else [])
        else:
            last[setting.key] = setting
    architecture = last.get("architecture")
    return Configuration(
        repositories=tuple(dict.fromkeys(lists["repository"])),
        ignorepkg=tuple(lists["ignorepkg"]),
        virtualpkg=providers,
        noextract=tuple(lists["noextract"]),
        preserve=tuple(lists["preserve"]),
        architecture=architecture.value if architecture else None,
        bestmatching="bestmatching" in last and last["bestmatching"].enabled,
        keepconf="keepconf" in last and last["keepconf"].enabled,
        staging="staging" in last and last["staging"].enabled,
    )


def _configuration_files(files: Mapping[str, str]) -> Iterator[str]:
    seen: set[str] = set()
    for directory in DIRECTORIES:
        for path in sorted(files):
            parent, name = posixpath.split(path)
            if parent == directory and name.endswith(".conf") and name not in seen:
                seen.add(name)
                yield path


def _settings_of(files: Mapping[str, str], path: str, *, nested: bool) -> Iterator[Setting]:
    for line in files[path].split("\n"):
        setting = parse_line(line)
        if setting is None:
            continue
        if setting.key != "include":
            yield setting
        elif not nested:
            glob = posixpath.normpath(posixpath.join(posixpath.dirname(path), setting.value))
            for included in sorted(files):
                if _path_matches(included, glob):
                    yield from _settings_of(files, included, nested=True)


def _path_matches(path: str, glob: str) -> bool:
    """As glob(3): stars do not cross a slash, hidden files must be named."""
    parts, globs = path.split("/"), glob.split("/")
    return len(parts) == len(globs) and all(map(glob_matches, parts, globs))


def is_excluded(path: str, patterns: Sequence[str]) -> bool:
    """Whether the noextract `patterns` exclude the absolute `path` of a file in the image.

    Shell globs whose ``*`` also crosses ``/``, tried in order; the last that matches decides, and
    one that begins with ``!`` means the file is wanted. A backslash in front protects a ``!``.

    >>> is_excluded("/usr/share/man/x", ["/usr/share/*", "!/usr/share/man/*"])
    False
    """
    excluded = False
    for pattern in patterns:
        wanted = pattern.startswith("!")
        glob = pattern[1:] if pattern.startswith(("!", "\\")) else pattern
        if glob_matches(path, glob, period=False):
            excluded = not wanted
    return excluded


def remote_directory(url: str) -> str:
    """The name of the directory in ``var/db/xbps`` that keeps the repodata of the remote `url`.

    Scheme, host, port and path, with ``.``, ``/`` and ``:`` replaced; user and password are left
    out.

    Raises:
        PackageError: `url` is malformed.

    >>> remote_directory("https://repo-default.voidlinux.org/current/musl")
    'https___repo-default_voidlinux_org_current_musl'
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise PackageError(
            f"{url!r} is not a URL: {error}",
            code="REPOSITORY-URL",
            hint="it stands behind repository= in a file of xbps.d",
        ) from error
    host = parts.netloc.rpartition("@")[2].replace("[", "").replace("]", "")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return re.sub(r"[./:]", "_", f"{parts.scheme}://{host}{path}")
