"""Brings repodata: asked for conditionally, from the freshest mirror, kept for the next time."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from voidimg.errors import FetchError, PackageError, VerifyError
from voidimg.events import Message
from voidimg.fetch.cache import Cache
from voidimg.fetch.http import Answer, Client, http_epoch
from voidimg.fetch.location import Location, without_credentials
from voidimg.fetch.mirrors import Mirrors

Check = Callable[[bytes, str], object]
"""Judges the content of a file that came from the URL or path, by an error."""

REPODATA_LIMIT = 256 * 2**20
"""Void's largest repodata is about 2 MiB; what is larger than this is not one."""

SMALL_LIMIT = 4096
"""Files of a repository that hold a time are a line long."""


@dataclass(frozen=True, slots=True)
class RepodataFile:
    """The repodata of `location` as it was fetched: its bytes and their SHA-256.

    `location` has the mirrors that serve it, without those that serve an older one.
    `modified_epoch` is when it was last changed, in seconds since 1970; None if nobody says.
    """

    location: Location
    content: bytes
    sha256: str
    modified_epoch: int | None = None


class Indexes:
    """The repodata of repositories."""

    def __init__(
        self, cache: Cache, client: Client, mirrors: Mirrors, listen: Callable[[Message], None]
    ):
        self._cache = cache
        self._client = client
        self._mirrors = mirrors
        self._listen = listen

    def read(self, location: Location, arch: str, check: Check) -> RepodataFile | None:
        """The repository's ``<arch>-repodata``; None when it has none for this architecture.

        Raises:
            FetchError: no mirror gave it, or the directory does not exist.
            PackageError, VerifyError: what all mirrors gave is refused by `check`.
        """
        name = f"{arch}-repodata"
        try:
            if not location.remote:
                return _local(location, name)
            if self._mirrors.offline:
                return self._kept(location, name)
            return self._remote(location, name, check)
        except FetchError as error:
            if error.code == "E-FETCH-NOT-FOUND":
                return None
            raise

    def small(self, location: Location, name: str) -> bytes | None:
        """A file of a line that the repository may have beside its packages; None without it.

        Raises:
            FetchError: no mirror answered properly.
        """
        if not location.remote:
            return _local_small(Path(location.urls[0], name))
        received = bytearray()
        deadline = self._mirrors.deadline()

        def get(url: str) -> bytes:
            received.clear()
            self._client.get(
                url,
                limit=SMALL_LIMIT,
                sink=lambda _answer, body: received.extend(b"".join(body)),
                deadline=deadline,
            )
            return bytes(received)

        try:
            return self._mirrors.first(location.file(name), get, deadline)
        except FetchError as error:
            if error.code in ("E-FETCH-NOT-FOUND", "E-FETCH-HTML"):
                return None
            raise

    def _remote(self, location: Location, name: str, check: Check) -> RepodataFile:
        deadline = self._mirrors.deadline()
        fresh, older = self._sorted(location.file(name), deadline)
        before = [_stamped(self._files(url)[1]).get("last_modified") for url in location.file(name)]

        def get(one: str) -> tuple[bytes, int | None, str]:
            return (*self._get(one, deadline, check), one)

        try:
            content, modified, url = self._mirrors.first(fresh, get, deadline)
        except (FetchError, PackageError, VerifyError) as error:
            if not older:
                raise
            text = f"no mirror gave the newest repodata, so an older one is asked for: {error}"
            self._listen(Message("warning", text))
            content, modified, url = self._mirrors.first(older, get, deadline)
            fresh = [*older, *fresh]
        known = [epoch for text in before if (epoch := http_epoch(text)) is not None]
        if modified is not None and known and modified < max(known):
            self._listen(
                Message(
                    "warning",
                    f"{without_credentials(url)}: the repodata of {_date(modified)} is older than "
                    f"that of {_date(max(known))}, which was served before",
                )
            )
        bases = [one.removesuffix(f"/{name}") for one in fresh]
        served = location if len(location.urls) == 1 else location.served_by(bases)
        return RepodataFile(served, content, hashlib.sha256(content).hexdigest(), modified)

    def _sorted(self, urls: Sequence[str], deadline: float) -> tuple[list[str], list[str]]:
        """Those of `urls` that serve the newest file, the dead ones last; those with an older."""
        if len(urls) == 1:
            return list(urls), []
        with ThreadPoolExecutor(len(urls)) as pool:
            found = list(pool.map(lambda url: self._peek(url, deadline), urls))
        dated = [one.modified_epoch for one in found if one is not None]
        newest = max((epoch for epoch in dated if epoch is not None), default=None)
        fresh: list[str] = []
        older: list[str] = []
        dead: list[str] = []
        for url, answer in zip(urls, found, strict=True):
            if answer is None:
                dead.append(url)
            elif newest is None or answer.modified_epoch in (None, newest):
                fresh.append(url)
            else:
                older.append(url)
                self._listen(
                    Message(
                        "warning",
                        f"mirror left: {without_credentials(url)} serves the repodata of "
                        f"{_date(answer.modified_epoch)}; another has that of {_date(newest)}",
                    )
                )
        return fresh + dead, older

    def _peek(self, url: str, deadline: float) -> Answer | None:
        try:
            return self._client.get(
                url, limit=REPODATA_LIMIT, sink=lambda _answer, _body: None, deadline=deadline
            )
        except FetchError:
            return None  # it is asked once more if no other works, and named then

    def _get(self, url: str, deadline: float, check: Check) -> tuple[bytes, int | None]:
        kept, stamp = self._files(url)
        before, headers = _conditional(stamp, kept)
        received = bytearray()
        answer = self._client.get(
            url,
            headers=headers,
            limit=REPODATA_LIMIT,
            sink=lambda _answer, body: received.extend(b"".join(body)),
            deadline=deadline,
        )
        if answer.status == 304 and headers:
            return before, answer.modified_epoch or http_epoch(headers.get("If-Modified-Since"))
        if answer.status != 200:
            raise FetchError(
                f"the server answered {answer.status} to a request for the whole file",
                code="STATUS",
                where=without_credentials(url),
            )
        content = bytes(received)
        check(content, without_credentials(url))  # or the next answer 304 would keep it for ever
        stamp.unlink(missing_ok=True)  # never a stamp beside content it does not belong to
        key = kept.parent.name
        self._cache.write_small(content, "repodata", key, "content")
        self._cache.write_small(_stamp(answer, content), "repodata", key, "stamp.json")
        return content, answer.modified_epoch

    def _kept(self, location: Location, name: str) -> RepodataFile:
        """What was fetched before, without a request."""
        for url in location.file(name):
            kept, stamp = self._files(url)
            known = _stamped(stamp)
            if known:
                content = kept.read_bytes()
                if hashlib.sha256(content).hexdigest() == known["sha256"]:
                    modified = http_epoch(known.get("last_modified"))
                    return RepodataFile(location, content, str(known["sha256"]), modified)
        raise FetchError(
            "its repodata is not in the cache, and no server may be asked",
            code="OFFLINE",
            where=location.name,
            hint="leave out --offline once, or build from a lock with a bundle",
        )

    def _files(self, url: str) -> tuple[Path, Path]:
        """The kept repodata of `url`, and what is known of it."""
        key = hashlib.sha256(url.encode()).hexdigest()
        kept = self._cache.part("repodata", key, "content")
        return kept, kept.with_name("stamp.json")


def _local_small(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(SMALL_LIMIT)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        raise FetchError(
            f"cannot read it: {error.strerror}", code="LOCAL", where=str(path)
        ) from error


def _local(location: Location, name: str) -> RepodataFile:
    require_directory(location)
    path = Path(location.urls[0], name)
    try:
        with path.open("rb") as file:
            content = file.read(REPODATA_LIMIT + 1)
        modified = int(path.stat().st_mtime)
    except FileNotFoundError as error:
        raise FetchError("there is none", code="NOT-FOUND", where=str(path)) from error
    except OSError as error:
        raise FetchError(
            f"cannot read the repodata: {error.strerror}", code="LOCAL", where=str(path)
        ) from error
    if len(content) > REPODATA_LIMIT:
        raise FetchError(
            f"the repodata is larger than {REPODATA_LIMIT} bytes", code="LENGTH", where=str(path)
        )
    return RepodataFile(location, content, hashlib.sha256(content).hexdigest(), modified)


def require_directory(location: Location) -> None:
    """Raise `FetchError` when the local repository `location` is not a directory."""
    what = None
    try:
        if not stat.S_ISDIR(os.stat(location.urls[0]).st_mode):
            what = "is a file"
    except FileNotFoundError:
        what = "does not exist"
    except OSError as error:
        what = f"cannot be looked at: {error.strerror}"
    if what is not None:
        raise FetchError(
            f"the repository directory {what}",
            code="NO-DIRECTORY",
            where=location.name,
            hint="check the path of the repository",
        )


def _stamped(stamp: Path) -> dict[str, str]:
    """What is known of a kept repodata; nothing if that cannot be read."""
    try:
        known = json.loads(stamp.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict) or not isinstance(known.get("sha256"), str):
        return {}
    return {key: value for key, value in known.items() if isinstance(value, str)}


def _conditional(stamp: Path, kept: Path) -> tuple[bytes, dict[str, str]]:
    """The kept copy, and headers that let the server answer 304 if it is what the stamp says."""
    known = _stamped(stamp)
    try:
        content = kept.read_bytes()
        if not known or hashlib.sha256(content).hexdigest() != known["sha256"]:
            return b"", {}
        with suppress(PermissionError):  # a cache that another user filled
            os.utime(stamp)
    except OSError:
        return b"", {}
    names = {"If-None-Match": "etag", "If-Modified-Since": "last_modified"}
    return content, {header: known[name] for header, name in names.items() if name in known}


def _stamp(answer: Answer, content: bytes) -> bytes:
    known = {
        "etag": answer.etag,
        "last_modified": answer.last_modified,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    return json.dumps(known, sort_keys=True).encode()


def _date(epoch: int | None) -> str:
    """`epoch` in UTC for people."""
    if epoch is None:
        return "an unknown time"
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
