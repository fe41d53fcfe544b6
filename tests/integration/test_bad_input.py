"""Mistakes people make: one clear message, the documented exit status, nothing begun or lost."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import arguments, environment, voidimg
from tests.integration.building import SPEC, build_words, left_in_work, published
from tests.integration.persons import as_somebody_else
from tests.integration.tampering import Tampered
from tests.testrepo import RepositoryFixture

PLATFORM = (SPEC / "platforms" / "tiny.toml").read_text()


def told(words: list[str | Path], place: Path, status: int, *parts: str, messages: int = 1) -> str:
    """Run, require this exit status and these parts of so many messages; returns stderr."""
    ended = voidimg(*words)
    assert ended.returncode == status, ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stderr.count("voidimg: ") == messages, ended.stderr
    for part in parts:
        assert part in ended.stderr, ended.stderr
    assert ended.stdout == ""
    assert published(place) == {}
    assert left_in_work(place) == []
    return ended.stderr


def with_platform(text: str, place: Path, words: list[str | Path]) -> list[str | Path]:
    """`words` with this as the platform file."""
    own = place / "spec" / "platforms"
    own.mkdir(parents=True)
    (own / "tiny.toml").write_text(text)
    words = list(words)
    words.insert(words.index("--platforms-and-profiles"), "--platforms-and-profiles")
    words.insert(words.index("--platforms-and-profiles") + 1, own.parent)
    return words


def test_an_unknown_platform(tiny: RepositoryFixture, tmp_path: Path) -> None:
    """The one that was meant is suggested."""
    words = build_words(tiny, tmp_path, platform="rpi-aarch46")
    told(words, tmp_path, 3, "'rpi-aarch46'", "'rpi-aarch64'", "[E-SPEC-")


def test_an_unknown_profile(tiny: RepositoryFixture, tmp_path: Path) -> None:
    """The one that was meant is suggested."""
    words = build_words(tiny, tmp_path, "--profile", "tinny")
    told(words, tmp_path, 3, "'tinny'", "'tiny'", "[E-SPEC-")


def edited(old: str, new: str) -> str:
    assert PLATFORM.count(old) == 1
    return PLATFORM.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ('headroom = "8MiB"', 'headrom = "8MiB"', ("headroom", "headrom")),
        ('size = "40MiB"', 'size = "40 gigs"', ("40 gigs",)),
        ('size = "40MiB"', "size = 40", ("40",)),
        ('filesystem = "vfat"', 'filesystem = "fat"', ("vfat",)),
        ('label = "mbr"', 'label = "mbr', ()),
        ('type = "0x0c"', 'type = "0x1ff"', ("0x1ff",)),
    ],
    ids=["unknown-key", "bad-size", "size-without-unit", "bad-choice", "no-toml", "bad-type"],
)
def test_a_mistake_in_a_file(
    old: str, new: str, parts: tuple[str, ...], tiny: RepositoryFixture, tmp_path: Path
) -> None:
    """File, line and column are told."""
    text = edited(old, new)
    line = text[: text.index(new)].count("\n") + 1
    words = with_platform(text, tmp_path, build_words(tiny, tmp_path))
    said = told(words, tmp_path, 3, *parts, f"{tmp_path}/spec/platforms/tiny.toml:{line}:")
    assert "[E-SPEC-" in said


def test_several_mistakes_at_once(tiny: RepositoryFixture, tmp_path: Path) -> None:
    """All are told."""
    text = edited('size = "40MiB"', 'sice = "40MiB"').replace('label = "mbr"', 'label = "msdos"')
    words = with_platform(text, tmp_path, build_words(tiny, tmp_path))
    told(words, tmp_path, 3, "'sice'", "msdos", messages=3)


def test_a_boot_partition_that_cannot_hold_its_files(
    tiny: RepositoryFixture, tmp_path: Path
) -> None:
    """Partition, needed and given size; also when FAT32 itself cannot be so small."""
    text = edited('size = "40MiB"', 'size = "1MiB"').replace("bits = 32", "bits = 12")
    text = text.replace('"0x0c"', '"0x01"')
    content = "x" * 2**20
    big = f'  {{ path = "/boot/big", content = "{content}" }},\n'
    text = text.replace("[image]\nfiles = [\n", f"[image]\nfiles = [\n{big}")
    words = with_platform(text, tmp_path, build_words(tiny, tmp_path))
    told(words, tmp_path, 8, "[E-LAYOUT-", "boot")


def test_an_image_of_a_given_size_that_is_too_small(
    tiny: RepositoryFixture, tmp_path: Path
) -> None:
    """The root partition gets what is left, and that is not enough."""
    text = edited('headroom = "8MiB"', 'size = "44MiB"')
    words = with_platform(text, tmp_path, build_words(tiny, tmp_path))
    told(words, tmp_path, 8, "[E-LAYOUT-", "root")


@pytest.mark.parametrize(
    ("location", "code"),
    [
        ("http://127.0.0.1:{closed}", "E-FETCH-CONNECT"),
        ("http://no-such-host.invalid/current", "E-FETCH-DNS"),
        ("{place}/nothing", "E-FETCH-NO-DIRECTORY"),
        ("{place}", "E-FETCH-NO-ARCH"),
    ],
)
def test_a_repository_that_is_not_there(
    location: str, code: str, tiny: RepositoryFixture, tmp_path: Path
) -> None:
    """No connection, no such host, no directory and no index are different errors."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        where = location.format(place=tmp_path, closed=unused.getsockname()[1])
        words = build_words(tiny, tmp_path, location=where)
        told(words, tmp_path, 5, f"[{code}]", where)


def test_what_is_no_repository(tiny: RepositoryFixture, tmp_path: Path) -> None:
    """A scheme that nobody speaks."""
    words = build_words(tiny, tmp_path, location="ftp://mirror/current")
    told(words, tmp_path, 2, "[E-USAGE-REPOSITORY]", "ftp://mirror/current")


def test_a_missing_package(tiny: RepositoryFixture, tmp_path: Path) -> None:
    """Both that are missing are told at once, each with who asked for it."""
    text = edited('"tiny-platform", ', '"tiny-platform", "no-such-thing", "nor-this", ')
    words = with_platform(text, tmp_path, build_words(tiny, tmp_path))
    told(words, tmp_path, 4, "no-such-thing", "nor-this", "[E-RESOLVE-", messages=2)


def test_a_missing_dependency(tiny: RepositoryFixture, tmp_path: Path) -> None:
    """The chain from what was asked for to what is missing, of each stage that misses it."""
    tampered = Tampered(tiny, tmp_path / "repository")
    tampered.change_index(lambda index: index.__delitem__("shadow"))
    said = told(build_words(tampered.fixture, tmp_path), tmp_path, 4, "[E-RESOLVE-", messages=2)
    assert "shadow" in said
    assert "tiny-base" in said


@pytest.mark.parametrize(
    ("option", "value", "status"),
    [
        ("--date", "2024-03-14", 2),
        ("--date", "20240230", 2),
        ("--compression", "gzip", 2),
        ("--compression", "xz:99", 2),
        ("--artifact", "iso9660", 2),
        ("--jobs", "0", 2),
        ("--repo-key", "/nowhere/key.plist", 2),
        ("--platforms-and-profiles", "/nowhere", 2),
    ],
)
def test_a_bad_option(
    option: str, value: str, status: int, tiny: RepositoryFixture, tmp_path: Path
) -> None:
    """Option and value are in the message."""
    words = build_words(tiny, tmp_path)
    words = [option, value, *words] if option == "--jobs" else [*words, option, value]
    if option == "--jobs":
        del words[words.index("--jobs", 2) : words.index("--jobs", 2) + 2]
    ended = voidimg(*words)
    assert ended.returncode == status, ended.stderr
    assert "Traceback" not in ended.stderr
    assert option in ended.stderr
    assert value in ended.stderr
    assert published(tmp_path) == {}


def test_a_key_that_is_none(tiny: RepositoryFixture, tmp_path: Path) -> None:
    """An HTML page that was saved as the key."""
    key = tmp_path / "key.plist"
    key.write_text("<!DOCTYPE html><html>Not found</html>")
    fixture = RepositoryFixture(tiny.path, key, tiny.arch)
    told(build_words(fixture, tmp_path), tmp_path, 6, "[E-VERIFY-KEY-FILE]", str(key))


def test_a_directory_that_cannot_be_written(
    tiny: RepositoryFixture, finished: Callable[[str], Path], tmp_path: Path
) -> None:
    """An output or a cache that is a file, or lies in a directory of somebody else."""
    (tmp_path / "file").write_text("precious\n")
    for option in ("--out", "--cache"):
        words = build_words(tiny, finished("none"))
        words[words.index(option) + 1] = tmp_path / "file" / "below"
        ended = voidimg(*words)
        assert ended.returncode == 11, ended.stderr
        assert "Traceback" not in ended.stderr
        assert "[E-STORE-IO]" in ended.stderr
        assert str(tmp_path / "file") in ended.stderr
    assert (tmp_path / "file").read_text() == "precious\n"


def test_a_directory_of_somebody_else(tiny: RepositoryFixture, tmp_path: Path) -> None:
    """Whoever may not write there is told so before anything is built."""
    home = tmp_path / "home"
    home.mkdir()
    words = build_words(tiny, home)
    words[words.index("--out") + 1] = "/sys/voidimg"
    ended = subprocess.run(
        as_somebody_else(home, arguments(*words)),
        env=environment({"HOME": str(home)}),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert ended.returncode == 11, ended.stderr
    assert "[E-STORE-IO]" in ended.stderr
    assert "/sys/voidimg" in ended.stderr
    assert "rootfs: install" not in ended.stderr
    assert not os.path.exists("/sys/voidimg")
