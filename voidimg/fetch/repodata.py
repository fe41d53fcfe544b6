"""Brings repodata: asked for conditionally, as most mirrors have it, kept for the next time."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from voidimg.errors import FetchError, PackageError, VerifyError, VoidimgError
from voidimg.events import Message
from voidimg.fetch.cache import Cache
from voidimg.fetch.choice import Ballot, ballots, is_decided
from voidimg.fetch.http import Answer, Client, http_epoch, past_epoch
from voidimg.fetch.location import Location, without_credentials
from voidimg.fetch.mirrors import Mirrors, may_change, together
from voidimg.fetch.patience import Bound, Patience
from voidimg.foreign import open_regular

Check = Callable[[bytes, str], object]
"""Judges the content of a file that came from the URL or path, by an error."""

REPODATA_LIMIT = 64 * 2**20
"""Void's largest repodata is about 2 MiB; what is larger than this is not one."""

JURY = 9
"""So many mirrors are asked for their index at once; the next ones only if none of them has one."""

_DECIDED_SECONDS = 0.5
"""When the answers have decided, the others are waited for until so long after the question."""

_MUCH_SLOWER = 4
"""Mirrors that take so many times longer than the first to answer are not waited for."""

SMALL_LIMIT = 4096
"""Files of a repository that hold a time are a line long."""


@dataclass(frozen=True, slots=True)
class RepodataFile:
    """The repodata of `location` as it was fetched: its bytes and their SHA-256.

    `location` has the mirrors that serve it, without those that serve another one.
    `modified_epoch` is when it was last changed, in seconds since 1970, as its mirrors say, but
    never later than we saw it first; None if nobody says. It is good for telling, and proves
    nothing.
    """

    location: Location
    content: bytes
    sha256: str
    modified_epoch: int | None = None


@dataclass(frozen=True, slots=True)
class _Copy:
    """The index as the mirror at `url` has it; `answer` is None if it was kept from before."""

    url: str
    content: bytes
    sha256: str
    modified_epoch: int | None
    answer: Answer | None


@dataclass(slots=True)
class _Poll:
    """What the mirrors that were asked gave: an index, one that was refused, or none."""

    copies: dict[str, _Copy] = field(default_factory=dict)
    refused: dict[str, VoidimgError] = field(default_factory=dict)
    failures: dict[str, VoidimgError] = field(default_factory=dict)


class Indexes:
    """The repodata of repositories."""

    def __init__(
        self, cache: Cache, client: Client, mirrors: Mirrors, listen: Callable[[Message], None]
    ):
        self._cache = cache
        self._client = client
        self._mirrors = mirrors
        self._listen = listen
        self._told: set[str] = set()

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
                return self._kept(location, name, check)
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

        def get(url: str, patience: Patience) -> bytes:
            received.clear()
            self._client.get(
                url,
                limit=SMALL_LIMIT,
                sink=lambda _answer, body: received.extend(b"".join(body)),
                patience=patience,
            )
            return bytes(received)

        try:
            bound = self._mirrors.bound()
            return self._mirrors.first(location.file(name), get, bound, is_optional=True)
        except FetchError as error:
            if error.code in ("E-FETCH-NOT-FOUND", "E-FETCH-HTML"):
                return None
            raise

    def _remote(self, location: Location, name: str, check: Check) -> RepodataFile:
        """The index on which most mirrors agree that `check` accepts."""
        bound = self._mirrors.bound()
        urls = location.file(name)
        poll = _Poll()
        for start in range(0, len(urls), JURY):
            jury = urls[start : start + JURY]
            self._ask(jury, poll, bound)
            chosen = self._accepted(urls, poll, check)
            if chosen is not None:
                return self._served(location, name, poll, chosen)
        return self._patiently(location, name, check, poll, bound)

    def _patiently(
        self, location: Location, name: str, check: Check, poll: _Poll, bound: Bound
    ) -> RepodataFile:
        """The index of the first mirror that gives one after all, when asked again."""
        urls = location.file(name)
        again = [url for url, error in poll.failures.items() if may_change(error, url)]
        problems = [*poll.refused.values(), *poll.failures.values()]
        if len(urls) == 1 or not again:
            raise together(problems, location.name)

        def get(url: str, patience: Patience) -> _Copy:
            copy = self._get(url, patience)
            check(copy.content, without_credentials(url))
            return copy

        try:
            copy = self._mirrors.first(again, get, bound)
        except (FetchError, PackageError, VerifyError) as error:
            raise together([*poll.refused.values(), error], location.name) from error
        self._keep(copy)
        poll.copies[copy.url] = copy
        return self._served(location, name, poll, Ballot(copy.sha256, (copy.url,)))

    def _ask(self, urls: Sequence[str], poll: _Poll, bound: Bound) -> None:
        """Ask all of `urls` once, side by side, until their answers decide.

        Who is much slower than the first to answer is not waited for.
        """
        if len(urls) == 1:
            return self._ask_one(urls[0], poll, bound)
        stopping = threading.Event()
        began = time.monotonic()
        with ThreadPoolExecutor(len(urls)) as pool:
            running = {
                pool.submit(
                    self._mirrors.once,
                    url,
                    urls,
                    lambda url, patience: self._get(url, _without_floor(patience), stopping),
                    bound,
                ): url
                for url in urls
            }
            pending = set(running)
            until = None
            while pending:
                left = None if until is None else max(0.0, until - time.monotonic())
                done, pending = wait(pending, left, FIRST_COMPLETED)
                for one in done:
                    _count(poll, running[one], one)
                if not done:
                    break
                served = {url: poll.copies[url].sha256 for url in urls if url in poll.copies}
                passed = _MUCH_SLOWER * (time.monotonic() - began)
                if until is None and served:
                    until = began + max(self._mirrors.judge_seconds, passed)
                if until is not None and is_decided(served, len(urls)):
                    until = min(until, began + max(_DECIDED_SECONDS, passed))
            stopping.set()
        for one in pending:
            _count(poll, running[one], one)
        return None

    def _ask_one(self, url: str, poll: _Poll, bound: Bound) -> None:
        try:
            poll.copies[url] = self._mirrors.first([url], self._get, bound)
        except FetchError as error:
            poll.failures[url] = error

    def _accepted(self, urls: Sequence[str], poll: _Poll, check: Check) -> Ballot | None:
        """The best index that `check` accepts; mirrors whose index it refuses are told."""
        served = {url: copy.sha256 for url, copy in poll.copies.items() if url not in poll.refused}
        for ballot in ballots(urls, served):
            copy = poll.copies[ballot.urls[0]]
            try:
                check(copy.content, without_credentials(copy.url))
            except (PackageError, VerifyError) as error:
                for url in ballot.urls:
                    poll.refused[url] = error
                if len(urls) > 1:
                    self._warn_of_left(ballot, str(error))
                continue
            for url in ballot.urls:
                self._keep(poll.copies[url])
            return ballot
        return None

    def _served(self, location: Location, name: str, poll: _Poll, chosen: Ballot) -> RepodataFile:
        """What was chosen, and its mirrors: who agrees, then who was not asked or is dead."""
        urls = location.file(name)
        for other in ballots(urls, {url: copy.sha256 for url, copy in poll.copies.items()}):
            if other.sha256 != chosen.sha256 and not poll.refused.keys() & set(other.urls):
                count = len(chosen.urls)
                than = (
                    f"{count} of the mirrors"
                    if count > 1
                    else f"{without_credentials(chosen.urls[0])}"
                )
                self._warn_of_left(other, f"it serves another index than {than}")
        for url, error in poll.failures.items():
            self._mirrors.tell(url, error)
        silent = [url for url in urls if url not in poll.copies and url not in poll.failures]
        dead = [url for url in urls if url in poll.failures and url not in chosen.urls]
        bases = [url.removesuffix(f"/{name}") for url in (*chosen.urls, *silent, *dead)]
        served = location if len(urls) == 1 else location.served_by(bases)
        copies = [poll.copies[url] for url in chosen.urls]
        # of those who agree, a single one cannot make the index young or old
        epochs = sorted(one.modified_epoch for one in copies if one.modified_epoch is not None)
        modified = epochs[(len(epochs) - 1) // 2] if epochs else None
        return RepodataFile(served, copies[0].content, chosen.sha256, modified)

    def _warn_of_left(self, ballot: Ballot, why: str) -> None:
        for url in ballot.urls:
            shown = without_credentials(url)
            text = f"mirror left: {why if why.startswith(shown) else f'{shown}: {why}'}"
            if text not in self._told:  # an index is asked for again at the end of a run
                self._told.add(text)
                self._listen(Message("warning", text))

    def _get(self, url: str, patience: Patience, stopping: threading.Event | None = None) -> _Copy:
        kept, stamp = self._files(url)
        known = _stamped(stamp)
        before, headers = _conditional(stamp, kept)
        received = bytearray()

        def sink(_answer: Answer, body: Iterator[bytes]) -> None:
            received.clear()
            for chunk in body:
                if stopping is not None and stopping.is_set():
                    raise _overtaken(url)
                received.extend(chunk)

        answer = self._client.get(
            url, headers=headers, limit=REPODATA_LIMIT, sink=sink, patience=patience
        )
        if answer.status == 304 and headers:
            told = answer.modified_epoch or past_epoch(http_epoch(known.get("last_modified")))
            return _Copy(url, before, known["sha256"], _earlier(told, _seen_epoch(known)), None)
        if answer.status != 200:
            raise FetchError(
                f"the server answered {answer.status} to a request for the whole file",
                code="STATUS",
                where=without_credentials(url),
            )
        content = bytes(received)
        sha256 = hashlib.sha256(content).hexdigest()
        seen = _seen_epoch(known) if known.get("sha256") == sha256 else int(time.time())
        return _Copy(url, content, sha256, _earlier(answer.modified_epoch, seen), answer)

    def _keep(self, copy: _Copy) -> None:
        """Keep an index that was sent anew and accepted, for the next conditional request."""
        if copy.answer is None:
            return
        kept, stamp = self._files(copy.url)
        known = _stamped(stamp)
        seen = _seen_epoch(known) if known.get("sha256") == copy.sha256 else None
        stamp.unlink(missing_ok=True)  # never a stamp beside content it does not belong to
        key = kept.parent.name
        self._cache.write_small(copy.content, "repodata", key, "content")
        new = _stamp(copy.answer, copy.sha256, int(time.time()) if seen is None else seen)
        self._cache.write_small(new, "repodata", key, "stamp.json")

    def _kept(self, location: Location, name: str, check: Check) -> RepodataFile:
        """What was fetched before, without a request; of several mirrors as when they are asked."""
        poll = _Poll()
        urls = location.file(name)
        for url in urls:
            kept, stamp = self._files(url)
            known = _stamped(stamp)
            content = kept.read_bytes() if known else b""
            if known and hashlib.sha256(content).hexdigest() == known["sha256"]:
                told = past_epoch(http_epoch(known.get("last_modified")))
                seen = _seen_epoch(known)
                poll.copies[url] = _Copy(url, content, known["sha256"], _earlier(told, seen), None)
        chosen = self._accepted(urls, poll, check)
        if chosen is not None:
            copies = poll.copies[chosen.urls[0]]
            return RepodataFile(location, copies.content, chosen.sha256, copies.modified_epoch)
        if poll.refused:
            raise together(list(poll.refused.values()), location.name)
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
        with open_regular(path) as file:
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
        with open_regular(path) as file:
            found = os.fstat(file.fileno())
            # A file of holes is as long as it likes: what is too large is not read.
            content = file.read(REPODATA_LIMIT) if found.st_size <= REPODATA_LIMIT else b""
        modified = past_epoch(int(found.st_mtime))
    except FileNotFoundError as error:
        raise FetchError("there is none", code="NOT-FOUND", where=str(path)) from error
    except OSError as error:
        raise FetchError(
            f"cannot read the repodata: {error.strerror}", code="LOCAL", where=str(path)
        ) from error
    if found.st_size > REPODATA_LIMIT:
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
            where=location.place,
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


def _stamp(answer: Answer, sha256: str, seen_epoch: int) -> bytes:
    known = {
        "etag": answer.etag,
        "last_modified": answer.last_modified,
        "seen": str(seen_epoch),
        "sha256": sha256,
    }
    return json.dumps(known, sort_keys=True).encode()


def _seen_epoch(known: Mapping[str, str]) -> int | None:
    """When a kept index was first seen, by our own clock."""
    seen = known.get("seen", "")
    return int(seen) if seen.isascii() and seen.isdecimal() and len(seen) < 12 else None


def _earlier(told: int | None, seen: int | None) -> int | None:
    """When an index was changed: as the server says, if it says so, but before it was seen."""
    return told if told is None or seen is None else min(told, seen)


def _without_floor(patience: Patience) -> Patience:
    """The same, without comparing: mirrors that are asked at once share our own connection."""
    patience.floor = 0.0
    return patience


def _overtaken(url: str) -> FetchError:
    return FetchError(
        "it is much slower than other mirrors", code="SLOW", where=without_credentials(url)
    )


def _count(poll: _Poll, url: str, ended: Future[_Copy]) -> None:
    """Enter what became of the request for `url`."""
    error = ended.exception()
    if error is None:
        poll.copies[url] = ended.result()
    elif isinstance(error, FetchError):
        poll.failures[url] = error
    else:
        raise error
