"""Brings packages and their signatures into the cache: resumed where possible, always verified."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from voidimg.errors import FetchError, VerifyError, VoidimgError, raise_all, storing
from voidimg.events import Listener, Message, Progress, ignore, step
from voidimg.fetch.cache import Cache
from voidimg.fetch.http import STALL_SECONDS, Answer, Client
from voidimg.fetch.location import Location, without_credentials
from voidimg.fetch.mirrors import TOTAL_SECONDS, Mirrors, is_remote
from voidimg.fetch.patience import IDLE_SECONDS, JUDGE_SECONDS, Bound, Patience
from voidimg.fetch.repodata import JURY, Check, Indexes, RepodataFile
from voidimg.file_locks import hold
from voidimg.foreign import open_regular
from voidimg.units import format_size

SIGNATURE_LIMIT = 4096
"""An RSA signature of 16384 bits has 2048 bytes."""

_TOLD_TOGETHER = ("E-FETCH-NOT-FOUND", "E-FETCH-OFFLINE", "E-FETCH-LENGTH", "E-VERIFY-SHA256")
"""Failures of single files; the others are asked for all the same, so that all can be named."""

_CHUNK = 1 << 18
_PROGRESS_STEPS = 200
"""Progress is told about so many times in a download, within big files too."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file of known size (bytes) and SHA-256, and where it may be had, best first.

    `urls` are URLs, or paths of local files.
    """

    name: str
    urls: tuple[str, ...]
    size: int
    sha256: str


def _accept_all(_content: bytes, _where: str) -> None:
    """Take whatever comes."""


class Fetcher:
    """Fetches into `cache` with at most `jobs` transfers at once; `offline` asks no server.

    What mirrors do is remembered as long as the fetcher lives. The times are in seconds: without a
    byte for `stall_seconds` a transfer is given up; while another mirror can be asked, one may be
    silent for `judge_seconds`, and is compared with the others so often; a call ends after
    `total_seconds` (less when little is to come), or `idle_seconds` without progress.
    """

    def __init__(
        self,
        cache: Cache,
        *,
        jobs: int = 4,
        listener: Listener = ignore,
        pause: Callable[[float], None] = time.sleep,
        stall_seconds: float = STALL_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
        judge_seconds: float = JUDGE_SECONDS,
        offline: bool = False,
    ):
        self._cache = cache
        self._jobs = jobs
        self._client = Client(max(jobs, JURY), stall_seconds)
        self._lock = threading.Lock()
        self._unlocked_listener = listener
        self._mirrors = Mirrors(
            self._listen,
            pause=pause,
            total_seconds=total_seconds,
            idle_seconds=idle_seconds,
            judge_seconds=judge_seconds,
            offline=offline,
        )
        self._indexes = Indexes(cache, self._client, self._mirrors, self._listen)

    def _listen(self, event: Message | Progress) -> None:
        with self._lock:
            self._unlocked_listener(event)

    def repodata(
        self, location: Location, arch: str, check: Check = _accept_all
    ) -> RepodataFile | None:
        """The repository's ``<arch>-repodata``; None when it has none for this architecture.

        A remote copy is asked for conditionally and kept for the next time. Of several mirrors
        those that serve an older one than another are named in a warning and left, as long as one
        of the others works.

        Args:
            location: the repository.
            arch: the architecture.
            check: judges what a mirror sent anew; one whose repodata it refuses is left.

        Raises:
            FetchError: no mirror gave it, or the directory does not exist.
            PackageError, VerifyError: what all mirrors gave is refused by `check`.
        """
        return self._indexes.read(location, arch, check)

    def small_file(self, location: Location, name: str) -> bytes | None:
        """A file of a line that the repository may have beside its packages; None without it.

        Raises:
            FetchError: no mirror answered properly.
        """
        return self._indexes.small(location, name)

    def fetch(self, wanted: Sequence[Wanted], step_name: str = "fetch") -> dict[str, Path]:
        """Bring all of `wanted` into the cache; returns SHA-256 -> verified file.

        What is in the cache is hashed again: a disk may have damaged it, or somebody changed it.

        Raises:
            DiskFullError: foreseen before the first transfer.
            FetchError: no mirror gave a file whole.
            VerifyError: every mirror gave a file with another SHA-256 or size.
            CollectedError: several files are missing or have another SHA-256.
        """
        with ThreadPoolExecutor(self._jobs) as pool:
            there = list(pool.map(self._is_kept, wanted))
        missing = [item for item, kept in zip(wanted, there, strict=True) if not kept]
        total = sum(item.size for item in missing)
        self._cache.require_room(total, "downloading packages")
        tally = _Tally(step_name, total, self._listen)
        course = _Course(tally, self._mirrors.bound(total), threading.Event())
        if any(is_remote(url) for item in missing for url in item.urls):
            text = f"{step_name}: {len(missing)} files, {format_size(total)}; {course.bound}"
            self._listen(Message("note", text))
        with step(self._unlocked_listener, step_name), ThreadPoolExecutor(self._jobs) as pool:
            running = [pool.submit(self._fetch_one, item, course) for item in missing]
            try:
                _raise_failures(running)
            except BaseException:
                course.stopping.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return {item.sha256: self._cache.object_path(item.sha256) for item in wanted}

    def signature(
        self, package: Wanted, check: Check = _accept_all, bound: Bound | None = None
    ) -> bytes:
        """The ``.sig2`` of `package`.

        Args:
            package: its signature has the same URLs with ``.sig2`` at the end.
            check: judges a signature; a mirror whose signature it refuses is left.
            bound: when to end; by default one of its own.

        Raises:
            FetchError: there is none (``E-FETCH-NOT-FOUND``) or it cannot be had.
            VerifyError: `check` refuses that of every mirror.
        """
        kept = self._cache.part("signatures", package.sha256)
        refused = None
        with suppress(FileNotFoundError):
            content = kept.read_bytes()
            try:
                check(content, package.name)
            except VerifyError as error:
                refused = error
            else:
                return content
        bound = self._mirrors.bound() if bound is None else bound

        def bring(url: str, patience: Patience) -> bytes:
            content = self._read_signature(url, patience)
            check(content, without_credentials(url))
            return content

        try:
            content = self._mirrors.first([f"{url}.sig2" for url in package.urls], bring, bound)
        except FetchError as error:
            if refused is not None and error.code == "E-FETCH-OFFLINE":
                raise refused from error
            if error.code == "E-FETCH-NOT-FOUND":
                raise _unsigned(package, error) from error
            raise
        bound.progressed()
        self._cache.write_small(content, "signatures", package.sha256)
        return content

    def signatures(
        self,
        packages: Sequence[Wanted],
        check: Callable[[Wanted, bytes, str], object] = lambda _package, _content, _where: None,
    ) -> dict[str, bytes]:
        """The signatures of `packages`, fetched side by side; SHA-256 -> bytes.

        Raises as `signature` does, whose `check` is this one for the package at hand.
        """
        bound = self._mirrors.bound(len(packages) * SIGNATURE_LIMIT)

        def one(package: Wanted) -> bytes:
            return self.signature(package, lambda content, at: check(package, content, at), bound)

        with ThreadPoolExecutor(self._jobs) as pool:
            found = pool.map(one, packages)
            return {item.sha256: content for item, content in zip(packages, found, strict=True)}

    def _read_signature(self, url: str, patience: Patience) -> bytes:
        if not is_remote(url):
            with _reading(url), open_regular(url) as file:
                return file.read(SIGNATURE_LIMIT)
        received = bytearray()

        def sink(_answer: Answer, body: Iterator[bytes]) -> None:
            received.clear()
            received.extend(b"".join(body))

        self._client.get(url, limit=SIGNATURE_LIMIT, sink=sink, patience=patience)
        return bytes(received)

    def _is_kept(self, item: Wanted) -> bool:
        """Whether the cache has `item`; a damaged file is told, and removed."""
        found = self._cache.find(item.sha256, item.size)
        if found is None or self._cache.keep_if_sound(item.sha256):
            return found is not None
        self._listen(Message("warning", f"{item.name} in the cache was damaged, and is removed"))
        return False

    def _fetch_one(self, item: Wanted, course: _Course) -> Path:
        part = self._cache.part("incoming", f"{item.sha256}.part")
        with _locked(part) as file:
            found = self._cache.find(item.sha256, item.size)
            if found is None:
                download = _Download(item, file, self._client, course)
                try:
                    self._mirrors.first(item.urls, download.bring, course.bound)
                except BaseException:
                    if os.fstat(file.fileno()).st_size == 0:
                        part.unlink(missing_ok=True)
                    raise
                found = self._cache.adopt(part, item.sha256)
            else:
                part.unlink(missing_ok=True)
            course.tally.reached(item.sha256, item.size)
        return found


@dataclass(frozen=True, slots=True)
class _Course:
    """What all transfers of one call share: how far they are, when to end, whether to end now."""

    tally: _Tally
    bound: Bound
    stopping: threading.Event


class _StoppedError(Exception):
    """The call that wants the file has failed; nobody is told of this."""


class _Tally:
    """How much of a download is there, told in steps."""

    def __init__(self, step_name: str, total: int, listen: Callable[[Progress], None]):
        self._step_name = step_name
        self._total = total
        self._listen = listen
        self._lock = threading.Lock()
        self._done: dict[str, int] = {}
        self._sum = 0
        self._told = 0

    def reached(self, sha256: str, size: int) -> None:
        """`size` bytes of this file are there."""
        with self._lock:
            self._sum += size - self._done.get(sha256, 0)
            self._done[sha256] = size
            done = self._sum
            is_step = done - self._told >= self._total // _PROGRESS_STEPS or done == self._total
            if not is_step or done == self._told:
                return
            self._told = done
        self._listen(Progress(self._step_name, done, self._total, "bytes"))


class _Download:
    """One file on its way: `file` is its part in the cache, held by us alone."""

    def __init__(self, item: Wanted, file: IO[bytes], client: Client, course: _Course):
        self._item = item
        self._file = file
        self._client = client
        self._course = course

    def bring(self, url: str, patience: Patience) -> None:
        """Bring the file to exactly the wanted content, from a server or a local file.

        Raises:
            FetchError: it cannot be had from there.
            VerifyError: what is there is something else.
        """
        if is_remote(url):
            self._transfer(url, patience)
        else:
            self._copy(url)

    def _copy(self, path: str) -> None:
        digest = hashlib.sha256()
        with _reading(path), open_regular(path) as stream:
            # one byte more than wanted is enough to know that there is too much
            self._store(iter(lambda: stream.read(_CHUNK), b""), 0, digest, self._item.size + 1)
        self._judge(path, digest.hexdigest())

    def _transfer(self, url: str, patience: Patience) -> None:
        """Download, going on where an earlier try ended."""
        have = os.fstat(self._file.fileno()).st_size
        if have >= self._item.size:
            have = 0
        digest = hashlib.sha256()

        def sink(answer: Answer, body: Iterator[bytes]) -> None:
            start = have if answer.status == 206 and _starts_at(answer, have) else 0
            self._digest(start, digest)
            self._store(body, start, digest, self._item.size)

        headers = {"Range": f"bytes={have}-"} if have else {}
        answer = self._client.get(
            url, headers=headers, limit=self._item.size, sink=sink, patience=patience
        )
        size = os.fstat(self._file.fileno()).st_size
        if answer.status == 416 or size != self._item.size:
            self._file.truncate(0)
            raise FetchError(
                f"the server sent {size} of {self._item.size} bytes",
                code="TRUNCATED",
                where=without_credentials(url),
            )
        if have and digest.hexdigest() != self._item.sha256:
            # the bytes of an earlier try may be the wrong ones, not this mirror's
            self._file.truncate(0)
            self._transfer(url, patience)
            return
        self._judge(url, digest.hexdigest())

    def _digest(self, size: int, digest: hashlib._Hash) -> None:
        """Hash the first `size` bytes, which an earlier try brought."""
        self._file.seek(0)
        while size and (chunk := self._file.read(min(size, _CHUNK))):
            digest.update(chunk)
            size -= len(chunk)

    def _store(
        self, chunks: Iterator[bytes], start: int, digest: hashlib._Hash, limit: int
    ) -> None:
        self._file.truncate(start)
        self._file.seek(start)
        size = start
        for chunk in chunks:
            with storing(Path(self._item.name), "write the download of"):
                self._file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
            if size >= limit and size > self._item.size:
                return
            if self._course.stopping.is_set():
                raise _StoppedError
            self._course.bound.progressed()
            self._course.tally.reached(self._item.sha256, min(size, self._item.size))

    def _judge(self, url: str, sha256: str) -> None:
        size = os.fstat(self._file.fileno()).st_size
        if (sha256, size) != (self._item.sha256, self._item.size):
            self._file.truncate(0)
            raise _wrong_content(self._item, url, sha256, size)


def _raise_failures(running: Sequence[Future[Path]]) -> None:
    """Wait for all; raise what ends the download at once, the rest together in the end."""
    for future in as_completed(running):
        error = future.exception()
        if error is not None and getattr(error, "code", None) not in _TOLD_TOGETHER:
            raise error
    found = [future.exception() for future in running]
    failures = [error for error in found if isinstance(error, VoidimgError)]
    raise_all(failures, f"{len(failures)} files cannot be had")


def _starts_at(answer: Answer, have: int) -> bool:
    return (answer.content_range or "").startswith(f"bytes {have}-")


def _wrong_content(item: Wanted, url: str, sha256: str, size: int) -> VerifyError:
    detail = f"SHA-256 {sha256}" if size == item.size else f"{size} bytes or more"
    return VerifyError(
        f"{item.name} is not what the index says: {detail}, "
        f"expected SHA-256 {item.sha256} and {item.size} bytes",
        code="SHA256",
        where=without_credentials(url),
        hint="the index is older or newer than the package: wait for the mirror, or index the"
        " repository again; else the file was damaged or changed",
    )


def _unsigned(package: Wanted, error: FetchError) -> FetchError:
    return FetchError(
        f"{package.name} is in the index, but nobody signed it: there is no {package.name}.sig2",
        code="NOT-FOUND",
        where=error.where,
        hint="a package that was indexed before it was signed, or lost its signature: whoever runs"
        " the repository signs it with xbps-rindex --sign-pkg, or voidimg repo sign",
    )


@contextmanager
def _locked(part: Path) -> Iterator[IO[bytes]]:
    """Open the partial file for reading and writing, exclusively among processes and threads."""
    while True:
        with storing(part, "open the partial download"):
            descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        with os.fdopen(descriptor, "r+b", buffering=0) as file:
            hold(descriptor)
            # whoever held the lock before may have renamed the file away: then open it anew
            if _is_same(descriptor, part):
                yield file
                return


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


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
