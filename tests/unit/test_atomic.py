"""Outputs: whole or not at all, by link or by copy, and free of what killed builds left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from voidimg.atomic import replace_by_bytes, replace_by_file

_KILLED = """
import os, signal, shutil, sys
from pathlib import Path
from voidimg import atomic
from voidimg import atomic as outputs
def half(content, new):
    new.write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
def no_link(content, link):
    raise OSError
shutil.copyfile, os.link = half, no_link
atomic.replace_by_file(Path(sys.argv[1]), Path(sys.argv[2]))
"""
"""Dies in the middle of a copy to another file system."""


def test_a_hard_link_where_it_can_be(tmp_path: Path) -> None:
    """No second copy of an image; an older output is replaced."""
    content, target = tmp_path / "content", tmp_path / "out" / "x.img"
    target.parent.mkdir()
    content.write_bytes(b"new")
    target.write_bytes(b"old")
    replace_by_file(target, content)
    assert target.samefile(content)
    assert os.listdir(target.parent) == ["x.img"]


def test_a_copy_elsewhere(tmp_path: Path) -> None:
    """On another file system the output is a file of its own, readable for all."""
    target = tmp_path / "x.img"
    content = Path("/proc/version")  # never on the file system of `tmp_path`
    replace_by_file(target, content)
    assert target.read_bytes() == content.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o644
    assert os.listdir(tmp_path) == ["x.img"]


def test_the_next_write_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    """Half a copy under a hidden name is gone, the output is whole."""
    target, content = tmp_path / "out" / "x.img", tmp_path / "content"
    target.parent.mkdir()
    content.write_bytes(b"whole")
    ended = subprocess.run([sys.executable, "-c", _KILLED, target, content])
    assert ended.returncode == -signal.SIGKILL
    assert [path.read_bytes() for path in target.parent.glob(".voidimg-*/new")] == [b"half"]
    replace_by_file(target, content)
    assert [path.read_bytes() for path in target.parent.iterdir()] == [b"whole"]


def test_many_writers_do_not_disturb_each_other(tmp_path: Path) -> None:
    """None takes another's file for one that was left behind."""
    target = tmp_path / "x.lock.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: replace_by_bytes(target, b"same"), range(200)))
    assert target.read_bytes() == b"same"
    assert os.listdir(tmp_path) == [target.name]
