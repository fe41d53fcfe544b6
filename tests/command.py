"""Runs the command as a user does: a fresh interpreter, its own environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent


def arguments(*words: str | Path) -> list[str]:
    """The argv that runs `voidimg` with `words`."""
    return [sys.executable, "-m", "voidimg.cli", *map(str, words)]


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment with the project importable and `extra` added."""
    return {**os.environ, "PYTHONPATH": str(PROJECT), **(extra or {})}


def voidimg(
    *words: str | Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
    timeout: float = 1200,
) -> subprocess.CompletedProcess[str]:
    """Run `voidimg` to its end; neither status nor output is judged here."""
    return subprocess.run(
        arguments(*words),
        env=environment(env),
        cwd=cwd,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def voidimg_json(*words: str | Path, **options: Any) -> Any:
    """What a successful `voidimg` printed as JSON."""
    ended = voidimg(*words, **options)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)
