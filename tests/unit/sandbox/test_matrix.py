"""What a script sees and is refused, by surroundings: the same everywhere.

Rows: files, devices, keys, network, processes, limits, binfmt, /proc. Columns: an ordinary user and
`surroundings.SURROUNDINGS`: root, a container with exactly 65536 ids, root without CAP_SYS_ADMIN, a
kernel without newer calls, and what services and shells do to those that they start.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.persons import as_somebody_else
from tests.unit.sandbox import seen, surroundings

PROJECT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can play all of them")


@pytest.fixture(scope="module", params=("user", *surroundings.SURROUNDINGS))
def answers(
    request: pytest.FixtureRequest, native_tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[int, str]]:
    """The answers in one of the surroundings."""
    which = str(request.param)
    home = tmp_path_factory.mktemp(which)
    home.chmod(0o755)
    # Nobody but root may look into the fixture's tree.
    own = Path(shutil.copytree(native_tree, home / "native", symlinks=True))
    own.chmod(0o755)
    words = [sys.executable, "-m", seen.__name__, str(own), str(home / "tree")]
    if which == "user":
        words = as_somebody_else(home, words)
    else:
        words = [sys.executable, "-m", surroundings.__name__, which, *words]
    ended = subprocess.run(
        words,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        cwd=PROJECT if which != "user" else None,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert "code" not in found, found
    return {name: (int(status), str(text)) for name, (status, text) in found.items()}


def test_ids(answers: dict[str, tuple[int, str]]) -> None:
    """65536 ids, all usable; the script's root is the host's root only where no other ids exist."""
    rows = [[int(word) for word in line.split()] for line in answers["ids"][1].splitlines()]
    assert sum(count for _, _, count in rows) == 65536
    assert answers["owner"][0] == 0
    assert answers["owner"][1].split()[2:4] == ["65534", "65534"]


def test_files_and_mounts(answers: dict[str, tuple[int, str]]) -> None:
    """The tree is all there is, and nothing tells where it lies."""
    names = set(answers["host files"][1].split())
    assert names <= {"bin", "dev", "etc", "proc", "made", "owned", "lib", "lib64", "usr"}
    assert answers["host mounts"] == (0, "")


def test_devices(answers: dict[str, tuple[int, str]]) -> None:
    """They work, and stay as they are."""
    assert answers["device is written"] == (0, "")
    assert "changed" not in answers["device is changed"][1].splitlines()


def test_keys_network_processes_and_binfmt(answers: dict[str, tuple[int, str]]) -> None:
    """None of the host's."""
    assert answers["keys"] == (0, "")
    assert [line.split(":")[0].strip() for line in answers["network"][1].splitlines()[2:]] == ["lo"]
    others = [name for name in answers["others"][1].split() if name.isdecimal()]
    assert len(others) == 3
    assert answers["keeper"] == (0, "")
    assert answers["binfmt"] == (0, "")


def test_limits(answers: dict[str, tuple[int, str]]) -> None:
    """The same numbers everywhere."""
    assert answers["processes"][1].strip() == "1024"
    assert answers["files"][1].strip() == "1024"
    assert answers["memory"][1].strip() == str(4 * 2**20)


@pytest.mark.parametrize("name", ["settings", "mount", "namespaces"])
def test_what_is_refused(name: str, answers: dict[str, tuple[int, str]]) -> None:
    """The host's settings, mounts, namespaces."""
    assert answers[name][0] != 0


def test_too_few_open_files_are_told_before(native_tree: Path, tmp_path: Path) -> None:
    """Where no more can be asked for, and not by a traceback in the middle."""
    words = [sys.executable, "-m", seen.__name__, str(native_tree), str(tmp_path / "tree")]
    limited = ["sh", "-c", 'ulimit -n 32; exec "$@"', "sh", *words]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    ended = subprocess.run(limited, env=environment, capture_output=True, text=True, cwd=PROJECT)
    assert "Traceback" not in ended.stderr
    assert json.loads(ended.stdout)["code"] == "E-SANDBOX-LIMITS"


def test_an_ordinary_user_who_cannot_gain_privileges_is_told(
    native_tree: Path, tmp_path: Path
) -> None:
    """newuidmap is a setuid program, which gives nothing then: the error says so."""
    tmp_path.chmod(0o755)
    words = [sys.executable, "-m", seen.__name__, "/none", str(tmp_path / "tree")]
    words = as_somebody_else(tmp_path, ["setpriv", "--no-new-privs", *words])
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    ended = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert "Traceback" not in ended.stderr
    error = json.loads(ended.stdout)
    assert error["code"].startswith(("E-SANDBOX", "E-TOOL")), error
    assert error["hint"]
