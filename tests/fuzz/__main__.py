"""Fuzzes all targets, or those named, one after another, and tells how far each came.

``python -m tests.fuzz [--seconds N] [--keep] [TARGET...]``. Inputs found grow in ``build/fuzz``;
with ``--keep`` a minimised corpus of small ones goes to ``tests/fuzz/corpus``.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.seeds import write_seeds
from tests.fuzz.targets import MAX_BYTES, TARGETS

BUILD = Path("build/fuzz")
CORPUS = Path(__file__).parent / "corpus"
_DEFAULT_MAX_BYTES = 4096
_INPUT_SECONDS = 10
_MEMORY_MIB = 1024
_KEPT_BYTES = 60_000
_KEPT_INPUT_BYTES = 8192


@dataclass(frozen=True, slots=True)
class Outcome:
    """How fuzzing one target went; `finding` is the file of the input that broke it."""

    target: str
    executions: int
    coverage: int
    inputs: int
    finding: str


def main() -> int:
    """Fuzz; the exit status is 1 if anything was found."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=30, help="time for each target")
    parser.add_argument("--keep", action="store_true", help="write the kept corpus anew")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=" ".join(TARGETS))
    arguments = parser.parse_args()
    outcomes = []
    _row("target", "executions", "coverage", "inputs", "finding")
    for name in arguments.targets or TARGETS:
        outcome = fuzz(name, arguments.seconds)
        outcomes.append(outcome)
        counts = (outcome.executions, outcome.coverage, outcome.inputs)
        _row(name, *counts, outcome.finding or "-")
        if arguments.keep and not outcome.finding:
            keep(name)
    return 1 if any(outcome.finding for outcome in outcomes) else 0


def fuzz(name: str, seconds: int) -> Outcome:
    """Fuzz the target `name` for `seconds`, starting from seeds, kept and grown inputs."""
    grown, seeds, kept = BUILD / name / "corpus", BUILD / name / "seeds", CORPUS / name
    findings = BUILD / name / "findings"
    for directory in (grown, findings, kept):
        directory.mkdir(parents=True, exist_ok=True)
    write_seeds(name, seeds)
    log = BUILD / name / "log"
    with log.open("wb") as out, _scratch() as environment:
        ended = subprocess.run(
            [
                *_engine(name),
                f"-max_total_time={seconds}",
                f"-timeout={_INPUT_SECONDS}",
                f"-rss_limit_mb={_MEMORY_MIB}",
                f"-artifact_prefix={findings}/",
                "-print_final_stats=1",
                *map(str, (grown, kept, seeds)),
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
            timeout=seconds + 300,
            env=environment,
        )
    text = log.read_text(errors="replace")
    written = re.findall(r"Test unit written to (\S+)", text)
    finding = written[-1] if written else f"see {log}" if ended.returncode else ""
    return Outcome(
        name,
        int(_last(r"stat::number_of_executed_units:\s*(\d+)", text) or _last(r"#(\d+)\t", text)),
        int(_last(r" cov: (\d+)", text)),
        int(_last(r" corp: (\d+)", text)),
        finding,
    )


def keep(name: str) -> None:
    """Write the smallest inputs that cover what all inputs of `name` cover to the kept corpus."""
    minimal = BUILD / name / "minimal"
    shutil.rmtree(minimal, ignore_errors=True)
    minimal.mkdir(parents=True)
    kept = CORPUS / name
    sources = [BUILD / name / "corpus", kept, BUILD / name / "seeds"]
    command = [*_engine(name), "-merge=1", *map(str, (minimal, *sources))]
    with _scratch() as environment, (BUILD / name / "merge-log").open("wb") as out:
        subprocess.run(
            command, stdout=out, stderr=subprocess.STDOUT, check=True, timeout=600, env=environment
        )
    for old in kept.iterdir():
        old.unlink()
    total = 0
    for path in sorted(minimal.iterdir(), key=lambda path: (path.stat().st_size, path.name)):
        size = path.stat().st_size
        total += size
        if total <= _KEPT_BYTES and size <= _KEPT_INPUT_BYTES:
            shutil.copyfile(path, kept / path.name)


@contextmanager
def _scratch() -> Iterator[dict[str, str]]:
    """An environment for one run, whose temporary files are in memory and removed after it."""
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="fuzz.", dir=place) as directory:
        yield {**os.environ, "TMPDIR": directory}


def _engine(name: str) -> list[str]:
    length = MAX_BYTES.get(name, _DEFAULT_MAX_BYTES)
    return [sys.executable, "-m", "tests.fuzz.engine", name, f"-max_len={length}"]


def _row(target: str, executions: object, coverage: object, inputs: object, rest: str) -> None:
    sys.stdout.write(f"{target:<12} {executions:>10} {coverage:>8} {inputs:>6}  {rest}\n")
    sys.stdout.flush()


def _last(pattern: str, text: str) -> str:
    found = [match[1] for match in re.finditer(pattern, text)]
    return found[-1] if found else "0"


if __name__ == "__main__":
    sys.exit(main())
