"""Brings repodata and packages into the cache: mirrors in turn, retries, resume, verification."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypeVar

from voidimg.errors import FetchError, VerifyError, VoidimgError, storing
from voidimg.events import Listener, Message, Progress, ignore, step
from voidimg.fetch.cache import Cache
from voidimg.fetch.http import STALL_SECONDS, Answer, Client
from voidimg.fetch.location import Location

REPODATA_LIMIT = 256 * 2**20
"""Void's largest repodata is about 2 MiB; what is larger than this is not one."""

SIGNATURE_LIMIT = 4096
"""An RSA signature of 16384 bits has 2048 bytes."""

ATTEMPTS = 3
"""How often one mirror is tried before the next one is."""

_FINAL = ("E-FETCH-NOT-FOUND", "E-FETCH-FORBIDDEN", "E-FETCH-HTML", "E-FETCH-LENGTH", "E-FETCH-DNS")
"""Answers that trying again does not change."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file of known size (bytes) and SHA-256, and where it may be had, best first."""

    name: str
    urls: tuple[str, ...]
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class RepodataFile:
    """The repodata of `location` as it was fetched: its bytes and their SHA-256."""

    location: Location
    content: bytes
    sha256: str


class Fetcher:
    """Fetches into `cache` with at most `jobs` transfers at once."""

    def __init__(
        self,
        cache: Cache,
        *,
        jobs: int = 4,
        listener: Listener = ignore,
        pause: Callable[[float], None] = time.sleep,
        stall_seconds: float = STALL_SECONDS,
    ):
        self._cache = cache
        self._jobs = jobs
        self._pause = pause
        self._client = Client(jobs, stall_seconds)
        self._lock = threading.Lock()
        self._unlocked_listener = listener

    def _listen(self, event: Message | Progress) -> None:
        with self._lock:
            self._unlocked_listener(event)

    # --- repodata ---

    def repodata(self, location: Location, arch: str) -> RepodataFile | None:
        """The repository's ``<arch>-repodata``; None when it has none for this architecture.

        A remote copy is asked for conditionally and kept for the next time.

        Raises:
            FetchError: no mirror gave it, or the directory does not exist.
        """
        name = f"{arch}-repodata"
        if not location.remote:
            return self._local_repodata(location, name)
        try:
            content = self._over_mirrors(location.file(name), self._remote_repodata)
        except FetchError as error:
            if error.code == "E-FETCH-NOT-FOUND":
                return None
            raise
        return RepodataFile(location, content, hashlib.sha256(content).hexdigest())

    def _local_repodata(self, location: Location, name: str) -> RepodataFile | None:
        directory = Path(location.urls[0])
        if not directory.is_dir():
            raise FetchError(
                "the repository directory does not exist",
                code="NO-DIRECTORY",
                where=str(directory),
                hint="check the path given with -r",
            )
        try:
            with (directory / name).open("rb") as file:
                content = file.read(REPODATA_LIMIT + 1)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise FetchError(
                f"cannot read the repodata: {error.strerror}",
                code="LOCAL",
                where=str(directory / name),
            ) from error
        if len(content) > REPODATA_LIMIT:
            raise FetchError(
                f"the repodata is larger than {REPODATA_LIMIT} bytes",
                code="LENGTH",
                where=str(directory / name),
            )
        return RepodataFile(location, content, hashlib.sha256(content).hexdigest())

    def _remote_repodata(self, url: str) -> bytes:
        key = hashlib.sha256(url.encode()).hexdigest()
        kept = self._cache.part("repodata", key, "content")
        stamp = self._cache.part("repodata", key, "stamp.json")
        headers = _conditional_headers(stamp, kept)
        received = bytearray()
        answer = self._client.get(
            url,
            headers=headers,
            limit=REPODATA_LIMIT,
            sink=lambda _answer, body: received.extend(b"".join(body)),
        )
        if answer.status == 304:
            return kept.read_bytes()
        content = bytes(received)
        stamp.unlink(missing_ok=True)  # never a stamp beside content it does not belong to
        self._cache.write_small(content, "repodata", key, "content")
        self._cache.write_small(_stamp(answer, content), "repodata", key, "stamp.json")
        return content

    # --- packages and signatures ---

    def fetch(self, wanted: Sequence[Wanted], step_name: str = "fetch") -> dict[str, Path]:
        """Bring all of `wanted` into the cache; returns SHA-256 -> verified file.

        Raises:
            DiskFullError: foreseen before the first transfer.
            FetchError: no mirror gave a file whole.
            VerifyError: every mirror gave a file with another SHA-256.
        """
        missing = [item for item in wanted if self._cache.find(item.sha256, item.size) is None]
        total = sum(item.size for item in missing)
        self._cache.require_room(total, "downloading packages")
        done = 0
        with step(self._unlocked_listener, step_name), ThreadPoolExecutor(self._jobs) as pool:
            running = [pool.submit(self._fetch_one, item) for item in missing]
            try:
                for item, future in zip(missing, running, strict=True):
                    future.result()
                    done += item.size
                    self._listen(Progress(step_name, done, total, "bytes"))
            except BaseException:
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return {item.sha256: self._cache.object_path(item.sha256) for item in wanted}

    def signature(self, package_urls: tuple[str, ...], sha256: str) -> bytes:
        """The ``.sig2`` of the package at `package_urls` whose SHA-256 is `sha256`.

        Raises:
            FetchError: there is none (``E-FETCH-NOT-FOUND``) or it cannot be had.
        """
        kept = self._cache.part("signatures", sha256)
        if kept.exists():
            return kept.read_bytes()
        content = self._over_mirrors(
            tuple(url + ".sig2" for url in package_urls), self._read_signature
        )
        self._cache.write_small(content, "signatures", sha256)
        return content

    def signatures(self, packages: Sequence[Wanted]) -> dict[str, bytes]:
        """The signatures of `packages`, fetched side by side; SHA-256 -> bytes."""
        with ThreadPoolExecutor(self._jobs) as pool:
            found = pool.map(lambda item: self.signature(item.urls, item.sha256), packages)
            return {item.sha256: content for item, content in zip(packages, found, strict=True)}

    def forget_signature(self, sha256: str) -> None:
        """Drop a kept signature that did not verify, so that the next run asks again."""
        self._cache.part("signatures", sha256).unlink(missing_ok=True)

    def _read_signature(self, url: str) -> bytes:
        if not _is_remote(url):
            with _reading(url), open(url, "rb") as file:
                return file.read(SIGNATURE_LIMIT)
        received = bytearray()
        self._client.get(
            url, limit=SIGNATURE_LIMIT, sink=lambda _answer, body: received.extend(b"".join(body))
        )
        return bytes(received)

    def _fetch_one(self, item: Wanted) -> Path:
        if not _is_remote(item.urls[0]):
            return self._copy_local(item)
        part = self._cache.part("incoming", f"{item.sha256}.part")
        with _locked(part) as file:
            found = self._cache.find(item.sha256, item.size)
            if found is None:
                self._over_mirrors(item.urls, lambda url: self._transfer(url, item, file))
                found = self._cache.adopt(part, item.sha256)
        return found

    def _copy_local(self, item: Wanted) -> Path:
        with _reading(item.urls[0]), open(item.urls[0], "rb") as stream:
            sha256, size = self._cache.add_stream(stream, item.sha256, item.size)
        if (sha256, size) != (item.sha256, item.size):
            raise _wrong_content(item, item.urls[0], sha256, size)
        return self._cache.object_path(item.sha256)

    def _transfer(self, url: str, item: Wanted, file: IO[bytes]) -> None:
        """Bring `file` to exactly the wanted content, going on where an earlier try ended."""
        have = os.fstat(file.fileno()).st_size
        if have >= item.size:
            have = 0
        digest = hashlib.sha256()

        def sink(answer: Answer, body: Iterator[bytes]) -> None:
            start = have if answer.status == 206 and _starts_at(answer, have) else 0
            file.seek(0)
            digest.update(file.read(start))
            file.truncate(start)
            file.seek(start)
            with storing(Path(item.name), "write the download of"):
                for chunk in body:
                    file.write(chunk)
                    digest.update(chunk)
                file.flush()

        headers = {"Range": f"bytes={have}-"} if have else {}
        answer = self._client.get(url, headers=headers, limit=item.size, sink=sink)
        size = os.fstat(file.fileno()).st_size
        if answer.status == 416 or size != item.size:
            file.truncate(0)
            raise FetchError(
                f"the server sent {size} of {item.size} bytes", code="TRUNCATED", where=url
            )
        if digest.hexdigest() != item.sha256:
            file.truncate(0)
            if have:  # the bytes of an earlier try may be the wrong ones, not this mirror's
                self._transfer(url, item, file)
                return
            raise _wrong_content(item, url, digest.hexdigest(), size)

    # --- mirrors and retries ---

    def _over_mirrors(self, urls: Sequence[str], transfer: Callable[[str], T]) -> T:
        """The result of the first mirror that works; each is retried, each failure is named."""
        failures: list[VoidimgError] = []
        for url in urls:
            for attempt in range(ATTEMPTS):
                try:
                    return transfer(url)
                except (FetchError, VerifyError) as error:
                    last = error
                if isinstance(last, VerifyError) or last.code in _FINAL or not _is_remote(url):
                    break
                if attempt + 1 < ATTEMPTS:
                    self._pause(0.5 * 2**attempt)
            failures.append(last)
            if len(urls) > 1:
                self._listen(Message("warning", f"mirror left: {last}"))
        if len(failures) == 1:
            raise failures[0]
        raise FetchError(
            "no mirror gave the file: " + "; ".join(str(failure) for failure in failures),
            code="ALL-MIRRORS"
            if any(failure.code != "E-FETCH-NOT-FOUND" for failure in failures)
            else "NOT-FOUND",
            where=urls[0],
        )


def _is_remote(url: str) -> bool:
    return url.startswith(("http://", "https://"))


def _starts_at(answer: Answer, have: int) -> bool:
    return (answer.content_range or "").startswith(f"bytes {have}-")


def _wrong_content(item: Wanted, url: str, sha256: str, size: int) -> VerifyError:
    detail = f"SHA-256 {sha256}" if size == item.size else f"{size} bytes or more"
    return VerifyError(
        f"{item.name} is not what the index says: {detail}, "
        f"expected SHA-256 {item.sha256} and {item.size} bytes",
        code="SHA256",
        where=url,
        hint="the package was changed or damaged, or the repository is being updated",
    )


def _conditional_headers(stamp: Path, kept: Path) -> dict[str, str]:
    """Headers that let the server answer 304, if the kept copy is still what the stamp says."""
    try:
        known = json.loads(stamp.read_text())
        if hashlib.sha256(kept.read_bytes()).hexdigest() != known["sha256"]:
            return {}
        headers = {"If-None-Match": known["etag"], "If-Modified-Since": known["last_modified"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {key: value for key, value in headers.items() if isinstance(value, str)}


def _stamp(answer: Answer, content: bytes) -> bytes:
    known = {
        "etag": answer.etag,
        "last_modified": answer.last_modified,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    return json.dumps(known, sort_keys=True).encode()


@contextmanager
def _locked(part: Path) -> Iterator[IO[bytes]]:
    """Open the partial file for reading and writing, exclusively among processes and threads."""
    while True:
        with storing(part, "open the partial download"):
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # whoever held the lock before may have renamed the file away: then open it anew
            if part.exists() and os.path.samestat(os.fstat(descriptor), part.stat()):
                yield file
                return


@contextmanager
def _reading(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise FetchError(
            "the file is listed in the index but not in the repository",
            code="NOT-FOUND",
            where=path,
            hint="index the repository again",
        ) from error
    except OSError as error:
        raise FetchError(f"cannot read: {error.strerror}", code="LOCAL", where=path) from error
