"""Packs a raw disk as a qcow2 image: clusters compressed side by side, and not twice."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from voidimg.disk.block_cache import BlockCache
from voidimg.errors import storing
from voidimg.events import Listener, Progress, ignore
from voidimg.formats.qcow2 import CLUSTER_BYTES, Qcow2Writer, clusters_of

_LEVEL = 9
_WINDOW_BITS = -12
"""Raw deflate with a window of 4 KiB: what QEMU asks of a compressed cluster."""
_BATCH = 64
"""Clusters that are compressed as one piece of the cache: 4 MiB of the disk."""

_Batch = list[tuple[int, bytes]]


def pack_qcow2(
    disk: Path,
    out: Path,
    *,
    jobs: int = 1,
    block_cache: Path | None = None,
    listener: Listener = ignore,
    step: str = "qcow2: pack",
) -> None:
    """Write the raw disk `disk` as the qcow2 image `out`; holes are not read.

    Reports `Progress` of `step` in bytes. The bytes do not depend on `jobs`.

    Raises:
        StoreError: `out` cannot be written (`DiskFullError`: for want of space).
    """
    cache = None if block_cache is None else BlockCache(block_cache)
    total = disk.stat().st_size
    with (
        storing(out, "write"),
        disk.open("rb", buffering=0) as source,
        out.open("wb") as target,
        ThreadPoolExecutor(jobs, thread_name_prefix="qcow2") as pool,
    ):
        writer = Qcow2Writer(target, total)
        under_way: deque[tuple[_Batch, Future[list[bytes]]]] = deque()

        def collect() -> None:
            batch, future = under_way.popleft()
            for (number, _), packed in zip(batch, future.result(), strict=True):
                writer.put(number, packed)
            listener(Progress(step, min(total, (batch[-1][0] + 1) * CLUSTER_BYTES), total, "bytes"))

        for batch in _batches(clusters_of(source)):
            while len(under_way) > jobs:
                collect()
            under_way.append((batch, pool.submit(_compress, batch, cache)))
        while under_way:
            collect()
        writer.close()
        target.flush()
        os.fsync(target.fileno())


def _batches(clusters: Iterator[tuple[int, bytes]]) -> Iterator[_Batch]:
    """The clusters in pieces that begin at fixed places of the disk: a change shifts no other."""
    batch: _Batch = []
    for number, content in clusters:
        if batch and number // _BATCH != batch[0][0] // _BATCH:
            yield batch
            batch = []
        batch.append((number, content))
    if batch:
        yield batch


def _compress(batch: _Batch, cache: BlockCache | None) -> list[bytes]:
    from zlib_ng import zlib_ng

    if cache is None:
        return [_deflate(content) for _, content in batch]
    settings = f"qcow2 {_LEVEL} {_WINDOW_BITS} {zlib_ng.ZLIBNG_VERSION}"
    whole = b"".join(content for _, content in batch)
    stored = cache.get(settings, whole)
    if stored is not None and (parts := _split(stored, len(batch))) is not None:
        return parts
    packed = [_deflate(content) for _, content in batch]
    cache.put(settings, whole, b"".join(len(one).to_bytes(4, "big") + one for one in packed))
    return packed


def _split(stored: bytes, count: int) -> list[bytes] | None:
    parts: list[bytes] = []
    at = 0
    while at < len(stored):
        size = int.from_bytes(stored[at : at + 4], "big")
        parts.append(stored[at + 4 : at + 4 + size])
        at += 4 + size
    return parts if len(parts) == count and at == len(stored) else None


def _deflate(content: bytes) -> bytes:
    """One cluster compressed, or as it is where that is smaller."""
    from zlib_ng import zlib_ng

    packer = zlib_ng.compressobj(_LEVEL, zlib_ng.DEFLATED, _WINDOW_BITS)
    packed: bytes = packer.compress(content) + packer.flush()
    return packed if len(packed) < CLUSTER_BYTES else content
