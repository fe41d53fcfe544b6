"""Where a repository is: a local directory, or an http(s) URL with its mirrors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from voidimg.errors import UsageError


@dataclass(frozen=True, slots=True)
class Location:
    """One repository: `urls` are the same content in order of preference (mirrors).

    A local directory is one URL-less absolute path. `title` is the name it keeps whichever of its
    mirrors are used.
    """

    urls: tuple[str, ...]
    remote: bool
    title: str = ""

    @classmethod
    def parse(cls, text: str) -> Location:
        """A directory, a ``file://`` URL, or http(s) URLs of mirrors separated by blanks.

        Raises:
            UsageError: another scheme, no host, or mirrors mixed with directories.
        """
        words = text.split() if "://" in text else [text]
        schemes = {urlsplit(word).scheme for word in words}
        if "://" not in text:
            return cls((str(Path(text).absolute()),), remote=False)
        if schemes == {"file"} and len(words) == 1:
            return cls((urlsplit(words[0]).path,), remote=False)
        if not schemes <= {"http", "https"} or not all(urlsplit(word).netloc for word in words):
            raise UsageError(
                f"{text!r} is not a repository",
                code="REPOSITORY",
                where="--repository",
                hint="give a directory, a file:// URL or an http(s):// URL",
            )
        return cls(tuple(word.rstrip("/") for word in words), remote=True)

    @property
    def name(self) -> str:
        """The repository in messages and locks: its first URL without user name and password."""
        if self.title:
            return self.title
        return without_credentials(self.urls[0]) if self.remote else self.urls[0]

    def served_by(self, urls: Sequence[str]) -> Location:
        """The same repository from these of its mirrors only, in this order."""
        return replace(self, urls=tuple(urls), title=self.name)

    def file(self, name: str) -> tuple[str, ...]:
        """The URLs (or the path) of the file `name` of the repository, one per mirror."""
        return tuple(f"{url}/{name}" for url in self.urls)


def without_credentials(url: str) -> str:
    """`url` without user name and password, as it may be shown and stored; a path as it is."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
