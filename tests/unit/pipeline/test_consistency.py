"""Signs of inconsistent repositories are told, measured, and refused on demand."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command import voidimg, voidimg_json
from tests.http_server import Server, serving
from tests.unit.pipeline.shop import ARCHS, Shop
from voidimg.errors import CollectedError, FetchError, UsageError
from voidimg.events import Event, Message
from voidimg.pipeline.locks import lock_platforms
from voidimg.supply.consistency import spoken_age
from voidimg.supply.sources import Sources, parse_age
from voidimg.supply.status import prometheus_text, repository_status

NOW = 1_700_000_000


@pytest.fixture
def server(shop: Shop) -> Iterator[Server]:
    with serving(shop.path) as running:
        yield running


@pytest.fixture
def sources(shop: Shop, server: Server, tmp_path: Path) -> Sources:
    return Sources.parse(
        cache=tmp_path / "cache", repositories=[server.url], repo_keys=[shop.key_plist]
    )


def codes(server: Server, sources: Sources, *archs: str) -> list[str]:
    """The findings of the repository at `NOW`."""
    _, findings = repository_status([server.url], archs or ("aarch64",), sources, now=NOW)
    return [one.code for one in findings]


def test_what_is_well_is_not_told(shop: Shop, server: Server, sources: Sources) -> None:
    """A young index, nothing staged, both libcs alike."""
    shop.date(NOW - 3600)
    assert codes(server, replace(sources, max_age_seconds=7200), *ARCHS) == []


def test_staged_packages(shop: Shop, server: Server, sources: Sources) -> None:
    """Told when locking, refused when consistency is required."""
    shop.stage("aarch64", "firmware")
    assert codes(server, sources) == ["STAGED"]
    shop.stage("aarch64", "lib")
    shop.index()
    shop.put("extra")
    shop.stage("aarch64", "extra")
    events: list[Event] = []
    lock_platforms([shop.board()], sources, listener=events.append)
    assert any(isinstance(one, Message) and "staged packages: 1" in one.text for one in events)
    with pytest.raises(FetchError) as caught:
        lock_platforms([shop.board()], replace(sources, require_consistent=True))
    assert caught.value.code == "E-FETCH-STAGED"


def test_old_repodata(shop: Shop, server: Server, sources: Sources) -> None:
    """Older than --max-age says; without it any age will do."""
    shop.date(NOW - 3 * 86400)
    assert codes(server, sources) == []
    assert codes(server, replace(sources, max_age_seconds=2 * 86400)) == ["AGE"]
    assert codes(server, replace(sources, max_age_seconds=4 * 86400)) == []


def test_libcs_out_of_step(shop: Shop, server: Server, sources: Sources) -> None:
    """A package that is newer for one of them; only in a lock of both does it matter."""
    shop.put("lib", "1.1_1", arch="aarch64", archs=["aarch64"])
    assert codes(server, sources, *ARCHS) == ["OUT-OF-STEP"]
    strict = replace(sources, require_consistent=True)
    boards = [shop.board(), shop.board("board-musl")]
    lock_platforms(boards[:1], strict)
    with pytest.raises(FetchError, match=r"lib-1\.1_1 \(aarch64\) and lib-1\.0_1") as caught:
        lock_platforms(boards, strict)
    assert caught.value.code == "E-FETCH-OUT-OF-STEP"


def test_a_mirror_behind_its_origin(shop: Shop, server: Server, sources: Sources) -> None:
    """By the times that it publishes; also one that is just being copied to."""
    shop.date(NOW)
    (shop.path / "otime").write_text(f"{NOW - 7200}.5\n")
    (shop.path / "stime-start").write_text(f"{NOW - 600}\n")
    (shop.path / "stime-end").write_text(f"{NOW - 3600}\n")
    assert codes(server, sources) == ["SYNCING"]
    assert codes(server, replace(sources, max_age_seconds=3600)) == ["SYNCING", "BEHIND"]
    (shop.path / "stime-end").write_text("soon\n")
    assert codes(server, replace(sources, max_age_seconds=7201)) == []
    (shop.path / "otime").write_text("1\n")
    strict = replace(sources, require_consistent=True, max_age_seconds=10 * 365 * 86400)
    with pytest.raises((FetchError, CollectedError), match="behind its origin"):
        lock_platforms([shop.board()], strict)


def test_metrics(shop: Shop, server: Server, sources: Sources) -> None:
    """Names as Void's exporter has them, a sample an index; no sample of what nobody says."""
    shop.date(NOW - 60)
    shop.stage("aarch64", "lib")
    os.utime(shop.path / "aarch64-repodata", (NOW - 60, NOW - 60))
    (shop.path / "otime").write_text(f"{NOW - 30}\n")
    found, _ = repository_status([server.url], ["aarch64"], sources, now=NOW)
    samples = {
        line.partition("{")[0]: (line.partition("{")[2].partition("}")[0], line.split()[-1])
        for line in prometheus_text(found).splitlines()
        if not line.startswith("#")
    }
    labels = f'target="{server.url}",arch="aarch64"'
    crc = zlib.crc32((shop.path / "aarch64-repodata").read_bytes())
    assert samples == {
        "repo_repodata_checksum": (labels, str(crc)),
        "repo_repodata_time": (labels, str(NOW - 60)),
        "repo_repodata_age_seconds": (labels, "60"),
        "repo_packages": (labels, "3"),
        "repo_staged_packages": (labels, "1"),
        "repo_is_staged": (labels, "1"),
        "repo_origin_time": (labels, str(NOW - 30)),
    }


def test_the_command(shop: Shop, server: Server, tmp_path: Path) -> None:
    """JSON, a file for the collector that appears at once, an exit status on demand."""
    shop.stage("aarch64", "lib")
    cache = ("--cache", tmp_path / "cache")
    metrics = tmp_path / "repo.prom"
    status = ("repo", "status", shop.path, "--arch", "aarch64")
    answer = voidimg_json(*cache, *status, "--json", "--prometheus", metrics)
    assert answer["indexes"][0]["packages"] == 3
    assert [one["code"] for one in answer["findings"]] == ["STAGED"]
    assert metrics.read_text().endswith("\n")
    assert metrics.stat().st_mode & 0o777 == 0o644
    assert [path.name for path in tmp_path.glob(".*")] == []
    told = voidimg(*cache, *status)
    assert told.returncode == 0
    assert "3 packages, 1 staged" in told.stdout
    assert "staged packages: 1" in told.stderr
    assert voidimg(*cache, *status, "--require-consistent").returncode == 5
    assert json.loads(voidimg(*cache, *status, "--json", "--offline").stdout) == {
        **answer, "indexes": [{**answer["indexes"][0], "age_seconds": ANY}],
    }  # fmt: skip


class _Any:
    def __eq__(self, _other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]


ANY = _Any()


def test_what_is_asked_of_a_url_must_be_said(server: Server, sources: Sources) -> None:
    """A directory can be listed, a server cannot."""
    with pytest.raises(UsageError) as caught:
        repository_status([server.url], [], sources)
    assert caught.value.code == "E-USAGE-ARCH"


def test_ages() -> None:
    """As they are written and as they are said."""
    assert [parse_age(text) for text in ("90m", "36h", "7d", "2w")] == [
        5400, 129600, 604800, 1209600,
    ]  # fmt: skip
    for text in ("", "7", "d", "1.5d", "-1d", "7 days"):
        with pytest.raises(UsageError):
            parse_age(text)
    assert [spoken_age(seconds) for seconds in (59, 7199, 7200, 172799, 172800)] == [
        "59 seconds", "119 minutes", "2 hours", "47 hours", "2 days",
    ]  # fmt: skip
