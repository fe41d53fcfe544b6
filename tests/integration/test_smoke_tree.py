"""`voidimg smoke` of trees: their own programs are asked, in the sandbox, what must be true."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.command import voidimg
from tests.integration.building import NAMES, SPEC

PLACES = Callable[[str], Path]


def _smoke(archive: Path, place: Path, *more: str) -> tuple[int, dict[str, str], str]:
    """Exit status, the status of each check, and what was said on standard error."""
    words: list[str | Path] = ["--cache", place / "cache", "--out", place / "out", "smoke"]
    ended = voidimg(*words, archive, "--json", "--platforms-and-profiles", SPEC, *more)
    checks = {}
    if ended.stdout:
        (boot,) = json.loads(ended.stdout)["boots"]
        checks = {check["name"]: check["status"] for check in boot["checks"]}
        assert (boot["medium"], boot["machine"]) == ("tree", "sandbox")
    assert "Traceback" not in ended.stderr
    return ended.returncode, checks, ended.stderr


def _changed(archive: Path, place: Path, files: Mapping[str, bytes | str | None]) -> Path:
    """A copy of the tar with other `files`: bytes, the text of a link, or None: without it."""
    copy = place / archive.name
    with tarfile.open(archive) as old, tarfile.open(copy, "w", format=tarfile.PAX_FORMAT) as new:
        for member in old:
            if member.name not in files:
                new.addfile(member, old.extractfile(member) if member.isfile() else None)
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                new.addfile(member)
            elif content is not None:
                member.size, member.mode = len(content), 0o755 if name.endswith("/run") else 0o644
                new.addfile(member, io.BytesIO(content))
    return copy


@pytest.mark.parametrize("kind", ["rootfs", "platformfs"])
def test_a_sound_tree_passes(kind: str, finished: PLACES, tmp_path: Path) -> None:
    """Nothing of it is left unpacked, and its log says what was asked."""
    archive = finished("none") / "out" / "20240314" / NAMES[kind]
    status, checks, said = _smoke(archive, tmp_path)
    assert (status, set(checks.values())) == (0, {"passed"}), said
    assert {"the shell of every account runs", "every account can begin a session"} <= set(checks)
    log = tmp_path / "out" / "smoke" / f"{archive.stem}.tree.log"
    assert "the shell calculates: passed" in log.read_text()
    assert list((tmp_path / "cache" / "work").iterdir()) == []


def test_each_fault_of_a_tree_is_found_by_its_statement(finished: PLACES, tmp_path: Path) -> None:
    """And the others are still true."""
    archive = finished("none") / "out" / "20240314" / NAMES["rootfs"]
    with tarfile.open(archive) as tar:
        passwd = tar.extractfile("./etc/passwd")
        assert passwd is not None
        accounts = passwd.read()
    files: dict[str, bytes | str | None] = {
        "./etc/passwd": accounts + b"eve:x:1000:1000::/home/eve:/usr/bin/no-such-shell\n",
        "./etc/runit/runsvdir/default/gone": "/etc/sv/gone",
        "./etc/sv/wrong/run": b"#!/bin/sh\nif then\n",
        "./etc/runit/runsvdir/default/wrong": "/etc/sv/wrong",
        "./boot/vmlinuz-6.6.21_1": b"kernel",
        "./etc/wsl.conf": b"[user]\ndefault = nobody-of-that-name\n",
    }
    status, checks, said = _smoke(_changed(archive, tmp_path, files), tmp_path)
    assert status == 15
    assert {name for name, found in checks.items() if found == "failed"} == {
        "the shell of every account runs",
        "every account can begin a session",
        "every service that is enabled can be started",
        "every kernel has its modules",
        "WSL's own user is there",
    }
    for fault in (
        "/usr/bin/no-such-shell of eve does not run",
        "eve is not in /etc/shadow",
        "default/gone leads nowhere",
        "default/wrong/run is no script",
        "/boot/vmlinuz-6.6.21_1 has none",
        "nobody-of-that-name, whom WSL logs in, is not there",
    ):
        assert fault in said


def test_a_tree_without_a_shell_fails(finished: PLACES, tmp_path: Path) -> None:
    """It is no error of the command: the verdict says it."""
    archive = finished("none") / "out" / "20240314" / NAMES["rootfs"]
    status, checks, said = _smoke(_changed(archive, tmp_path, {"./usr/bin/sh": None}), tmp_path)
    assert (status, checks) == (15, {"there is a shell": "failed"}), said


@pytest.mark.parametrize(
    ("files", "words", "status", "code"),
    [
        ({"./etc/passwd": None}, [], 2, "E-USAGE-NO-SYSTEM"),
        ({}, ["--medium", "nvme"], 2, "nothing boots a tree"),
        ({}, ["--platform", "no-such-board"], 3, "E-SPEC"),
    ],
)
def test_what_cannot_be_tried_is_said(
    files: dict[str, bytes | str | None],
    words: list[str],
    status: int,
    code: str,
    finished: PLACES,
    tmp_path: Path,
) -> None:
    """Without a verdict."""
    archive = finished("none") / "out" / "20240314" / NAMES["rootfs"]
    found = _smoke(_changed(archive, tmp_path, files), tmp_path, *words)
    assert (found[0], found[1]) == (status, {}), found[2]
    assert code in found[2]
