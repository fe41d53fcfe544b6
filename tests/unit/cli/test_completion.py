"""What the Tab key offers beyond verbs and options."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import voidimg


def offered(words: str, place: Path | None = None) -> list[str]:
    """The lines that bash gets for the last of `words`, as ``type,value``."""
    env = {
        "_VOIDIMG_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split(" ")) - 1),
    }
    if place is not None:
        env["VOIDIMG_PATH"] = str(place)
    ended = voidimg(env=env)
    assert ended.stderr == ""
    return ended.stdout.split()


@pytest.mark.parametrize("verb", ["build", "lock", "show", "why", "smoke x --platform"])
def test_platforms(verb: str) -> None:
    """By name; a path that is begun is the shell's affair."""
    assert offered(f"voidimg {verb} rpi-aa") == ["plain,rpi-aarch64", "plain,rpi-aarch64-musl"]
    assert offered(f"voidimg {verb} ./rpi") == ["file,./rpi"]


def test_profiles(tmp_path: Path) -> None:
    """Own ones too, and nothing at all where a file is wrong."""
    assert offered("voidimg show x86_64 --profile xf") == ["plain,xfce", "plain,xfce-wayland"]
    (tmp_path / "profiles").mkdir()
    own = tmp_path / "profiles" / "xfinity.toml"
    own.write_text('schema = 1\nkind = "profile"\nextends = "base"\nsummary = "x"\n')
    assert "plain,xfinity" in offered("voidimg show x86_64 --profile xf", tmp_path)
    own.write_text("wrong")
    assert offered("voidimg show x86_64 --profile xf", tmp_path) == []
