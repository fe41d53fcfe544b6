"""Results go where the user says: over an older result of the same kind, and over nothing else."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.command import arguments, environment, voidimg
from tests.unit.pipeline.shop import Shop
from voidimg.atomic import open_stream_output, write_result
from voidimg.errors import StoreError, UsageError


def _ours(content: bytes) -> bool:
    return content.startswith(b"ours")


def test_an_older_result_and_an_empty_file_are_replaced(tmp_path: Path) -> None:
    """`mktemp` makes empty files."""
    for before in (None, b"", b"ours, old"):
        path = tmp_path / "result"
        path.unlink(missing_ok=True)
        if before is not None:
            path.write_bytes(before)
        write_result(path, b"ours, new", _ours, "ours", "-o")
        assert path.read_bytes() == b"ours, new"
        assert os.listdir(tmp_path) == ["result"]


def test_something_else_stays(tmp_path: Path) -> None:
    """Files, directories, and what links lead to."""
    path = tmp_path / "thesis"
    path.write_text("mine")
    (tmp_path / "link").symlink_to(path)
    for target in (path, tmp_path, tmp_path / "link"):
        with pytest.raises(UsageError):
            write_result(target, b"ours", _ours, "ours", "-o")
    assert path.read_text() == "mine"


def test_a_link_leads_to_the_file_that_is_written(tmp_path: Path) -> None:
    """The link stays one."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real/result")
    write_result(tmp_path / "link", b"ours", _ours, "ours", "-o")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "result").read_bytes() == b"ours"


def test_devices_get_the_bytes_and_stay_devices(tmp_path: Path) -> None:
    """Root could rename a file over them."""
    write_result(Path("/dev/null"), b"ours", _ours, "ours", "-o")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StoreError, match="nobody reads"):
        write_result(tmp_path / "pipe", b"ours", _ours, "ours", "-o")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_result(tmp_path / "pipe", b"ours", _ours, "ours", "-o")
        assert os.read(reader, 100) == b"ours"
    finally:
        os.close(reader)
    with open_stream_output(Path("/dev/null")) as stream:
        stream.write(b"x")


@pytest.mark.parametrize("option", ["--events", "--prometheus", "-o"])
def test_files_of_others_survive_every_option_that_names_one(option: str, tmp_path: Path) -> None:
    """Told with the option, before any work."""
    shop = Shop(tmp_path)
    shop.put("lib")
    thesis = tmp_path / "thesis.tex"
    thesis.write_text("mine")
    words: dict[str, tuple[str | Path, ...]] = {
        "--events": ("--events", thesis, "list"),
        "--prometheus": ("repo", "status", shop.path, "--prometheus", thesis),
        "-o": ("lock", "rpi-aarch64", "-o", thesis),
    }
    ended = voidimg("--cache", tmp_path / "cache", *words[option], timeout=60)
    assert ended.returncode == 2, ended.stderr
    assert thesis.read_text() == "mine"


def test_events_go_to_what_is_open_already_without_starting_anew(tmp_path: Path) -> None:
    """`--events /dev/stderr 2>>log` keeps what is in the log; a pipe without a reader is told."""
    log = tmp_path / "log"
    log.write_text("before\n")
    shop = Shop(tmp_path)
    shop.put("lib")
    words = ("--cache", tmp_path / "cache", "--events", "/dev/stderr", "repo", "status", shop.path)
    with log.open("a") as stderr:
        subprocess.run(arguments(*words), stderr=stderr, stdout=subprocess.PIPE, check=True,
                       env=environment(), timeout=60)  # fmt: skip
    assert log.read_text().startswith("before\n")
    os.mkfifo(tmp_path / "pipe")
    ended = voidimg("--events", tmp_path / "pipe", "list", timeout=30)
    assert ended.returncode == 2
    assert "nobody reads from this pipe" in ended.stderr


def test_an_editors_file_beside_the_lock_stays(tmp_path: Path) -> None:
    """Its name begins like that of a temporary file of ours."""
    write_result(tmp_path / "set.lock.json", b"ours", _ours, "ours", "-o")
    swap = tmp_path / ".set.lock.json.swp"
    swap.write_text("what was typed")
    write_result(tmp_path / "set.lock.json", b"ours", _ours, "ours", "-o")
    assert swap.read_text() == "what was typed"
