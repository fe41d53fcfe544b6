"""Mistakes of people who type: each is one error with what to do, and nothing is written."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.command import arguments, environment
from tests.unit.pipeline.shop import KEYS
from voidimg.cli.main import entry_point


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory to be in, with one empty directory and one text file."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").write_text("hello\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOIDIMG_CACHE", str(tmp_path / "cache"))
    return tmp_path


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Status and standard error of `voidimg` with `words`; standard output must be empty."""
    with pytest.raises(SystemExit) as ended:
        entry_point(words)
    output = capsys.readouterr()
    assert output.out == ""
    assert isinstance(ended.value.code, int)
    return ended.value.code, output.err


@pytest.mark.parametrize(
    ("words", "status", "words_of_error"),
    [
        ("build rpi-aarch64 --date=", 2, "--date: '' is not a date"),
        ("build rpi-aarch64 --profile=", 3, "there is no profile ''"),
        ("build rpi-aarch64 -r ", 2, "'' is not a repository"),
        ("sign empty --date=", 2, "--date: '' is not a date"),
        ("smoke text --platform=", 3, "there is no platform ''"),
        ("smoke text --platform rpi-aarch64 --junit no/x.xml", 2, "--junit: no is no directory"),
        ("verify nothing", 6, "cannot read nothing: No such file or directory"),
        ("verify text nothing", 6, "cannot read nothing: No such file or directory"),
        ("verify text", 14, "hint: name the key with --key FILE"),
        ("sign empty --date 20240314", 2, "make it: voidimg keygen 20240314"),
        ("keygen 20240314 --passphrase-env NO_SUCH", 2, "variable NO_SUCH is not set"),
        ("repo status nothing", 5, "nothing: the repository directory does not exist"),
        ("repo status text", 5, "text: the repository directory is a file"),
        ("repo status http://127.0.0.1:9/x", 2, "name them with --arch"),
        ("repo status ftp://x --arch x", 2, "voidimg: 'ftp://x' is not a repository"),
        ("repo list empty --arch aarch64", 2, "empty has no index for aarch64"),
        ("repo keygen text --no-passphrase --bits 2048", 11, "text exists already and is never"),
        ("repo sign empty --key text --signed-by=", 2, "--signed-by is empty"),
        ("list --platforms-and-profiles empty", 2, "name the directory above them"),
        ("show rpi-aarch64 -r text", 2, "-r, --add-repository and --mirror go with --plan"),
        ("show rpi-aarch64 --mirror empty", 2, "--mirror go with --plan"),
        ("build rpi-aarch64 --mirror nothing", 2, "'nothing' is neither a URL nor a directory"),
        ("build rpi-aarch64 --mirror text", 2, "'text' is neither a URL nor a directory"),
        ("build rpi-aarch64 --mirror http://m -r empty", 2, "and -r replaces them"),
        ("lock rpi-aarch64 --mirror empty --mirror http://m", 2, "a directory stands beside"),
        ("repo status empty --mirror http://m", 2, "directories, which have no mirrors"),
        ("show rpi-aarch64 --repo-key text", 6, "text: not a key file"),
        ("lock --lock text --bundle b -o x", 2, "--lock keeps packages as they are"),
        ("lock --lock text --bundle b --artifact iso", 2, "--lock keeps packages as they are"),
    ],
)
def test_a_mistake(
    words: str,
    status: int,
    words_of_error: str,
    here: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its status, what is wrong, and no file that was not there before."""
    ended, error = said(words.split(" "), capsys)
    assert words_of_error in error
    assert ended == status
    assert sorted(path.name for path in here.iterdir()) == ["empty", "text"]


@pytest.mark.parametrize("verb", [["inspect"], ["smoke", "--platform", "rpi-aarch64"]])
def test_a_pipe_is_not_waited_for(
    verb: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A named pipe without a writer would keep the command for ever."""
    os.mkfifo(here / "pipe")
    status, error = said([*verb, "pipe"], capsys)
    assert status == 8
    assert error.startswith("voidimg: pipe is a pipe")


def test_the_plan_names_the_repositories_that_are_given(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`--repo-key` adds to the platform's keys in what `--plan` says, as it does in a build."""
    plist = min(KEYS.glob("*.plist"))
    with pytest.raises(SystemExit) as ended:
        entry_point(["show", "rpi-aarch64", "--plan", "--repo-key", str(plist)])
    assert ended.value.code == 0
    (signers,) = [line for line in capsys.readouterr().out.splitlines() if "signed by: " in line]
    assert len(signers.split(", ")) == 3
    assert plist.stem in signers


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ("list", 0), ("show rpi-aarch64", 0), ("inspect FAT", 0), ("doctor", 0),
        ("build rpi-aarch64", 2), ("release void-current", 2), ("lock rpi-aarch64 -r x", 2),
        ("verify x", 6),
    ],
)  # fmt: skip
def test_a_working_directory_that_is_gone(words: str, status: int, tmp_path: Path) -> None:
    """It matters only to what is relative to it, and is told then."""
    image, gone = tmp_path / "image", tmp_path / "gone"
    disk = bytearray(2**20)
    disk[510:512] = b"\x55\xaa"
    image.write_bytes(disk)
    gone.mkdir()
    line = 'cd "$1" && rmdir "$1" && shift && exec "$@"'
    verb = [str(image) if word == "FAT" else word for word in words.split()]
    argv = ["sh", "-c", line, "sh", str(gone), *arguments("--cache", tmp_path / "cache", *verb)]
    ended = subprocess.run(argv, env=environment(), capture_output=True, text=True)
    assert "Traceback" not in ended.stderr
    if words != "doctor":  # a machine need not be able to build
        assert ended.returncode == status, ended.stderr
