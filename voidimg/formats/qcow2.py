"""Writes and reads qcow2 version 3: the disk of a virtual machine, each cluster compressed alone.

Layout (QEMU, docs/interop/qcow2.txt): header, L1 table, L2 tables, compressed clusters one behind
the other, refcount blocks, refcount table. Clusters of zeros are not there. ``qemu-img convert`` is
not used, since its bytes depend on its version; here they depend on the content and the compressor.
"""

from __future__ import annotations

import os
import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, BinaryIO

from voidimg.errors import LayoutError
from voidimg.formats.reading import read_at

CLUSTER_BYTES = 64 * 2**10
MAGIC = b"QFI\xfb"
SUFFIX = ".qcow2"

_CLUSTER_BITS = 16
_VERSION = 3
_HEADER_BYTES = 112
_HEADER = struct.Struct(">4sIQIIQIIQQIIQQQQIIB7x")
_SECTOR_BYTES = 512
_ENTRIES = CLUSTER_BYTES // 8
"""Entries of an L2 table, which is one cluster."""
_REFCOUNT_ORDER = 4
_REFCOUNTS = CLUSTER_BYTES // 2
"""Counts in a refcount block: each of 16 bits."""
_MOST_REFERENCES = 2**16 - 1
_COPIED = 1 << 63
_COMPRESSED = 1 << 62
_OFFSET_BITS = 62 - (_CLUSTER_BITS - 8)
"""Of an L2 entry of a compressed cluster: what follows says how many sectors it touches."""
_MAX_VIRTUAL_BYTES = 2**46
_OFFSET_MASK = (1 << 56) - 2**9
_WINDOW_BITS = -12
"""Raw deflate with a window of 4 KiB: what QEMU asks of a compressed cluster."""


class Qcow2Writer:
    """Writes one image of `virtual_bytes` into the empty file `out`.

    Clusters come in the order of the disk by `put`; those that are left out are zeros. Deflate is
    told by a type of 0 in the header; its window is of 4 KiB (12 bits), which QEMU asks for.
    """

    def __init__(self, out: BinaryIO, virtual_bytes: int):
        if not 0 < virtual_bytes <= _MAX_VIRTUAL_BYTES or virtual_bytes % _SECTOR_BYTES:
            raise ValueError(f"no disk has {virtual_bytes} bytes")
        self._out = out
        self._virtual_bytes = virtual_bytes
        clusters = -(-virtual_bytes // CLUSTER_BYTES)
        self._tables = -(-clusters // _ENTRIES)
        self._l1_clusters = -(-self._tables * 8 // CLUSTER_BYTES)
        self._l2 = [array("Q", bytes(CLUSTER_BYTES)) for _ in range(self._tables)]
        self._at = (1 + self._l1_clusters + self._tables) * CLUSTER_BYTES
        self._references: dict[int, int] = {}

    def put(self, number: int, compressed: bytes) -> None:
        """Append cluster `number` of the disk: compressed, or as it is where that is smaller."""
        whole = len(compressed) >= CLUSTER_BYTES
        if whole and self._at % CLUSTER_BYTES:
            self._at += CLUSTER_BYTES - self._at % CLUSTER_BYTES
        start = self._at
        self._out.seek(start)
        self._out.write(compressed)
        self._at += len(compressed)
        last = self._at - 1
        for touched in range(start // CLUSTER_BYTES, last // CLUSTER_BYTES + 1):
            self._references[touched] = self._references.get(touched, 0) + 1
        if whole:
            entry = start | _COPIED
        else:
            sectors = last // _SECTOR_BYTES - start // _SECTOR_BYTES
            entry = _COMPRESSED | sectors << _OFFSET_BITS | start
        self._l2[number // _ENTRIES][number % _ENTRIES] = entry

    def close(self) -> None:
        """Write the tables and the header; the file is complete."""
        used = self._tables_first()
        first_block = -(-self._at // CLUSTER_BYTES)
        blocks, table_clusters = _refcount_size(first_block)
        table_at = (first_block + blocks) * CLUSTER_BYTES
        total = first_block + blocks + table_clusters
        for own in (*range(used), *range(first_block, total)):
            self._references[own] = 1
        self._write_refcounts(first_block, blocks, table_at, total)
        self._out.seek(0)
        self._out.write(self._header(table_at, table_clusters))
        self._out.truncate(total * CLUSTER_BYTES)

    def _tables_first(self) -> int:
        """Write L1 and L2 tables; the number of clusters up to their end."""
        first = 1 + self._l1_clusters
        offsets = [(first + index) * CLUSTER_BYTES | _COPIED for index in range(self._tables)]
        self._out.seek(CLUSTER_BYTES)
        self._out.write(struct.pack(f">{len(offsets)}Q", *offsets))
        for index, table in enumerate(self._l2):
            self._out.seek((first + index) * CLUSTER_BYTES)
            self._out.write(struct.pack(f">{_ENTRIES}Q", *table))
        return first + self._tables

    def _write_refcounts(self, first_block: int, blocks: int, table_at: int, total: int) -> None:
        counts = [self._references.get(cluster, 0) for cluster in range(total)]
        if max(counts) > _MOST_REFERENCES:
            raise AssertionError("more compressed clusters in one than its count can say")
        counts += [0] * (blocks * _REFCOUNTS - total)
        self._out.seek(first_block * CLUSTER_BYTES)
        self._out.write(struct.pack(f">{len(counts)}H", *counts))
        offsets = [(first_block + index) * CLUSTER_BYTES for index in range(blocks)]
        self._out.seek(table_at)
        self._out.write(struct.pack(f">{blocks}Q", *offsets))

    def _header(self, table_at: int, table_clusters: int) -> bytes:
        header = _HEADER.pack(
            MAGIC,
            _VERSION,
            0,  # no backing file
            0,
            _CLUSTER_BITS,
            self._virtual_bytes,
            0,  # not encrypted
            self._tables,
            CLUSTER_BYTES,
            table_at,
            table_clusters,
            0,  # no snapshots
            0,
            0,  # nothing that a reader must know, or may not write without knowing
            0,
            0,
            _REFCOUNT_ORDER,
            _HEADER_BYTES,
            0,  # clusters are compressed by deflate
        )
        return header + bytes(8)  # no header extensions


def _refcount_size(clusters: int) -> tuple[int, int]:
    """Refcount blocks, and clusters of their table, for `clusters` and for themselves."""
    blocks = table = 0
    while True:
        total = clusters + blocks + table
        needed = -(-total // _REFCOUNTS)
        needed_table = -(-needed * 8 // CLUSTER_BYTES)
        if (needed, needed_table) == (blocks, table):
            return blocks, table
        blocks, table = needed, needed_table


def clusters_of(disk: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Number and content of each cluster of the raw `disk` that is not all zeros.

    The last one is filled with zeros. Holes of a sparse file are not read.
    """
    descriptor = disk.fileno()
    size = os.fstat(descriptor).st_size
    at = 0
    while at < size:
        try:
            stored = os.lseek(descriptor, at, os.SEEK_DATA)
        except OSError:  # ENXIO: nothing is stored from here to the end
            return
        at = max(at, stored // CLUSTER_BYTES * CLUSTER_BYTES)
        end = min(size, os.lseek(descriptor, max(at, stored), os.SEEK_HOLE))
        while at < end:
            content = os.pread(descriptor, CLUSTER_BYTES, at)
            content += bytes(CLUSTER_BYTES - len(content))
            if content != _ZEROS:
                yield at // CLUSTER_BYTES, content
            at += CLUSTER_BYTES


_ZEROS = bytes(CLUSTER_BYTES)


@dataclass(frozen=True, slots=True)
class Qcow2:
    """What the header of a qcow2 image says; sizes in bytes."""

    version: int
    virtual_bytes: int
    cluster_bits: int
    l1_offset: int
    l1_entries: int

    @property
    def cluster_bytes(self) -> int:
        """The unit in which the disk is stored."""
        return 1 << self.cluster_bits


def read_qcow2(image: BinaryIO, where: str) -> Qcow2:
    """The header of the qcow2 image `image`.

    An image that names another file (a backing file, an external data file) is refused: whoever
    made it could name any file of this host. So is one that is encrypted or compressed otherwise
    than by deflate.

    Raises:
        LayoutError: it is none, cannot be, or is of a form that is not read.
    """
    header = read_at(image, 0, _HEADER_BYTES).ljust(_HEADER_BYTES, b"\0")
    if not header.startswith(MAGIC):
        raise LayoutError("it is no qcow2 image", code="QCOW2", where=where)
    version, backing, _, bits, size, crypt, entries, l1 = struct.unpack_from(">IQIIQIIQ", header, 4)
    incompatible = struct.unpack_from(">Q", header, 72)[0] if version == _VERSION else 0
    found = Qcow2(version, size, bits, l1, entries)
    if version not in (2, 3) or not 9 <= bits <= 21 or not 0 < size <= _MAX_VIRTUAL_BYTES:
        raise _damaged(f"version {version}, {size} bytes in clusters of 2^{bits}", where)
    if entries < -(-size // (found.cluster_bytes * (found.cluster_bytes // 8))):
        raise _damaged("its table is too short for the disk", where)
    if backing or crypt or incompatible:
        raise LayoutError(
            "the qcow2 image names another file, is encrypted, or has features that are not read",
            code="QCOW2-FORM",
            where=where,
            hint="convert it to a raw image first: qemu-img convert -O raw",
        )
    return found


def stored_clusters(image: BinaryIO, where: str) -> Iterator[tuple[int, bytes]]:
    """Offset and content of every cluster of the disk that `image` stores, in the disk's order.

    Raises:
        LayoutError: the image is damaged, or not of a form that is read.
    """
    header = read_qcow2(image, where)
    _require_references(image, header, where)
    per_table = header.cluster_bytes // 8
    tables = -(-header.virtual_bytes // (header.cluster_bytes * per_table))
    for index in range(tables):
        (entry,) = struct.unpack(">Q", _exactly(image, header.l1_offset + 8 * index, 8, where))
        offset = entry & _OFFSET_MASK
        if not offset:
            continue
        content = _exactly(image, offset, header.cluster_bytes, where)
        for number, found in enumerate(struct.unpack(f">{per_table}Q", content)):
            cluster = _stored(image, header, found, where)
            at = (index * per_table + number) * header.cluster_bytes
            if cluster is not None and at < header.virtual_bytes:
                yield at, cluster[: header.virtual_bytes - at]


def _require_references(image: BinaryIO, header: Qcow2, where: str) -> None:
    """Ensure that the counts of references are all there: QEMU writes nothing without them.

    They may be the last of the file, and no content of the disk tells of their loss.
    """
    table_at, clusters = struct.unpack(">QI", _exactly(image, 48, 12, where))
    size = image.seek(0, 2)
    if clusters * header.cluster_bytes > size:
        raise _damaged("it ends before its counts of references", where)
    table = _exactly(image, table_at, clusters * header.cluster_bytes, where)
    blocks = struct.unpack(f">{len(table) // 8}Q", table)
    if any(block & _OFFSET_MASK and block + header.cluster_bytes > size for block in blocks):
        raise _damaged("it ends before its counts of references", where)


def _stored(image: BinaryIO, header: Qcow2, entry: int, where: str) -> bytes | None:
    """The cluster that the L2 `entry` stands for; None for one of zeros."""
    if not entry & _COMPRESSED:
        offset = entry & _OFFSET_MASK
        if not offset or entry & 1:
            return None
        return _exactly(image, offset, header.cluster_bytes, where)
    bits = 62 - (header.cluster_bits - 8)
    offset = entry & ((1 << bits) - 1)
    sectors = (entry >> bits) & ((1 << (62 - bits)) - 1)
    packed = read_at(image, offset, (sectors + 1) * _SECTOR_BYTES - offset % _SECTOR_BYTES)
    try:
        content = zlib.decompressobj(_WINDOW_BITS).decompress(packed, header.cluster_bytes)
    except zlib.error as error:
        raise _damaged(f"a cluster cannot be decompressed ({error})", where) from error
    if len(content) != header.cluster_bytes:
        raise _damaged("a compressed cluster is too short", where)
    return content


def _exactly(image: BinaryIO, offset: int, size: int, where: str) -> bytes:
    content = read_at(image, offset, size)
    if len(content) != size:
        raise _damaged("it ends before its content", where)
    return content


def _damaged(what: str, where: str) -> LayoutError:
    return LayoutError(
        f"the qcow2 image cannot be: {what}",
        code="QCOW2",
        where=where,
        hint="it is damaged; get it again",
    )
