"""`python -m tests.testrepo --out DIR`: makes the test repository; a copy and its key go to DIR."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from voidimg.errors import VoidimgError

from .provision import provide, provide_tiny
from .target import DEFAULT, TARGETS


def main() -> int:
    """Run the command; 0, or 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="python -m tests.testrepo", description=__doc__)
    parser.add_argument("--out", type=Path, help="copy the repository to this directory")
    parser.add_argument("--cache", type=Path, help="default: build/testrepo in the checkout")
    parser.add_argument("--tiny", action="store_true", help="the tiny repository instead")
    arches = sorted({target.arch for target in TARGETS.values()})
    parser.add_argument("--arch", choices=arches, default=DEFAULT.arch)
    parser.add_argument("--live", action="store_true", help="what live systems of it need")
    options = parser.parse_args()
    try:
        if options.tiny:
            found = provide_tiny(options.cache)
        else:
            found = provide(options.cache, arch=options.arch, live=options.live)
    except VoidimgError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    path, key = found.path, found.key_plist
    if options.out is not None:
        path, key = options.out, options.out / key.name
        shutil.copytree(found.path, path, dirs_exist_ok=True)
        shutil.copyfile(found.key_plist, key)
    sys.stdout.write(f"repository: {path}\nkey: {key}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
