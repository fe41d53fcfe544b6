"""Signing a set: what is refused, and that minisign and we understand each other."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from voidimg.artifact_names import date_of_name
from voidimg.errors import CollectedError, ReleaseError, StoreError
from voidimg.events import Event, StepFinished
from voidimg.identity import ReleaseDate
from voidimg.signing.keys import ReleaseKey, create_release_key
from voidimg.signing.signing import date_of_set, sign_set


def test_a_signed_set_has_voids_two_files(image_set: Path, key: ReleaseKey) -> None:
    """Both comments say the date; the algorithm is the prehashed one."""
    signed = sign_set(image_set, key.secret_path)
    lines = (image_set / "sha256sum.sig").read_text().splitlines()
    comment = "This key is only valid for images with date 20240314."
    assert [f"untrusted comment: {comment}", f"trusted comment: {comment}"] == lines[::2]
    assert lines[1].startswith("RU")  # base64 of ED, prehashed
    assert len((image_set / "sha256sum.sig").read_bytes()) == 334
    assert list(signed.files) == [
        "void-aarch64-ROOTFS-20240314.tar.xz",
        "void-rpi-aarch64-20240314.img.xz",
        "void-rpi-aarch64-20240314.lock.json",
    ]


def test_signing_again_gives_the_same_bytes(image_set: Path, key: ReleaseKey) -> None:
    """Neither file names itself, and nothing comes from the clock."""
    sign_set(image_set, key.secret_path)
    before = {path.name: path.read_bytes() for path in image_set.iterdir()}
    sign_set(image_set, key.secret_path, jobs=4)
    assert before == {path.name: path.read_bytes() for path in image_set.iterdir()}


def test_a_signed_set_that_changed_is_not_signed_again(image_set: Path, key: ReleaseKey) -> None:
    """Published files must not change."""
    signed = sign_set(image_set, key.secret_path)
    (image_set / "void-aarch64-ROOTFS-20240314.tar.xz").write_bytes(b"other")
    with pytest.raises(ReleaseError) as caught:
        sign_set(image_set, key.secret_path)
    assert caught.value.code == "E-RELEASE-SIGNED-CHANGED"
    signed.signature_path.unlink()
    sign_set(image_set, key.secret_path)


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("notes.txt", b"x", "UNEXPECTED"),
        ("void-rpi-aarch64-20240314.lock", b"x", "UNEXPECTED"),
        ("void-x y-20240314.img", b"x", "UNEXPECTED"),
        (".void-rpi-aarch64-20240314.img.xz.part", b"x", "UNEXPECTED"),
        ("void-rpi-aarch64-20240313.img.xz", b"x", "OTHER-DATE"),
        ("void-rpi-aarch64-20240314rc1.img.xz", b"x", "OTHER-DATE"),
        ("void-release-20240314.sec", b"x", "KEY-IN-SET"),
        ("void-release-20240314.pub", b"x", "KEY-IN-SET"),
        ("void-rpi-armv6l-20240314.img.xz", b"", "EMPTY-FILE"),
    ],
)
def test_what_is_not_of_the_set_is_refused(
    image_set: Path, key: ReleaseKey, name: str, content: bytes, code: str
) -> None:
    """By name, and nothing is written."""
    (image_set / name).write_bytes(content)
    with pytest.raises(ReleaseError) as caught:
        sign_set(image_set, key.secret_path)
    assert f"E-RELEASE-{code}" == caught.value.code
    assert not (image_set / "sha256sum.txt").exists()


def test_directories_and_links_are_refused_together(image_set: Path, key: ReleaseKey) -> None:
    """All problems at once."""
    (image_set / "void-sub-20240314").mkdir()
    (image_set / "void-link-20240314.img").symlink_to("/etc/passwd")
    with pytest.raises(CollectedError) as caught:
        sign_set(image_set, key.secret_path)
    assert [error.code for error in caught.value.errors] == ["E-RELEASE-UNEXPECTED"] * 2


def test_the_key_of_another_set_is_refused(image_set: Path, tmp_path: Path) -> None:
    """Its comment says for which date it is."""
    other = create_release_key(ReleaseDate.parse("20250202"), tmp_path, passphrase=None)
    with pytest.raises(ReleaseError) as caught:
        sign_set(image_set, other.secret_path)
    assert caught.value.code == "E-RELEASE-KEY-DATE"


def test_checksums_that_cannot_be_read_are_an_error(image_set: Path, key: ReleaseKey) -> None:
    """Whether the set was signed before and has changed cannot be told then."""
    sign_set(image_set, key.secret_path)
    (image_set / "sha256sum.txt").unlink()
    (image_set / "sha256sum.txt").mkdir()
    with pytest.raises(StoreError, match=r"cannot read .*sha256sum\.txt"):
        sign_set(image_set, key.secret_path)


def test_an_empty_directory_is_no_set(tmp_path: Path, key: ReleaseKey) -> None:
    """There is nothing to sign, and no date to guess."""
    (tmp_path / "empty").mkdir()
    with pytest.raises(ReleaseError) as caught:
        sign_set(tmp_path / "empty", key.secret_path)
    assert caught.value.code == "E-RELEASE-SET-EMPTY"


@pytest.mark.parametrize(
    ("name", "date"),
    [
        ("void-live-x86_64-musl-20240314-base.iso", "20240314"),
        ("void-aarch64-ROOTFS-20240314.tar.xz", "20240314"),
        ("void-rpi-aarch64-musl-20240314.img.xz", "20240314"),
        ("void-GCP-20240314rc1.tar.gz", "20240314rc1"),
        ("void-x86_64-20240314.wsl", "20240314"),
        ("void-20240314.manifest.json", "20240314"),
        ("void-rpi-aarch64.img.xz", None),
        ("other-20240314.img", None),
    ],
)
def test_names_say_their_date(name: str, date: str | None) -> None:
    """Void's names, of every kind."""
    assert date == date_of_name(name)


def test_the_date_of_a_set_comes_from_its_name_or_its_files(image_set: Path) -> None:
    """A directory that is not named by a date is asked for its files."""
    renamed = image_set.rename(image_set.with_name("candidate"))
    assert str(date_of_set(renamed)) == "20240314"


def test_minisign_verifies_our_signature(image_set: Path, key: ReleaseKey) -> None:
    """With the command that Void's handbook gives."""
    sign_set(image_set, key.secret_path)
    words = ["minisign", "-V", "-H", "-p", str(key.public_path), "-x", "sha256sum.sig"]
    ended = subprocess.run(
        [*words, "-m", "sha256sum.txt"], cwd=image_set, check=True, capture_output=True, text=True
    )
    assert "only valid for images with date 20240314." in ended.stdout


def _append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _replace(path: Path) -> None:
    new = path.with_name("new")
    new.write_bytes(path.read_bytes())
    new.replace(path)


def _touch_back(path: Path) -> None:
    before = path.stat()
    path.write_bytes(b"\0" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], object]] = {
    "more is written": _append,
    "another file takes its place": _replace,
    "the time is set back": _touch_back,
    "it is removed": Path.unlink,
    "another comes": lambda path: (path.parent / "void-x-20240314.img").write_bytes(b"x"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_a_set_that_changes_while_it_is_read_is_not_signed(
    kind: str, image_set: Path, key: ReleaseKey
) -> None:
    """Whatever was read before or after the change, no signature is over it."""
    path = image_set / "void-rpi-aarch64-20240314.img.xz"

    def change(event: Event) -> None:
        if isinstance(event, StepFinished):  # all checksums are known
            CHANGES[kind](path)

    with pytest.raises((StoreError, ReleaseError)) as caught:
        sign_set(image_set, key.secret_path, listener=change)
    assert caught.value.code in ("E-STORE-CHANGED", "E-RELEASE-SET-CHANGED")
    assert not (image_set / "sha256sum.sig").exists()


@pytest.mark.parametrize("name", ["sha256sum.txt", "sha256sum.sig"])
def test_what_is_not_ours_is_not_signed_over(name: str, image_set: Path, key: ReleaseKey) -> None:
    """Another file under the name of what signing writes stays as it is."""
    (image_set / name).write_text("my notes\n")
    with pytest.raises(ReleaseError) as caught:
        sign_set(image_set, key.secret_path)
    assert caught.value.code == "E-RELEASE-NOT-OURS"
    assert (image_set / name).read_text() == "my notes\n"


def test_what_a_killed_run_left_in_the_set_is_cleared_away(
    image_set: Path, key: ReleaseKey
) -> None:
    """And what only looks like it is refused, as every foreign file."""
    digits = "0" * 32
    left = image_set / f".voidimg-{digits}"
    left.mkdir()
    (left / "mark").write_text(f"voidimg {digits}\n")
    (left / "new").write_text("half")
    sign_set(image_set, key.secret_path)
    assert not left.exists()


def test_what_goes_out_beside_a_set(tmp_path: Path, image_set: Path, key: ReleaseKey) -> None:
    """The key as the package has it, what current.json will be, the line of the download page."""
    place = tmp_path / "announced"
    place.mkdir()
    made = sign_set(image_set, key.secret_path, announce_in=place).announcement
    assert made is not None
    assert sorted(path.name for path in place.iterdir()) == [
        "void-release-20240314.current.json",
        "void-release-20240314.download.yml",
        "void-release-20240314.pub",
    ]
    assert made.public_key_path.read_bytes() == key.public_path.read_bytes()
    assert made.download_path.read_text() == "download_build_date: 2024-03-14\n"
    said = json.loads(made.current_path.read_bytes())
    assert {one["name"]: one["size"] for one in said["files"]} == {
        path.name: path.stat().st_size
        for path in image_set.iterdir()
        if not path.name.startswith("sha256sum")
    }
    before = {path: (path.read_bytes(), path.stat().st_mode) for path in place.iterdir()}
    sign_set(image_set, key.secret_path, announce_in=place)
    assert before == {path: (path.read_bytes(), path.stat().st_mode) for path in place.iterdir()}
    ended = subprocess.run(
        ["minisign", "-V", "-p", made.public_key_path, "-x", image_set / "sha256sum.sig",
         "-m", image_set / "sha256sum.txt"],
        capture_output=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr


def test_another_key_is_in_the_way(tmp_path: Path, image_set: Path, key: ReleaseKey) -> None:
    """Told before anything is signed; so is a place inside the set."""
    other = image_set.parent / key.public_path.name
    create_release_key(ReleaseDate.parse("20240314"), image_set.parent, passphrase=None)
    for place, code in ((image_set.parent, "PUBLIC-KEY"), (image_set, "KEY-IN-SET")):
        with pytest.raises(ReleaseError) as caught:
            sign_set(image_set, key.secret_path, announce_in=place)
        assert caught.value.code == f"E-RELEASE-{code}"
        assert not (image_set / "sha256sum.sig").exists()
    other.write_bytes(b"garbage")
    with pytest.raises(ReleaseError):
        sign_set(image_set, key.secret_path, announce_in=image_set.parent)
    with pytest.raises(StoreError):
        sign_set(image_set, key.secret_path, announce_in=tmp_path / "nowhere")
