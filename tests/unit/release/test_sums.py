"""The checksum file: Void's form, in byte order, and what is wrong with a bad one."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from voidimg.errors import CollectedError, VerifyError
from voidimg.signing.sums import decode_sums, digest_files, encode_sums

DIGEST = "0" * 63 + "a"


def test_lines_are_bsd_lines_in_the_order_of_the_c_locale() -> None:
    """Capitals come before small letters, whatever the locale."""
    content = encode_sums(
        {"void-b": DIGEST, "void-B": DIGEST, "void-a-1": DIGEST, "void-a": DIGEST}
    )
    names = [line.split(b"(")[1].split(b")")[0] for line in content.splitlines()]
    assert names == [b"void-B", b"void-a", b"void-a-1", b"void-b"]
    assert content.startswith(b"SHA256 (void-B) = " + DIGEST.encode() + b"\n")


def test_what_is_encoded_is_decoded() -> None:
    """Names with brackets, spaces and bytes that are no UTF-8 survive."""
    digests = {"a (1).img": DIGEST, "b\udcff": DIGEST, "c) = (d": DIGEST}
    # What str.splitlines takes for the end of a line, beside control characters.
    digests |= dict.fromkeys(["n\x85l", "l\u2028s", "p\u2029s"], DIGEST)
    assert digests == decode_sums(encode_sums(digests), "sums")


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a/b", ".", "..", "", "a\x1bb", "a\x0cb"])
def test_a_name_that_cannot_be_read_back_is_not_written(name: str) -> None:
    """What the reader refuses, the writer does not write."""
    with pytest.raises(VerifyError) as caught:
        encode_sums({name: DIGEST})
    assert caught.value.code == "E-VERIFY-SUMS-NAME"


def test_sha256sum_accepts_the_file(tmp_path: Path) -> None:
    """GNU sha256sum checks a file by it."""
    (tmp_path / "void-x").write_bytes(b"content")
    digests = digest_files([tmp_path / "void-x"])
    (tmp_path / "sums").write_bytes(encode_sums({"void-x": digests[0].sha256}))
    subprocess.run(["sha256sum", "--strict", "-c", "sums"], cwd=tmp_path, check=True)


def test_any_number_of_jobs_gives_the_same_digests(tmp_path: Path) -> None:
    """Digests come back in the order of the paths."""
    paths = [tmp_path / str(number) for number in range(8)]
    for path in paths:
        path.write_bytes(path.name.encode() * 1000)
    assert digest_files(paths, jobs=1) == digest_files(paths, jobs=4)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "E-VERIFY-SUMS-NOT-SUMS"),
        (b"<!DOCTYPE html>\n<html>", "E-VERIFY-SUMS-NOT-SUMS"),
        (b"\x00\x01\x02", "E-VERIFY-SUMS-NOT-SUMS"),
        (b"SHA256 (a) = %b" % DIGEST.encode(), "E-VERIFY-SUMS-CUT"),
        (b"SHA256 (a) = 12\n", "E-VERIFY-SUMS-LINE"),
        (b"SHA256 (../a) = %b\n" % DIGEST.encode(), "E-VERIFY-SUMS-LINE"),
        (b"SHA256 (a) = %b\n" % DIGEST.upper().encode(), "E-VERIFY-SUMS-LINE"),
        (b"%b  a\n" % DIGEST.encode(), "E-VERIFY-SUMS-LINE"),
        (b"SHA256 (a) = %b\n" % DIGEST.encode() * 2, "E-VERIFY-SUMS-TWICE"),
    ],
)
def test_a_wrong_file_is_refused(content: bytes, code: str) -> None:
    """Each kind of damage has its code."""
    with pytest.raises(VerifyError) as caught:
        decode_sums(content, "sums")
    assert code == caught.value.code


def test_all_wrong_lines_are_named() -> None:
    """Each with its number."""
    with pytest.raises(CollectedError) as caught:
        decode_sums(b"SHA256 (a) = %b\nx\ny\n" % DIGEST.encode(), "sums")
    assert [error.where for error in caught.value.errors] == ["sums:2", "sums:3"]
