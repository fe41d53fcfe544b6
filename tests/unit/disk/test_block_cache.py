"""The cache of compressed blocks is shared by threads and by builds that run side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from voidimg.disk.block_cache import PART, BlockCache


def test_the_same_block_from_many_at_once(tmp_path: Path) -> None:
    """Every writer succeeds, the block is whole, and nothing else is left."""
    cache = BlockCache(tmp_path)
    block = bytes(2**20)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: cache.put("xz:9", b"content", block), range(64)))
    assert cache.get("xz:9", b"content") == block
    assert list(tmp_path.rglob(f"*{PART}")) == []
