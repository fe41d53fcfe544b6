"""Mirrors that copy with the real rsync and Void's flags, while sets are promoted and rolled back.

The flags are those of Void's mirrors (void-infrastructure, services/nomad/mirror): ``current`` is a
directory there, and what is older than the mirror's own copy is skipped.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.http_server import serving
from tests.unit.release.made_sets import image_name, made
from voidimg.errors import VerifyError
from voidimg.identity import ReleaseDate
from voidimg.release.mirrors import check_mirrors, expected_of_directory
from voidimg.release.promote import promote, rollback
from voidimg.signing.keys import read_public_key
from voidimg.signing.verify_url import verify_url

FLAGS = ("-v", "-u", "-r", "-k", "--links", "--delete-after", "--delay-updates")
A, B, C = "20260101", "20260102", "20260103"


@dataclass(frozen=True)
class Mirrors:
    """An origin, and two directories that copy it and are served."""

    origin: Path
    copies: tuple[Path, Path]
    urls: tuple[str, str]

    def sync(self, *numbers: int) -> None:
        """Copy the origin, at a time whose seconds nothing else shares."""
        for number in numbers:
            time.sleep(1.05)
            copy = self.copies[number]
            copy.mkdir(exist_ok=True)
            subprocess.run(
                ["rsync", *FLAGS, f"{self.origin}/", f"{copy}/"], check=True, capture_output=True
            )
        time.sleep(1.05)

    def states(self) -> list[str]:
        """What `mirror check` says of both."""
        return [one.state for one in check_mirrors(self.urls, expected_of_directory(
            self.origin, None, None), read_bytes=True)]  # fmt: skip

    def verify(self, number: int, date: str) -> None:
        """Verify a mirror's current, which has to be the set of `date`, and its dated directory."""
        key = read_public_key(self.origin / f"void-release-{date}.pub")
        for place in ("current", date):
            found = verify_url(f"{self.urls[number]}/{place}", key)
            assert f"{self.urls[number]}/{place}/{image_name(date)}" in {
                str(file.path) for file in found.files
            }


@pytest.fixture
def mirrors(tmp_path: Path) -> Iterator[Mirrors]:
    """Three sets at the origin, none of them current."""
    origin = tmp_path / "live"
    for date in (A, B, C):
        made(origin, date)
    with ExitStack() as stack:
        tops = [tmp_path / f"mirror{number}" for number in (1, 2)]
        servers = [stack.enter_context(serving(top)) for top in tops]
        for top in tops:
            top.mkdir()
        one, two = (f"{server.url}/live" for server in servers)
        yield Mirrors(origin, (tops[0] / "live", tops[1] / "live"), (one, two))


def day(date: str) -> ReleaseDate:
    """`date` as a release date."""
    return ReleaseDate.parse(date)


def test_promote_and_rollback_reach_the_mirrors(mirrors: Mirrors) -> None:
    """Each step is verified on each mirror; who has not copied yet is old, and says so."""
    promote(mirrors.origin, day(A))
    mirrors.sync(0, 1)
    assert not (mirrors.copies[0] / "current").is_symlink()
    assert mirrors.states() == ["good", "good"]
    promote(mirrors.origin, day(B))
    assert mirrors.states() == ["old", "old"]
    mirrors.sync(0)
    assert mirrors.states() == ["good", "old"]
    mirrors.verify(0, B)
    mirrors.verify(1, A)
    rollback(mirrors.origin)
    assert mirrors.states() == ["old", "good"]
    mirrors.sync(0, 1)
    assert mirrors.states() == ["good", "good"]
    for number in (0, 1):
        mirrors.verify(number, A)
    promote(mirrors.origin, day(C))
    mirrors.sync(0, 1)
    assert mirrors.states() == ["good", "good"]
    mirrors.verify(1, C)
    names = [path.name for copy in mirrors.copies for path in copy.rglob("*")]
    assert not [name for name in names if name.startswith(".") or name.endswith(".lock")]


def _untouched(directory: Path, names: Sequence[str]) -> None:
    """As if nobody had touched these files of the set: they are as old as the set."""
    for name in names:
        os.utime(directory / name, (1_600_000_000, 1_600_000_000))


def test_without_touching_a_mirror_stays_between_two_sets(mirrors: Mirrors) -> None:
    """Why it is done: the older files are skipped for ever; promoting again mends it."""
    promote(mirrors.origin, day(A))
    mirrors.sync(0)
    touched = promote(mirrors.origin, day(B)).touched
    _untouched(mirrors.origin / B, touched)
    mirrors.sync(0)
    assert mirrors.states()[0] == "between"
    keys = {date: read_public_key(mirrors.origin / f"void-release-{date}.pub") for date in (A, B)}
    with pytest.raises(VerifyError, match="between two sets"):
        verify_url(f"{mirrors.urls[0]}/current", keys[A])
    assert verify_url(f"{mirrors.urls[0]}/current/{image_name(B)}", keys[B]).files
    assert verify_url(f"{mirrors.urls[0]}/{B}", keys[B]).files
    assert promote(mirrors.origin, day(B)).was_current
    mirrors.sync(0)
    assert mirrors.states()[0] == "good"
    mirrors.verify(0, B)


def test_a_copy_that_was_cut_off(mirrors: Mirrors) -> None:
    """Some files of the set before are gone: told as between, and right after the next copy."""
    promote(mirrors.origin, day(A))
    mirrors.sync(0)
    promote(mirrors.origin, day(B))
    (mirrors.copies[0] / "current" / image_name(A)).unlink()
    (mirrors.copies[0] / B / image_name(B)).unlink()
    assert mirrors.states()[0] == "between"
    mirrors.sync(0)
    assert mirrors.states()[0] == "good"
