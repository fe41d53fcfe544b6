"""`make demo`: the main job from nothing to a released, signed and promoted image set, with tables.

Every step is the command that a user types; the packages come from a signed XBPS repository that
is made here from real Debian packages.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.tables import table
from tests.testrepo import provide

PLATFORM = "rpi-aarch64"
SET = Path(__file__).with_name("demo.toml")
DATE = "20240314"
OUT = Path("out")
PASSPHRASE_VARIABLE = "VOIDIMG_DEMO_PASSPHRASE"
VOIDIMG = [sys.executable, "-m", "voidimg.cli"]


@dataclass(frozen=True)
class Stage:
    """One command of the demo and how long it took."""

    name: str
    seconds: float


def typed(stages: list[Stage], name: str, words: Sequence[str | Path]) -> str:
    """Show a command, run it, note its time; returns what it printed."""
    text = [str(word) for word in words]
    print(f"\n$ voidimg {shlex.join(text)}", flush=True)
    started = time.monotonic()
    environment = {**os.environ, PASSPHRASE_VARIABLE: "only for this demonstration"}
    ended = subprocess.run(
        [*VOIDIMG, *text], check=True, env=environment, stdout=subprocess.PIPE, text=True
    )
    stages.append(Stage(name, time.monotonic() - started))
    if "--json" not in text:
        print(ended.stdout, end="")
    return ended.stdout


def release_stages(events: Path) -> list[Stage]:
    """The steps of the release, from its own events."""
    found = [json.loads(line) for line in events.read_text().splitlines()]
    return [
        Stage("  " + event["step"], event["seconds"])
        for event in found
        if event["event"] == "StepFinished"
    ]


def main() -> None:
    """Run the demo; the first command that fails ends it with its status."""
    stages: list[Stage] = []
    set_directory = OUT / DATE
    shutil.rmtree(set_directory, ignore_errors=True)
    for name in (f"void-release-{DATE}.*", "current", "current.json", "promotions.json"):
        for left in OUT.glob(name):
            left.unlink()
    OUT.mkdir(exist_ok=True)

    typed(stages, "doctor", ["doctor", PLATFORM])
    print("\nMaking the XBPS repository from Debian packages ...", flush=True)
    started = time.monotonic()
    repository = provide()
    stages.append(Stage("repository", time.monotonic() - started))

    events = OUT / "release-events.jsonl"
    sources: list[str | Path] = ["-r", repository.path, "--repo-key", repository.key_plist]
    metrics: list[str | Path] = ["--metrics", OUT / "release.prom"]
    release: list[str | Path] = [
        "--events",
        events,
        "release",
        SET,
        "--date",
        DATE,
        *sources,
        *metrics,
    ]
    typed(stages, "release", release)
    stages += release_stages(events)

    public = OUT / f"void-release-{DATE}.pub"
    secret = OUT / f"void-release-{DATE}.sec"
    passphrase = ["--passphrase-env", PASSPHRASE_VARIABLE]
    typed(stages, "keygen", ["keygen", DATE, "--directory", OUT, *passphrase])
    typed(stages, "sign", ["sign", set_directory, "--key", secret, *passphrase])
    typed(stages, "promote", ["promote", DATE, "--key", public])
    typed(stages, "verify", ["verify", OUT / "current", "--key", public])
    manifest = json.loads((OUT / "current" / "manifest.json").read_text())

    lines = (set_directory / "sha256sum.txt").read_text().splitlines()
    sums = [line.removeprefix("SHA256 (").split(") = ", 1) for line in lines]
    print("\n" + table([
        ("artifact", "size", "sha256"),
        *((name, f"{(set_directory / name).stat().st_size:,}", sha256)
          for name, sha256 in sums),
    ]))  # fmt: skip
    print("\n" + table([("stage", "seconds"), *((s.name, f"{s.seconds:.1f}") for s in stages)]))
    print("\n" + table([
        ("booted from", "statement", "verdict"),
        *((boot["medium"], statement["name"], statement["status"])
          for artifact in manifest["artifacts"] for boot in artifact["smoke"]
          for statement in boot["statements"]),
    ]))  # fmt: skip


if __name__ == "__main__":
    try:
        main()
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
