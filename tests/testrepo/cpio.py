"""Writes initramfs archives: cpio in the "newc" form, compressed with gzip, always the same bytes.

newc (Linux, Documentation/driver-api/early-userspace/buffer-format): magic 070701 and thirteen
fields of eight hexadecimal digits, the name with its NUL padded to four bytes, the content padded
to four bytes; the member TRAILER!!! ends it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from .model import HANDMADE_MTIME


@dataclass(frozen=True, slots=True)
class Node:
    """One member: `mode` with the file type bits, `device` (major, minor) for device nodes."""

    name: str
    mode: int
    content: bytes = b""
    device: tuple[int, int] = (0, 0)


def write_cpio(nodes: Iterable[Node]) -> bytes:
    """The archive of `nodes` in their order, uncompressed."""
    parts = [_member(number, node) for number, node in enumerate(nodes, 1)]
    parts.append(_member(0, Node("TRAILER!!!", 0), mtime=0))
    archive = b"".join(parts)
    return archive + bytes(-len(archive) % 512)


def gzip(content: bytes) -> bytes:
    """`content` as gzip without a name or time."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, 31)
    return compressor.compress(content) + compressor.flush()


def _member(inode: int, node: Node, mtime: int = HANDMADE_MTIME) -> bytes:
    name = node.name.encode() + b"\0"
    numbers = (
        *(inode, node.mode, 0, 0, 1, mtime, len(node.content), 0, 0),
        *(*node.device, len(name), 0),
    )
    header = b"070701" + b"".join(b"%08X" % number for number in numbers)
    head = header + name
    return head + bytes(-len(head) % 4) + node.content + bytes(-len(node.content) % 4)
