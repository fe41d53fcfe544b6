"""Where a repository is: a local directory, or an http(s) URL with its mirrors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

from voidimg.errors import FetchError, UsageError, without_passwords

_HOST = re.compile(r"[0-9A-Za-z._-]+|[0-9A-Fa-f:.]+(?:%[0-9A-Za-z._~-]+)?")
"""A name in ASCII, or an address; names in other letters have a form that begins with xn--."""


@dataclass(frozen=True, slots=True)
class Location:
    """One repository: `urls` are the same content in order of preference (mirrors).

    A local directory is one URL-less absolute path. `title` is the name it keeps whichever of its
    mirrors are used, a directory with a copy of it among them.
    """

    urls: tuple[str, ...]
    remote: bool
    title: str = ""

    @classmethod
    def parse(cls, text: str, *, where: str | None = "--repository") -> Location:
        """A directory, a ``file://`` URL, or http(s) URLs of mirrors separated by blanks.

        `where` says what `text` was given as, for errors.

        Raises:
            UsageError: another scheme, no host, or mirrors mixed with directories; a name that is
                not UTF-8, which a lock cannot hold.
        """
        if "://" not in text:
            if not text or not _is_utf8(text) or _is_half_a_url(text):
                raise _no_repository(text, where)
            return cls((str(Path(text).absolute()),), remote=False)
        words = text.split()
        try:
            parts = [urlsplit(word) for word in words]
            sound = all(_has_only_place(part) for part in parts)
        except ValueError:  # brackets without an address, a port that is none
            sound = False
        if not sound or not _is_utf8(text):
            raise _no_repository(text, where)
        if len(parts) == 1 and parts[0].scheme == "file":
            return cls((unquote(parts[0].path),), remote=False)
        if not all(part.scheme in ("http", "https") for part in parts):
            raise _no_repository(text, where)
        return cls(tuple(word.rstrip("/") for word in words), remote=True)

    @property
    def name(self) -> str:
        """The repository in messages and locks: its first URL without user name and password."""
        if self.title:
            return self.title
        return without_credentials(self.urls[0]) if self.remote else self.urls[0]

    @property
    def place(self) -> str:
        """Where it is read, for messages: its first URL without user name and password."""
        return without_credentials(self.urls[0])

    @property
    def places(self) -> str:
        """All places where it may be read, for messages."""
        return " ".join(map(without_credentials, self.urls))

    @property
    def is_served(self) -> bool:
        """Whether it is the repository of a server, also where it is read from a copy."""
        return "://" in self.name

    def served_by(self, urls: Sequence[str]) -> Location:
        """The same repository from these of its mirrors only, in this order."""
        return replace(self, urls=tuple(urls), title=self.name)

    def file(self, name: str) -> tuple[str, ...]:
        """The URLs (or the path) of the file `name` of the repository, one per mirror."""
        return tuple(f"{url}/{name}" for url in self.urls)


def _has_only_place(part: SplitResult) -> bool:
    """Whether a URL has the host that its scheme needs, and nothing behind its path.

    Raises:
        ValueError: its port is no number.
    """
    if part.query or part.fragment or "@" in part.path:
        return False  # with an @ behind the host it is a password that holds a slash
    if part.scheme == "file":
        return part.netloc in ("", "localhost") and part.path.startswith("/")
    _ = part.port
    return is_host(part.hostname)


def is_host(text: str | None) -> bool:
    """Whether `text` is the name or address of a host, as it stands in a URL."""
    return _HOST.fullmatch(text or "") is not None


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _is_half_a_url(text: str) -> bool:
    """Whether `text`, which would be a path, was meant to be a URL; it may hold a password."""
    if re.match(r"(?i)(?:https?|ftp|file):", text):
        return True
    return re.match(r"[^/\s]+:[^/\s]*@", text) is not None and not Path(text).exists()


def _no_repository(text: str, where: str | None) -> UsageError:
    return UsageError(
        f"{guessed_without_login(text)!r} is not a repository",
        code="REPOSITORY",
        where=where,
        hint="give a directory, a file:// URL or an http(s):// URL; "
        "in a user name or password write / as %2F and @ as %40",
    )


def guessed_without_login(text: str) -> str:
    """`text`, which is no sound URL, without all that may be a user name or password."""
    return re.sub(r"(?s)^([A-Za-z][0-9A-Za-z+.-]*:/+|(?i:https?|ftp|file):)?.*@", r"\1", text)


def without_credentials(url: str) -> str:
    """`url` without user name, password and query, as it may be shown; a path as it is."""
    if "://" not in url:
        return url
    try:
        parts = urlsplit(url)
    except ValueError:
        return without_passwords(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=""))


def time_is_up(where: str, what: str = "the time for downloads is used up") -> FetchError:
    """The error of a download that has used up all its time."""
    return FetchError(
        what, code="TIME-LIMIT", where=where, hint="what was downloaded is kept; run it again"
    )
