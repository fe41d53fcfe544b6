"""The shipped platform files as they are, from a mirror that is laid out and answers as Void's."""

from __future__ import annotations

import json
import shutil
import tarfile
from pathlib import Path

import pytest

from tests.command import voidimg, voidimg_json
from tests.integration.building import DATE, SPEC, build_words, published
from tests.testrepo import RepositoryFixture, provide_tiny
from tests.testrepo.writing import OTHER_KEY, SIGNED_BY
from tests.void_mirror import AARCH64, Mirror, lay_out_mirror, serving_mirror
from voidimg.xbps.keys import PrivateKey
from voidimg.xbps.repository.local import packages_of, sign_packages, sign_repository
from voidimg.xbps.shipped_keys import shipped_keys

VOID = "https://repo-default.voidlinux.org"
LOCK = f"void-rpi-aarch64-{DATE}.lock.json"
OFFLINE = {"https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
"""Void's own server must not be asked, nor any other that is not here."""


@pytest.fixture(scope="module")
def musl() -> RepositoryFixture:
    """The tiny repository for musl."""
    return provide_tiny(musl=True)


@pytest.fixture
def own_mirror(musl: RepositoryFixture, tmp_path: Path) -> Path:
    """A mirror with the musl packages, to be changed."""
    top = tmp_path / "mirror"
    lay_out_mirror(top, {AARCH64: [musl]})
    return top


def test_the_lock_names_voids_own_repository(raspberry: Path, mirror: Mirror) -> None:
    """Whichever mirror was asked; every file came through the redirector."""
    lock = json.loads((raspberry / "out" / DATE / LOCK).read_text())
    assert [one["url"] for one in lock["repositories"]] == [f"{VOID}/{AARCH64}"]
    asked = {path for path, _ in mirror.front.requests}
    assert f"/{AARCH64}/aarch64-repodata" in asked
    assert asked <= {path for path, _ in mirror.behind.requests}
    assert sum(path.endswith(".xbps") for path in asked) > 100


def test_a_build_from_that_lock_is_the_same_without_its_key(
    raspberry: Path, mirror: Mirror, tmp_path: Path
) -> None:
    """And `lock --update` changes nothing; both know the key from the lock."""
    published_before = published(raspberry)
    lock = raspberry / "out" / DATE / LOCK
    words: list[str | Path] = ["--cache", raspberry / "cache", "--out", tmp_path / "out"]
    words += ["build", "rpi-aarch64", "--date", DATE, "--compression", "zstd:1"]
    ended = voidimg(*words, "--lock", lock, "--mirror", mirror.url, env=OFFLINE)
    assert ended.returncode == 0, ended.stderr
    assert published(tmp_path) == published_before
    copy = tmp_path / "set.lock.json"
    shutil.copy(lock, copy)
    change = voidimg_json(
        *("--cache", raspberry / "cache", "lock", "--update", "-o", copy, "--json"),
        *("--mirror", mirror.url),
        env=OFFLINE,
    )["difference"]
    assert (change["added"], change["removed"], change["upgraded"]) == ([], [], [])
    assert copy.read_bytes() == lock.read_bytes()


def test_a_musl_platform_is_built(musl: RepositoryFixture, mirror: Mirror, tmp_path: Path) -> None:
    """Under its own names, from the directory that aarch64 has for both; its scripts ran."""
    words = build_words(musl, tmp_path, mirror=mirror.url)
    words[words.index("tiny")] = "tiny-musl"
    ended = voidimg(*words, "--repo-key", musl.other_key_plist, env=OFFLINE)
    assert ended.returncode == 0, ended.stderr
    names = [
        f"void-aarch64-musl-ROOTFS-{DATE}.tar",
        f"void-tiny-musl-PLATFORMFS-{DATE}.tar",
        f"void-tiny-musl-{DATE}.img",
        f"void-tiny-musl-{DATE}.img.bmap",
        f"void-tiny-musl-{DATE}.lock.json",
    ]
    assert set(published(tmp_path)) == set(names)
    with tarfile.open(tmp_path / "out" / DATE / names[1]) as tar:
        version = tar.extractfile("./etc/musl-version")
        assert version is not None
        assert version.read() == b"1.2.3\n"
        link = tar.getmember("./var/db/xbps/triggers")
        assert link.linkname == "../../../usr/libexec/xbps-triggers"
        trigger = tar.getmember("./usr/libexec/xbps-triggers/system-accounts")
        assert trigger.mode == 0o754
        service = tar.getmember("./etc/sv/tinyd/supervise")
        assert service.linkname == "/run/runit/supervise.tinyd"
        keys = {name for name in tar.getnames() if name.startswith("./var/db/xbps/keys/")}
    trusted = {*shipped_keys(), musl.key_plist.stem, musl.other_key_plist.stem}
    assert keys == {f"./var/db/xbps/keys/{one}.plist" for one in trusted}
    (rootfs,) = voidimg_json("lint", "--json", tmp_path / "out" / DATE / names[0])
    assert rootfs["defects"] == []


def test_the_owner_signs_with_the_other_key(
    musl: RepositoryFixture, own_mirror: Path, tmp_path: Path
) -> None:
    """A lock that trusts both is brought up to date without naming any; else it is refused."""
    common = ("--cache", tmp_path / "cache", "lock", "--platforms-and-profiles", SPEC)
    both, one = tmp_path / "both.json", tmp_path / "one.json"
    keys = ("--repo-key", musl.key_plist)
    with serving_mirror(own_mirror) as mirror:
        more = ("--profile", "tiny", "--mirror", mirror.url)
        for lock, words in ((both, (*keys, "--repo-key", musl.other_key_plist)), (one, keys)):
            ended = voidimg(*common, "tiny-musl", "-o", lock, *more, *words, env=OFFLINE)
            assert ended.returncode == 0, ended.stderr
        _sign_anew(own_mirror / AARCH64)
        asked = (*common, "--update", "--mirror", mirror.url)
        ended = voidimg(*asked, "-o", both, env=OFFLINE)
        assert ended.returncode == 0, ended.stderr
        assert "no package changes" in ended.stdout
        ended = voidimg(*asked, "-o", one, env=OFFLINE)
        assert ended.returncode == 6, ended.stderr
        assert musl.other_key_plist.stem in ended.stderr
        assert mirror.url in ended.stderr


def _sign_anew(repository: Path) -> None:
    key = PrivateKey.read(OTHER_KEY)
    for signature in repository.glob("*.sig2"):
        signature.unlink()
    sign_packages(packages_of(repository), key)
    sign_repository(repository, "aarch64-musl", key, SIGNED_BY)


def test_why_show_and_status_read_the_mirror(mirror: Mirror, raspberry: Path) -> None:
    """As a user types them, for a shipped platform."""
    trust = ("--repo-key", provide_tiny(musl=True).key_plist)
    common = ("--cache", raspberry / "cache")
    said = voidimg(*common, "why", "rpi-aarch64", "chrony", "--mirror", mirror.url, *trust)
    assert "chrony is asked for" in said.stdout, said.stderr
    said = voidimg(*common, "show", "rpi-aarch64", "--plan", "--mirror", mirror.url, *trust)
    assert f"from: {mirror.url}/{AARCH64}" in said.stdout, said.stderr
    assert "to fetch" in said.stdout
    for words in ([f"{VOID}/{AARCH64}", "--mirror", mirror.url], [f"{mirror.url}/{AARCH64}"]):
        archs = ("--arch", "aarch64", "--arch", "aarch64-musl")
        found = voidimg_json(*common, "repo", "status", *words, *archs, "--json")["indexes"]
        assert [one["arch"] for one in found] == ["aarch64", "aarch64-musl"]
        assert all(one["times"]["origin"] for one in found)
