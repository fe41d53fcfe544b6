"""The store of finished artifacts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from voidimg.fetch import Cache
from voidimg.pipeline.store import ArtifactStore


def test_an_artifact_is_on_the_disk_before_its_record_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power failure a record must not speak for a file that was never written."""
    store, finished = ArtifactStore(Cache(tmp_path / "cache")), tmp_path / "finished"
    finished.write_bytes(b"image")
    inode = finished.stat().st_ino
    written = []

    def fsync(descriptor: int) -> None:
        recorded = store.content_path("key").with_name("record.json").exists()
        written.append((os.fstat(descriptor).st_ino, recorded))

    monkeypatch.setattr(os, "fsync", fsync)
    record = store.keep("key", {"": finished})
    assert (inode, False) in written
    assert store.find("key") == record
