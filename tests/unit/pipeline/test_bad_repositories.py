"""Repositories that are not what they should be: one message each, which says what to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import voidimg
from tests.http_server import Server, serving
from tests.unit.pipeline.shop import Shop
from voidimg.xbps.repository.local import read_repodata, sign_repository
from voidimg.xbps.repository.repodata import Repodata


def lacks_a_package(server: Server, shop: Shop) -> None:
    """The index is newer than what was copied."""
    for path in shop.path.glob("lib-1.0_1*"):
        path.unlink()


def lacks_a_signature(server: Server, shop: Shop) -> None:
    """As when a mirror copies while it is signed."""
    for path in shop.path.glob("lib-1.0_1*.sig2"):
        path.unlink()


def is_behind_a_portal(server: Server, shop: Shop) -> None:
    """Everything is answered with the login page."""
    server.faults[""] = ("html", 99)


def is_behind_a_silent_portal(server: Server, shop: Shop) -> None:
    """As before, without a content type that says so."""
    server.faults[""] = ("html-typed-binary", 99)


def redirects_to_a_portal(server: Server, shop: Shop) -> None:
    """Another page of another name is where the login is."""
    (shop.path / "login").write_text("\n\n<!doctype HTML><title>Welcome</title>")
    server.faults["data"] = ("redirect", 99)
    server.redirect_to = server.url + "/login"


def puts_a_portal_before_packages(server: Server, shop: Shop) -> None:
    """The session ended between index and packages."""
    server.faults[".xbps"] = ("html", 99)


def has_a_new_key(server: Server, shop: Shop) -> None:
    """Its index names another than was given."""
    key = Shop(shop.root / "other", key="main").key
    sign_repository(shop.path, "aarch64", key, "Void Linux")


def has_old_signatures(server: Server, shop: Shop) -> None:
    """Its index names a key that is trusted, but the packages are signed with the one before."""
    other = Shop(shop.root / "other", key="main")
    sign_repository(shop.path, "aarch64", other.key, "Void Linux")
    shop.key_plist = other.key_plist


def has_another_architecture(server: Server, shop: Shop) -> None:
    """What is called the index for aarch64 is that for x86_64."""
    shop.put("program", arch="x86_64", archs=["x86_64"])
    os.replace(shop.path / "x86_64-repodata", shop.path / "aarch64-repodata")


def lists_a_stray_package(server: Server, shop: Shop) -> None:
    """One package that is needed is for another architecture."""
    for path in shop.path.glob("*-repodata"):
        path.unlink()
    for path in shop.path.glob("lib-1.0_1*"):
        path.unlink()
    shop.put("other", arch="aarch64", archs=["aarch64"])
    shop.put("lib", arch="x86_64", archs=["x86_64"])
    mine, foreign = (read_repodata(shop.path, arch) for arch in ("aarch64", "x86_64"))
    mixed = Repodata({**mine.index, "lib": foreign.index["lib"]}, {}, mine.meta)
    (shop.path / "aarch64-repodata").write_bytes(mixed.encode())


def has_only_others(server: Server, shop: Shop) -> None:
    """There is no index for the architecture."""
    (shop.path / "aarch64-repodata").unlink()


CASES = [
    (lacks_a_package, 5, "E-FETCH-NOT-FOUND", "lib-1.0_1.noarch.xbps", "run it again later"),
    (lacks_a_signature, 5, "E-FETCH-NOT-FOUND", "lib-1.0_1.noarch.xbps.sig2", "name another"),
    (is_behind_a_portal, 5, "E-FETCH-HTML", "a web page instead", "login first"),
    (is_behind_a_silent_portal, 5, "E-FETCH-HTML", "a web page instead", "login first"),
    (redirects_to_a_portal, 5, "E-FETCH-HTML", "a web page instead", "in a browser"),
    (puts_a_portal_before_packages, 5, "E-FETCH-HTML", "a web page instead", "in a browser"),
    (has_a_new_key, 6, "E-VERIFY-UNTRUSTED-KEY", "'Void Linux'", "a newer voidimg"),
    (has_old_signatures, 6, "E-VERIFY-SIGNATURE", "does not fit the key", "had before"),
    (has_another_architecture, 7, "E-PACKAGE-INDEX-ARCH", "for x86_64", "of this architecture"),
    (lists_a_stray_package, 4, "E-RESOLVE-MISSING", "needs lib>=1", "is built for x86_64"),
    (has_only_others, 5, "E-FETCH-NO-ARCH", "for aarch64", "aarch64-repodata"),
]


@pytest.mark.parametrize(("spoil", "status", "code", "what", "hint"), CASES)
def test_a_bad_repository_is_told_in_one_message(
    spoil: Callable[[Server, Shop], None],
    status: int,
    code: str,
    what: str,
    hint: str,
    shop: Shop,
    tmp_path: Path,
) -> None:
    """By the command, before anything is made; nothing is written but the cache."""
    shop.board()
    out = tmp_path / "out"
    with serving(shop.path) as server:
        spoil(server, shop)
        own = ("--profile", "little", "--platforms-and-profiles", shop.root / "spec")
        trusting = ("-r", server.url, "--repo-key", shop.key_plist)
        words = ("-q", "--cache", tmp_path / "cache", "--out", out, "build", "board")
        ended = voidimg(*words, *own, *trusting)
    assert ended.returncode == status, ended.stderr
    lines = ended.stderr.splitlines()
    assert len([line for line in lines if line.startswith("voidimg: ")]) == 1
    assert f"[{code}]" in lines[0]
    assert what in lines[0]
    assert hint in ended.stderr
    assert not out.exists()
