"""Locks: canonical bytes, strict reading, differences."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voidimg.errors import CollectedError, PackageError, ResolveError, SpecError
from voidimg.spec.stages import STAGES
from voidimg.supply.lock import (
    Lock,
    LockedPackage,
    LockedPlatform,
    LockedRepository,
    LockedStage,
    locked,
)
from voidimg.supply.lock_difference import lock_difference
from voidimg.supply.lock_file import PlatformRow
from voidimg.supply.lock_schema import PATH, lock_schema_text
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.resolve.transaction import Step

SHA = "ab" * 32
KEY = ":".join(["60"] * 16)
REPOSITORY = LockedRepository("https://example.org/current", "aarch64", SHA, KEY)
A = LockedPackage("a-1.0_1", "aarch64", 0, 100, SHA, "rootfs", automatic=False)
B = LockedPackage("b-2.0_1", "noarch", 0, 50, SHA, "platformfs", automatic=True, group=1)
BOARD = LockedPlatform(
    "board", "base", "aarch64", LockedStage(0, ("a",)), LockedStage(1, ("b>=2",))
)
LOCK = Lock((REPOSITORY,), (A, B), (BOARD,))


def document() -> dict[str, Any]:
    """The lock as parsed JSON, to be spoilt."""
    parsed: dict[str, Any] = json.loads(LOCK.encode())
    return parsed


def decode(value: object) -> Lock:
    """The lock of this JSON value."""
    return Lock.decode(json.dumps(value).encode(), "x.lock.json")


def test_a_lock_has_one_package_a_line() -> None:
    """The format that diffs well, byte for byte."""
    assert LOCK.encode().decode() == (
        '{\n "schema": 1,\n "repositories": [\n'
        '  {"url": "https://example.org/current", "arch": "aarch64", '
        f'"repodata_sha256": "{SHA}", "key": "{KEY}"}}\n'
        ' ],\n "platforms": [\n'
        '  {"platform": "board", "profile": "base", "arch": "aarch64", '
        '"rootfs": {"group": 0, "requests": ["a"]}, '
        '"platformfs": {"group": 1, "requests": ["b>=2"]}}\n'
        ' ],\n "packages": [\n'
        '  {"group": 0, "pkgver": "a-1.0_1", "arch": "aarch64", "repository": 0, "size": 100, '
        f'"sha256": "{SHA}", "stage": "rootfs", "automatic": false}},\n'
        '  {"group": 1, "pkgver": "b-2.0_1", "arch": "noarch", "repository": 0, "size": 50, '
        f'"sha256": "{SHA}", "stage": "platformfs", "automatic": true}}\n'
        " ]\n}\n"
    )


PACKAGES = st.builds(
    LockedPackage,
    pkgver=st.from_regex(r"[a-z+é]{1,6}-[0-9.]{0,4}[0-9]_[0-9]", fullmatch=True),
    arch=st.sampled_from(["aarch64", "noarch", "x86_64-musl"]),
    repository=st.just(0),
    size=st.integers(0, 2**40),
    sha256=st.just(SHA),
    stage=st.sampled_from(["rootfs", "platformfs"]),
    automatic=st.booleans(),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(PACKAGES, max_size=4, unique_by=lambda package: package.name))
def test_what_is_written_is_read_back(packages: list[LockedPackage]) -> None:
    """Same lock, same bytes."""
    lock = Lock((REPOSITORY,), tuple(packages))
    again = Lock.decode(lock.encode(), "x")
    assert again == lock
    assert again.encode() == lock.encode()


@pytest.mark.parametrize(
    ("table", "key", "value", "said"),
    [
        ("packages", "pkgver", "a", "pkgver is not a pkgver"),
        ("packages", "pkgver", "../a-1.0_1", "pkgver is not a pkgver"),
        ("packages", "arch", "../x", "arch is not an architecture"),
        ("packages", "repository", True, "repository is not a whole number"),
        ("packages", "repository", 7, "names repository 7"),
        ("packages", "size", -1, "size is not a whole number"),
        ("packages", "size", "1", "size is not a whole number"),
        ("packages", "sha256", "AB" * 32, "sha256 is not a SHA-256"),
        ("packages", "stage", "image", "stage is not one of rootfs, platformfs"),
        ("packages", "automatic", 1, "automatic is not true or false"),
        ("packages", "extra", 1, "extra is not known"),
        ("packages", "group", "0", "group is not a whole number"),
        ("platforms", "profile", "", "profile is not a text"),
        ("platforms", "rootfs", {"group": 0}, "rootfs is not a group with its requests"),
        ("platforms", "rootfs", {"group": 0, "requests": [1]}, "is not a group with its requests"),
        ("platforms", "rootfs", {"group": 1, "requests": []}, "b-2.0_1 is of the stage platformfs"),
        ("platforms", "arch", "aarch64-musl", "a-1.0_1 comes from a repository for aarch64"),
        ("platforms", "files", {"usr/bin/x": "a" * 64}, "files is not a SHA-256 for each absolute"),
        ("platforms", "files", {"/usr/bin/x": "a"}, "files is not a SHA-256 for each absolute"),
        ("platforms", "files", [], "files is not a SHA-256 for each absolute"),
        ("platforms", "wsl", None, "wsl is not a group with its requests"),
        ("repositories", "url", None, "url is not a text"),
        ("repositories", "key", "x", "key is not a fingerprint"),
    ],
)
def test_wrong_values_are_refused_with_their_place(
    table: str, key: str, value: object, said: str
) -> None:
    """Which row, which key, what is wrong."""
    spoilt = document()
    spoilt[table][0][key] = value
    with pytest.raises((SpecError, CollectedError), match=said) as caught:
        decode(spoilt)
    first = caught.value.errors[0] if isinstance(caught.value, CollectedError) else caught.value
    assert first.where == f"x.lock.json: {table}[0]"


def test_all_wrong_values_are_told_at_once() -> None:
    """Two rows, three errors."""
    spoilt = document()
    spoilt["packages"][0] |= {"size": None, "stage": 1}
    del spoilt["packages"][1]["arch"]
    with pytest.raises(CollectedError) as caught:
        decode(spoilt)
    assert len(caught.value.errors) == 3


@pytest.mark.parametrize("schema", [0, 2, "1", True, None, 1.5])
def test_an_unknown_schema_is_refused(schema: object) -> None:
    """It may mean anything."""
    with pytest.raises(SpecError, match="schema") as caught:
        decode(document() | {"schema": schema})
    assert caught.value.code == "E-SPEC-LOCK-SCHEMA"


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b"null", b"1" * 9999])
def test_what_is_no_lock_is_refused(data: bytes) -> None:
    """Whatever the bytes."""
    with pytest.raises(SpecError):
        Lock.decode(data, "x.lock.json")


def test_missing_tables_and_repeated_packages_are_refused() -> None:
    """Each name once."""
    with pytest.raises(SpecError, match="packages"):
        decode({"schema": 1, "repositories": []})
    with pytest.raises(SpecError, match="is not a list"):
        decode({"schema": 1, "repositories": {}, "platforms": [], "packages": []})
    twice = document()
    twice["packages"].append(twice["packages"][0])
    with pytest.raises(SpecError, match="a is listed twice"):
        decode(twice)


def platform(name: str, arch: str, *packages: LockedPackage, requests: str = "a") -> Lock:
    """The lock of one platform that has all its packages in the ROOTFS."""
    repository = replace(REPOSITORY, arch=arch)
    one = LockedPlatform(name, "base", arch, LockedStage(0, (requests,)), LockedStage(1, ()))
    return Lock((repository,), packages, (one,))


def test_platforms_that_install_the_same_share_its_lines() -> None:
    """An upgrade is one line in the lock of a set; another architecture has lines of its own."""
    glibc = [platform(name, "aarch64", A) for name in ("one", "two")]
    musl = platform("one-musl", "aarch64-musl", replace(A, sha256="cd" * 32))
    lock = Lock.joined([*glibc, musl])
    assert len(lock.packages) == len(lock.repositories) == 2
    assert Lock.decode(lock.encode(), "x") == lock
    assert lock.of_platform("two", "base") == glibc[1]
    assert lock.of_platform("one-musl", "base") == musl
    with pytest.raises(ResolveError, match=r"has no packages for three \(base\)") as caught:
        lock.of_platform("three", "base")
    assert caught.value.code == "E-RESOLVE-LOCK-PLATFORM"
    newer = [platform(name, "aarch64", replace(A, pkgver="a-1.1_1")) for name in ("one", "two")]
    change = lock_difference(lock, Lock.joined([*newer, musl]))
    assert [(one.old.pkgver, one.new.pkgver) for one in change.upgraded] == [("a-1.0_1", "a-1.1_1")]


def test_a_lock_joined_of_one_is_that_lock() -> None:
    """Numbers of groups do not depend on what else is in a set."""
    assert Lock.joined([LOCK]) == LOCK
    assert Lock.joined([LOCK]).of_platform("board", "base") == LOCK
    more = Lock.joined([LOCK, platform("two", "aarch64")])
    assert more.packages == LOCK.packages
    assert more.platforms[0] == BOARD


def test_difference_of_locks() -> None:
    """Added, removed, upgraded, rebuilt, and the sizes."""
    newer = replace(A, pkgver="a-1.1_1", size=150)
    added = replace(B, pkgver="c-1_1", size=7)
    change = lock_difference(LOCK, Lock((REPOSITORY,), (newer, added)))
    assert [one.pkgver for one in change.added] == ["c-1_1"]
    assert [one.pkgver for one in change.removed] == ["b-2.0_1"]
    assert [(one.old.pkgver, one.new.pkgver) for one in change.upgraded] == [("a-1.0_1", "a-1.1_1")]
    assert (change.old_bytes, change.new_bytes, change.download_bytes) == (150, 157, 157)
    assert not change.upgraded[0].is_downgrade
    assert lock_difference(Lock((REPOSITORY,), (newer,)), LOCK).upgraded[0].is_downgrade
    rebuilt = lock_difference(LOCK, Lock((REPOSITORY,), (replace(A, sha256="cd" * 32), B)))
    assert rebuilt.upgraded[0].is_rebuild
    assert lock_difference(LOCK, Lock((REPOSITORY,), (B, A))).is_empty


def test_steps_are_locked() -> None:
    """What the index says of size and content is taken over, and checked."""
    entry: PlistDict = {"architecture": "aarch64", "filename-size": 100, "filename-sha256": SHA}
    step = Step("a-1.0_1", "a", "install", REPOSITORY.url, entry, automatic=False)
    assert locked(step, [REPOSITORY], "rootfs") == A
    assert LOCK.url_of(A) == REPOSITORY.url
    assert A.file_name == "a-1.0_1.aarch64.xbps"
    assert LOCK.of_stage("platformfs") == (B,)
    assert LOCK.package("b") == B
    nameless = replace(step, entry={**entry, "filename-sha256": "../etc"})
    with pytest.raises(PackageError, match="cannot be locked: its sha256"):
        locked(nameless, [REPOSITORY], "rootfs")


def test_the_schema_that_is_shipped_is_this() -> None:
    """After a change: `python -m voidimg.supply.lock_schema`."""
    assert PATH.read_text() == lock_schema_text()


def test_a_platform_may_have_every_stage() -> None:
    assert {field.alias or name for name, field in PlatformRow.model_fields.items()} == {
        *("platform", "profile", "arch", "files", "keys"),
        *STAGES,
    }
