"""The recorded runs of the real tools, replayed by our engine: same tree, database and scripts."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.http_server import serving
from tests.unit.xbps.replay import (
    AS_ROOT,
    REPOS,
    SCENARIOS,
    VECTORS,
    Replay,
    require_host_untouched,
    require_recorded_tree,
    split_command,
    tree_of,
)
from tests.xbps_install.errors import XbpsRefusedError
from voidimg.fetch import Cache, Fetcher, Location
from voidimg.supply.lock import locked
from voidimg.supply.opened import fetch_repodata, open_repository
from voidimg.supply.resolve import signed_package
from voidimg.supply.trust import Trust, fetch_verified
from voidimg.xbps import plist
from voidimg.xbps.install.pkgdb import Pkgdb
from voidimg.xbps.resolve.differences import INSTALLER
from voidimg.xbps.resolve.resolver import Options, resolve

NAMES = sorted(str(p.parent.relative_to(SCENARIOS)) for p in SCENARIOS.rglob("expected.json"))

REFUSED = {
    "bad-dep-name": "E-RESOLVE-BAD-DEPENDENCY",
    "bin-symlink-broken-same": "E-PACKAGE-FILE-CONFLICT",
    "conflict-installed": "E-RESOLVE-CONFLICT",
    "conflict-installed-reverse": "E-RESOLVE-CONFLICT",
    "conflict-transaction": "E-RESOLVE-CONFLICT",
    "conflict-virtual": "E-RESOLVE-CONFLICT",
    "dep-badglob": "E-RESOLVE-MISSING",
    "dep-badver": "E-RESOLVE-MISSING",
    "dep-virtual-range": "E-RESOLVE-MISSING",
    "evil-index/deadbeef": "E-VERIFY-KEY",
    "evil-index/dotslash": "E-PACKAGE-REPODATA",
    "evil-index/dotslash-local": "E-PACKAGE-REPODATA",
    "evil-index/empty": "E-RESOLVE-NOT-FOUND",
    "evil-index/empty-local": "E-RESOLVE-NOT-FOUND",
    "evil-index/foreign-arch": "E-PACKAGE-ARCH",
    "evil-index/foreign-arch-local": "E-PACKAGE-ARCH",
    "evil-index/garbage": "E-PACKAGE-ARCHIVE-FORMAT",
    "evil-index/garbage-local": "E-PACKAGE-ARCHIVE-FORMAT",
    "evil-index/incomplete-meta": "E-PACKAGE-REPODATA",
    "evil-index/incomplete-meta-local": "E-PACKAGE-REPODATA",
    "evil-index/index-only": "E-PACKAGE-REPODATA",
    "evil-index/index-only-local": "E-PACKAGE-REPODATA",
    "evil-index/inject-alternatives": "E-PACKAGE-INDEX-DIFFERS",
    "evil-index/inject-alternatives-local": "E-PACKAGE-INDEX-DIFFERS",
    "evil-index/inject-script": "E-PACKAGE-INDEX-SCRIPT",
    "evil-index/inject-script-local": "E-PACKAGE-INDEX-SCRIPT",
    "evil-index/key-mismatch": "E-PACKAGE-REPODATA",
    "evil-index/key-mismatch-local": "E-PACKAGE-REPODATA",
    "evil-index/no-sha": "E-VERIFY-SHA256",
    "evil-index/no-sha-local": "E-VERIFY-SHA256",
    "evil-index/wrong-order": "E-PACKAGE-REPODATA",
    "evil-index/wrong-order-local": "E-PACKAGE-REPODATA",
    "evil/absolute": "E-PACKAGE-BINPKG-NAME",
    "evil/bad-files-plist": "E-PACKAGE-PLIST",
    "evil/chardev": "E-PACKAGE-BINPKG-TYPE",
    "evil/db-overwrite": "E-PACKAGE-DATABASE",
    "evil/dotdot": "E-PACKAGE-LIST-PATH",
    "evil/dotdot-bare": "E-PACKAGE-BINPKG-NAME",
    "evil/dotdot-delete": "E-PACKAGE-LIST-PATH",
    "evil/dotdot-middle": "E-PACKAGE-LIST-PATH",
    "evil/dotname": "E-PACKAGE-LIST-PATH",
    "evil/dup-entry": "E-PACKAGE-PAYLOAD-HASH",
    "evil/dup-plist": "E-PACKAGE-LIST-TWICE",
    "evil/fifo": "E-PACKAGE-BINPKG-TYPE",
    "evil/files-before-props": "E-PACKAGE-BINPKG",
    "evil/five-meta": "E-PACKAGE-BINPKG",
    "evil/hard-abs": "E-PACKAGE-BINPKG-LINK",
    "evil/hard-dotdot": "E-PACKAGE-BINPKG-LINK",
    "evil/hard-through-sym": "E-PACKAGE-UNLISTED",
    "evil/hash-mismatch": "E-PACKAGE-PAYLOAD-HASH",
    "evil/late-install": "E-PACKAGE-BINPKG-NAME",
    "evil/missing-payload": "E-PACKAGE-MISSING-PAYLOAD",
    "evil/no-files-plist": "E-PACKAGE-BINPKG",
    "evil/no-props": "E-PACKAGE-BINPKG",
    "evil/noprefix": "E-PACKAGE-BINPKG-NAME",
    "evil/not-tar": "E-PACKAGE-ARCHIVE-FORMAT",
    "evil/other-name": "E-PACKAGE-PKGVER",
    "evil/partial-transaction": "E-PACKAGE-LIST-PATH",
    "evil/sym-then-file": "E-PACKAGE-MEMBER-KIND",
    "evil/sym-through-abs": "E-PACKAGE-THROUGH-LINK",
    "evil/sym-through-chmod": "E-PACKAGE-THROUGH-LINK",
    "evil/sym-through-delete": "E-PACKAGE-THROUGH-LINK",
    "evil/sym-through-rel": "E-PACKAGE-THROUGH-LINK",
    "evil/truncated": "E-PACKAGE-ARCHIVE-TRUNCATED",
    "evil/unlisted": "E-PACKAGE-UNLISTED",
    "file-conflict": "E-PACKAGE-FILE-CONFLICT",
    "file-dir-conflict": "E-PACKAGE-FILE-CONFLICT",
    "file-preexisting-dir": "E-PACKAGE-DIRECTORY-IN-PLACE",
    "hold-dep": "E-RESOLVE-MISSING",
    "ignorepkg": "E-RESOLVE-SHLIB",
    "missing-dep": "E-RESOLVE-MISSING",
    "missing-dep-deep": "E-RESOLVE-MISSING",
    "missing-shlib": "E-RESOLVE-SHLIB",
    "not-found": "E-RESOLVE-NOT-FOUND",
    "remote-all-missing": "E-FETCH-NO-REPOSITORY",
    "remote-memory-sync-untrusted": "E-VERIFY-KEY",
    "remote-no-sync": "E-RESOLVE-NOT-FOUND",
    "remote-trust-eof": "E-VERIFY-KEY",
    "remove-needed": "E-RESOLVE-NEEDED",
    "repo-staged-user": "E-RESOLVE-SHLIB",
    "repo-unsigned-remote": "E-VERIFY-KEY",
    "script-fail-post": "E-SCRIPT-FAILED",
    "script-fail-pre": "E-SCRIPT-FAILED",
    "signatures/badindexsha": "E-VERIFY-SHA256",
    "signatures/badindexsha-local": "E-VERIFY-SHA256",
    "signatures/emptysig": "E-VERIFY-SIGNATURE",
    "signatures/legacysig": "E-VERIFY-SIGNATURE",
    "signatures/longsig": "E-VERIFY-SIGNATURE",
    "signatures/nosig": "E-VERIFY-SIGNATURE",
    "signatures/nosig-local": "E-VERIFY-SIGNATURE",
    "signatures/psssig": "E-VERIFY-SIGNATURE",
    "signatures/relabel": "E-PACKAGE-PKGVER",
    "signatures/relabel-local": "E-PACKAGE-PKGVER",
    "signatures/sha512sig": "E-VERIFY-SIGNATURE",
    "signatures/swappedsig": "E-VERIFY-SIGNATURE",
    "signatures/tampered": "E-VERIFY-SIGNATURE",
    "signatures/tampered-local": "E-VERIFY-SIGNATURE",
    "signatures/tampered-tail": "E-VERIFY-SIGNATURE",
    "signatures/truncsig": "E-VERIFY-SIGNATURE",
    "signatures/wrongkey": "E-VERIFY-SIGNATURE",
    "update-breaks-revdep": "E-RESOLVE-MISSING",
}
"""Scenarios that end in an error of ours, and its code. Hostile ones (those with a slash) xbps
lets pass, or stops only after it has touched something: see `voidimg.xbps.resolve.differences`."""

OTHERWISE = {
    "app-unprivileged": "test_an_ordinary_user_gets_the_recorded_tree",
    "bin-symlink-broken": "test_a_package_file_below_a_merged_usr_link",
    "dir-is-symlink": "test_a_package_file_below_a_link_of_the_user",
    "install-target-same": "test_scripts_that_were_not_run_are_not_forgotten",
    "modes-unprivileged": "test_an_ordinary_user_gets_the_recorded_tree",
    "remote-download-only": "test_a_download_alone_brings_the_recorded_files",
}
"""Scenarios with a test of their own."""

SAME_OTHERWISE = {"app-unprivileged", "modes-unprivileged"}
"""Those of them in which we do as xbps does."""


SAME = [name for name in NAMES if name not in REFUSED and name not in OTHERWISE]


@pytest.mark.parametrize("name", SAME)
def test_same_tree(name: str, tmp_path: Path) -> None:
    """What xbps does, we do: the tree with database and script log is the recorded one."""
    replay = Replay(name, tmp_path)
    replay.run()
    assert [str(error) for error in replay.errors if error] == []
    require_recorded_tree(replay)
    require_host_untouched(replay)


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str, tmp_path: Path) -> None:
    """Each refusal has its code, changes nothing outside and registers nothing."""
    replay = Replay(name, tmp_path)
    replay.run()
    recorded = [step["exit_code"] for step in replay.expected["steps"] if "cmd" in step]
    last = len(recorded) - 1 if name != "dep-virtual-range" else 0
    error = replay.errors[last]
    assert [e is None for i, e in enumerate(replay.errors) if i != last] == [
        True
    ] * last or last == 0
    assert error is not None
    assert error.code == REFUSED[name]
    if isinstance(error, XbpsRefusedError):
        assert error.status == recorded[last]
    require_host_untouched(replay)
    if "/" in name:
        packages = Pkgdb.read(replay.root).packages if replay.root.exists() else {}
        assert packages == {}
    else:
        require_recorded_tree(replay, skeleton=False)


@pytest.mark.parametrize("name", ["install-app", "dep-patterns", "order-cyclic", "names-utf8"])
def test_same_tree_with_workers(name: str, tmp_path: Path) -> None:
    """Unpacking in several processes gives the same tree."""
    replay = Replay(name, tmp_path, jobs=3)
    replay.run()
    assert [str(error) for error in replay.errors if error] == []
    require_recorded_tree(replay)


def test_a_package_file_below_a_merged_usr_link(tmp_path: Path) -> None:
    """xbps deletes /bin -> usr/bin and makes a directory; we follow the link."""
    replay = Replay("bin-symlink-broken", tmp_path)
    replay.run()
    assert replay.errors == [None, None]
    assert os.readlink(replay.root / "bin") == "usr/bin"
    assert (replay.root / "usr/bin/bintool").is_file()


def test_a_package_file_below_a_link_of_the_user(tmp_path: Path) -> None:
    """xbps deletes the user's link /usr/share -> realshare; we put the files behind it."""
    replay = Replay("dir-is-symlink", tmp_path)
    replay.run()
    assert replay.errors == [None]
    assert os.readlink(replay.root / "usr/share") == "realshare"
    assert (replay.root / "usr/realshare/data-common/a").is_file()


@pytest.mark.parametrize("target", ["/usr/realshare", "../../outside", "nowhere", "../etc/file"])
def test_a_parent_link_that_is_not_followed(tmp_path: Path, target: str) -> None:
    """Absolute, leaving and dangling links, and links to files, are refused and stay."""
    replay = Replay("dir-is-symlink", tmp_path)
    replay.expected["steps"][1]["target"] = target
    replay.place("/etc/file").write_text("")
    (tmp_path / "outside").mkdir()
    replay.run()
    error = replay.errors[0]
    assert error is not None
    assert error.code in ("E-PACKAGE-PARENT-LINK", "E-PACKAGE-PARENT-FILE")
    assert os.readlink(replay.root / "usr/share") == target
    assert os.listdir(tmp_path / "outside") == []


def test_scripts_that_were_not_run_are_not_forgotten(tmp_path: Path) -> None:
    """xbps marks packages installed whose scripts it did not run; ours stay unpacked."""
    replay = Replay("install-target-same", tmp_path)
    replay.run()
    db = Pkgdb.read(replay.root)
    assert {name: db.state(name) for name in db.packages} == {
        "scripts": "unpacked",
        "scripts-top": "unpacked",
    }


@pytest.mark.parametrize("name", ["app-unprivileged", "modes-unprivileged"])
def test_an_ordinary_user_gets_the_recorded_tree(name: str) -> None:
    """Everything belongs to the user, suid and sgid bits are dropped, sticky ones kept."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        place = Path(directory)
        if not AS_ROOT:
            _replay_as_user(name, place)
            return
        shutil.chown(place, 12345, 12345)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                os.setgroups([])
                os.setgid(12345)
                os.setuid(12345)
                _replay_as_user(name, place)
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0


def test_a_download_alone_brings_the_recorded_files(tmp_path: Path) -> None:
    """The same requests, the same bytes of packages and signatures; the tree is not touched."""
    name = "remote-download-only"
    replay = Replay(name, tmp_path)
    trusting, command = replay.expected["steps"]
    replay.op_trust(trusting)
    before = tree_of(replay.root)
    _, requests, (url,) = split_command(command["cmd"])
    arch = "x86_64"
    with serving(Path(REPOS)) as server, Cache(tmp_path / "cache").in_use():
        fetcher = Fetcher(Cache(tmp_path / "cache"), jobs=4)
        location = Location.parse(url.replace("@URL@", server.url))
        (file,) = fetch_repodata(fetcher, [location], arch)
        opened = open_repository(file, arch, Trust.of([VECTORS / "keys" / trusting["key"]], ()))
        plan = resolve(requests, [opened.repository], {}, Options(arch=arch))
        packages = [locked(step, [opened.locked], "rootfs") for step in plan.steps]
        signed = [signed_package(one, [opened]) for one in packages]
        found = fetch_verified(fetcher, signed)
        signatures = fetcher.signatures([one.wanted for one in signed])
        asked = sorted(path for path, _ in server.requests)
    assert asked == sorted(request["path"] for request in command["http_requests"])
    brought = {"x86_64-repodata": file.sha256}
    for one in packages:
        brought[one.file_name] = hashlib.sha256(found[one.sha256].read_bytes()).hexdigest()
        brought[f"{one.file_name}.sig2"] = hashlib.sha256(signatures[one.sha256]).hexdigest()
    assert brought == {
        Path(entry["path"]).name: entry["sha256"]
        for entry in replay.expected["tree"]
        if entry["type"] == "file" and not entry["path"].endswith(".plist")
    }
    # nothing is installed: the database that xbps leaves is empty
    assert plist.decode((SCENARIOS / name / "pkgdb-0.38.plist").read_bytes(), where=name) == {}
    assert tree_of(replay.root) == before


def _replay_as_user(name: str, directory: Path) -> None:
    replay = Replay(name, directory)
    for entry in replay.expected["tree"]:
        entry["uid"], entry["gid"] = os.getuid(), os.getgid()
    replay.run()
    assert replay.errors == [None]
    require_recorded_tree(replay)


def test_every_scenario_of_the_records_is_replayed() -> None:
    """No scenario is left out, and each one stands in one list only."""
    assert sorted([*SAME, *REFUSED, *OTHERWISE]) == NAMES


def test_where_we_refuse_what_xbps_lets_pass_is_a_named_difference() -> None:
    """Every such scenario is listed with its reason, and no other."""
    differing = {row for difference in INSTALLER for row in difference.rows}
    passing = {
        name
        for name in [*REFUSED, *OTHERWISE]
        if not any(one["exit_code"] for one in commands_of(name))
    }
    assert differing == passing - SAME_OTHERWISE


def commands_of(name: str) -> list[dict[str, Any]]:
    steps = json.loads((SCENARIOS / name / "expected.json").read_text())["steps"]
    return [step for step in steps if "cmd" in step]
