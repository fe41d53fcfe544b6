"""Runs one target under atheris: ``python -m tests.fuzz.engine NAME [libFuzzer arguments]``.

Only voidimg and the pure Python libraries below it are instrumented.
"""

from __future__ import annotations

import importlib
import sys

_INSTRUMENTED = ["voidimg", "tests.fuzz.targets", "tests.fuzz.installing", "tomllib", "minisign"]


def main() -> None:
    """Fuzz until libFuzzer's arguments end it; the exit status is libFuzzer's."""
    atheris = importlib.import_module("atheris")
    with atheris.instrument_imports(include=_INSTRUMENTED):
        targets = importlib.import_module("tests.fuzz.targets").TARGETS
    name, *arguments = sys.argv[1:]
    atheris.Setup([sys.argv[0], *arguments], targets[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
