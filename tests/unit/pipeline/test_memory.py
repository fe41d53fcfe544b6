"""A lock whose inputs are those of an earlier run is not resolved again; any other one is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.pipeline.shop import KEYS, Shop
from voidimg.errors import VerifyError
from voidimg.events import Event, Message, StepFinished
from voidimg.fetch import Location
from voidimg.pipeline.locks import lock_platforms
from voidimg.spec.compose import ResolvedRecipe
from voidimg.supply import digest
from voidimg.supply.lock import Lock
from voidimg.supply.sources import Sources


@pytest.fixture
def sources(shop: Shop, tmp_path: Path) -> Sources:
    return Sources.parse(
        cache=tmp_path / "cache", repositories=[str(shop.path)], repo_keys=[shop.key_plist]
    )


def locked(
    boards: ResolvedRecipe | list[ResolvedRecipe], sources: Sources
) -> tuple[Lock, bool, list[str]]:
    """The lock, whether it was known from an earlier run, and the warnings."""
    told: list[Event] = []
    named = boards if isinstance(boards, list) else [boards]
    lock = lock_platforms(named, sources, listener=told.append)
    (known,) = (e.cached for e in told if isinstance(e, StepFinished) and e.step == "resolve")
    return lock, known, [e.text for e in told if isinstance(e, Message)]


def test_the_same_inputs_give_the_same_lock_at_once(shop: Shop, sources: Sources) -> None:
    """Of one platform and of several; all of several must be known."""
    boards = [shop.board(), shop.board("board-musl")]
    first, known, _ = locked(boards[0], sources)
    assert not known
    assert locked(boards[0], sources)[:2] == (first, True)
    both, known, _ = locked(boards, sources)
    assert not known
    assert locked(boards, sources)[:2] == (both, True)
    assert both.encode() == lock_platforms(boards, replace(sources, cache=shop.root / "x")).encode()


def _new_package(shop: Shop, sources: Sources) -> tuple[ResolvedRecipe, Sources]:
    shop.put("lib", "2.0_1")
    return shop.board(), sources


def _other_recipe(shop: Shop, sources: Sources) -> tuple[ResolvedRecipe, Sources]:
    return shop.board(rootfs=["base", "firmware"]), sources


def _more_keys(shop: Shop, sources: Sources) -> tuple[ResolvedRecipe, Sources]:
    other = next(path for path in KEYS.glob("*.plist") if path.name != shop.key_plist.name)
    return shop.board(), replace(sources, repo_keys=(shop.key_plist, other))


def _second_repository(shop: Shop, sources: Sources) -> tuple[ResolvedRecipe, Sources]:
    more = Shop(shop.root / "more")
    more.put("lib", "0.9_1")
    locations = (*sources.repositories, Location.parse(str(more.path)))
    return shop.board(), replace(sources, repositories=locations)


def _consistency(shop: Shop, sources: Sources) -> tuple[ResolvedRecipe, Sources]:
    return shop.board(), replace(sources, require_consistent=True)


def _age(shop: Shop, sources: Sources) -> tuple[ResolvedRecipe, Sources]:
    return shop.board(), replace(sources, max_age_seconds=10**9)


@pytest.mark.parametrize(
    "change",
    [_new_package, _other_recipe, _more_keys, _second_repository, _consistency, _age],
)
def test_any_other_input_is_resolved_anew(
    shop: Shop,
    sources: Sources,
    change: Callable[[Shop, Sources], tuple[ResolvedRecipe, Sources]],
) -> None:
    """And gives what it would give without an earlier run."""
    locked(shop.board(), sources)
    board, changed = change(shop, sources)
    lock, known, _ = locked(board, changed)
    assert not known
    fresh = replace(changed, cache=shop.root / "fresh")
    assert lock.encode() == lock_platforms([board], fresh).encode()


def test_another_program_resolves_anew(
    shop: Shop, sources: Sources, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of it that was written again, or that is new."""
    program = tmp_path / "program"
    shutil.copytree(Path(digest.__file__).parent.parent, program)
    monkeypatch.setattr(digest, "__file__", str(program / "supply/digest.py"))
    locked(shop.board(), sources)
    assert locked(shop.board(), sources)[1]
    os.utime(program / "xbps/resolve/resolver.py")
    assert not locked(shop.board(), sources)[1]
    assert locked(shop.board(), sources)[1]
    (program / "xbps/new.py").write_text("")
    assert not locked(shop.board(), sources)[1]


def test_a_staged_repository_is_warned_of_every_time(shop: Shop, sources: Sources) -> None:
    """What a look into the repository tells is not lost."""
    shop.stage("aarch64", "firmware")
    for _ in range(2):
        _, known, warnings = locked(shop.board(), sources)
        assert not known
        assert any("staged packages: 1" in text for text in warnings)


def test_an_untrusted_key_is_refused_whatever_is_known(shop: Shop, sources: Sources) -> None:
    """The keys that are trusted are among the inputs."""
    locked(shop.board(), sources)
    other = next(path for path in KEYS.glob("*.plist") if path.name != shop.key_plist.name)
    with pytest.raises(VerifyError, match="not trusted"):
        locked(shop.board(), replace(sources, repo_keys=(other,)))


@pytest.mark.parametrize("damage", [b"", b"x" * 100, None])
def test_a_damaged_memory_is_none(shop: Shop, sources: Sources, damage: bytes | None) -> None:
    """Cut short, overwritten, one byte flipped: resolved anew, and remembered again."""
    lock, _, _ = locked(shop.board(), sources)
    (path,) = (sources.cache / "plans").iterdir()
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1.0_1", b"1.0_2") if damage is None else damage)
    assert locked(shop.board(), sources)[:2] == (lock, False)
    assert locked(shop.board(), sources)[:2] == (lock, True)
