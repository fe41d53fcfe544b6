"""Packs the live system into a squashfs: the root tree itself at its top, the same bytes each time.

Upstream nests an ext3 image in it, which current dracut no longer mounts and which cannot be made
twice. dracut knows a flattened one by its ``/usr``, older releases by its ``/proc``.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from voidimg.atomic import private_directory
from voidimg.errors import LayoutError, ToolError, storing
from voidimg.formats.squashfs import (
    MAX_BLOCK_BYTES,
    MIN_BLOCK_BYTES,
    Compressor,
    Squashfs,
    read_squashfs,
)
from voidimg.run import run
from voidimg.tree import beneath

MODE = 0o444
_NEEDED_DIRECTORIES = ("dev", "proc", "sys", "usr")
_LEVELS = {"gzip": range(1, 10), "lzo": range(1, 10), "zstd": range(1, 23)}
"""Compressor -> the levels that it has to choose from."""


@dataclass(frozen=True, slots=True)
class SquashfsOptions:
    """How a squashfs is compressed.

    `level` is the compressor's own (zstd: 1 to 22), None for its default. `block_bytes` is a power
    of two from 4 KiB to 1 MiB.
    """

    compressor: Compressor = "zstd"
    level: int | None = None
    block_bytes: int = 2**20


def is_block_size(size_bytes: int) -> bool:
    """Whether blocks of a squashfs can be so large."""
    return MIN_BLOCK_BYTES <= size_bytes <= MAX_BLOCK_BYTES and not size_bytes & (size_bytes - 1)


def check_options(options: SquashfsOptions) -> None:
    """Raise `LayoutError` when squashfs knows no such options; pure."""
    block = options.block_bytes
    levels = _LEVELS.get(options.compressor, range(0))
    if not is_block_size(block):
        reason = f"blocks of {block} bytes; they are a power of two from {MIN_BLOCK_BYTES} to 1 MiB"
    elif options.level is not None and options.level not in levels:
        known = f"they are {levels[0]} to {levels[-1]}" if levels else "it has no levels"
        reason = f"level {options.level} of {options.compressor}; {known}"
    else:
        return
    raise LayoutError(f"squashfs knows no {reason}", code="SQUASHFS-OPTIONS")


def probe_squashfs(options: SquashfsOptions) -> None:
    """Make an empty squashfs with `options`, to know before work starts that the host can.

    Raises:
        LayoutError: squashfs knows no such options.
        ToolError: mksquashfs is missing, or was built without the compressor.
    """
    check_options(options)
    with private_directory(Path(tempfile.gettempdir())) as scratch:
        empty = scratch / "empty"
        empty.mkdir()
        try:
            run(["mksquashfs", empty, scratch / "image", *_words(options, None)])
        except ToolError as error:
            if error.code.endswith("MISSING"):
                raise
            raise ToolError(
                f"mksquashfs of this host cannot compress with {options.compressor}: {error.what}",
                code="COMPRESSOR",
                where="mksquashfs",
                hint="choose another compressor, or install squashfs-tools built with it",
            ) from error


def write_squashfs(
    tree: Path, out: Path, options: SquashfsOptions, *, epoch: int, jobs: int | None = None
) -> Squashfs:
    """Pack the directory `tree` as the squashfs `out`, which appears whole or not at all.

    Must run where the owners of the tree are what they shall be in the live system: inside its user
    namespace. Times later than `epoch` become it; earlier ones stay.

    Args:
        tree: the top of the live system.
        out: the image; replaced when it exists.
        options: how to compress.
        epoch: the build's time, in seconds since 1970.
        jobs: how many processors to use, None for all; the bytes are the same.

    Raises:
        LayoutError: something of the tree could not be stored as it is, or `tree` is no root.
        StoreError: the image cannot be written (`DiskFullError`: for want of space).
        ToolError: mksquashfs is missing or failed.
    """
    check_options(options)
    _check_tree(tree)
    with storing(out, "write the squashfs"):
        out.parent.mkdir(parents=True, exist_ok=True)
        with private_directory(out.parent) as private:
            image = private / "squashfs.img"
            environment = {"SOURCE_DATE_EPOCH": str(epoch)}
            ended = run(["mksquashfs", tree, image, *_words(options, jobs)], env=environment)
            _check_silent(ended.stderr, str(tree))
            made = read_squashfs(image)
            _check_made(made, options, epoch)
            image.chmod(MODE)
            image.replace(out)
    return made


def _words(options: SquashfsOptions, jobs: int | None) -> list[str]:
    words = ["-comp", options.compressor, "-b", str(options.block_bytes)]
    if options.level is not None:
        words += ["-Xcompression-level", str(options.level)]
    if jobs is not None:
        words += ["-processors", str(jobs)]
    return [*words, "-noappend", "-no-recovery", "-no-progress", "-quiet"]


def _check_tree(tree: Path) -> None:
    missing = [name for name in _NEEDED_DIRECTORIES if not beneath.is_directory(tree, name)]
    if missing:
        raise LayoutError(
            f"the tree of the live system has no /{missing[0]}",
            code="NOT-A-ROOT",
            where=str(tree),
            hint="is the package base-files among those of the recipe?",
        )


def _check_silent(stderr: str, where: str) -> None:
    """Raise when mksquashfs said that it left something out: it ends well all the same."""
    said = [line for line in stderr.splitlines() if line.strip()]
    if said:
        more = f" (and {len(said) - 1} more)" if len(said) > 1 else ""
        raise LayoutError(
            f"mksquashfs did not store the tree as it is: {said[0].strip()}{more}",
            code="SQUASHFS-LOSS",
            where=where,
            hint="a file that cannot be read or an attribute that squashfs does not know",
        )


def _check_made(made: Squashfs, options: SquashfsOptions, epoch: int) -> None:
    planned = (options.compressor, options.block_bytes, epoch)
    found = (made.compressor, made.block_bytes, made.epoch)
    if planned != found:
        raise LayoutError(
            f"the squashfs is not as planned: {found!r} instead of {planned!r}",
            code="NOT-AS-PLANNED",
            hint="this is a fault of voidimg or of a tool: please report it",
        )
