"""Which files of an image set a build may write over unasked: none that says something else."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.pipeline.shop import Shop
from voidimg.errors import UsageError
from voidimg.pipeline.existing import (
    lock_to_write,
    require_not_released,
    require_same,
    require_unsigned,
)
from voidimg.pipeline.locks import lock_platforms
from voidimg.supply.lock import Lock
from voidimg.supply.sources import Sources


@pytest.fixture
def lock(shop: Shop, tmp_path: Path) -> Lock:
    """The lock of a board with two stages."""
    for name in ("base", "lib"):
        shop.put(name)
    sources = Sources.parse(
        cache=tmp_path / "cache", repositories=[str(shop.path)], repo_keys=[shop.key_plist]
    )
    return lock_platforms([shop.board(rootfs=["base"], platformfs=["lib"])], sources)


def test_a_lock_that_says_the_same_or_more_stays(lock: Lock, tmp_path: Path) -> None:
    """Also when the index has moved on without another package."""
    path = tmp_path / "lock.json"
    assert lock_to_write(path, lock, replace=False) == lock
    path.write_bytes(lock.encode())
    assert lock_to_write(path, lock, replace=False) is None
    assert lock_to_write(path, lock.of_stages(["rootfs"]), replace=False) is None
    anew = tuple(replace(one, repodata_sha256="0" * 64) for one in lock.repositories)
    moved = replace(lock, repositories=anew)
    assert lock_to_write(path, moved, replace=False) is None
    assert lock_to_write(path, moved, replace=True) == moved


def test_a_lock_of_more_artifacts_replaces_one_of_fewer(lock: Lock, tmp_path: Path) -> None:
    """It still says all that the other did."""
    path = tmp_path / "lock.json"
    path.write_bytes(lock.of_stages(["rootfs"]).encode())
    assert lock_to_write(path, lock, replace=False) == lock


def test_other_packages_need_leave(lock: Lock, tmp_path: Path) -> None:
    """So do files that are no lock, and links."""
    path = tmp_path / "lock.json"
    other = replace(lock, packages=tuple(replace(one, sha256="0" * 64) for one in lock.packages))
    for content in (other.encode(), b"", b"{}"):
        path.write_bytes(content)
        with pytest.raises(UsageError) as caught:
            lock_to_write(path, lock, replace=False)
        assert caught.value.code == "E-USAGE-SET-DIFFERENT"
        assert lock_to_write(path, lock, replace=True) == lock


def test_only_the_same_bytes_are_the_same_file(tmp_path: Path) -> None:
    """What is missing is fine."""
    path = tmp_path / "x"
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    require_same(path, empty)
    path.touch()
    require_same(path, empty)
    path.write_bytes(b"x")
    with pytest.raises(UsageError):
        require_same(path, empty)


@pytest.mark.parametrize("name", ["sha256sum.sig", "sha256sum.txt.minisig"])
def test_a_set_is_signed_when_a_signature_is_there(name: str, tmp_path: Path) -> None:
    """By either name, and whatever it is."""
    require_unsigned(tmp_path)
    require_unsigned(tmp_path / "missing")
    os.symlink("nowhere", tmp_path / name)
    with pytest.raises(UsageError) as caught:
        require_unsigned(tmp_path)
    assert caught.value.code == "E-USAGE-SET-SIGNED"


def test_nothing_is_built_into_a_set_that_was_released(tmp_path: Path) -> None:
    """Its manifest would not list it, and nobody could promote the set any more."""
    require_not_released(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(UsageError, match="was released as a whole"):
        require_not_released(tmp_path)
