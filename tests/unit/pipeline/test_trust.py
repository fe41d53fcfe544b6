"""Keys add up: Void's two come with voidimg, those that are given stand beside them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.command import voidimg, voidimg_json
from tests.unit.pipeline.shop import KEYS, Shop
from voidimg.catalog.catalog import Catalog
from voidimg.errors import FetchError, VerifyError, VoidimgError
from voidimg.events import Event, Message
from voidimg.pipeline.locks import lock_platforms
from voidimg.supply.lock import Lock
from voidimg.supply.pin import sources_to_update
from voidimg.supply.sources import Sources
from voidimg.supply.trust import Trust, repository_keys
from voidimg.xbps.keys import PublicKey
from voidimg.xbps.shipped_keys import DIRECTORY, shipped_keys

VOID = (
    "3d:b9:c0:50:41:a7:68:4c:2e:2c:a9:a2:5a:04:b7:3f",
    "60:ae:0c:d6:f0:95:17:80:bc:93:46:7a:89:af:a3:2d",
)


@pytest.fixture
def private(tmp_path: Path) -> Shop:
    """Another repository with another key, which has another build of `lib`."""
    shop = Shop(tmp_path / "private", key="main")
    shop.put("lib", "0.9_1", index=False)
    shop.put("own")
    return shop


@pytest.fixture
def sources(shop: Shop, private: Shop, tmp_path: Path) -> Sources:
    """The private repository beside the other one."""
    return Sources.parse(
        cache=tmp_path / "cache",
        repositories=[str(shop.path)],
        added=[str(private.path)],
        repo_keys=[shop.key_plist, private.key_plist],
    )


def fingerprints(*shops: Shop) -> tuple[str, ...]:
    """Void's keys and those of `shops`, sorted."""
    return tuple(sorted((*VOID, *(shop.key_plist.stem for shop in shops))))


def test_voids_keys_are_shipped_under_their_names() -> None:
    """Both, as `platforms/void.toml` states them, of 4096 bits."""
    keys = shipped_keys()
    assert tuple(sorted(keys)) == VOID
    assert {path.stem for path in DIRECTORY.iterdir()} == set(VOID)
    assert {key.bits for key in keys.values()} == {4096}
    assert {key.signed_by for key in keys.values()} == {"Void Linux"}
    for entry in Catalog().platforms():
        assert set(Catalog().recipe(entry.name).recipe.keys) == set(VOID)


def test_a_tree_trusts_all_keys(shop: Shop, private: Shop, sources: Sources) -> None:
    """Void's, though no repository of the lock is signed with them, and both that were given."""
    lock = lock_platforms([shop.board(rootfs=["base", "own"])], sources)
    assert tuple(key.fingerprint for key in lock.keys) == fingerprints(shop, private)
    assert lock.platforms[0].keys == fingerprints(shop, private)
    assert Lock.decode(lock.encode(), "x") == lock
    unused = lock_platforms([shop.board()], replace(sources, added=()))
    assert tuple(key.fingerprint for key in unused.keys) == fingerprints(shop, private)


def test_an_added_repository_comes_first(shop: Shop, private: Shop, sources: Sources) -> None:
    """Of two that have a package the first is taken, as XBPS does; the rest is from the other."""
    private.put("lib", "1.0_0")
    lock = lock_platforms([shop.board(rootfs=["base", "own"])], sources)
    places = {one.pkgver: lock.url_of(one) for one in lock.packages}
    assert places["lib-1.0_0"] == places["own-1.0_1"] == str(private.path)
    assert places["base-1.0_1"] == str(shop.path)


def test_what_an_added_repository_cannot_satisfy_comes_from_the_others(
    shop: Shop, sources: Sources
) -> None:
    """Its lib-0.9_1 does not fit lib>=1."""
    lock = lock_platforms([shop.board()], sources)
    assert "lib-1.0_1" in [one.pkgver for one in lock.packages]


def test_an_added_repository_needs_its_key(shop: Shop, private: Shop, sources: Sources) -> None:
    """Nobody vouched for it: refused, with the option that does."""
    with pytest.raises(VerifyError, match=private.key_plist.stem) as caught:
        lock_platforms([shop.board()], replace(sources, repo_keys=(shop.key_plist,)))
    assert caught.value.code == "E-VERIFY-UNTRUSTED-KEY"
    assert "--repo-key" in str(caught.value.hint)


def test_a_lock_is_brought_up_to_date_without_its_keys(
    shop: Shop, private: Shop, sources: Sources
) -> None:
    """Its repositories and given keys are in it; one that it has not is refused."""
    board = shop.board(rootfs=["base", "own"])
    old = lock_platforms([board], sources)
    private.put("own", "2.0_1")
    bare = Sources.parse(cache=sources.cache)
    again = sources_to_update(old, [board], bare)
    new = lock_platforms([board], again)
    assert (new.repositories[0].url, new.keys) == (str(private.path), old.keys)
    assert "own-2.0_1" in [one.pkgver for one in new.packages]
    keyless = sources_to_update(old.with_keys(shipped_keys().values()), [board], bare)
    with pytest.raises(VerifyError):
        lock_platforms([board], keyless)


def test_keys_of_one_platform_are_not_those_of_another(shop: Shop, sources: Sources) -> None:
    """Each tree gets what its own platform trusts, also from a lock of several."""
    lock = lock_platforms([shop.board()], sources)
    other = lock.with_keys(shipped_keys().values())
    renamed = replace(other, platforms=(replace(other.platforms[0], platform="other"),))
    joined = Lock.joined([lock, renamed])
    assert joined.of_platform("board", "little").keys == lock.keys
    assert joined.of_platform("other", "little").keys == other.keys


def test_what_an_index_says_of_a_known_key_does_not_count(shop: Shop) -> None:
    """The text in an unsigned index is not what a tree gets."""
    known = PublicKey.from_plist(shop.key_plist.read_bytes(), where="x")
    trust = Trust.of([shop.key_plist], VOID)
    liar = PublicKey.from_pem(known.pem + b"\n# more\n", signed_by="Void Linux")
    assert trust.require(liar, "x") is trust.keys[known.fingerprint]
    assert trust.of_tree([liar]) == trust.of_tree()


def test_a_fingerprint_without_a_key_is_known_as_such() -> None:
    """A platform may state one whose key no file has: only a repository can bring it."""
    found = repository_keys((*VOID, "00:" * 15 + "00"), sorted(KEYS.glob("*.plist")))
    assert [(one.origin, one.bits is None) for one in found].count(("platform", True)) == 1
    assert len(found) == 5


@pytest.mark.parametrize(
    ("edit", "code"),
    [
        (lambda text: text.replace("signed_by", "signed-by"), "E-MANY-ERRORS"),
        (lambda text: text.replace("-----BEGIN", "-----BEGUN"), "E-VERIFY-KEY"),
        (lambda text: text.replace(f'{{"fingerprint": "{VOID[0]}"',
                                   f'{{"fingerprint": "{VOID[1]}"'), "E-VERIFY-LOCK-KEY"),
        (lambda text: text.replace('"public_key": "', '"public_key": "\\ud800'), "E-MANY-ERRORS"),
        (lambda text: text.replace('"Void Linux"', '"\\ud800"'), "E-MANY-ERRORS"),
        (lambda text: text.replace('"keys": ["', '"keys": ["x'), "E-SPEC-LOCK-TYPE"),
        (lambda text: text.replace('"keys": ["', '"keys": ["' + "00:" * 15 + '00", "'),
         "E-SPEC-LOCK-REFERENCE"),
    ],
)  # fmt: skip
def test_edited_keys_of_a_lock_are_refused(
    edit: Callable[[str], str], code: str, shop: Shop, sources: Sources
) -> None:
    """As an error of the file, never a traceback."""
    text = lock_platforms([shop.board()], sources).encode().decode()
    assert edit(text) != text
    with pytest.raises(VoidimgError) as caught:
        Lock.decode(edit(text).encode(), "x.json")
    assert caught.value.code == code


def test_a_lock_without_keys_is_read(shop: Shop, sources: Sources) -> None:
    """The first locks had none."""
    lock = lock_platforms([shop.board()], sources).with_keys(())
    assert b'"keys"' not in lock.encode()
    assert Lock.decode(lock.encode(), "x") == lock


def test_a_given_repository_without_the_architecture_is_told(
    shop: Shop, private: Shop, sources: Sources
) -> None:
    """It is passed over like Void's for another architecture, but not silently."""
    for path in private.path.glob("*-repodata"):
        path.unlink()
    events: list[Event] = []
    lock_platforms([shop.board()], sources, listener=events.append)
    told = [one.text for one in events if isinstance(one, Message) and one.level == "warning"]
    assert told == [f"{private.path} has nothing for aarch64: it has no file aarch64-repodata"]
    with pytest.raises(FetchError) as caught:
        lock_platforms([shop.board()], replace(sources, repositories=sources.added))
    assert caught.value.code == "E-FETCH-NO-ARCH"


def test_every_verb_takes_an_added_repository(shop: Shop, private: Shop, tmp_path: Path) -> None:
    """lock, why, show --plan and build, as a user types them."""
    shop.board(rootfs=["base", "own"])
    own = ["--profile", "little", "--platforms-and-profiles", str(shop.root / "spec")]
    places: list[str | Path] = ["-r", shop.path, "--add-repository", private.path]
    keys: list[str | Path] = ["--repo-key", shop.key_plist, "--repo-key", private.key_plist]
    start = ["--cache", str(tmp_path / "cache"), "--out", str(tmp_path / "out")]
    lock = tmp_path / "x.json"
    made = voidimg(*start, "lock", "board", *own, *places, *keys, "-o", lock)
    assert made.returncode == 0, made.stderr
    found = voidimg_json(*start, "why", "board", "own", *own, *places, *keys, "--json")
    assert found["repository"] == str(private.path)
    plan = voidimg_json(*start, "show", "board", "--plan", *own, *places, *keys, "--json")
    assert plan["steps"][0]["details"] == [str(private.path), str(shop.path)]
    assert plan["forecast"][0]["packages"] == 3
    shown = voidimg_json("show", "board", *own, *keys, "--json")
    assert [one["fingerprint"] for one in shown["trusted_keys"]] == list(
        fingerprints(shop, private)
    )
    update = voidimg(*start, "lock", "--update", "-o", lock, *own[2:])
    assert (update.returncode, "no package changes" in update.stdout) == (0, True), update.stderr
