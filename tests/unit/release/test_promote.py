"""`promote` and `rollback`: what is refused, what changes, and what a reader sees meanwhile."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.command import arguments, environment, voidimg, voidimg_json
from tests.unit.release.made_sets import image_name, made, make_set
from voidimg.artifact_names import MANIFEST_NAME
from voidimg.errors import VoidimgError, every_error
from voidimg.identity import ReleaseDate
from voidimg.release.current import current_date, promoting
from voidimg.release.history import read_history
from voidimg.release.promote import PromoteOptions, promote, rollback

A, B, C = "20260101", "20260102", "20260103"


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """The directory of all sets, with two that may be published."""
    directory = tmp_path / "live"
    for date in (A, B):
        made(directory, date)
    return directory


def day(date: str) -> ReleaseDate:
    """`date` as a release date."""
    return ReleaseDate.parse(date)


def current_of(top: Path) -> str | None:
    """The date that is current."""
    return None if (found := current_date(top)) is None else str(found)


def codes(call: Callable[[], object]) -> set[str]:
    """The codes of the errors of `call`."""
    with pytest.raises(VoidimgError) as caught:
        call()
    return {one.code for one in every_error(caught.value)}


def test_promote_and_roll_back(top: Path) -> None:
    """The link, current.json, the history; a second rollback does not lead back again."""
    first = promote(top, day(A), PromoteOptions(reason="the first"))
    assert (first.entry.before, first.was_current) == (None, False)
    assert os.readlink(top / "current") == A
    promote(top, day(B))
    assert current_of(top) == B
    said = json.loads((top / "current.json").read_bytes())
    assert (said["date"], said["signature"]) == (B, "sha256sum.sig")
    assert {one["name"] for one in said["files"]} == {
        path.name for path in (top / B).iterdir() if not path.name.startswith("sha256sum")
    }
    back = rollback(top, PromoteOptions(reason="does not boot"))
    assert (back.entry.date, back.entry.before, back.entry.reason) == (A, B, "does not boot")
    assert json.loads((top / "current.json").read_bytes())["date"] == A
    assert codes(lambda: rollback(top)) == {"E-RELEASE-NO-PREVIOUS"}
    assert current_of(top) == A
    history = read_history(top)
    assert [(one.date, one.action) for one in history.promotions] == [
        (A, "promote"), (B, "promote"), (A, "rollback")
    ]  # fmt: skip
    assert (history.current, history.previous, history.current_before) == (A, None, B)
    rollback(top, to=day(B))  # forth again, by its date
    assert current_of(top) == B


def test_nothing_of_a_dot_or_a_lock_is_left(top: Path) -> None:
    """The public module of rsync leaves such names out, and links it may meet are followed."""
    promote(top, day(A))
    names = {path.name for path in top.iterdir()}
    assert names == {
        A, B, "current", "current.json", "promotions.json",
        f"void-release-{A}.pub", f"void-release-{B}.pub",
    }  # fmt: skip
    assert not [name for name in names if name.startswith(".") or name.endswith(".lock")]


def test_a_switch_touches_what_every_set_has(top: Path) -> None:
    """Sums, signature and manifest get the present time; images keep theirs."""
    for path in (top / A).iterdir():
        os.utime(path, (10**9, 10**9))
    before = time.time() - 1
    done = promote(top, day(A))
    assert set(done.touched) == {"sha256sum.txt", "sha256sum.sig", MANIFEST_NAME}
    times = {path.name: path.stat().st_mtime for path in (top / A).iterdir()}
    assert all(times[name] > before for name in done.touched)
    assert times[image_name(A)] == 10**9
    for name in done.touched:
        os.utime(top / A / name, (10**9, 10**9))
    again = promote(top, day(A))
    assert again.was_current
    assert (top / A / "sha256sum.txt").stat().st_mtime > before
    assert len(read_history(top).promotions) == 1


def test_an_older_set_needs_a_word(top: Path) -> None:
    """By date, a release candidate before its day and a repeat after it."""
    for date in (f"{B}rc1", f"{B}rc10", f"{B}r1"):
        made(top, date)
    promote(top, day(f"{B}rc10"))
    assert codes(lambda: promote(top, day(f"{B}rc1"))) == {"E-RELEASE-OLDER"}
    promote(top, day(B))
    promote(top, day(f"{B}r1"))
    for older in (A, B, f"{B}rc10"):
        assert codes(lambda older=older: promote(top, day(older))) == {"E-RELEASE-OLDER"}  # type: ignore[misc]
    promote(top, day(A), PromoteOptions(allow_older=True))
    assert current_of(top) == A


def _unlinted(said: dict[str, Any]) -> None:
    said["artifacts"][1]["lint"] = None


def _lint_errors(said: dict[str, Any]) -> None:
    said["artifacts"][1]["lint"]["errors"] = 2


def _unbooted(said: dict[str, Any]) -> None:
    said["artifacts"][0]["smoke"] = []


def _boot_failed(said: dict[str, Any]) -> None:
    said["artifacts"][0]["smoke"][0]["verdict"] = "failed"


def _other_file_booted(said: dict[str, Any]) -> None:
    said["artifacts"][0]["smoke"][0]["sha256"] = "0" * 64


def _other_file(said: dict[str, Any]) -> None:
    said["artifacts"][1]["sha256"] = "0" * 64
    said["artifacts"][1]["lint"]["sha256"] = "0" * 64


def _other_size(said: dict[str, Any]) -> None:
    said["artifacts"][1]["size"] += 1


def _one_too_few(said: dict[str, Any]) -> None:
    del said["artifacts"][1]


def _one_too_many(said: dict[str, Any]) -> None:
    more = dict(said["artifacts"][1], name=f"void-x86_64-ROOTFS-{C}.tar.xz")
    said["artifacts"].append(more)


def _waived(said: dict[str, Any]) -> None:
    _unlinted(said)
    _boot_failed(said)
    for number, check in ((1, "lint"), (0, "smoke")):
        waiver = {"check": check, "who": "A. Person", "reason": "known"}
        said["artifacts"][number]["waivers"] = [waiver]


REFUSED: dict[str, tuple[Callable[[dict[str, Any]], None], set[str]]] = {
    "not linted": (_unlinted, {"E-RELEASE-UNLINTED"}),
    "lint found errors": (_lint_errors, {"E-RELEASE-UNLINTED"}),
    "not booted": (_unbooted, {"E-RELEASE-UNBOOTED"}),
    "boot failed": (_boot_failed, {"E-RELEASE-UNBOOTED"}),
    "another file was booted": (_other_file_booted, {"E-RELEASE-UNBOOTED"}),
    "another file is meant": (_other_file, {"E-RELEASE-INCOMPLETE"}),
    "another size is meant": (_other_size, {"E-VERIFY-SHORTER"}),
    "one artifact is foreign": (_one_too_few, {"E-RELEASE-FOREIGN"}),
    "one artifact is missing": (_one_too_many, {"E-RELEASE-INCOMPLETE"}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_manifest_does_not_say_is_refused(top: Path, name: str) -> None:
    """And nothing changes: not the link, not the history, not a time."""
    change, expected = REFUSED[name]
    made(top, C, change)
    promote(top, day(A))
    before = {path: path.lstat().st_mtime_ns for path in sorted(top.rglob("*"))}
    assert codes(lambda: promote(top, day(C))) == expected
    assert before == {path: path.lstat().st_mtime_ns for path in sorted(top.rglob("*"))}


def test_waivers_are_recorded(top: Path) -> None:
    """In the words of the manifest: who, and why."""
    made(top, C, _waived)
    done = promote(top, day(C))
    assert sorted(done.entry.waivers) == [
        f"void-aarch64-ROOTFS-{C}.tar.xz: lint waived by A. Person: known",
        f"{image_name(C)}: smoke waived by A. Person: known",
    ]
    assert read_history(top).promotions[-1].waivers == done.entry.waivers


def _change(name: str, content: bytes | None) -> Callable[[Path], object]:
    def change(directory: Path) -> None:
        path = directory / name.replace("DATE", directory.name)
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)

    return change


def _link_in_its_place(directory: Path) -> None:
    directory.rename(directory.with_name(f"not-{directory.name}"))
    directory.symlink_to(f"not-{directory.name}")


SPOILED: dict[str, tuple[Callable[[Path], object], set[str]]] = {
    "unsigned": (_change("sha256sum.sig", None), {"E-VERIFY-SIGNATURE-MISSING"}),
    "no checksums": (_change("sha256sum.txt", None), {"E-VERIFY-SUMS-MISSING"}),
    "a changed image": (
        _change("void-rpi-aarch64-DATE.img.xz", b"image of 20260109"), {"E-VERIFY-CHECKSUM"}
    ),
    "a longer image": (
        _change("void-rpi-aarch64-DATE.img.xz", b"image of 20260103 x"), {"E-VERIFY-LONGER"}
    ),
    "a missing image": (_change("void-rpi-aarch64-DATE.img.xz", None), {"E-VERIFY-MISSING"}),
    "an image too many": (_change("void-x-DATE.img", b"x"), {"E-VERIFY-EXTRA"}),
    "another manifest": (_change(MANIFEST_NAME, b"{}"), {"E-VERIFY-CHECKSUM"}),
    "no manifest": (_change(MANIFEST_NAME, None), {"E-VERIFY-MISSING"}),
    "other checksums": (_change("sha256sum.txt", b"SHA256 (x) = 0\n"), {"E-VERIFY-SUMS-CHANGED"}),
    "no directory": (shutil.rmtree, {"E-RELEASE-NOT-A-SET"}),
    "a link": (_link_in_its_place, {"E-RELEASE-NOT-A-SET"}),
}  # fmt: skip


@pytest.mark.parametrize("name", SPOILED)
def test_a_spoiled_set_is_refused(top: Path, name: str) -> None:
    """By the same words that verify has."""
    change, expected = SPOILED[name]
    change(made(top, C))
    assert codes(lambda: promote(top, day(C))) == expected
    assert current_of(top) is None
    promote(top, day(A))
    promote(top, day(B))
    change(top / A)
    assert codes(lambda: rollback(top)) <= {*expected, "E-VERIFY-CHECKSUM", "E-VERIFY-LONGER"}
    assert current_of(top) == B


def test_sets_without_a_manifest_and_of_other_keys_are_refused(top: Path, tmp_path: Path) -> None:
    """Signed by somebody, but nobody says what belongs to it; or signed with a key of another."""
    directory = make_set(top, C)
    (directory / MANIFEST_NAME).unlink()
    ended = voidimg("keygen", C, "--no-passphrase", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert voidimg("sign", directory, cwd=tmp_path).returncode == 0
    refused = voidimg("--out", top, "promote", C, cwd=tmp_path)
    assert refused.returncode == 14
    assert "E-RELEASE-NO-MANIFEST" in refused.stderr
    other = ("--key", top / f"void-release-{A}.pub")
    refused = voidimg("--out", top, "promote", B, *other, cwd=tmp_path)
    assert refused.returncode == 6
    assert "E-VERIFY-KEY-OTHER-DATE" in refused.stderr


@pytest.mark.parametrize("kind", ["directory", "file", "outside", "no date"])
def test_a_current_that_is_not_ours_is_not_replaced(top: Path, kind: str) -> None:
    """Mirrors have a directory there; other links belong to somebody."""
    current = top / "current"
    if kind == "directory":
        current.mkdir()
    elif kind == "file":
        current.write_text("x")
    else:
        current.symlink_to("../20260101" if kind == "outside" else "elsewhere")
    assert codes(lambda: promote(top, day(A))) == {"E-RELEASE-CURRENT"}
    assert codes(lambda: rollback(top)) == {"E-RELEASE-CURRENT"}


def test_a_link_that_was_changed_by_hand_is_told(top: Path) -> None:
    """The history says that nobody knows who did it, and rollback leads back to what was."""
    made(top, C)
    promote(top, day(A))
    (top / "current").unlink()
    (top / "current").symlink_to(B)
    promote(top, day(C))
    assert [(one.date, one.action) for one in read_history(top).promotions] == [
        (A, "promote"), (B, "found"), (C, "promote")
    ]  # fmt: skip
    assert rollback(top).entry.date == B
    (top / "current").unlink()
    assert not promote(top, day(B)).was_current
    assert current_of(top) == B


def test_a_garbled_history_is_not_replaced(top: Path) -> None:
    """Somebody has to look at it."""
    (top / "promotions.json").write_text("{}")
    assert codes(lambda: promote(top, day(A))) == {"E-RELEASE-HISTORY"}
    assert (top / "promotions.json").read_text() == "{}"
    assert current_of(top) is None


def test_two_promoters_at_once(top: Path) -> None:
    """The second is told, and changes nothing."""
    with promoting(top):
        ended = voidimg("--out", top, "promote", A)
    assert ended.returncode == 14
    assert "E-RELEASE-BUSY" in ended.stderr
    assert current_of(top) is None


def test_a_reader_never_sees_a_gap(top: Path) -> None:
    """It loops over current while sets are promoted and rolled back: always one whole set."""
    promote(top, day(A))
    stop = threading.Event()
    seen: list[str] = []
    gaps: list[str] = []

    def read() -> None:
        while not stop.is_set():
            try:
                directory = os.open(top / "current", os.O_RDONLY | os.O_DIRECTORY)
            except OSError as error:
                gaps.append(str(error))
                continue
            names = set(os.listdir(directory))
            os.close(directory)
            dates = [date for date in (A, B) if image_name(date) in names]
            if len(dates) != 1 or "sha256sum.sig" not in names:
                gaps.append(f"{names}")
            seen.extend(dates)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(15):
        promote(top, day(B))
        rollback(top)
    stop.set()
    for reader in readers:
        reader.join()
    assert gaps == []
    assert {A, B} == set(seen)


def test_killed_at_any_moment(top: Path) -> None:
    """A good set is current, and the next run says so everywhere."""
    chance = random.Random(2)
    promote(top, day(A))
    words = {B: ("promote", B), A: ("rollback", "--to", A)}
    began = time.monotonic()
    assert voidimg("--out", top, *words[B]).returncode == 0
    took = time.monotonic() - began
    for number in range(int(os.environ.get("VOIDIMG_KILLS", "5"))):
        now = current_of(top)
        goal = B if now == A else A
        with subprocess.Popen(
            arguments("-q", "--out", top, *words[goal]),
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as running:
            # most of the time is spent before anything changes
            time.sleep(took * chance.uniform(0.6, 1.0))
            running.kill()
        assert current_of(top) in (A, B), number
        assert voidimg("verify", (top / "current").resolve()).returncode == 0
        rest = voidimg("--out", top, "promote", str(current_of(top)))
        assert rest.returncode == 0, rest.stderr
        date = current_of(top)
        assert json.loads((top / "current.json").read_bytes())["date"] == date
        assert read_history(top).current == date
        assert [path.name for path in top.iterdir() if path.name.startswith(".")] == []


def test_the_verbs(top: Path) -> None:
    """In text and JSON; what was touched is told with the reason."""
    done = voidimg_json("--out", top, "promote", A, "--reason", "tested", "--json")
    assert (done["date"], done["action"], done["reason"]) == (A, "promote", "tested")
    ended = voidimg("--out", top, "promote", B)
    assert f"current is {B}, it was {A}" in ended.stdout
    assert "touched manifest.json, sha256sum.sig, sha256sum.txt: mirrors skip" in ended.stdout
    ended = voidimg("--out", top, "rollback")
    assert f"current is {A}, it was {B}" in ended.stdout
    ended = voidimg("--out", top, "promote", A)
    assert f"{A} is current already" in ended.stdout
    for words in (("promote", "2026010"), ("rollback", "--to", "x")):
        assert voidimg("--out", top, *words).returncode == 2
    assert voidimg("--out", top / "nowhere", "promote", A).returncode == 14


@pytest.mark.parametrize("words", [("promote", "20240314"), ("rollback",), ("release", "--prune")])
def test_without_a_directory_of_sets_it_is_said(words: tuple[str, ...], tmp_path: Path) -> None:
    ended = voidimg("--cache", tmp_path / "cache", "--out", tmp_path / "none", *words)
    assert "E-RELEASE-NO-SETS" in ended.stderr
    assert ended.returncode == 14
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("option", ["--reason", "--accept-failures"])
@pytest.mark.parametrize("text", ["a\nb", "x" * 401, "\x1b[2J"])
def test_reasons_are_one_line(top: Path, option: str, text: str) -> None:
    """Told before anything is read."""
    for verb in (("promote", A), ("rollback",)):
        ended = voidimg("--out", top, *verb, option, text)
        assert (ended.returncode, "E-USAGE-REASON" in ended.stderr) == (2, True)
    assert current_of(top) is None


def test_long_waivers_fit_into_the_history(top: Path) -> None:
    """All that a manifest takes."""

    def change(said: dict[str, Any]) -> None:
        _waived(said)
        for one in said["artifacts"]:
            one["waivers"] = [dict(one["waivers"][0], who="w" * 1000, reason="r" * 1000)]

    made(top, C, change)
    promote(top, day(C))
    assert len(read_history(top).promotions[-1].waivers) == 2
