"""Memory against the size of a package: what handles a small one and what handles a huge one.

`python -m tests.bench.memory WHAT ...` is one measured process; see `memory_figures`.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.bench.engine import install_all
from tests.bench.fresh import cost
from tests.http_server import serving
from voidimg.fetch import Cache, Fetcher, Wanted
from voidimg.fetch.upkeep import verify_cache
from voidimg.sandbox import namespace
from voidimg.xbps.package.writer import PackageMember, PackageMeta, write_package

SIZES_MIB = (4, 512)
SIZES = tuple(f"{size} MiB" for size in SIZES_MIB)
_CHUNK = 2**20


def memory_figures(work: Path) -> Iterator[tuple[str, ...]]:
    """Peak memory of writing, fetching, checking and installing packages of both sizes."""
    columns = [list(_peaks(work / str(size), size)) for size in SIZES_MIB]
    for (name, small), (_, large) in zip(*columns, strict=True):
        yield (
            name,
            f"{small / 2**20:.0f} MiB",
            f"{large / 2**20:.0f} MiB",
            f"{large / small:.2f}",
        )


def _peaks(work: Path, size_mib: int) -> Iterator[tuple[str, int]]:
    served = work / "served"
    served.mkdir(parents=True)
    _measured = [sys.executable, "-m", "tests.bench.memory"]
    yield "write", cost(*_measured, "write", served, str(size_mib)).peak_bytes
    (package,) = served.iterdir()
    with serving(served) as server:
        url = f"{server.url}/{package.name}"
        yield "fetch over HTTP", cost(*_measured, "fetch", work / "http", package, url).peak_bytes
    copied = cost(*_measured, "fetch", work / "copy", package, package)
    yield "fetch from a directory", copied.peak_bytes
    yield "verify the cache", cost(*_measured, "verify", work / "copy").peak_bytes
    yield "unpack, verify and register", cost(*_measured, "install", package).peak_bytes


def main(what: str, *words: str) -> None:
    """Do one thing in this process, which somebody measures."""
    if what == "write":
        _write(Path(words[0]), int(words[1]))
    elif what == "fetch":
        _fetch(Path(words[0]), Path(words[1]), words[2])
    elif what == "verify":
        if verify_cache(Cache(Path(words[0]))):
            raise SystemExit("the cache is damaged")
    else:
        namespace.call(install_all, [("big-1.0_1", Path(words[0]))], 1)


def _write(directory: Path, size_mib: int) -> None:
    """A package with one file of noise, which no compressor makes smaller."""
    noise = random.Random(size_mib)
    content = directory.parent / "content"
    with content.open("wb") as file:
        for _ in range(size_mib):
            file.write(noise.randbytes(_CHUNK))
    meta = PackageMeta("big", "1.0_1", "aarch64", "A big package")
    write_package(directory, meta, [PackageMember("/usr/lib/big", content=content)], level=1)


def _fetch(cache: Path, package: Path, url: str) -> None:
    with package.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    wanted = Wanted(package.name, (url,), package.stat().st_size, sha256)
    Fetcher(Cache(cache)).fetch([wanted])


if __name__ == "__main__":
    main(*sys.argv[1:])
