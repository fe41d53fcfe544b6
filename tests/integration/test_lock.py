"""Builds from a lock: the same bytes, after the repository moved on, and without any repository."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from subprocess import CompletedProcess
from typing import IO, cast

import pytest

from tests.command import voidimg, voidimg_json
from tests.http_server import Server, serving
from tests.integration.building import LOCK, SPEC, build_words, published
from tests.testrepo import RepositoryFixture
from voidimg.xbps.keys import PrivateKey, PublicKey
from voidimg.xbps.repository.local import (
    PackageMember,
    PackageMeta,
    index_packages,
    sign_packages,
    sign_repository,
    write_package,
)
from voidimg.xbps.shipped_keys import shipped_keys

KEY = Path(__file__).parents[1] / "vectors/xbps/keys/second.private.pem"
OWN = ("--platforms-and-profiles", SPEC, "--profile", "tiny")


@pytest.fixture
def server(tiny: RepositoryFixture, tmp_path: Path) -> Iterator[Server]:
    """A copy of the tiny repository, served."""
    root = tmp_path / "served"
    shutil.copytree(tiny.path, root)
    with serving(root) as running:
        yield running


def put(server: Server, name: str, version: str, needs: tuple[str, ...] = ()) -> None:
    """Publish another version of a package; the old file stays."""
    meta = PackageMeta(name, version, "noarch", "newer", run_depends=needs)
    member = PackageMember(f"/usr/share/{name}.txt", content=version.encode())
    path = write_package(server.root, meta, [member])
    key = PrivateKey.read(KEY)
    sign_packages([path], key)
    index_packages(server.root, "aarch64", [path])
    sign_repository(server.root, "aarch64", key, "voidimg test repository")


def lock_words(
    repository: RepositoryFixture, server: Server, place: Path, *more: str | Path
) -> list[str | Path]:
    """What follows `voidimg` to lock the tiny board."""
    sources = ("-r", server.url, "--repo-key", repository.key_plist)
    return ["--cache", place / "cache", "lock", *OWN, *sources, *more]


def artifacts(place: Path) -> dict[str, str]:
    """What was published, without the lock."""
    return {name: sha256 for name, sha256 in published(place).items() if name != LOCK}


def test_a_lock_outlives_its_index(
    tiny: RepositoryFixture,
    server: Server,
    finished: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    """Newer packages are published; the lock still gives the bytes that it gave before."""
    place = tmp_path / "first"
    lock = tmp_path / "tiny.lock.json"
    ended = voidimg(*lock_words(tiny, server, place, "tiny", "-o", lock))
    assert ended.returncode == 0, ended.stderr
    put(server, "tiny-sshd", "9.0_1")
    other = tmp_path / "other"
    ended = voidimg(*build_words(tiny, other, "--lock", lock, location=server.url))
    assert ended.returncode == 0, ended.stderr
    assert artifacts(other) == artifacts(finished("none"))
    written = json.loads((other / "out" / "20240314" / LOCK).read_text())
    assert written == json.loads(lock.read_text())


def test_an_update_says_what_changes(
    tiny: RepositoryFixture, server: Server, tmp_path: Path
) -> None:
    """Upgraded with both versions, added and removed; the rest is known from the lock."""
    lock = tmp_path / "tiny.lock.json"
    words = ("-o", lock, "--json")
    made = voidimg_json(*lock_words(tiny, server, tmp_path, "tiny", *words))
    assert made["difference"] is None
    refused = voidimg(*lock_words(tiny, server, tmp_path, "tiny", *words))
    assert refused.returncode == 2
    assert "--update" in refused.stderr
    put(server, "tiny-extra", "1.0_1")
    put(server, "tiny-growpart", "9.0_1", needs=("tiny-extra>=0",))
    changed = voidimg_json(*lock_words(tiny, server, tmp_path, "--update", *words))["difference"]
    assert [one["pkgver"] for one in changed["added"]] == ["tiny-extra-1.0_1"]
    assert changed["removed"] == []
    assert [
        (one["old"]["pkgver"].rpartition("-")[0], one["new"]["pkgver"])
        for one in changed["upgraded"]
    ] == [("tiny-growpart", "tiny-growpart-9.0_1")]
    assert changed["download_bytes"] == sum(
        one["size"] for one in (changed["added"][0], changed["upgraded"][0]["new"])
    )
    trust = ("--repo-key", tiny.key_plist)
    again = voidimg("--cache", tmp_path / "cache", "lock", "--update", "-o", lock, *OWN, *trust)
    assert "no package changes" in again.stdout


def test_a_bundle_rebuilds_the_set_without_a_request(
    tiny: RepositoryFixture,
    server: Server,
    finished: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    """After the repository is gone: from the bundle beside the lock, and with -r."""
    place = tmp_path / "first"
    kept = tmp_path / "kept"
    lock = tmp_path / "tiny.lock.json"
    ended = voidimg(*lock_words(tiny, server, place, "tiny", "-o", lock, "--bundle", kept))
    assert ended.returncode == 0, ended.stderr
    server.requests.clear()
    trust = ("--repo-key", tiny.key_plist)
    common = ("--date", "20240314", "--compression", "none", "--offline", *OWN, *trust)
    for name, more in (("beside", ("--lock", kept)), ("named", ("--lock", lock, "-r", kept))):
        own = tmp_path / name
        words = ("--cache", own / "cache", "--out", own / "out", "build", "tiny", *common, *more)
        ended = voidimg(*words)
        assert ended.returncode == 0, ended.stderr
        assert artifacts(own) == artifacts(finished("none"))
    assert server.requests == []


def test_dropped_packages_fail_before_anything_is_made(
    tiny: RepositoryFixture, server: Server, tmp_path: Path
) -> None:
    """The message names the packages, and nothing is published."""
    lock = tmp_path / "tiny.lock.json"
    ended = voidimg(*lock_words(tiny, server, tmp_path / "first", "tiny", "-o", lock))
    assert ended.returncode == 0, ended.stderr
    (dropped,) = server.root.glob("busybox-*.xbps")
    dropped.unlink()
    other = tmp_path / "other"
    ended = voidimg(*build_words(tiny, other, "--lock", lock, location=server.url))
    assert ended.returncode == 5
    assert "E-FETCH-LOCK-DROPPED" in ended.stderr
    assert dropped.name in ended.stderr
    assert published(other) == {}


def test_a_build_leaves_nothing_that_protects_the_cache(
    tiny: RepositoryFixture, finished: Callable[[str], Path], tmp_path: Path
) -> None:
    """All of it can be checked, cleared and made again."""
    place = tmp_path / "place"
    shutil.copytree(finished("none") / "cache", place / "cache")
    cache = ("--cache", place / "cache", "cache")
    assert voidimg_json(*cache, "verify", "--json") == []
    assert voidimg_json(*cache, "gc", "--max", "0B", "--json")["bytes"] > 0
    left = {
        use["content"]: use["files"] for use in voidimg_json(*cache, "size", "--json")["contents"]
    }
    assert {content for content, files in left.items() if files} <= {"keys", "indexes"}
    ended = voidimg(*build_words(tiny, place))
    assert ended.returncode == 0, ended.stderr
    assert published(place) == published(finished("none"))


def test_a_damaged_package_in_the_cache_is_found(
    tiny: RepositoryFixture, finished: Callable[[str], Path], tmp_path: Path
) -> None:
    """Exit status 11, the file is named and removed."""
    place = tmp_path / "place"
    shutil.copytree(finished("none") / "cache", place / "cache")
    victim = next(path for path in (place / "cache" / "objects").rglob("*") if path.is_file())
    victim.chmod(0o644)
    victim.write_bytes(bytes(victim.stat().st_size))
    ended = voidimg("--cache", place / "cache", "cache", "verify")
    assert ended.returncode == 11
    assert str(victim) in ended.stdout
    assert not victim.exists()


def built_from(place: Path, lock: Path, *more: str | Path) -> CompletedProcess[str]:
    """A build of the tiny ROOTFS from `lock` that names no key."""
    words = ("--cache", place / "cache", "--out", place / "out", "build", "tiny", *OWN)
    own = ("--date", "20240314", "--compression", "none", "--artifact", "rootfs")
    return voidimg(*words, *own, "--lock", lock, *more)


def test_a_lock_brings_its_keys_into_the_build_and_the_tree(
    tiny: RepositoryFixture, server: Server, tmp_path: Path
) -> None:
    """Without naming them again, the tree trusts them and Void's two; what it merely names is not.

    An edited lock is refused with the same status whether or not its artifact is in the cache.
    """
    lock = tmp_path / "tiny.lock.json"
    made = voidimg(*lock_words(tiny, server, tmp_path, "tiny", "-o", lock))
    assert made.returncode == 0, made.stderr
    document = json.loads(lock.read_text())
    document["keys"] = [one for one in document["keys"] if one["signed_by"] == "Void Linux"]
    names = [one["fingerprint"] for one in document["keys"]]
    for platform in document["platforms"]:
        platform["keys"] = names
    untrusted = tmp_path / "untrusted.lock.json"
    untrusted.write_text(json.dumps(document))
    cold = built_from(tmp_path, untrusted)
    assert (cold.returncode, "E-VERIFY-UNTRUSTED-KEY" in cold.stderr) == (6, True)

    ended = built_from(tmp_path, lock)
    assert ended.returncode == 0, ended.stderr
    assert f"brings the key {tiny.key_plist.stem}" in ended.stderr
    with tarfile.open(tmp_path / "out/20240314" / "void-aarch64-ROOTFS-20240314.tar") as tar:
        found = [one for one in tar.getnames() if "/var/db/xbps/keys/" in one]
        files = {Path(one).stem: cast("IO[bytes]", tar.extractfile(one)).read() for one in found}
    assert sorted(files) == sorted([*shipped_keys(), tiny.key_plist.stem])
    for name, content in files.items():
        assert PublicKey.from_plist(content, where=name).fingerprint == name

    warm = built_from(tmp_path, untrusted)
    assert (warm.returncode, "E-VERIFY-UNTRUSTED-KEY" in warm.stderr) == (6, True)
    again = built_from(tmp_path, lock, "--repo-key", tiny.key_plist)
    assert "(unchanged)" in again.stdout


def test_an_edited_lock_is_refused_also_when_its_artifact_is_there(
    tiny: RepositoryFixture, server: Server, tmp_path: Path
) -> None:
    """Whatever it says of a package is asked of the package, not hidden by an earlier build."""
    lock = tmp_path / "tiny.lock.json"
    made = voidimg(*lock_words(tiny, server, tmp_path, "tiny", "-o", lock))
    assert made.returncode == 0, made.stderr
    assert built_from(tmp_path, lock).returncode == 0
    for name, change in (
        ("arch", lambda row: "aarch64" if row["arch"] == "noarch" else "noarch"),
        ("size", lambda row: row["size"] + 1),
        ("sha256", lambda row: row["sha256"][::-1]),
        ("pkgver", lambda row: row["pkgver"] + "1"),
    ):
        document = json.loads(lock.read_text())
        row = next(one for one in document["packages"] if one["stage"] == "rootfs")
        row[name] = change(row)
        edited = tmp_path / f"{name}.lock.json"
        edited.write_text(json.dumps(document))
        ended = built_from(tmp_path, edited, "--replace")
        assert ended.returncode in (5, 6), (name, ended.stderr, ended.stdout)
