"""Verifying: what is proven, and which mistake is recognised by which code."""

from __future__ import annotations

import lzma
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from voidimg.errors import CollectedError, StoreError, VerifyError, VoidimgError
from voidimg.events import Event, Message
from voidimg.identity import ReleaseDate
from voidimg.signing.keys import ReleaseKey, create_release_key, read_public_key, release_comment
from voidimg.signing.recognise import why_damaged
from voidimg.signing.signing import sign_set
from voidimg.signing.verify import verify_files, verify_set

IMAGE = "void-rpi-aarch64-20240314.img.xz"
ROOTFS = "void-aarch64-ROOTFS-20240314.tar.xz"


@pytest.fixture
def signed(image_set: Path, key: ReleaseKey) -> Path:
    """The set, signed."""
    sign_set(image_set, key.secret_path)
    return image_set


def _codes(error: VoidimgError) -> list[str]:
    errors = error.errors if isinstance(error, CollectedError) else (error,)
    return [single.code.removeprefix("E-VERIFY-") for single in errors]


def test_a_good_set_is_verified(signed: Path, key: ReleaseKey) -> None:
    """All files, the date and the key id are in the result."""
    result = verify_set(signed, read_public_key(key.public_path))
    assert (key.key_id, "20240314", 3) == (result.key_id, result.date, len(result.files))


def test_the_line_of_the_key_is_enough(signed: Path, key: ReleaseKey) -> None:
    """As copied from an announcement."""
    assert verify_set(signed, read_public_key(key.public_line)).date == "20240314"


def test_one_download_is_verified_without_the_others(signed: Path, key: ReleaseKey) -> None:
    """As after downloading a single image."""
    (signed / ROOTFS).unlink()
    (result,) = verify_files([signed / IMAGE], read_public_key(key.public_path))
    assert [file.path for file in result.files] == [signed / IMAGE]


def _write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda directory: (directory / name).write_bytes(content)


def _edit(name: str, old: bytes, new: bytes) -> Callable[[Path], object]:
    return lambda directory: (directory / name).write_bytes(
        (directory / name).read_bytes().replace(old, new)
    )


def _cut(name: str, size_bytes: int) -> Callable[[Path], object]:
    return lambda directory: (directory / name).write_bytes(
        (directory / name).read_bytes()[:size_bytes]
    )


def _remove(name: str) -> Callable[[Path], object]:
    return lambda directory: (directory / name).unlink()


SIGNIFY = b"untrusted comment: verify with void.pub\n" + b"RWS" + b"A" * 96 + b"=\n"
HTML = b"<!DOCTYPE html><html></html>"


@pytest.mark.parametrize(
    ("damage", "codes"),
    [
        (_remove(IMAGE), ["MISSING"]),
        (_remove("sha256sum.txt"), ["SUMS-MISSING"]),
        (_remove("sha256sum.sig"), ["SIGNATURE-MISSING"]),
        (_write("extra.img", b"x"), ["EXTRA"]),
        (_write(IMAGE, b"\xfd7zXZ\0 other YZ"), ["CHECKSUM"]),
        (_cut(IMAGE, 9), ["CUT"]),
        (_cut(IMAGE, 0), ["CUT"]),
        (_write(IMAGE, HTML), ["HTML"]),
        (_edit("sha256sum.txt", b"rpi", b"RPI"), ["SUMS-CHANGED"]),
        (_edit("sha256sum.txt", b"\n", b"\r\n"), ["SUMS-LINE-ENDS"]),
        (_write("sha256sum.txt", HTML), ["SUMS-NOT-SUMS"]),
        (_write("sha256sum.sig", HTML), ["SIGNATURE-HTML"]),
        (_write("sha256sum.sig", SIGNIFY), ["SIGNATURE-SIGNIFY"]),
        (_write("sha256sum.sig", b""), ["SIGNATURE-CUT"]),
        (_cut("sha256sum.sig", 200), ["SIGNATURE-CUT"]),
        (_cut("sha256sum.sig", 300), ["SIGNATURE-CUT"]),
        (_edit("sha256sum.sig", b"trusted comment: T", b"trusted comment: t"), ["SUMS-CHANGED"]),
        (
            lambda directory: (_write(IMAGE, b"?")(directory), _remove(ROOTFS)(directory)),
            ["MISSING", "CHECKSUM"],
        ),
    ],
)  # fmt: skip
def test_damage_is_recognised(
    signed: Path, key: ReleaseKey, damage: Callable[[Path], object], codes: list[str]
) -> None:
    """Each kind by its own code, several of them together."""
    damage(signed)
    with pytest.raises((VerifyError, CollectedError)) as caught:
        verify_set(signed, read_public_key(key.public_path))
    assert codes == _codes(caught.value)


def test_signature_and_key_mixed_up_are_told_apart(signed: Path, key: ReleaseKey) -> None:
    """In either direction."""
    with pytest.raises(VerifyError) as as_key:
        read_public_key(signed / "sha256sum.sig")
    (signed / "sha256sum.sig").write_bytes(key.public_path.read_bytes())
    with pytest.raises(VerifyError) as as_signature:
        verify_set(signed, read_public_key(key.public_path))
    assert (
        _codes(as_key.value),
        _codes(as_signature.value),
    ) == (["KEY-IS-SIGNATURE"], ["SIGNATURE-IS-KEY"])


def test_the_key_of_another_date_is_named(signed: Path, tmp_path: Path) -> None:
    """By file name and signature; without a date only the ids can be compared."""
    other = create_release_key(ReleaseDate.parse("20250202"), tmp_path, passphrase=None)
    for source, code in (
        (other.public_path, "KEY-OTHER-DATE"),
        (other.public_line, "KEY-OTHER"),
    ):
        with pytest.raises(VerifyError) as caught:
            verify_set(signed, read_public_key(source))
        assert [code] == _codes(caught.value)


def test_a_signify_key_is_recognised(signed: Path, tmp_path: Path) -> None:
    """It has the form of a minisign key; only its comment gives it away."""
    other = create_release_key(ReleaseDate.parse("20250202"), tmp_path, passphrase=None)
    path = tmp_path / "void-release-20191109.pub"
    path.write_text(f"untrusted comment: Void 20191109 public key\n{other.public_line}\n")
    with pytest.raises(VerifyError) as caught:
        verify_set(signed, read_public_key(path))
    assert _codes(caught.value) == ["KEY-SIGNIFY"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("void-rpi-aarch64-20240314.img", "was signed, not what is unpacked from it"),
        ("void-rpi-aarch64-20240314(1).img.xz", "give it back its name"),
        ("unrelated", "another set"),
    ],
)
def test_a_file_that_is_not_listed_gets_a_hint(
    signed: Path, key: ReleaseKey, name: str, hint: str
) -> None:
    """Unpacked, renamed by a browser, or of another set."""
    (signed / name).write_bytes(b"x")
    with pytest.raises(VerifyError) as caught:
        verify_files([signed / name], read_public_key(key.public_path))
    assert _codes(caught.value) == ["NOT-LISTED"]
    assert hint in (caught.value.hint or "")


def _minisign_set(directory: Path, trusted_comment: str) -> Path:
    """Sign the set in `directory` with a new key of the minisign program; gives the public key."""
    public, secret = directory.parent / "k.pub", directory.parent / "k.sec"
    make = ["minisign", "-G", "-W", "-p", str(public), "-s", str(secret)]
    subprocess.run(make, check=True, capture_output=True)
    names = sorted(path.name for path in directory.iterdir())
    sums = subprocess.run(
        ["sha256sum", "--tag", *names], cwd=directory, check=True, capture_output=True
    )
    (directory / "sha256sum.txt").write_bytes(sums.stdout)
    sign = ["minisign", "-S", "-W", "-s", str(secret), "-m", "sha256sum.txt", "-t", trusted_comment]
    subprocess.run([*sign, "-x", "sha256sum.sig"], cwd=directory, check=True, capture_output=True)
    return public


def test_a_set_signed_by_minisign_is_verified(image_set: Path) -> None:
    """Its checksums made by sha256sum, its key and signature by the program."""
    comment = "This key is only valid for images with date 20240314."
    public = _minisign_set(image_set, comment)
    result = verify_set(image_set, read_public_key(public))
    assert (comment, "20240314") == (result.trusted_comment, result.date)


def test_another_trusted_comment_is_mentioned(image_set: Path) -> None:
    """The signature proves the bytes all the same."""
    public = _minisign_set(image_set, "for testers only")
    events: list[Event] = []
    result = verify_set(image_set, read_public_key(public), listener=events.append)
    assert result.date is None
    assert any(isinstance(event, Message) and "for testers only" in event.text for event in events)


def test_a_signature_for_another_date_is_refused(image_set: Path) -> None:
    """A key is only valid for the images of its own date."""
    public = _minisign_set(image_set, "This key is only valid for images with date 20250202.")
    with pytest.raises(CollectedError) as caught:
        verify_set(image_set, read_public_key(public))
    assert set(_codes(caught.value)) == {"SIGNED-DATE"}


@pytest.mark.parametrize("size_bytes", [0, 1, 300_000])
def test_whole_downloads_are_not_called_damaged(tmp_path: Path, size_bytes: int) -> None:
    """And the same files cut anywhere are."""
    content = bytes(range(256)) * (size_bytes // 256 + 1)
    frames = [
        zstandard.ZstdCompressor(write_checksum=checked, write_content_size=sized).compress(content)
        for checked in (False, True)
        for sized in (False, True)
    ]
    packed = {"a.img.xz": lzma.compress(content), "a.img.zst": b"".join(frames)}
    for name, whole in packed.items():
        path = tmp_path / name
        path.write_bytes(whole)
        assert why_damaged(path) is None
        path.write_bytes(whole[:-1])
        assert why_damaged(path) == "it is cut off"


NOT_REGULAR: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "the right content behind a link": lambda path: path.symlink_to(path.parent.parent / "moved"),
    "a directory": Path.mkdir,
}


@pytest.mark.parametrize("kind", NOT_REGULAR)
def test_only_regular_files_count(kind: str, signed: Path, key: ReleaseKey) -> None:
    """What stands behind a link can change at any time; pipes and devices never end."""
    path = signed / "void-rpi-aarch64-20240314.img.xz"
    path.rename(signed.parent / "moved")
    NOT_REGULAR[kind](path)
    trusted = read_public_key(key.public_path)
    for verify in (
        lambda: verify_set(signed, trusted),
        lambda: verify_files([path], trusted),
    ):
        with pytest.raises(VerifyError) as caught:
            verify()
        assert _codes(caught.value) == ["NOT-REGULAR"]


@pytest.mark.parametrize("name", ["sha256sum.txt", "sha256sum.sig"])
def test_sums_and_signature_are_regular_too(name: str, signed: Path, key: ReleaseKey) -> None:
    """Links count for nothing there either."""
    (signed / name).rename(signed.parent / name)
    (signed / name).symlink_to(signed.parent / name)
    with pytest.raises(StoreError, match="a symbolic link"):
        verify_set(signed, read_public_key(key.public_path))


def _set_of(date: str, directory: Path, trusted_comment: str, secret: Path) -> None:
    """A set of `date`, signed by the minisign program with whatever key and comment."""
    directory.mkdir()
    (directory / f"void-rpi-aarch64-{date}.img").write_bytes(b"image")
    names = sorted(path.name for path in directory.iterdir())
    sums = subprocess.run(
        ["sha256sum", "--tag", *names], cwd=directory, check=True, capture_output=True
    )
    (directory / "sha256sum.txt").write_bytes(sums.stdout)
    sign = ["minisign", "-S", "-W", "-s", str(secret), "-m", "sha256sum.txt"]
    subprocess.run([*sign, "-t", trusted_comment, "-x", "sha256sum.sig"], cwd=directory, check=True,
                   capture_output=True)  # fmt: skip


@pytest.mark.parametrize(
    ("comment", "code"),
    [
        (release_comment("20250101"), "KEY-OTHER-DATE"),
        (release_comment("20240314"), "SIGNED-DATE"),
        ("hello", "SIGNED-DATE"),
    ],
)
def test_a_key_counts_for_the_set_of_its_date_alone(
    comment: str, code: str, key: ReleaseKey, tmp_path: Path
) -> None:
    """Whatever its holder has signed with it later."""
    _set_of("20250101", tmp_path / "20250101", comment, key.secret_path)
    with pytest.raises(VerifyError) as caught:
        verify_set(tmp_path / "20250101", read_public_key(key.public_path))
    assert _codes(caught.value) == [code]


def test_the_comment_of_a_key_says_its_date_too(key: ReleaseKey, tmp_path: Path) -> None:
    """When the file has another name; two dates in one key are refused."""
    renamed = tmp_path / "mine.pub"
    renamed.write_text(f"untrusted comment: {release_comment('20240314')}\n{key.public_line}\n")
    assert read_public_key(renamed).date == "20240314"
    other = tmp_path / "void-release-20250202.pub"
    other.write_bytes(renamed.read_bytes())
    with pytest.raises(VerifyError) as caught:
        read_public_key(other)
    assert _codes(caught.value) == ["KEY-DATES"]
