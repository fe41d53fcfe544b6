"""Release keys: names, comments, modes, passphrases, and other things mistaken for keys."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from voidimg.errors import ReleaseError, VerifyError
from voidimg.identity import ReleaseDate
from voidimg.signing import keys as release_keys
from voidimg.signing.keys import (
    ReleaseKey,
    create_release_key,
    find_public_key,
    needs_passphrase,
    read_public_key,
    read_secret_key,
)

DATE = ReleaseDate.parse("20240314")
OTHER = ReleaseDate.parse("20240315")
"""A date of which Void published no key."""
VOID_LINE = "RWSGbzWdyvz8o4nrhY1nbmHLF6QiFH/AQXs1mS/0X+t1x3WwUA16hdc/"


def test_files_are_named_and_commented_as_voids(key: ReleaseKey) -> None:
    """The date goes into the secret key's comment, the key id into the public key's."""
    public, secret = key.public_path.read_text(), key.secret_path.read_text()
    assert (key.public_path.name, key.secret_path.name) == (
        "void-release-20240314.pub",
        "void-release-20240314.sec",
    )
    assert f"untrusted comment: minisign public key {key.key_id}\n{key.public_line}\n" == public
    assert len(public) == 113
    comment = "untrusted comment: This key is only valid for images with date 20240314."
    assert comment == secret.splitlines()[0]


def test_the_secret_key_is_private(key: ReleaseKey) -> None:
    """Mode 0600, whatever the umask."""
    assert stat.S_IMODE(key.secret_path.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.public_path.stat().st_mode) == 0o644


def test_the_key_id_is_printed_as_minisign_prints_it() -> None:
    """Void's key of 20240314 is announced as A3FCFCCA9D356F86."""
    assert read_public_key(VOID_LINE).key_id == "A3FCFCCA9D356F86"


@pytest.mark.parametrize("existing", ["void-release-20240314.pub", "void-release-20240314.sec"])
def test_keys_are_never_overwritten(tmp_path: Path, existing: str) -> None:
    """Neither file changes, and no half of a new pair appears."""
    (tmp_path / existing).write_text("precious")
    with pytest.raises(ReleaseError) as caught:
        create_release_key(DATE, tmp_path, passphrase=None)
    assert caught.value.code == "E-RELEASE-EXISTS"
    assert [path.name for path in tmp_path.iterdir()] == [existing]
    assert (tmp_path / existing).read_text() == "precious"


def test_a_secret_key_that_is_not_there(tmp_path: Path) -> None:
    """An error of ours with what to do, whoever asks."""
    for ask in (needs_passphrase, lambda path: read_secret_key(path, None)):
        with pytest.raises(ReleaseError, match="voidimg keygen") as caught:
            ask(tmp_path / "void-release-20240314.sec")
        assert caught.value.code == "E-RELEASE-SECRET-KEY-MISSING"


def test_an_empty_passphrase_is_not_a_passphrase(tmp_path: Path) -> None:
    """It must be said explicitly that there is none."""
    with pytest.raises(ReleaseError) as caught:
        create_release_key(DATE, tmp_path, passphrase="")
    assert caught.value.code == "E-RELEASE-PASSPHRASE-EMPTY"


def test_the_passphrase_opens_the_key(tmp_path: Path) -> None:
    """A wrong one and a missing one are different errors."""
    key = create_release_key(DATE, tmp_path, passphrase="geheim ü", memory_bytes=2**20)
    assert needs_passphrase(key.secret_path)
    with pytest.raises(ReleaseError) as missing:
        read_secret_key(key.secret_path, None)
    with pytest.raises(ReleaseError) as wrong:
        read_secret_key(key.secret_path, "nein")
    with read_secret_key(key.secret_path, "geheim ü") as secret:
        assert not secret.is_encrypted()
    assert missing.value.code == "E-RELEASE-PASSPHRASE-NEEDED"
    assert wrong.value.code == "E-RELEASE-PASSPHRASE-WRONG"


def test_the_passphrase_is_in_no_file(tmp_path: Path) -> None:
    """Nothing but the two key files appears, and neither holds it."""
    create_release_key(DATE, tmp_path, passphrase="geheimnis", memory_bytes=2**20)
    assert len(list(tmp_path.iterdir())) == 2
    assert all(b"geheimnis" not in path.read_bytes() for path in tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"<!DOCTYPE html>\n<html><body>key</body></html>", "KEY-HTML"),
        (b"\n\n<html>", "KEY-HTML"),
        (b"", "KEY-EMPTY"),
        (b'<?xml version="1.0"?><plist version="1.0"><dict/></plist>', "KEY-REPOSITORY"),
        (b"SHA256 (a) = 12\n", "KEY-IS-SUMS"),
        (b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n", "KEY-NOT-KEY"),
        (b"ssh-ed25519 AAAA me\n", "KEY-NOT-KEY"),
        (b"untrusted comment: minisign public key X\nRWSGbzWdyvz8\n", "KEY-NOT-KEY"),
        (b"untrusted comment: minisign public key X\n", "KEY-NOT-KEY"),
        (b"\x00\x01", "KEY-NOT-KEY"),
    ],
)
def test_other_things_given_as_key_are_recognised(
    tmp_path: Path, content: bytes, code: str
) -> None:
    """Each mistake has its own code."""
    path = tmp_path / "given.pub"
    path.write_bytes(content)
    with pytest.raises(VerifyError) as caught:
        read_public_key(path)
    assert f"E-VERIFY-{code}" == caught.value.code
    assert caught.value.hint


def test_the_secret_key_is_not_taken_for_the_public_one(key: ReleaseKey) -> None:
    """And the other way round."""
    with pytest.raises(VerifyError) as public:
        read_public_key(key.secret_path)
    with pytest.raises(ReleaseError) as secret:
        read_secret_key(key.public_path, None)
    assert (public.value.code, secret.value.code) == (
        "E-VERIFY-KEY-SECRET",
        "E-RELEASE-SECRET-KEY-KIND",
    )


@pytest.mark.parametrize("form", ["{line}\n", "untrusted comment: Schlüssel\r\n{line}\r\n"])
def test_unusual_public_key_files_are_read(tmp_path: Path, form: str) -> None:
    """A bare line, a comment that is not ASCII, line ends of Windows."""
    path = tmp_path / "void-release-20240314.pub"
    path.write_text(form.format(line=VOID_LINE), newline="")
    found = read_public_key(path)
    assert (found.key_id, found.date) == ("A3FCFCCA9D356F86", "20240314")


def test_a_key_inside_the_set_is_not_found_by_itself(
    tmp_path: Path, image_set: Path, key: ReleaseKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who can replace the images could replace the key beside them; elsewhere it is found."""
    monkeypatch.chdir(image_set)
    inside = image_set / key.public_path.name
    inside.write_bytes(key.public_path.read_bytes())
    assert find_public_key("20240314", image_set).trust == "published"  # Void's own
    monkeypatch.chdir(tmp_path)
    found = find_public_key("20240314", image_set)
    assert (found.key_id, found.trust) == (key.key_id, "here")


def test_minisign_opens_our_encrypted_key(tmp_path: Path) -> None:
    """It signs with our key, we verify what it made; scrypt's cost is in the key, here small."""
    key = create_release_key(DATE, tmp_path, passphrase="geheim", memory_bytes=2**24)
    message = tmp_path / "message"
    message.write_bytes(b"content")
    subprocess.run(
        ["minisign", "-S", "-s", key.secret_path, "-m", message],
        input=b"geheim\n",
        check=True,
        capture_output=True,
    )
    read_public_key(key.public_path).key.verify_file(message)


def _lay_key(place: Path, key: ReleaseKey) -> None:
    place.mkdir(parents=True, exist_ok=True)
    (place / "void-release-20240315.pub").write_bytes(key.public_path.read_bytes())


def test_an_installed_key_wins_over_one_that_came_with_the_set(
    tmp_path: Path, image_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are named; without an installed one the reason to trust is another."""
    keys = [create_release_key(OTHER, _made(tmp_path / str(number)), passphrase=None)
            for number in range(2)]  # fmt: skip
    _lay_key(image_set.parent, keys[1])
    monkeypatch.setattr(release_keys, "INSTALLED_KEYS", tmp_path / "installed")
    monkeypatch.chdir(_made(tmp_path / "elsewhere"))
    beside = find_public_key("20240315", image_set)
    assert (beside.key_id, beside.trust, beside.others) == (keys[1].key_id, "beside", ())
    assert "beside the image set" in beside.why_trusted
    _lay_key(tmp_path / "installed", keys[0])
    found = find_public_key("20240315", image_set)
    assert (found.key_id, found.trust) == (keys[0].key_id, "installed")
    assert found.others == (str(image_set.parent / "void-release-20240315.pub"),)
    _lay_key(image_set.parent, keys[0])
    assert find_public_key("20240315", image_set).others == ()


def _made(directory: Path) -> Path:
    directory.mkdir()
    return directory


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_secret_key_that_others_can_use_is_refused(mode: int, key: ReleaseKey) -> None:
    """Whoever could read it can sign."""
    key.secret_path.chmod(mode)
    with pytest.raises(ReleaseError) as caught:
        read_secret_key(key.secret_path, None)
    assert caught.value.code == "E-RELEASE-SECRET-KEY-MODE"
    assert f"{mode:04o}" in caught.value.what


@pytest.mark.parametrize("passphrase", ["a\udcff", "x" * 1024, "ü" * 600, "a\0b"])
def test_passphrases_that_programs_do_not_agree_about_are_refused(
    passphrase: str, tmp_path: Path
) -> None:
    """Not UTF-8, too long for minisign, or with a NUL, where C stops reading."""
    with pytest.raises(ReleaseError) as caught:
        create_release_key(DATE, tmp_path, passphrase=passphrase)
    assert caught.value.code == "E-RELEASE-PASSPHRASE-TEXT"
    assert list(tmp_path.iterdir()) == []
    made = create_release_key(DATE, tmp_path, passphrase="x", memory_bytes=2**20)
    with pytest.raises(ReleaseError) as caught:
        read_secret_key(made.secret_path, passphrase)
    assert caught.value.code == "E-RELEASE-PASSPHRASE-TEXT"


def test_the_key_that_void_published_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After what is installed and here, before what came with the images; others are named."""
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / "live" / "20240314"
    directory.mkdir(parents=True)
    found = find_public_key("20240314", None)
    assert (found.key_id, found.trust, found.date) == ("A3FCFCCA9D356F86", "published", "20240314")
    assert "Void published it" in found.why_trusted
    beside = create_release_key(ReleaseDate.parse("20240314"), tmp_path / "live", passphrase=None)
    found = find_public_key("20240314", directory)
    assert (found.trust, found.others) == ("published", (str(beside.public_path),))
    create_release_key(ReleaseDate.parse("20240314"), tmp_path, passphrase=None)
    found = find_public_key("20240314", directory)
    assert found.trust == "here"
    assert any("Void's key" in other for other in found.others)


@pytest.mark.parametrize(
    ("date", "said"),
    [("20250202", "4D56E70F102AF9F9"), ("20230628", "5D7153E025EC26B6"), ("20260101", None)],
)
def test_of_other_keys_only_the_id_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, date: str, said: str | None
) -> None:
    """An id proves nothing, for whoever makes a key can give it any: it is only told."""
    monkeypatch.chdir(tmp_path)
    for directory in (None, tmp_path / "live" / date):
        with pytest.raises(VerifyError) as caught:
            find_public_key(date, directory)
        assert caught.value.code == "E-VERIFY-KEY-MISSING"
        assert ("only the id is known" in caught.value.what) is (said is not None)
        assert said is None or said in caught.value.what


def test_a_key_of_void_under_another_date_is_refused(tmp_path: Path) -> None:
    """Its line says whose it is, whatever the file is called."""
    path = tmp_path / "void-release-20250202.pub"
    path.write_text(f"untrusted comment: x\n{VOID_LINE}\n")
    with pytest.raises(VerifyError) as caught:
        read_public_key(path)
    assert caught.value.code == "E-VERIFY-KEY-DATES"
    assert read_public_key(VOID_LINE).date == "20240314"
