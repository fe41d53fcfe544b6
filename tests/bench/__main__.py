"""`make bench`: how long a build takes, where the time goes, and how that compares.

Every figure is measured in this run, on this machine; ratios are against `bsdtar` or against the
compressor, as named. Work happens in a private directory that is removed afterwards.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from tests.bench.engine import WORK, index_figures, install_figures, locked_packages
from tests.bench.fresh import cost
from tests.bench.live import live_figures
from tests.bench.memory import SIZES, memory_figures
from tests.command import arguments, environment
from tests.tables import table
from tests.testrepo import RepositoryFixture, provide

DATE = "20240314"
PLATFORM = "rpi-aarch64"
_LOCKS = 10


class Run:
    """One build: its wall seconds, the seconds of its steps, the peak memory of its processes."""

    def __init__(self, seconds: float, steps: dict[str, float], peak_bytes: int):
        self.seconds = seconds
        self.steps = steps
        self.peak_bytes = peak_bytes

    @property
    def scripts(self) -> float:
        """Seconds in target scripts, which run under emulation."""
        return self.steps.get("pre scripts", 0) + self.steps.get("configure", 0)

    def ending(self, word: str) -> float:
        """Seconds of all steps whose name ends in `word`."""
        return sum(seconds for name, seconds in self.steps.items() if name.endswith(word))


def build(work: Path, repository: RepositoryFixture, compression: str) -> Run:
    """Run `voidimg build` as a user does and measure it."""
    events = work / f"events-{compression.replace(':', '-')}.jsonl"
    words: list[str | Path] = [
        "--cache", work / "cache", "--out", work / "out", "-q", "--events", events,
        "build", PLATFORM, "--date", DATE, "--compression", compression,
        "-r", repository.path, "--repo-key", repository.key_plist,
    ]  # fmt: skip
    started = time.monotonic()
    subprocess.run(arguments(*words), env=environment(), check=True, stdout=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    steps: dict[str, float] = {}
    for line in events.read_text().splitlines():
        event = json.loads(line)
        if event["event"] == "StepFinished":
            steps[event["step"]] = steps.get(event["step"], 0) + event["seconds"]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return Run(seconds, steps, peak)


def main() -> None:
    """Measure and print."""
    # in a process of its own: a child's peak memory begins with that of the process that forked it
    subprocess.run([sys.executable, "-m", "tests.testrepo"], check=True, stdout=subprocess.DEVNULL)
    repository = provide()
    work = Path(tempfile.mkdtemp(prefix="voidimg-bench.", dir=WORK))
    try:
        _builds(work, repository)
        _locks(work, repository)
        packages = locked_packages(work / "out" / DATE, repository.path)
        print("\n" + table([("install", "seconds", "against bsdtar"), *install_figures(packages)]))
        print("\n" + table([("peak memory", *SIZES, "ratio"), *memory_figures(work / "memory")]))
        print("\n" + table([("live ISO", "figure", "ratio"), *live_figures(work / "live")]))
        print("\n" + table([("index of 15,000 packages", "seconds or MiB"), *index_figures()]))
    finally:
        shutil.rmtree(work)


def _builds(work: Path, repository: RepositoryFixture) -> None:
    # uncompressed first: the peak is then that of everything beside the compressor
    plain = build(work, repository, "none")
    again = build(work, repository, "none")
    shutil.rmtree(work / "cache" / "artifacts")
    packed = build(work, repository, "xz")
    print(table([
        ("step", "none", "xz"),
        *((name, f"{plain.steps.get(name, 0):.1f}", f"{seconds:.1f}")
          for name, seconds in packed.steps.items()),
        ("whole command", f"{plain.seconds:.1f}", f"{packed.seconds:.1f}"),
    ]))  # fmt: skip
    outside = plain.seconds - plain.scripts
    print("\n" + table([
        ("figure", "value"),
        ("outside compressor and emulated scripts, seconds", f"{outside:.1f}"),
        ("as a share of a cold xz build", f"{100 * outside / packed.seconds:.1f} %"),
        ("emulated scripts, seconds", f"{packed.scripts:.1f}"),
        ("no-change rebuild, seconds", f"{again.seconds:.2f}"),
        ("peak memory of any process without compressor", f"{plain.peak_bytes / 2**20:.0f} MiB"),
        ("peak memory with xz", f"{packed.peak_bytes / 2**20:.0f} MiB"),
    ]))  # fmt: skip


def _locks(work: Path, repository: RepositoryFixture) -> None:
    """The seconds of a lock that is made, and of one that is up to date; against bare Python."""
    lock = work / "set.lock.json"
    words: list[str | Path] = [
        "--cache", work / "cache", "-q", "lock", "-o", lock,
        "-r", repository.path, "--repo-key", repository.key_plist,
    ]  # fmt: skip
    made = cost(*arguments(*words, PLATFORM)).seconds
    _, *warm = (cost(*arguments(*words, "--update")).seconds for _ in range(_LOCKS + 1))
    bare = [cost(sys.executable, "-c", "pass").seconds for _ in range(_LOCKS)]
    libraries = "import pydantic, click"
    imports = [cost(sys.executable, "-c", libraries).seconds for _ in range(_LOCKS)]
    middle = median(warm)
    print("\n" + table([
        ("lock", "seconds"),
        ("made", f"{made:.2f}"),
        (f"nothing to update, median of {_LOCKS}", f"{middle:.2f}"),
        ("  the least of them", f"{min(warm):.2f}"),
        ("  against python -c pass", f"{middle / median(bare):.1f}"),
        (f"  against python -c '{libraries}'", f"{middle / median(imports):.1f}"),
    ]))  # fmt: skip


if __name__ == "__main__":
    main()
