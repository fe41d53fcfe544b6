"""The verbs list, show and check: results on stdout, documented exit statuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.unit.spec.conftest import Write
from voidimg.cli.main import entry_point

BOARD = 'schema = 1\nkind = "platform"\nextends = "rpi-aarch64"\n'


class Command:
    """Runs `voidimg` in this process and keeps what it said."""

    def __init__(self, capsys: pytest.CaptureFixture[str]):
        self._capsys = capsys
        self.stderr = ""

    def __call__(self, *words: object, status: int = 0) -> str:
        with pytest.raises(SystemExit) as caught:
            entry_point([str(word) for word in words])
        said = self._capsys.readouterr()
        self.stderr = said.err
        assert caught.value.code == status, said.err
        return said.out


@pytest.fixture
def voidimg(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command, without directories from the environment."""
    monkeypatch.delenv("VOIDIMG_PATH", raising=False)
    return Command(capsys)


def test_list(voidimg: Command) -> None:
    """Names with a line of what each is."""
    lines = voidimg("list").splitlines()
    assert lines[0] == "Platforms:"
    assert any(re.match(r"  rpi-aarch64 +Raspberry Pi", line) for line in lines)
    found = json.loads(voidimg("list", "--json"))
    names = [entry["name"] for entry in found["platforms"]]
    assert {"rpi-aarch64", "rpi-aarch64-musl"} <= set(names)
    assert "void" not in names
    assert "base" in [entry["name"] for entry in found["profiles"]]
    assert voidimg.stderr == ""


def test_own_directories(
    voidimg: Command, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those of the option come before those of VOIDIMG_PATH, and both before the shipped."""
    for name in ("one", "two"):
        write(f"{name}/platforms/board.toml", BOARD + f'summary = "{name}"\n')
    monkeypatch.setenv("VOIDIMG_PATH", f"{tmp_path / 'one'}:{tmp_path / 'none'}")
    assert re.search(r"^  board +one$", voidimg("list"), re.MULTILINE)
    asked = voidimg("list", "--platforms-and-profiles", tmp_path / "two")
    assert re.search(r"^  board +two$", asked, re.MULTILINE)
    voidimg("list", "--platforms-and-profiles", tmp_path / "nowhere", status=2)


def test_show(voidimg: Command) -> None:
    """Lines of `path = value`, with origins when asked; JSON is the recipe itself."""
    lines = voidimg("show", "rpi-aarch64").splitlines()
    assert 'arch = "aarch64"' in lines
    assert "disk.partitions[0].size = 268435456" in lines
    with_origins = voidimg("show", "rpi-aarch64", "--origin").splitlines()
    assert len(with_origins) == len(lines)
    assert all("  # " in line for line in with_origins)
    recipe = json.loads(voidimg("show", "rpi-aarch64-musl", "--profile", "base", "--json"))
    assert recipe["arch"] == "aarch64-musl"
    both = json.loads(voidimg("show", "rpi-aarch64-musl", "--origin", "--json"))
    assert both["recipe"] == recipe
    assert both["origins"]["disk.size"] == {"file": "default", "line": 0, "column": 0}


def test_show_plan(voidimg: Command) -> None:
    """The steps, with the sizes that are known."""
    text = voidimg("show", "rpi-aarch64", "--plan")
    assert "fill partition boot (256 MiB): from /boot, FAT32\n" in text
    steps = json.loads(voidimg("show", "rpi-aarch64", "--plan", "--json"))["steps"]
    assert steps[0]["stage"] == "lock"
    voidimg("show", "rpi-aarch64", "--plan", "--origin", status=2)


def test_show_of_an_unknown_platform(voidimg: Command) -> None:
    """An error of the files' class, on stderr, with the nearest name."""
    assert voidimg("show", "rpi-arch64", status=3) == ""
    assert "did you mean 'rpi-aarch64'?" in voidimg.stderr


def test_check(voidimg: Command, write: Write) -> None:
    """Errors one a line on stdout, and exit status 3; silence when nothing is wrong."""
    assert voidimg("check") == ""
    good = write("good.toml", BOARD)
    bad = write("bad.toml", BOARD + "sumary = 1\nboards = 1\n")
    assert voidimg("check", good) == ""
    lines = voidimg("check", good, bad, status=3).splitlines()
    unknown, wrong = lines
    hint = "(did you mean 'summary'?)"
    assert unknown == f"{bad}:4:1: unknown key 'sumary' {hint} [E-SPEC-UNKNOWN-KEY]"
    should = "a list, or a table with add and remove"
    assert wrong == f"{bad}:5:10: boards is 1, but should be {should} [E-SPEC-TYPE]"
    found = json.loads(voidimg("check", "--json", bad, status=3))
    assert [error["where"] for error in found] == [f"{bad}:4:1", f"{bad}:5:10"]
    assert json.loads(voidimg("check", "--json", good)) == []
