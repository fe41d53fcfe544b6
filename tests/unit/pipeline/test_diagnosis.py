"""`voidimg doctor` finds what stands against a build, and says what mends it on this host."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.command import arguments, environment, voidimg, voidimg_json
from tests.http_server import serving
from tests.integration.persons import as_somebody_else
from tests.mounted import run_mounted
from tests.unit.pipeline.shop import Shop
from voidimg.diagnosis.machine import diagnose

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounts something")


def conditions(report: dict[str, Any], state: str) -> list[dict[str, Any]]:
    """The conditions of a report in this state."""
    return [one for one in report["conditions"] if one["state"] == state]


def test_this_machine_can_build(tmp_path: Path) -> None:
    """Status 0, one screen, and every group of conditions."""
    words = ("--cache", tmp_path / "cache", "--out", tmp_path / "out", "doctor")
    report = voidimg_json(*words, "--json")
    assert report["can_build"] is True
    assert {one["group"] for one in report["conditions"]} == {
        *("namespaces", "programs", "emulation", "file system", "room", "clock"),
    }
    ended = voidimg(*words)
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 100
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_report_names_no_place_and_no_person(tmp_path: Path, shop: Shop) -> None:
    """It is made to be pasted into an issue; a repository in a directory is just that."""
    shop.board()
    own = ("--profile", "little", "--platforms-and-profiles", shop.root / "spec")
    words = ("--cache", tmp_path / "cache", "--out", tmp_path / "out", "doctor", "board")
    good = voidimg(*words, *own, "--mirrors", "-r", shop.path, "--repo-key", shop.key_plist)
    assert good.returncode == 0, good.stdout
    assert "a directory (aarch64): 4 packages" in good.stdout
    bad = voidimg(*words, *own, "--mirrors", "-r", shop.root / "nowhere")
    assert bad.returncode == 17
    assert "E-FETCH-NO-DIRECTORY" in bad.stdout
    for text in (good.stdout, bad.stdout):
        assert str(tmp_path) not in text
        assert str(Path.home()) not in text


_HIDING = "touch {0}/none && for one in {1}; do mount --bind {0}/none $one; done && "


@root_only
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("void", "xbps-install -S e2fsprogs"),
        ("fedora", "dnf install e2fsprogs"),
        ("arch", "pacman -S e2fsprogs"),
        ("alpine", "apk add e2fsprogs"),
        ("debian", "apt-get install e2fsprogs"),
        ("nixos", "install what Debian calls e2fsprogs"),
    ],
)
def test_missing_programs_are_named_with_their_package(
    name: str, command: str, tmp_path: Path
) -> None:
    """What every build needs is BAD, what only live ISOs need is a note; the status says it."""
    (tmp_path / "os-release").write_text(f"ID={name}\nPRETTY_NAME='{name} Linux'\n")
    programs = "$(which -a mke2fs mksquashfs apt-get /sbin/mke2fs | xargs realpath | sort -u)"
    script = _HIDING.format(shlex.quote(str(tmp_path)), programs)
    script += f"mount --bind {shlex.quote(str(tmp_path))}/os-release $(realpath /etc/os-release)"
    words = arguments("--cache", tmp_path / "cache", "doctor", "--json")
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", f"{script} && exec {shlex.join(words)}"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 17, ended.stderr
    assert "E-DOCTOR-BAD" in ended.stderr
    report = json.loads(ended.stdout)
    assert report["system"].startswith(f"{name} Linux, ")
    (bad,) = conditions(report, "bad")
    assert (bad["name"], bad["needed_for"], bad["mend"]) == ("mke2fs", "disk images", command)
    assert "mksquashfs" in {one["name"] for one in conditions(report, "warning")}


@root_only
@pytest.mark.parametrize(
    ("setting", "found"),
    [
        ("noexec", "lacks execution"),
        ("nosymfollow", "lacks links"),
        ("read-only", "Read-only file system"),
        ("full", "No space left on device"),
    ],
)
def test_the_file_system_of_the_cache_is_tried(setting: str, found: str, tmp_path: Path) -> None:
    """As a build would try it."""
    words = arguments("--cache", tmp_path, "doctor", "--json")
    ended = run_mounted(setting, tmp_path, words)
    assert ended.returncode == 17, ended.stderr
    bad = [one for one in conditions(json.loads(ended.stdout), "bad") if one["group"] != "room"]
    assert [one["group"] for one in bad] == ["file system"]
    assert found in bad[0]["found"]
    assert bad[0]["mend"]


_WITHOUT_IDS = (
    "import sys; from pathlib import Path; from tests.integration import persons; "
    "persons._FILES.update(subuid='', subgid='bob:5:5\\n'); "
    "persons.main(Path(sys.argv[1]), sys.argv[2:])"
)


@root_only
@pytest.mark.parametrize("with_ids", [True, False])
def test_an_ordinary_user(with_ids: bool, tmp_path: Path) -> None:
    """With subordinate ids all is well; without, the line to add is said."""
    home = tmp_path / "home"
    home.mkdir()
    doctor = arguments("--cache", home / "cache", "doctor", "--json")
    words = as_somebody_else(home, doctor)
    if not with_ids:
        own = [sys.executable, "-c", _WITHOUT_IDS, str(home), *doctor]
        words = ["unshare", "--mount", "--propagation", "private", *own]
    ended = subprocess.run(words, env=environment(), capture_output=True, text=True, check=False)
    report = json.loads(ended.stdout)
    assert "as an ordinary user" in report["system"]
    assert "newuidmap" in {one["name"] for one in report["conditions"]}
    bad = conditions(report, "bad")
    if with_ids:
        assert (ended.returncode, bad) == (0, []), ended.stderr
    else:
        assert (ended.returncode, [one["group"] for one in bad]) == (17, ["namespaces"])
        assert "subordinate ids" in bad[0]["found"]
        assert ">> /etc/subuid" in bad[0]["mend"]


def test_what_a_platform_needs_is_asked_for(tmp_path: Path) -> None:
    """Its architecture alone."""
    report = voidimg_json("--cache", tmp_path, "doctor", "rpi-aarch64", "--json")
    assert [one["name"] for one in report["conditions"] if one["group"] == "emulation"] == [
        "aarch64"
    ]
    assert voidimg("--cache", tmp_path, "doctor", "rpi-arch64").returncode == 3


@pytest.mark.parametrize(
    ("now", "state", "words"),
    [
        (0, "warning", "1970-01-01 00:00 UTC: certificates"),
        (1_800_000_000, "good", "2027-01-15"),
        (2_208_988_800, "warning", "2040-01-01 00:00 UTC: many file systems"),
    ],
)
def test_the_clock(now: int, state: str, words: str, tmp_path: Path) -> None:
    """A clock without battery, and one after the year 2038."""
    found = diagnose(tmp_path, tmp_path, now=now).conditions[-1]
    assert (found.group, found.state) == ("clock", state)
    assert words in found.found
    assert (found.mend is None) == (state == "good")


def test_mirrors_are_asked(shop: Shop, tmp_path: Path) -> None:
    """Reachable, whose key, how old; then all packages of a platform without building it."""
    shop.board()
    own = ("--profile", "little", "--platforms-and-profiles", shop.root / "spec")
    verb = ("doctor", "board", *own, "--mirrors", "--json")
    start = ("--cache", tmp_path / "cache", *verb)
    with serving(shop.path) as server:
        words = (*start, "-r", server.url, "--repo-key", shop.key_plist)
        report = voidimg_json(*words)
        index, packages = report["conditions"][-2:]
        assert index["name"] == f"{server.url} (aarch64)"
        assert f"trusted key {shop.key_plist.stem} (a test)" in index["found"]
        assert "4 packages" in index["found"]
        assert packages["found"].startswith("4 packages (")
        assert "resolved, fetched and verified" in packages["found"]

        shop.date(1_600_000_000)
        aged = voidimg_json("--cache", tmp_path / "new", *words[2:])["conditions"][-2]
        assert (aged["state"], "days old" in aged["found"]) == ("warning", True)

        untrusted = voidimg(*start, "-r", server.url)
        assert untrusted.returncode == 17
        (bad,) = conditions(json.loads(untrusted.stdout), "bad")
        assert "E-VERIFY-UNTRUSTED-KEY" in bad["found"]
        assert "--repo-key" in bad["mend"]

        shop.put("lib", "2.0_1")
        for path in shop.path.glob("lib-2.0_1*.xbps"):
            path.unlink()
        (bad,) = conditions(json.loads(voidimg(*words).stdout), "bad")
        assert (bad["group"], "E-FETCH-NOT-FOUND" in bad["found"]) == ("packages", True)
    gone = voidimg(*words)
    (bad,) = conditions(json.loads(gone.stdout), "bad")
    assert (bad["group"], gone.returncode) == ("repository", 17)
