"""Runs one target under atheris: ``python -m tests.fuzz.engine NAME [libFuzzer arguments]``.

Only voidimg and the pure Python libraries below it are instrumented, and nothing of them may be
imported before that.
"""

from __future__ import annotations

import importlib
import shlex
import sys
import tempfile
from pathlib import Path

_INSTRUMENTED = ["voidimg", "tests.fuzz.targets", "tests.fuzz.installing", "tomllib", "minisign",
                 "pycdlib"]  # fmt: skip


def main() -> None:
    """Fuzz until libFuzzer's arguments end it; the exit status is libFuzzer's."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=_INSTRUMENTED):
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
    name, *arguments = sys.argv[1:]
    atheris.Setup([_program(name), *arguments], targets[name])
    atheris.Fuzz()


def _program(name: str) -> str:
    """An executable that starts this target; libFuzzer runs its program again to merge."""
    program = Path(tempfile.mkdtemp(prefix="fuzz.")) / name
    command = shlex.join([sys.executable, "-m", "tests.fuzz.engine", name])
    program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
    program.chmod(0o755)
    return str(program)


if __name__ == "__main__":
    main()
