"""The store of finished artifacts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from voidimg.events import Event, Heard, Message
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


def test_warnings_are_kept_with_the_artifact(tmp_path: Path) -> None:
    """Who takes it from the store is told what the one who made it was told, and only once."""
    store, finished = ArtifactStore(Cache(tmp_path / "cache")), tmp_path / "finished"
    finished.write_bytes(b"image")
    store.keep("key", {"": finished}, ["something is odd"])
    assert store.find("key") is not None
    assert store.warnings("key") == ("something is odd",)
    assert store.warnings("other") == ()
    told: list[Event] = []
    heard = Heard(told.append)
    heard(Message("note", "a note"))
    heard(Message("warning", "something is odd"))
    heard.retell([*store.warnings("key"), "another"])
    assert told[1:] == [Message("warning", "something is odd"), Message("warning", "another")]
    assert heard.warnings == ["something is odd", "another"]
