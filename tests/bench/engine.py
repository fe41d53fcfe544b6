"""The package engine against bsdtar on the same packages, and a full-size index."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from voidimg.events import Listener, ignore
from voidimg.sandbox import namespace
from voidimg.supply.lock import Lock
from voidimg.xbps.install.install import VerifiedPackage, install
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.repository.local import entry_of
from voidimg.xbps.repository.repodata import Repodata
from voidimg.xbps.resolve.resolver import Options, Repository, resolve
from voidimg.xbps.resolve.transaction import Step

ROUNDS = 3
WORK = Path("/var/tmp")
"""On a disk, not in memory: where a cache usually is."""

INDEX_PACKAGES = 15_000


def locked_packages(set_directory: Path, repository: Path) -> list[tuple[str, Path]]:
    """pkgver and file of every package of the set's lock, in the order of installation."""
    lock_file = next(set_directory.glob("*.lock.json"))
    lock = Lock.decode(lock_file.read_bytes(), where=str(lock_file))
    return [(one.pkgver, repository / one.file_name) for one in lock.packages]


def install_figures(packages: list[tuple[str, Path]]) -> Iterator[tuple[str, str, str]]:
    """Seconds of bsdtar, and of our unpacking and registering with one and two workers.

    The rounds take turns, so that a busy moment of the machine hits all alike; the best counts.
    """
    names = ("bsdtar", "1 worker", "2 workers")
    best = dict.fromkeys(names, float("inf"))
    for _ in range(ROUNDS):
        best["bsdtar"] = min(best["bsdtar"], namespace.call(extract_all, packages))
        for jobs, name in enumerate(names[1:], start=1):
            best[name] = min(best[name], namespace.call(install_all, packages, jobs))
    bare = best["bsdtar"]
    yield f"bsdtar -xpf of {len(packages)} packages, one after the other", f"{bare:.2f}", "1.00"
    for name in names[1:]:
        yield (
            f"unpack, verify and register, {name}",
            f"{best[name]:.2f}",
            f"{best[name] / bare:.2f}",
        )


def extract_all(packages: list[tuple[str, Path]]) -> float:
    """Seconds that bsdtar takes to extract all packages into one directory."""
    with tempfile.TemporaryDirectory(prefix="voidimg-bench.", dir=WORK) as tree:
        started = time.monotonic()
        for _, path in packages:
            subprocess.run(["bsdtar", "-xpf", path, "-C", tree], check=True)
        return time.monotonic() - started


def install_all(packages: list[tuple[str, Path]], jobs: int, listener: Listener = ignore) -> float:
    """Seconds that our engine takes to unpack and register all packages, without scripts."""
    verified = []
    for pkgver, path in packages:
        name, _, entry = entry_of(path)
        step = Step(pkgver, name, "install", None, entry, automatic=False)
        verified.append(VerifiedPackage(path, step))
    with tempfile.TemporaryDirectory(prefix="voidimg-bench.", dir=WORK) as tree:
        started = time.monotonic()
        install(
            Path(tree) / "root",
            verified,
            arch="aarch64",
            runner=None,
            configure=False,
            jobs=jobs,
            listener=listener,
        )
        return time.monotonic() - started


def index_figures() -> list[tuple[str, str]]:
    """Seconds and memory of reading and resolving a full-size index, in a fresh interpreter.

    Another one makes the index: what that takes is none of the reader's memory.
    """
    with tempfile.NamedTemporaryFile() as file:
        words = [sys.executable, "-m", "tests.bench.engine"]
        subprocess.run([*words, "make", file.name], check=True)
        ended = subprocess.run(
            [*words, "read", file.name], check=True, stdout=subprocess.PIPE, text=True
        )
    rows = [line.split("\t") for line in ended.stdout.splitlines()]
    return [(name, value) for name, value in rows]


def full_size_index() -> bytes:
    """Repodata of 15,000 packages with dependencies, as large as Void's."""
    index: dict[str, PlistDict] = {}
    for number in range(INDEX_PACKAGES):
        needs = {number // 2, number // 3, number * 7 % (number + 1)} - {number}
        index[f"package-{number}"] = {
            "architecture": "x86_64",
            "filename-sha256": hashlib.sha256(str(number).encode()).hexdigest(),
            "filename-size": 10_000 + number,
            "homepage": f"https://example.org/package-{number}",
            "installed_size": 40_000 + number,
            "license": "GPL-2.0-or-later",
            "maintainer": "Somebody <somebody@example.org>",
            "pkgver": f"package-{number}-1.{number % 50}_1",
            "run_depends": [f"package-{need}>=1.0_1" for need in sorted(needs)],
            "shlib-provides": [f"lib{number}.so.1"],
            "short_desc": f"Package number {number} of a generated index",
        }
    return Repodata(index, {}, None).encode(level=3)


def _measure_index(path: Path) -> None:
    content = path.read_bytes()
    started = time.monotonic()
    repodata = Repodata.decode(content, "generated")
    decoded = time.monotonic()
    repository = Repository("generated", repodata.index)
    requests = [f"package-{number}" for number in range(14_000, INDEX_PACKAGES, 10)]
    found = resolve(requests, [repository], {}, Options(arch="x86_64"))
    ended = time.monotonic()
    print(f"decode, seconds\t{decoded - started:.2f}")
    print(f"resolve {len(requests)} requests to {len(found.steps)} packages\t{ended - decoded:.2f}")
    print(f"peak memory, MiB\t{_peak_kib() / 1024:.0f}")


def _peak_kib() -> int:
    """The most memory that this program had; `getrusage` counts that of the parent too."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1])


if __name__ == "__main__":
    if sys.argv[1] == "make":
        Path(sys.argv[2]).write_bytes(full_size_index())
    else:
        _measure_index(Path(sys.argv[2]))
