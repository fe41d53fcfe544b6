"""Standard streams that are closed, full or not read to the end; the file of `--events`."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.command import arguments, environment, voidimg

PLATFORM = "rpi-aarch64"


def shell(tail: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run `voidimg` with `words` in bash with `tail` behind it, such as a redirection."""
    script = f'"$@" {tail}'
    return subprocess.run(
        ["bash", "-c", script, "bash", *arguments(*words)],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("words", [["list"], ["--help"], ["show", PLATFORM], ["lint", "--list"]])
def test_a_reader_that_goes_early(words: list[str]) -> None:
    """A pipe that nobody reads ends the command as SIGPIPE would, without a word."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        ended = subprocess.run(
            arguments(*words), env=environment(), stdout=pipe, stderr=subprocess.PIPE
        )
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize("words", [["list"], ["--help"], ["check", "/no/such/file"]])
def test_results_on_a_full_disk(words: list[str]) -> None:
    """The error is words and the status of a full disk."""
    ended = shell("> /dev/full", *words)
    assert ended.returncode == 12
    assert ended.stderr == (
        "voidimg: cannot write the results: No space left on device [E-DISKFULL-OUTPUT]\n"
    )


@pytest.mark.parametrize("tail", ["2>&-", "2> /dev/full", "< /dev/null >&- 2>&-", "<&- >&- 2>&-"])
def test_an_error_that_nobody_hears_keeps_its_status(tail: str) -> None:
    """Without a standard error the status is still the documented one."""
    assert shell(tail, "show", "rpi-arch64").returncode == 3
    assert shell(tail, "lsit").returncode == 2


def test_closed_streams_are_not_taken_by_other_files(tmp_path: Path) -> None:
    """With standard error closed a verb does its work, and its results are whole."""
    ended = shell("<&- 2>&-", "--events", str(tmp_path / "events"), "list")
    assert ended.returncode == 0
    assert ended.stdout == voidimg("list").stdout
    assert (tmp_path / "events").read_text() == ""


def test_a_closed_standard_input_is_no_terminal(tmp_path: Path) -> None:
    """A passphrase cannot be asked for, and that is said."""
    ended = shell("<&-", "keygen", "20240314", "--directory", str(tmp_path))
    assert ended.returncode == 2
    assert "no terminal to ask on" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_events_that_cannot_be_written(tmp_path: Path) -> None:
    """A wrong path is said before anything starts, a full disk when it is met."""
    wrong = voidimg("--events", tmp_path / "no" / "events", "list")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "Invalid value for '--events'" in wrong.stderr
    full = voidimg("--cache", tmp_path, "--events", "/dev/full", "cache", "verify")
    assert full.returncode == 11
    assert full.stderr.startswith(
        "voidimg: /dev/full: cannot write the events: No space left on device [E-STORE-EVENTS]\n"
    )


def test_a_path_that_cannot_even_be_looked_at() -> None:
    """What the system refuses where nobody foresaw it is an error in words, too."""
    name = "x" * 300
    ended = voidimg("lint", name)
    assert ended.returncode == 11
    assert ended.stderr.startswith(f"voidimg: {name}: File name too long [E-STORE-IO]\n")
