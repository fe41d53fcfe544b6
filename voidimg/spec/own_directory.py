"""The directories beside platforms and profiles whose content goes into images: nothing leads out.

Whoever gives somebody a profile gives a directory with it. A link in there that leads out, or the
directory itself being one, would put files of the reader's host into an image, and their checksums
into messages. Directories may be nested as deep as paths can be.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def leads_out(path: Path, directory: Path) -> bool:
    """Whether `path` in `directory` is somewhere else by a link, on the way or at its end."""
    real = directory.parent.resolve() / directory.name
    return not path.resolve().is_relative_to(real)


def walk_below(directory: Path) -> Iterator[Path]:
    """Everything below `directory`, parents first, by name; links are not followed.

    Raises:
        OSError: a directory cannot be read.
    """
    waiting = [directory]
    while waiting:
        path = waiting.pop()
        if path != directory:
            yield path
        if path == directory or (not path.is_symlink() and path.is_dir()):
            with os.scandir(path) as entries:
                names = sorted((entry.name for entry in entries), reverse=True)
            waiting += [path / name for name in names]
