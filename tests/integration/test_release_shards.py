"""A set made by several machines: the bytes of one run, or no set at all."""

from __future__ import annotations

import importlib
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from tests.command import voidimg
from tests.integration.building import DATE, SPEC
from tests.integration.releasing import ARTIFACTS, SIDE_FILES, release_words, released
from tests.testrepo import RepositoryFixture
from voidimg import BuildOptions, Catalog, ReleaseDate, ReleaseOptions, release_set
from voidimg.release.making import CACHE_VARIABLE

DISTRIBUTED: Any = importlib.import_module("distributed")  # it has no types


@pytest.fixture(scope="module")
def lock(tiny: RepositoryFixture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one lock of all machines."""
    place = tmp_path_factory.mktemp("lock")
    file = place / "set.lock.json"
    words: list[str | Path] = ["--cache", place / "cache", "lock", "--set", "tiny", "-o", file]
    words += ["--platforms-and-profiles", SPEC, "-r", tiny.path, "--repo-key", tiny.key_plist]
    ended = voidimg(*words)
    assert ended.returncode == 0, ended.stderr
    return file


@pytest.fixture(scope="module")
def one_run(tiny: RepositoryFixture, lock: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image set as one machine makes it."""
    place = tmp_path_factory.mktemp("one")
    ended = voidimg(*release_words(tiny, place, "--lock", lock))
    assert ended.returncode == 0, ended.stderr
    return place / "out" / DATE


@pytest.fixture(scope="module")
def shards(
    tiny: RepositoryFixture, lock: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """Two shares of the set, each from a cache of its own."""
    found = []
    for number in (1, 2):
        place = tmp_path_factory.mktemp("shard")
        ended = voidimg(
            *release_words(tiny, place, "--lock", lock, "--shard", f"{number}/2", "--json")
        )
        assert ended.returncode == 0, ended.stderr
        found.append(Path(json.loads(ended.stdout)["directory"]))
    return found[0], found[1]


def merge(
    tiny: RepositoryFixture, place: Path, *parts: Path, more: tuple[str | Path, ...] = ()
) -> tuple[int, str]:
    """What came of merging: the exit status, and what was said."""
    words: list[str | Path] = [word for part in parts for word in ("--merge", part)]
    ended = voidimg(*release_words(tiny, place, *words, *more))
    return ended.returncode, ended.stderr


def test_shares_are_no_image_sets(shards: tuple[Path, Path]) -> None:
    """They have no checksum file and no manifest by its name; together they have everything."""
    names = [set(released(shard)) for shard in shards]
    assert [shard.name for shard in shards] == [f"{DATE}.part-{n}-of-2" for n in (1, 2)]
    assert names[0] & names[1] == {"part.json", f"void-{DATE}.lock.json"}
    assert (names[0] | names[1]) - (names[0] & names[1]) == {*ARTIFACTS, *SIDE_FILES}
    refused = voidimg("sign", shards[0], "--key", "nothing.sec")
    assert refused.returncode != 0


def test_shares_together_are_the_bytes_of_one_run(
    tiny: RepositoryFixture,
    lock: Path,
    one_run: Path,
    shards: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    """In whatever order they are named."""
    status, said = merge(tiny, tmp_path, shards[1], shards[0], more=("--lock", lock))
    assert status == 0, said
    assert released(tmp_path / "out" / DATE) == released(one_run)


def test_what_does_not_fit_together_makes_no_set(
    tiny: RepositoryFixture, lock: Path, shards: tuple[Path, Path], tmp_path: Path
) -> None:
    """A share that is missing, there twice, damaged, or of another lock or date."""
    one, two = (Path(shutil.copytree(shard, tmp_path / shard.name)) for shard in shards)
    status, said = merge(tiny, tmp_path, one)
    assert (status, "E-RELEASE-PART-MISSING" in said) == (14, True), said
    status, said = merge(tiny, tmp_path, one, two, one)
    assert (status, "E-RELEASE-PART-TWICE" in said) == (14, True), said
    manifest = json.loads((two / "part.json").read_text())

    def with_changed(**changed: object) -> tuple[int, str]:
        (two / "part.json").write_text(json.dumps(manifest | changed))
        return merge(tiny, tmp_path, one, two)

    other = {**manifest["lock"], "sha256": "0" * 64}
    status, said = with_changed(lock=other)
    assert (status, "E-RELEASE-PART-LOCK" in said) == (14, True), said
    status, said = with_changed(voidimg="0.1")
    assert (status, "E-RELEASE-PART-VERSION" in said) == (14, True), said
    status, said = with_changed(set="other")
    assert (status, "E-RELEASE-PART-SET" in said) == (14, True), said
    status, said = with_changed()
    assert status == 0, said
    shutil.rmtree(tmp_path / "out")
    name = next(path for path in sorted(two.iterdir()) if path.suffix in (".tar", ".img"))
    content = bytearray(name.read_bytes())
    content[700] ^= 1
    name.write_bytes(content)
    status, said = merge(tiny, tmp_path, one, two)
    assert (status, "E-RELEASE-PART-DAMAGED" in said) == (14, True), said
    assert list((tmp_path / "out").iterdir()) == []


# --- executors ---


def options_of(tiny: RepositoryFixture, place: Path, lock: Path) -> ReleaseOptions:
    """Those of the command's release."""
    build = BuildOptions.parse(
        cache=place / "cache",
        out=place / "out",
        jobs=2,
        compression="none",
        lock=lock,
        repositories=[str(tiny.path)],
        repo_keys=[tiny.key_plist],
    )
    waive = [f"lint:{one}=the tiny board starts nowhere" for one in ARTIFACTS[2:]]
    return ReleaseOptions.parse(build, waive=waive, waived_by="A. Tester")


def release_by(
    executor: Executor, tiny: RepositoryFixture, place: Path, lock: Path
) -> dict[str, str]:
    """The files of the set that the workers of `executor` made."""
    whole = Catalog([SPEC]).resolved_set("tiny")
    date = ReleaseDate.parse(DATE)
    done = release_set(whole, date, options_of(tiny, place, lock), executor=executor)
    return released(done.directory)


def test_any_executor_makes_the_same_bytes(
    tiny: RepositoryFixture, lock: Path, one_run: Path, tmp_path: Path
) -> None:
    """Here processes, which share the cache of the run."""
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        assert release_by(executor, tiny, tmp_path, lock) == released(one_run)


def set_cache(place: str, dask_worker: object = None) -> str:
    """Give this worker a cache of its own."""
    own = os.path.join(place, f"worker-{getattr(dask_worker, 'name', 'none')}")
    os.environ[CACHE_VARIABLE] = own
    return own


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two workers of Dask, each a process of its own."""
    with DISTRIBUTED.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as running:
        yield running


def test_workers_of_dask_have_caches_of_their_own(
    tiny: RepositoryFixture, lock: Path, one_run: Path, cluster: Any, tmp_path: Path
) -> None:
    """By the command, with the address of the scheduler; the bytes are those of one run."""
    with DISTRIBUTED.Client(cluster) as client:
        caches = client.run(set_cache, str(tmp_path))
    assert len(set(caches.values())) == 2
    words = release_words(
        tiny, tmp_path, "--lock", lock, "--executor", f"dask:{cluster.scheduler_address}"
    )
    ended = voidimg(*words)
    assert ended.returncode == 0, ended.stderr
    assert released(tmp_path / "out" / DATE) == released(one_run)
    made = [any(Path(one, "artifacts").iterdir()) for one in caches.values()]
    assert made == [True, True]
    assert not (tmp_path / "cache" / "artifacts").exists()
