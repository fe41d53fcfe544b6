"""Writes an image to a medium: all is looked at first, and what was written is read back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from voidimg.disk.allocation import filesystems_in_use
from voidimg.errors import StoreError, UsageError, VerifyError, storing
from voidimg.events import Listener, Progress, ignore, step
from voidimg.flashing.assurance import Assurance, assure
from voidimg.flashing.source import (
    PIECE_BYTES,
    RangeSums,
    Source,
    disk_bytes,
    filled,
    opened_source,
    require_as_mapped,
    stamp_of,
    within,
)
from voidimg.flashing.target import (
    FlashTarget,
    forget_cached,
    look_at_target,
    opened_target,
    require_room,
)
from voidimg.foreign import open_regular
from voidimg.formats.block_map import BlockMap
from voidimg.formats.extents import Extent, outside
from voidimg.formats.partition_table import GPT_MAGIC, SECTOR_BYTES, read_table
from voidimg.inspection.block_maps import block_map_beside, read_block_map

_CHUNK_BYTES = 64 * PIECE_BYTES
"""What is read back at a time where there is no block map."""
_HEAD_BYTES = 4096
"""What is written last: until then nothing finds a disk on the medium."""


@dataclass(frozen=True, slots=True)
class FlashPlan:
    """A medium that may be written to, and an image that fits it.

    Attributes:
        image: the file of the image.
        image_bytes: how large its disk is.
        target: the medium.
        assurance: how sure it is who made the image.
        block_map: which blocks are written; None: all.
        stamp: which file the image is, to be sure that it is the same one later.
    """

    image: Path
    image_bytes: int
    target: FlashTarget
    assurance: Assurance
    block_map: BlockMap | None
    stamp: tuple[int, ...]

    @property
    def write_bytes(self) -> int:
        """How much is written."""
        return self.image_bytes if self.block_map is None else self.block_map.mapped_bytes

    def as_json(self) -> dict[str, object]:
        """The plan as a JSON-ready mapping."""
        return {
            "image": str(self.image),
            "image_bytes": self.image_bytes,
            "target": str(self.target.path),
            "target_bytes": self.target.size_bytes,
            "target_is_device": self.target.is_device,
            "target_described": self.target.described,
            "verified": self.assurance.kind,
            "block_map": self.block_map is not None,
            "written_bytes": self.write_bytes,
        }


def plan_flash(
    image: Path,
    target: Path,
    *,
    key: str | None = None,
    unverified: bool = False,
    use_block_map: bool = True,
    listener: Listener = ignore,
) -> FlashPlan:
    """Look at `image` and `target`, and say what would be written; nothing is.

    Args:
        image: a disk image, compressed or not, a qcow2 or the tar for Google Cloud, or an ISO.
        target: a whole disk, or a plain file that is large enough.
        key: the public key of the image's set or its file; by default that of its date.
        unverified: do not ask who made the image.
        use_block_map: write the blocks only that the map beside the image names.
        listener: is told of steps.

    Raises:
        UsageError: the medium is mounted, in use, part of the system, too small, or no whole disk.
        VerifyError: the image or its map is not what was signed, or they do not fit.
        LayoutError: the image is damaged, or no image of a medium.
        StoreError: one of them cannot be read.
    """
    medium = look_at_target(target)
    _require_different(image, target)
    place = block_map_beside(image) if use_block_map else None
    paths = [image, *([place] if place is not None else [])]
    before = [_stamp(path) for path in paths]
    assurance = assure(paths, key, unverified=unverified, listener=listener)
    block_map = None if place is None else read_block_map(place)
    with opened_source(image) as source:
        trusted = assurance.kind == "signed"
        with step(listener, "look at the image"):
            size = disk_bytes(source, block_map, trusted=trusted)
        stamp = source.stamp
    # What was verified, read and will be written is one and the same file.
    if [stamp, *(_stamp(path) for path in paths[1:])] != before:
        raise _changed(image)
    require_room(medium, image, size)
    return FlashPlan(image, size, medium, assurance, block_map, stamp)


def flash(plan: FlashPlan, *, listener: Listener = ignore) -> None:
    """Write the image of `plan` to its medium, wait until it is there, read it back, compare.

    The first blocks are written last: a medium that was not finished is no disk. Reports
    `Progress` of the steps ``write`` and ``read back`` in bytes.

    Raises:
        UsageError: the medium is another one than it was, or in use by now.
        StoreError: it cannot be written to or read, or the image changed while it was read.
        LayoutError: the image is damaged.
        VerifyError: the medium gives back something else than was written.
    """
    extents = _extents(plan)
    with opened_source(plan.image) as source:
        if source.stamp != plan.stamp:
            raise _changed(plan.image)
        with opened_target(plan.target) as descriptor:
            with storing(plan.target.path, "write to"), step(listener, "write"):
                sums = _write(plan, source, descriptor, extents, listener)
            forget_cached(descriptor, plan.target)
            with storing(plan.target.path, "read back"), step(listener, "read back"):
                _read_back(plan, descriptor, extents, sums, listener)
                _require_enough(plan)


def _extents(plan: FlashPlan) -> Sequence[Extent]:
    if plan.block_map is not None:
        return plan.block_map.extents
    size = plan.image_bytes
    return [(at, min(size, at + _CHUNK_BYTES)) for at in range(0, size, _CHUNK_BYTES)]


def _write(
    plan: FlashPlan,
    source: Source,
    descriptor: int,
    extents: Sequence[Extent],
    listener: Listener,
) -> RangeSums:
    """Write all pieces; the checksum of each extent."""
    _forget_old_table(descriptor, plan.target.size_bytes)
    sums, head, done = RangeSums(extents), [], 0
    for at, content in within(filled(source.pieces(), plan.image_bytes), extents):
        sums.take(at, content)
        kept = content[: max(0, _HEAD_BYTES - at)]
        if kept:
            head.append((at, kept))
        _write_at(descriptor, bytes(len(kept)) + content[len(kept) :], at)
        done += len(content)
        listener(Progress("write", done, plan.write_bytes, "bytes"))
    if len(sums.sums) != len(extents):
        raise StoreError(
            f"{plan.image} ended before its disk did",
            code="CHANGED",
            where=str(plan.image),
            hint=f"{plan.target.path} is not usable as it is: write it again",
        )
    if plan.block_map is not None:
        require_as_mapped(sums, plan.block_map, plan.image)
    source.require_unchanged()
    os.fsync(descriptor)
    for at, kept in head:
        _write_at(descriptor, kept, at)
    os.fsync(descriptor)
    return sums


def _write_at(descriptor: int, content: bytes, at: int) -> None:
    view = memoryview(content)
    while view:
        count = os.pwrite(descriptor, view, at)
        view, at = view[count:], at + count


def _forget_old_table(descriptor: int, size: int) -> None:
    """Zeros in place of the second copy of a GPT that the medium had: it is of no disk any more."""
    last = size // SECTOR_BYTES * SECTOR_BYTES - SECTOR_BYTES
    if last > 0 and os.pread(descriptor, len(GPT_MAGIC), last) == GPT_MAGIC:
        _write_at(descriptor, bytes(SECTOR_BYTES), last)


def _read_back(
    plan: FlashPlan,
    descriptor: int,
    extents: Sequence[Extent],
    sums: RangeSums,
    listener: Listener,
) -> None:
    found, done = RangeSums(extents), 0
    for start, end in extents:
        for at in range(start, end, PIECE_BYTES):
            piece = os.pread(descriptor, min(PIECE_BYTES, end - at), at)
            if len(piece) != min(PIECE_BYTES, end - at):
                raise _different(plan, start, end)
            found.take(at, piece)
            done += len(piece)
            listener(Progress("read back", done, plan.write_bytes, "bytes"))
        index = len(found.sums) - 1
        if found.sums[index] != sums.sums[index]:
            raise _different(plan, start, end)


def _require_enough(plan: FlashPlan) -> None:
    """Raise when the filesystems on the medium use what the block map left out.

    A map that was made from holes of the image leaves out zeros of a FAT: then it is what the
    medium had there, and says that clusters are in use which were never written.
    """
    if plan.block_map is None:
        return
    path = plan.target.path
    with open_regular(path, block_device=True) as medium:
        used = filesystems_in_use(medium, read_table(path))
    for start, end in outside(used, plan.block_map.extents):
        raise VerifyError(
            f"the block map of {plan.image.name} leaves out what the filesystems on {path} use,"
            f" first the bytes from {start} to {end}",
            code="BLOCK-MAP",
            where=str(path),
            hint="the map was not made from the filesystems: write all of it, with --no-bmap",
        )


def _different(plan: FlashPlan, start: int, end: int) -> VerifyError:
    return VerifyError(
        f"{plan.target.path} does not give back what was written from {start} to {end}",
        code="MEDIUM-DIFFERENT",
        where=str(plan.target.path),
        hint="the medium is worn out, counterfeit or badly connected: take another one",
    )


def _stamp(path: Path) -> tuple[int, ...]:
    with storing(path, "read"):
        return stamp_of(path.stat())


def _changed(image: Path) -> StoreError:
    return StoreError(
        f"{image} changed after it was looked at",
        code="CHANGED",
        where=str(image),
        hint="wait until nothing writes to it any more, and try again",
    )


def _require_different(image: Path, target: Path) -> None:
    """Raise when both are the same file."""
    with storing(image, "read"):
        same = image.samefile(target)
    if same:
        raise UsageError(
            f"{image} and {target} are the same",
            code="MEDIUM-SAME",
            where=str(target),
            hint="name the medium second: voidimg flash FILE DEVICE",
        )
