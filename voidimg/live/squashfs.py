"""Packs the live system into a squashfs: the root tree itself at its top, the same bytes each time.

Upstream nests an ext3 image in it, which current dracut no longer mounts and which cannot be made
twice. dracut knows a flattened one by its ``/usr``, older releases by its ``/proc``.
"""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from voidimg.disk.private import private_directory
from voidimg.errors import LayoutError, ToolError, storing
from voidimg.run import run

Compressor = Literal["gzip", "lzo", "xz", "lz4", "zstd"]

MODE = 0o444
_NEEDED_DIRECTORIES = ("dev", "proc", "sys", "usr")
_COMPRESSORS: Mapping[int, Compressor] = {1: "gzip", 3: "lzo", 4: "xz", 5: "lz4", 6: "zstd"}
_LEVELS = {"gzip": range(1, 10), "lzo": range(1, 10), "zstd": range(1, 23)}
_MAGIC = b"hsqs"
_MIN_BLOCK, _MAX_BLOCK = 4096, 2**20


@dataclass(frozen=True, slots=True)
class SquashfsOptions:
    """How a squashfs is compressed.

    `level` is the compressor's own (zstd: 1 to 22), None for its default. `block_bytes` is a power
    of two from 4 KiB to 1 MiB.
    """

    compressor: Compressor = "zstd"
    level: int | None = None
    block_bytes: int = 2**20


@dataclass(frozen=True, slots=True)
class Squashfs:
    """What a squashfs says of itself; `bytes_used` is its size without padding."""

    compressor: Compressor
    block_bytes: int
    inodes: int
    epoch: int
    bytes_used: int


def check_options(options: SquashfsOptions) -> None:
    """Raise `LayoutError` when squashfs knows no such options; pure."""
    block = options.block_bytes
    levels = _LEVELS.get(options.compressor, range(0))
    if not _MIN_BLOCK <= block <= _MAX_BLOCK or block & (block - 1):
        reason = f"blocks of {block} bytes; they are a power of two from {_MIN_BLOCK} to 1 MiB"
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
    with tempfile.TemporaryDirectory(prefix="voidimg-squashfs.") as scratch:
        empty = Path(scratch, "empty")
        empty.mkdir()
        try:
            run(["mksquashfs", empty, Path(scratch, "image"), *_words(options, None)])
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
        with private_directory(out.parent, f".{out.name}.") as private:
            image = private / "squashfs.img"
            environment = {"SOURCE_DATE_EPOCH": str(epoch)}
            ended = run(["mksquashfs", tree, image, *_words(options, jobs)], env=environment)
            _check_silent(ended.stderr, str(tree))
            made = read_squashfs(image)
            _check_made(made, options, epoch)
            image.chmod(MODE)
            image.replace(out)
    return made


def read_squashfs(path: Path, offset_bytes: int = 0, size_bytes: int | None = None) -> Squashfs:
    """The superblock of the squashfs in `path` at `offset_bytes` (format 4.0, little endian).

    It has room for `size_bytes`, by default up to the end of the file.

    Magic ``hsqs``, inodes (u32 at 4), time (u32 at 8), block size (u32 at 12), compressor (u16 at
    20), version (two u16 at 28), bytes used (u64 at 40).

    Raises:
        LayoutError: it is not a squashfs 4.0, or shorter than it says.
        StoreError: it cannot be read.
    """
    with storing(path, "read"), path.open("rb") as file:
        file.seek(offset_bytes)
        head = file.read(96)
        size = file.seek(0, 2) - offset_bytes if size_bytes is None else size_bytes
    if len(head) < 96 or not head.startswith(_MAGIC) or head[28:32] != b"\4\0\0\0":
        raise _damaged(path, "it is not a squashfs 4.0")
    inodes, epoch, block_bytes, _, kind = struct.unpack_from("<4IH", head, 4)
    (bytes_used,) = struct.unpack_from("<Q", head, 40)
    if kind not in _COMPRESSORS:
        raise _damaged(path, f"its compressor has the unknown number {kind}")
    if bytes_used > size:
        raise _damaged(path, f"it has {size} bytes of {bytes_used}")
    return Squashfs(_COMPRESSORS[kind], block_bytes, inodes, epoch, bytes_used)


def _words(options: SquashfsOptions, jobs: int | None) -> list[str]:
    words = ["-comp", options.compressor, "-b", str(options.block_bytes)]
    if options.level is not None:
        words += ["-Xcompression-level", str(options.level)]
    if jobs is not None:
        words += ["-processors", str(jobs)]
    return [*words, "-noappend", "-no-recovery", "-no-progress", "-quiet"]


def _check_tree(tree: Path) -> None:
    missing = [name for name in _NEEDED_DIRECTORIES if not (tree / name).is_dir()]
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


def _damaged(path: Path, why: str) -> LayoutError:
    return LayoutError(
        f"{path} is not a sound squashfs: {why}", code="SQUASHFS-DAMAGED", where=str(path),
        hint="the file may not be complete: build it again",
    )  # fmt: skip
