"""Directories of killed runs are cleared away, those of living ones are not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from voidimg.atomic import private_directory
from voidimg.errors import DiskFullError, ToolError, VoidimgError
from voidimg.run import run

_HOLD = """
import sys
from pathlib import Path
from voidimg.atomic import private_directory
with private_directory(Path(sys.argv[1])) as path:
    (path / "file").write_text("x")
    print(path, flush=True)
    sys.stdin.read()
"""


def test_a_killed_run_is_cleaned_up_after(tmp_path: Path) -> None:
    """SIGKILL leaves the directory; the next run removes it, but not while its owner lives."""
    command = [sys.executable, "-c", _HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as held:
        assert held.stdout is not None
        left = Path(held.stdout.readline().decode().strip())
        with private_directory(tmp_path):
            assert (left / "file").exists()
        os.kill(held.pid, signal.SIGKILL)
        held.wait(10)
    assert left.exists()
    with private_directory(tmp_path) as mine:
        assert list(tmp_path.iterdir()) == [mine]
    assert list(tmp_path.iterdir()) == []


def test_other_names_are_left_alone(tmp_path: Path) -> None:
    """Only directories of the same prefix are looked at; links are not followed."""
    (tmp_path / "kept").mkdir()
    (tmp_path / ".x.link").symlink_to("kept")
    with private_directory(tmp_path):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"kept", ".x.link"}


@pytest.mark.parametrize(
    ("free_bytes", "says", "expected"),
    [
        (0, "failed whilst writing reserved sector", DiskFullError),
        (2**40, "No space left on device", DiskFullError),
        (2**40, "failed whilst writing reserved sector", ToolError),
    ],
)
def test_a_program_that_fails_for_want_of_room_is_told_as_that(
    free_bytes: int,
    says: str,
    expected: type[VoidimgError],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also when it does not say why; what it wrote has not been removed then."""
    looked = []

    def statvfs(path: Path) -> SimpleNamespace:
        looked.append(sorted(os.listdir(path)))
        return SimpleNamespace(f_bavail=free_bytes // 4096, f_frsize=4096)

    monkeypatch.setattr(os, "statvfs", statvfs)
    with pytest.raises(expected), private_directory(tmp_path) as private:
        run(["sh", "-c", 'echo half > half; echo "$0" >&2; exit 1', says], cwd=private)
    assert looked in ([], [["half", "mark"]])
    assert not list(tmp_path.iterdir())
