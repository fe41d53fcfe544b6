"""Runs a build whose cache is on a small file system that somebody else may fill on the way.

`python small_disk.py DIRECTORY SIZE STEP COMMAND...` must run in a mount namespace of its own. It
mounts a tmpfs of SIZE bytes at DIRECTORY, runs COMMAND with `--events`, and fills the tmpfs when
the event that STEP has started arrives (never, if STEP is empty). Its exit status is COMMAND's;
the last line on stderr is a JSON list of what is left below DIRECTORY beside the filler.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from voidimg.sandbox import kernel

_FILLER = "filler"


def in_small_disk(directory: Path, size: int, step: str, words: list[str]) -> list[str]:
    """The argv that does what this module is for, for root and for an ordinary user."""
    root = ["--map-auto", "--map-root-user", "--setuid", "0", "--setgid", "0"]
    own = [sys.executable, __file__, str(directory), str(size), step]
    maps = [] if os.geteuid() == 0 else root
    return ["unshare", *maps, "--mount", "--propagation", "private", *own, *words]


def _fill(directory: Path) -> None:
    """Take every free byte."""
    with (directory / _FILLER).open("ab", buffering=0) as file:
        for size in (2**16, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue


def main(directory: Path, size: int, step: str, words: list[str]) -> int:
    """See the module; returns the exit status of the command."""
    kernel.mount("tmpfs", str(directory), "tmpfs", options=f"size={size},mode=0755")
    reading, writing = os.pipe()
    at = words.index("voidimg.cli") + 1
    events = ["--events", f"/dev/fd/{writing}"]
    with subprocess.Popen([*words[:at], *events, *words[at:]], pass_fds=(writing,)) as process:
        os.close(writing)
        with os.fdopen(reading) as lines:
            for line in lines:
                event = json.loads(line)
                if event["event"] == "StepStarted" and event["step"] == step:
                    _fill(directory)
    (directory / _FILLER).unlink(missing_ok=True)
    left = sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))
    sys.stderr.write("\n" + json.dumps(left) + "\n")
    return process.returncode


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4:]))
