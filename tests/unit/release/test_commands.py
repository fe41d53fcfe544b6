"""`keygen`, `sign` and `verify` as a release engineer types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

DATE = "20240314"


def _voidimg(
    words: Sequence[str], cwd: Path, *, env: dict[str, str] | None = None, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    code = "from voidimg.cli.main import entry_point; entry_point()"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=cwd,
        input=stdin,
        env={**os.environ, **(env or {})},
        capture_output=True,
        check=False,
    )


def test_the_three_verbs_after_another(tmp_path: Path, image_set: Path) -> None:
    """With the defaults where they are sensible, and with the key named."""
    made = _voidimg(["keygen", DATE, "--no-passphrase", "--json"], tmp_path)
    assert made.returncode == 0, made.stderr
    signed = _voidimg(["-q", "sign", f"out/{DATE}"], tmp_path)
    assert signed.returncode == 0, signed.stderr
    named = ["--key", f"void-release-{DATE}.pub"]
    for words in ([], named):
        verified = _voidimg(["-q", "verify", f"out/{DATE}", "--json", *words], tmp_path)
        assert verified.returncode == 0, verified.stderr
        (result,) = json.loads(verified.stdout)
        assert result["key_id"] == json.loads(made.stdout)["key_id"]
        assert len(result["files"]) == len(list(image_set.iterdir())) - 2


def test_a_mistyped_date_is_told_as_it_was_given(tmp_path: Path) -> None:
    """An argument of `keygen`, an option elsewhere."""
    for words, where in (
        (["keygen", "2024031"], b"DATE: "),
        (["sign", ".", "--date", "x"], b"--date: "),
    ):
        ended = _voidimg(words, tmp_path)
        assert ended.returncode == 2
        assert b"is not a date of an image set" in ended.stderr
        assert where in ended.stderr
        assert (b"--date" in ended.stderr) is (where == b"--date: ")


def test_a_failed_verification_has_its_own_exit_status(tmp_path: Path, image_set: Path) -> None:
    """6, with the code on stderr and nothing on stdout."""
    _voidimg(["keygen", DATE, "--no-passphrase"], tmp_path)
    _voidimg(["sign", f"out/{DATE}"], tmp_path)
    (image_set / "void-aarch64-ROOTFS-20240314.tar.xz").write_bytes(b"\xfd7zXZ\0 YZ")
    ended = _voidimg(["verify", f"out/{DATE}"], tmp_path)
    assert (ended.returncode, ended.stdout) == (6, b"")
    assert b"E-VERIFY-CHECKSUM" in ended.stderr


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["keygen", DATE], 2),
        (["keygen", "20241399", "--no-passphrase"], 2),
        (["keygen", DATE, "--passphrase-env", "NOT_SET"], 2),
        (["keygen", DATE, "--passphrase-fd", "77"], 2),
        (["keygen", DATE, "--no-passphrase", "--passphrase-env", "X"], 2),
        (["sign", f"out/{DATE}"], 2),
        (["verify", f"out/{DATE}"], 6),
    ],
)
def test_wrong_usage_leaves_nothing_behind(
    tmp_path: Path, image_set: Path, words: list[str], status: int
) -> None:
    """No passphrase without a terminal, no key, no signature: no traceback and no file."""
    before = sorted(tmp_path.rglob("*"))
    ended = _voidimg(words, tmp_path)
    assert status == ended.returncode
    assert b"Traceback" not in ended.stderr
    assert before == sorted(tmp_path.rglob("*"))


def test_passphrases_come_from_a_descriptor_or_a_variable(tmp_path: Path, image_set: Path) -> None:
    """At minisign's own cost (1 GiB, a few seconds), as released keys have."""
    made = _voidimg(["keygen", DATE, "--passphrase-fd", "0"], tmp_path, stdin=b"geheim\nrest")
    assert made.returncode == 0, made.stderr
    words = ["sign", f"out/{DATE}", "--passphrase-env", "RELEASE_KEY"]
    signed = _voidimg(words, tmp_path, env={"RELEASE_KEY": "geheim"})
    assert signed.returncode == 0, signed.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"gr\xfc\xdf\n", "not UTF-8"),
        (b"x" * 5000 + b"\n", "longer than 1023 bytes"),
        (b"x" * 1024, "longer than 1023 bytes"),
        (b"a\0b\n", "NUL"),
        (b"\n", "empty"),
    ],
)
@pytest.mark.parametrize("verb", ["keygen", "repo"])
def test_odd_passphrases_are_told_and_make_nothing(
    verb: str, content: bytes, said: str, tmp_path: Path
) -> None:
    """From a descriptor or a variable; neither is shown."""
    words = ["keygen", DATE] if verb == "keygen" else ["repo", "keygen", "k.pem", "--bits", "2048"]
    runs: list[tuple[list[str], bytes, dict[str, str]]] = [(["--passphrase-fd", "0"], content, {})]
    if b"\0" not in content:  # no variable can hold one
        value = os.fsdecode(content.partition(b"\n")[0])
        runs.append((["--passphrase-env", "SECRET"], b"", {"SECRET": value}))
    for option, stdin, env in runs:
        ended = _voidimg([*words, *option], tmp_path, env=env, stdin=stdin)
        assert ended.returncode == 2
        assert said.encode() in ended.stderr
        assert b"xxxx" not in ended.stderr
    assert list(tmp_path.iterdir()) == []
