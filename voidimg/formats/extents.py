"""Pieces of a disk: byte ranges, put together and compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

Extent = tuple[int, int]
"""First byte, and the byte behind the last."""


def merged(extents: Iterable[Extent]) -> list[Extent]:
    """`extents` in order, those that touch or overlap as one; empty ones are left out."""
    found: list[Extent] = []
    for start, end in sorted(extents):
        if end <= start:
            continue
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def in_whole_blocks(extents: Iterable[Extent], block_bytes: int, size: int) -> list[Extent]:
    """`extents` widened to whole blocks of a disk of `size` bytes, whose last may be shorter."""
    return merged(
        (start // block_bytes * block_bytes, min(size, -(-end // block_bytes) * block_bytes))
        for start, end in extents
    )


def outside(extents: Iterable[Extent], covers: Iterable[Extent]) -> Iterator[Extent]:
    """What of `extents` is in none of `covers`."""
    covering = merged(covers)
    index = 0
    for start, end in merged(extents):
        at = start
        while index and covering[index - 1][1] > at:
            index -= 1
        while index < len(covering) and covering[index][0] < end:
            first, last = covering[index]
            if last <= at:
                index += 1
                continue
            if first > at:
                yield at, first
            at = last
            if at >= end:
                break
            index += 1
        if at < end:
            yield at, end


def runs(numbers: Iterable[int]) -> Iterator[Extent]:
    """Increasing `numbers` as ranges: first, and the one behind the last."""
    start = end = -1
    for number in numbers:
        if number != end:
            if end > start:
                yield start, end
            start = number
        end = number + 1
    if end > start:
        yield start, end
