"""Puts other mirrors under the repositories of a platform: the same paths, another server.

A repository that is read from a mirror keeps its name, so that a lock does not depend on the
mirror that happened to be near, and can be used where another one is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from voidimg.errors import UsageError
from voidimg.fetch.location import Location, without_credentials

OPTION = "--mirror"


def parse_mirrors(texts: Sequence[str]) -> tuple[Location, ...]:
    """The tops of mirrors, in order of preference: http(s) URLs, or one directory.

    The top of a mirror is what stands before ``/current`` in the URLs of its repositories.

    Raises:
        UsageError: one is neither a URL nor a directory, or a directory is not alone.
    """
    mirrors = tuple(Location.parse(text, where=OPTION) for text in texts)
    for text, mirror in zip(texts, mirrors, strict=True):
        if not mirror.remote and not Path(mirror.urls[0]).is_dir():
            raise _no_mirror(
                f"{text!r} is neither a URL nor a directory",
                "give a directory, or an http(s):// URL with its scheme",
            )
    if len(mirrors) > 1 and not all(mirror.remote for mirror in mirrors):
        raise _no_mirror(
            f"a directory stands beside another mirror: {', '.join(texts)}",
            "give one directory alone, or http(s):// URLs alone",
        )
    return mirrors


def mirrored(own: Sequence[Location], mirrors: Sequence[Location]) -> tuple[Location, ...]:
    """The repositories `own`, read from `mirrors`: each under the path that its first URL has.

    Directories among `own` have no mirrors and stay what they are. Without `mirrors` nothing
    changes.

    Raises:
        UsageError: none of `own` is on a server, or they are on several: then nobody can know of
            which of them the mirrors are.
    """
    if not mirrors:
        return tuple(own)
    served = [one for one in own if one.remote]
    hosts = sorted({urlsplit(one.urls[0]).netloc.rpartition("@")[2] for one in served})
    if not hosts:
        raise _no_mirror(
            "the platform's repositories are directories, which have no mirrors",
            "name other repositories with -r",
        )
    if len(hosts) > 1:
        raise _no_mirror(
            f"the platform's repositories are on several servers: {', '.join(hosts)}",
            "a mirror has the repositories of one server: name each repository with -r",
        )
    bases = [base for mirror in mirrors for base in mirror.urls]
    return tuple(_moved(one, bases) if one.remote else one for one in own)


def _moved(own: Location, bases: Sequence[str]) -> Location:
    path = urlsplit(own.urls[0]).path
    remote = "://" in bases[0]
    under = path if remote else unquote(path)
    urls = tuple(f"{base.rstrip('/')}{under}" for base in bases)
    for base, url in zip(bases, urls, strict=True):
        _require_top(base, url, path)
    return replace(own, urls=urls, remote=remote, title=own.name)


def _require_top(base: str, url: str, path: str) -> None:
    """Catch the likeliest mistake: a repository, ``.../current``, in place of the mirror's top."""
    first = path.strip("/").partition("/")[0]
    if not first or not base.endswith(f"/{first}") or Path(url).is_dir():
        return
    top = without_credentials(base).removesuffix(f"/{first}")
    raise _no_mirror(
        f"{without_credentials(base)} is not the top of a mirror: the repository's own path, "
        f"{path}, begins with /{first} too",
        f"leave out /{first}: {OPTION} {top}",
    )


def _no_mirror(what: str, hint: str) -> UsageError:
    return UsageError(what, code="MIRROR", where=OPTION, hint=hint)
