"""Locks are made from one state of the repositories, and used exactly or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command import voidimg, voidimg_json
from tests.http_server import Fault, Server, serving
from tests.unit.pipeline.shop import Shop
from voidimg.cli.render import show_error
from voidimg.errors import (
    CollectedError,
    FetchError,
    ResolveError,
    StoreError,
    UsageError,
    VerifyError,
    VoidimgError,
)
from voidimg.events import Event, Message
from voidimg.fetch import Location
from voidimg.pipeline.locks import explain_package, lock_platforms
from voidimg.spec.compose import ResolvedRecipe
from voidimg.supply.bundle import Bundle
from voidimg.supply.lock import Lock
from voidimg.supply.pin import bundle_lock
from voidimg.supply.sources import Sources
from voidimg.supply.state import RepositoryState
from voidimg.supply.supply import LockedSupply, lock_for, plan_supply, read_lock, write_lock
from voidimg.xbps.shipped_keys import shipped_keys


@pytest.fixture
def server(shop: Shop) -> Iterator[Server]:
    with serving(shop.path) as running:
        yield running


@pytest.fixture
def sources(shop: Shop, server: Server, tmp_path: Path) -> Sources:
    return Sources.parse(
        cache=tmp_path / "cache", repositories=[server.url], repo_keys=[shop.key_plist], jobs=2
    )


def supplied(
    resolved: ResolvedRecipe, lock: Lock, sources: Sources, at: Path | None = None
) -> LockedSupply:
    """The packages of `lock` for `resolved`, whose file is or would be `at`."""
    where = at or sources.cache / "x.lock.json"
    own = lock_for(resolved.recipe, lock, where)
    return LockedSupply(resolved.recipe, own, RepositoryState(sources, lambda _event: None), where)


def names(server: Server) -> list[str]:
    """What the server was asked for."""
    return [path.lstrip("/") for path, _ in server.requests]


def test_one_lock_for_two_libcs(shop: Shop, sources: Sources, server: Server) -> None:
    """Each has its own index and lines; only indexes are fetched, each once."""
    boards = [shop.board(), shop.board("board-musl")]
    lock = lock_platforms(boards, sources)
    assert [one.title for one in lock.platforms] == ["board (little)", "board-musl (little)"]
    assert [one.arch for one in lock.repositories] == ["aarch64", "aarch64-musl"]
    assert [one.pkgver for one in lock.packages[:4]] == [
        "lib-1.0_1", "base-1.0_1", "firmware-1.0_1", "kernel-1.0_1",
    ]  # fmt: skip
    assert sorted(names(server)) == ["aarch64-musl-repodata", "aarch64-repodata"]
    assert lock_platforms(boards, sources).encode() == lock.encode()


def test_a_lock_gives_the_steps_of_the_plan(shop: Shop, sources: Sources) -> None:
    """What the packages say of themselves is what the index said, so the trees are the same."""
    board = shop.board()
    lock = lock_platforms([board], sources)
    planned = plan_supply(board.recipe, RepositoryState(sources, lambda _event: None))
    supply = supplied(board, lock, sources)
    assert supply.steps(supply.fetch()) == {
        stage: list(steps) for stage, steps in planned.steps({}).items()
    }


@pytest.mark.parametrize("name", ["aarch64-repodata", ".xbps", ".sig2"])
@pytest.mark.parametrize("fault", ["flip", "html-typed-binary", "long", "short-length"])
def test_a_mirror_with_damaged_files_is_left(
    shop: Shop, sources: Sources, server: Server, fault: Fault, name: str
) -> None:
    """Whichever they are, index, package or signature; the build goes on with the next mirror."""
    with serving(shop.path) as other:
        both = replace(sources, repositories=(Location.parse(f"{server.url} {other.url}"),))
        server.faults[name] = (fault, 99)
        events: list[Event] = []
        state = RepositoryState(both, events.append)
        state.fetcher._mirrors._pause = lambda _seconds: None
        supply = plan_supply(shop.board().recipe, state)
        assert len(supply.fetch()) == 4
    left = [one.text for one in events if isinstance(one, Message) and "mirror left" in one.text]
    assert any(f"{server.url}/" in text and name in text for text in left)


def test_a_mirror_of_somebody_else_is_left(
    shop: Shop, sources: Sources, server: Server, tmp_path: Path
) -> None:
    """One whose index names a key that is not trusted."""
    stranger = Shop(tmp_path / "stranger", key="main")
    stranger.put("base")
    for path in (*shop.path.glob("*-repodata"), *stranger.path.glob("*-repodata")):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    with serving(stranger.path) as other:
        both = replace(sources, repositories=(Location.parse(f"{other.url} {server.url}"),))
        events: list[Event] = []
        lock = lock_platforms([shop.board()], both, listener=events.append)
    assert len(lock.packages) == 4
    (warning,) = [one.text for one in events if isinstance(one, Message)]
    assert f"mirror left: {other.url}/aarch64-repodata" in warning
    assert "not trusted" in warning


def test_a_repository_may_move_on(shop: Shop, sources: Sources, tmp_path: Path) -> None:
    """As long as the very packages can be had, its index does not matter, nor does the cache."""
    board = shop.board()
    lock = lock_platforms([board], sources)
    shop.put("lib", "2.0_1")
    supply = supplied(board, lock, replace(sources, cache=tmp_path / "other"))
    steps = supply.steps(supply.fetch())
    assert [step.pkgver for step in steps["rootfs"]] == ["lib-1.0_1", "base-1.0_1"]


def test_dropped_packages_are_named(shop: Shop, sources: Sources) -> None:
    """All of them at once, and that the repository dropped them."""
    board = shop.board()
    lock = lock_platforms([board], sources)
    for name in ("lib", "firmware"):
        (shop.path / f"{name}-1.0_1.noarch.xbps").unlink()
    with pytest.raises(FetchError, match=r"firmware-1\.0_1\.noarch\.xbps, lib-1\.0_1") as caught:
        supplied(board, lock, sources).fetch()
    assert caught.value.code == "E-FETCH-LOCK-DROPPED"
    assert "dropped them" in str(caught.value)


def test_a_rebuilt_package_is_not_the_locked_one(shop: Shop, sources: Sources) -> None:
    """The same name with other content is refused, and called that."""
    board = shop.board()
    lock = lock_platforms([board], sources)
    shop.put("lib", content=b"rebuilt")
    with pytest.raises(FetchError, match="another content") as caught:
        supplied(board, lock, sources).fetch()
    assert caught.value.code == "E-FETCH-LOCK-CHANGED"


def test_a_lock_is_for_its_platforms_and_requests(shop: Shop, sources: Sources) -> None:
    """Another platform, or a recipe that asks for something else by now, needs a new lock."""
    lock = lock_platforms([shop.board()], sources)
    with pytest.raises(ResolveError) as caught:
        supplied(shop.board("board-musl"), lock, sources)
    assert caught.value.code == "E-RESOLVE-LOCK-PLATFORM"
    changed = shop.board(rootfs=["lib"])
    with pytest.raises(ResolveError, match=r"rootfs packages.*: \+lib -base") as caught:
        supplied(changed, lock, sources)
    assert caught.value.code == "E-RESOLVE-LOCK-REQUESTS"


def test_an_edited_lock_is_found_out(shop: Shop, sources: Sources) -> None:
    """A line that says another version, and a line that is missing."""
    board = shop.board()
    lock = lock_platforms([board], sources)
    first = replace(lock.packages[0], pkgver="lib-1.5_1")
    supply = supplied(board, replace(lock, packages=(first, *lock.packages[1:])), sources)
    files = {one.sha256: shop.path / one.file_name for one in lock.packages}
    with pytest.raises(VerifyError, match=r"the lock says lib-1.5_1") as caught:
        supply.steps(files)
    assert caught.value.code == "E-VERIFY-LOCK-DIFFERS"
    with pytest.raises(ResolveError, match=r"base-1.0_1 needs lib>=1"):
        supplied(board, replace(lock, packages=lock.packages[1:]), sources).steps(files)


def test_keys_of_a_lock_are_trusted_or_refused(
    shop: Shop, sources: Sources, tmp_path: Path
) -> None:
    """Those that it has as a whole count; a fingerprint that it merely names does not."""
    board = shop.board()
    lock = lock_platforms([board], sources)
    unnamed = replace(sources, repo_keys=())
    assert len(supplied(board, lock, unnamed).fetch()) == 4
    for untrusted in (lock.with_keys(()), lock.with_keys(shipped_keys().values())):
        with pytest.raises(VerifyError) as caught:
            supplied(board, untrusted, unnamed).require_trusted()
        assert caught.value.code == "E-VERIFY-UNTRUSTED-KEY"
        with pytest.raises(VerifyError):
            supplied(board, untrusted, unnamed).fetch()
        assert len(supplied(board, untrusted, sources).fetch()) == 4
    unsigned = replace(lock, repositories=(replace(lock.repositories[0], key=None),))
    with pytest.raises(VerifyError) as caught:
        supplied(board, unsigned, sources).fetch()
    assert caught.value.code == "E-VERIFY-UNSIGNED"


def test_a_replaced_key_is_told(shop: Shop, sources: Sources, tmp_path: Path) -> None:
    """Who trusts a fingerprint but has not the key asks the repository, which may have another."""
    board = shop.board()
    lock = lock_platforms([board], sources)
    trusting = ResolvedRecipe(
        board.recipe.model_copy(update={"keys": (str(lock.repositories[0].key),)}),
        board.origins,
        board.files,
        board.templates,
        board.sources,
    )
    elsewhere = replace(sources, repo_keys=(), cache=tmp_path / "other")
    lock = lock.with_keys(())
    assert len(supplied(trusting, lock, elsewhere).fetch()) == 4
    for path in shop.path.glob("*-repodata"):
        path.unlink()
    again = replace(elsewhere, cache=tmp_path / "third")
    with pytest.raises(VerifyError) as caught:
        supplied(trusting, lock, again).fetch()
    assert caught.value.code == "E-VERIFY-LOCK-KEY"


def test_offline_the_cache_is_enough(shop: Shop, sources: Sources, server: Server) -> None:
    """What was fetched once is there; what was not is named."""
    board = shop.board()
    lock = lock_platforms([board], sources)
    offline = replace(sources, offline=True)
    with pytest.raises(FetchError, match=r"no server may be asked: base-1.0_1") as caught:
        supplied(board, lock, offline).fetch()
    assert caught.value.code == "E-FETCH-OFFLINE"
    supplied(board, lock, sources).fetch()
    server.requests.clear()
    assert len(supplied(board, lock, offline).fetch()) == 4
    assert lock_platforms([board], offline) == lock
    assert server.requests == []


def test_a_bundle_is_all_that_is_needed(
    shop: Shop, sources: Sources, server: Server, tmp_path: Path
) -> None:
    """Beside the lock, or named with -r: no request, the very packages, the key."""
    boards = [shop.board(), shop.board("board-musl")]
    place = tmp_path / "kept"
    lock = lock_platforms(boards, sources, bundle=place)
    kept, file = read_lock(place)
    assert (kept, file) == (lock, place / "lock.json")
    server.requests.clear()
    shop.path.rename(tmp_path / "gone")
    offline = replace(sources, cache=tmp_path / "other", offline=True, repositories=())
    for board in boards:
        assert len(supplied(board, kept, offline, file).fetch()) == 4
    named = replace(offline, cache=tmp_path / "third", repositories=(Location.parse(str(place)),))
    assert len(supplied(boards[0], kept, named).fetch()) == 4
    alone = Sources.parse(
        cache=tmp_path / "fourth",
        repositories=[str(place / "repository-0")],
        repo_keys=[place / "keys" / shop.key_plist.name],
    )
    again = lock_platforms(boards, alone)
    assert again.packages == lock.packages
    assert server.requests == []


def test_a_bundle_of_an_older_lock_has_its_packages(
    shop: Shop, sources: Sources, tmp_path: Path
) -> None:
    """The repository moved on but still has them: nothing newer comes in, nothing is lacking."""
    boards = [shop.board(), shop.board("board-musl")]
    lock = lock_platforms(boards, sources)
    file = tmp_path / "set.lock.json"
    write_lock(file, lock)
    shop.put("lib", "2.0_1")
    shop.put("firmware", "2.0_1")
    place = tmp_path / "kept"
    assert bundle_lock(lock, file, boards, sources, place) == lock
    assert read_lock(place) == (lock, place / "lock.json")
    assert {path.name for path in place.rglob("*.xbps")} == {
        f"{name}-1.0_1.noarch.xbps" for name in ("base", "lib", "kernel", "firmware")
    }
    offline = replace(sources, cache=tmp_path / "other", offline=True, repositories=())
    for board in boards:
        assert len(supplied(board, lock, offline, place / "lock.json").fetch()) == 4
    # its index is one of these packages alone, so it is a repository by itself
    alone = Sources.parse(
        cache=tmp_path / "alone",
        repositories=[str(place / "repository-0")],
        repo_keys=[place / "keys" / shop.key_plist.name],
    )
    assert lock_platforms(boards, alone).packages == lock.packages
    # of one platform, and out of the bundle itself
    part = bundle_lock(lock, place / "lock.json", boards[:1], offline, tmp_path / "part")
    assert [one.platform for one in part.platforms] == ["board"]


def test_a_bundle_of_a_lock_keeps_the_index_while_there_is_one(
    shop: Shop, sources: Sources, tmp_path: Path
) -> None:
    """Byte for byte what a lock with a bundle keeps."""
    boards = [shop.board()]
    lock = lock_platforms(boards, sources, bundle=tmp_path / "at once")
    bundle_lock(lock, tmp_path / "x.json", boards, sources, tmp_path / "later")
    first, later = (
        {path.relative_to(top): path.read_bytes() for path in top.rglob("*") if path.is_file()}
        for top in (tmp_path / "at once", tmp_path / "later")
    )
    assert first == later


def test_a_bundle_of_a_lock_needs_all_of_it(shop: Shop, sources: Sources, tmp_path: Path) -> None:
    """A dropped package, or a recipe that asks for more: an error, and no bundle."""
    lock = lock_platforms([shop.board()], sources)
    with pytest.raises(ResolveError) as asked:
        bundle_lock(lock, tmp_path / "x", [shop.board(rootfs=["kernel"])], sources, tmp_path / "b")
    assert asked.value.code == "E-RESOLVE-LOCK-REQUESTS"
    for path in shop.path.glob("lib-*"):
        path.unlink()
    with pytest.raises(FetchError) as gone:
        bundle_lock(lock, tmp_path / "x", [shop.board()], sources, tmp_path / "b")
    assert gone.value.code == "E-FETCH-LOCK-DROPPED"
    assert not (tmp_path / "b").exists()


def test_a_lock_is_bundled_from_the_command_line(shop: Shop, tmp_path: Path) -> None:
    """Without its platforms being named; not with what would resolve anew."""
    shop.board()
    common: list[str | Path] = ["--cache", tmp_path / "cache", "-q"]
    common += ["lock", "--profile", "little"]
    common += ["--platforms-and-profiles", shop.root / "spec"]
    common += ["-r", shop.path, "--repo-key", shop.key_plist]
    file, place = tmp_path / "set.lock.json", tmp_path / "kept"
    assert voidimg(*common, "board", "board-musl", "-o", file).returncode == 0
    shop.put("lib", "2.0_1")
    bundled = voidimg_json(*common, "--lock", file, "--bundle", place, "--json")
    assert (bundled["lock"], bundled["packages"]) == (str(place), 8)
    assert (place / "lock.json").read_bytes() == file.read_bytes()
    refusals: list[list[str | Path]] = [[], ["--bundle", place, "--update"]]
    for more in refusals:
        refused = voidimg(*common, "--lock", file, *more)
        assert refused.returncode == 2
        assert "--lock goes with --bundle" in refused.stderr


def test_a_bundle_replaces_bundles_only(shop: Shop, sources: Sources, tmp_path: Path) -> None:
    """An earlier bundle goes as a whole; any other directory stays."""
    place = tmp_path / "kept"
    lock_platforms([shop.board()], sources, bundle=place)
    old = place / "repository-0" / "old-1.0_1.noarch.xbps"
    old.write_text("")
    lock_platforms([shop.board()], sources, bundle=place)
    assert not old.exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("")
    with pytest.raises(UsageError) as caught:
        lock_platforms([shop.board()], sources, bundle=other)
    assert caught.value.code == "E-USAGE-BUNDLE"
    assert Bundle.at(other) is None


def test_a_damaged_bundle_is_refused(shop: Shop, sources: Sources, tmp_path: Path) -> None:
    """Its packages are verified like all others."""
    place = tmp_path / "kept"
    lock = lock_platforms([shop.board()], sources, bundle=place)
    package = place / "repository-0" / "lib-1.0_1.noarch.xbps"
    whole = package.read_bytes()
    package.write_bytes(whole[:-1] + b"x")
    offline = replace(sources, cache=tmp_path / "other", offline=True, repositories=())
    with pytest.raises(VoidimgError, match=r"lib-1.0_1"):
        supplied(shop.board(), lock, offline, place / "lock.json").fetch()
    package.write_bytes(whole)
    (place / "repository-0" / "kernel-1.0_1.noarch.xbps.sig2").write_bytes(b"x" * 256)
    with pytest.raises(VerifyError, match=r"kernel-1.0_1") as caught:
        supplied(shop.board(), lock, offline, place / "lock.json").fetch()
    assert caught.value.code == "E-VERIFY-SIGNATURE"
    online = replace(sources, cache=tmp_path / "third")
    assert len(supplied(shop.board(), lock, online, place / "lock.json").fetch()) == 4


def test_a_change_between_index_and_packages_is_told(
    shop: Shop, sources: Sources, tmp_path: Path
) -> None:
    """A warning if everything could be had, else the cause of the failure; refused on demand."""
    events: list[Event] = []
    board = shop.board()
    state = RepositoryState(sources, events.append)
    supply = plan_supply(board.recipe, state)
    shop.put("more")
    supply.fetch()
    warnings = [one.text for one in events if isinstance(one, Message) and one.level == "warning"]
    assert len(warnings) == 1
    assert "changed since its index was read" in warnings[0]
    strict = replace(sources, require_consistent=True, cache=tmp_path / "other")
    supply = plan_supply(board.recipe, RepositoryState(strict, events.append))
    shop.put("evenmore")
    with pytest.raises(FetchError) as caught:
        supply.fetch()
    assert caught.value.code == "E-FETCH-CHANGED"
    loose = replace(sources, cache=tmp_path / "third")
    supply = plan_supply(board.recipe, RepositoryState(loose, events.append))
    (shop.path / "lib-1.0_1.noarch.xbps").unlink()
    shop.put("lib", "1.1_1")
    with pytest.raises(FetchError, match=r"then: .*lib-1.0_1") as caught:
        supply.fetch()
    assert caught.value.code == "E-FETCH-CHANGED"


@pytest.mark.parametrize(
    ("rootfs", "platformfs"), [(["base", "kernel5"], ["kernel"]), (["base"], ["kernel", "kernel5"])]
)
def test_kernels_that_exclude_each_other_are_named_before_any_download(
    shop: Shop, sources: Sources, server: Server, rootfs: list[str], platformfs: list[str]
) -> None:
    """In one stage or in two: both names, and only the index was asked for."""
    shop.put("kernel5", conflicts=["kernel>=0"])
    with pytest.raises((ResolveError, CollectedError)) as caught:
        lock_platforms([shop.board(rootfs=rootfs, platformfs=platformfs)], sources)
    assert "kernel5-1.0_1" in str(caught.value)
    assert "kernel-1.0_1" in str(caught.value)
    assert names(server) == ["aarch64-repodata"]


def test_why_a_package_is_there(shop: Shop, sources: Sources, server: Server) -> None:
    """The chain from a request, who else needs it, and what is not there."""
    shop.put("tool", needs=["lib>=0"])
    board = shop.board(rootfs=["base", "tool"])
    found = explain_package(board, "lib", sources)
    assert found.stage == "rootfs"
    assert [(link.needed_by, link.needs) for link in found.chain] == [
        (None, "base"), ("base-1.0_1", "lib>=1"),
    ]  # fmt: skip
    assert found.needed_by == ("base-1.0_1", "tool-1.0_1")
    assert explain_package(board, "firmware", sources).stage == "platformfs"
    with pytest.raises(ResolveError, match="did you mean 'kernel"):
        explain_package(board, "kernell", sources)
    assert set(names(server)) == {"aarch64-repodata"}


def test_a_missing_dependency_says_who_needs_it(
    shop: Shop, sources: Sources, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was asked for, who needs it, each candidate and why it was refused; one a line."""
    shop.put("app", needs=["base>=1", "lib>=3"])
    with pytest.raises(ResolveError) as caught:
        lock_platforms([shop.board(rootfs=["app"])], sources)
    show_error(caught.value)
    at = sources.repositories[0].name
    assert capsys.readouterr().err.splitlines() == [
        "voidimg: app-1.0_1 needs lib>=3, but no package fits [E-RESOLVE-MISSING]",
        "    app is asked for",
        f"    refused: lib-1.0_1 ({at}) does not fit lib>=3",
    ]


def problems_of(caught: pytest.ExceptionInfo[VoidimgError]) -> list[str]:
    """What is wrong, in short, in the order told."""
    errors = getattr(caught.value, "errors", (caught.value,))
    return [getattr(one, "problem", one.what) for one in errors]


def test_the_missing_packages_of_all_stages_come_at_once(shop: Shop, sources: Sources) -> None:
    """Who mends a list of packages mends all of it; each name once, nothing that only follows."""
    shop.put("app", needs=["gone>=1"])
    board = shop.board(rootfs=["base", "nope", "app"], platformfs=["kernel", "never", "nope"])
    with pytest.raises(CollectedError) as caught:
        lock_platforms([board], sources)
    assert problems_of(caught) == [
        "nope is asked for, but no repository has it",
        "app-1.0_1 needs gone>=1, but no repository has it",
        "never is asked for, but no repository has it",
    ]
    ended = voidimg(
        "lock", "board", "--profile", "little", "--platforms-and-profiles", shop.root / "spec",
        "-r", sources.repositories[0].name, "--repo-key", shop.key_plist,
        env={"VOIDIMG_CACHE": str(sources.cache)}, cwd=shop.root,
    )  # fmt: skip
    assert ended.returncode == 4
    for name in ("nope", "gone", "never"):
        assert ended.stderr.count(f"{name}") >= 1, ended.stderr
    assert ended.stderr.count("voidimg: ") == 3


def test_the_missing_packages_of_all_platforms_come_at_once(shop: Shop, sources: Sources) -> None:
    """What both lack is told once."""
    first = shop.board(rootfs=["base", "nope"])
    second = shop.board("board-musl", rootfs=["base", "nope"], platformfs=["other"])
    with pytest.raises(CollectedError) as caught:
        lock_platforms([first, second], sources)
    assert problems_of(caught) == [
        "nope is asked for, but no repository has it",
        "other is asked for, but no repository has it",
    ]


def test_only_what_is_missing_is_told_after_a_failed_stage(shop: Shop, sources: Sources) -> None:
    """A conflict that the unplanned stage would have settled is no problem of its own."""
    shop.put("kernel2", conflicts=["kernel>=0"])
    board = shop.board(rootfs=["nope"], platformfs=["kernel", "kernel2", "never"])
    with pytest.raises(CollectedError) as caught:
        lock_platforms([board], sources)
    assert problems_of(caught) == [
        "nope is asked for, but no repository has it",
        "never is asked for, but no repository has it",
    ]


def test_a_lock_that_is_not_there(tmp_path: Path) -> None:
    """An error in words."""
    with pytest.raises(StoreError) as caught:
        read_lock(tmp_path / "nowhere.json")
    assert caught.value.code == "E-STORE-LOCK"
    write_lock(tmp_path / "some.json", Lock((), ()))
    assert read_lock(tmp_path / "some.json")[0] == Lock((), ())
