"""Commands told to read what is no small regular file say so at once, whichever file it is."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import voidimg
from tests.unit.pipeline.shop import KEYS, Shop
from voidimg.cli.main import cli
from voidimg.errors import VoidimgError
from voidimg.identity import ReleaseDate
from voidimg.signing.keys import create_release_key
from voidimg.signing.signing import sign_set

DATE = ReleaseDate.parse("20240314")


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


SHAPES: dict[str, Callable[[Path], object]] = {
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "sparse": _sparse,
}


class Stage:
    """A directory with a repository, a signed set, a package directory and own platform files."""

    def __init__(self, root: Path):
        self.root = root
        shop = Shop(root)
        shop.put("lib")
        self.repo = shop.path
        shutil.copyfile(shop.key_plist, root / "trusted.plist")
        self.key = root / "second.pem"
        shutil.copyfile(KEYS / "second.private.pem", self.key)
        self.key.chmod(0o600)
        self.release_key = create_release_key(DATE, root, passphrase=None)
        self.set = root / "20240314"
        self.set.mkdir()
        for name in ("void-rpi-aarch64-20240314.img", "void-aarch64-ROOTFS-20240314.tar"):
            (self.set / name).write_bytes(b"content")
        sign_set(self.set, self.release_key.secret_path)
        self.package = root / "hello"
        (self.package / "files").mkdir(parents=True)
        (self.package / "files" / "x").write_text("x")
        (self.package / "package.toml").write_text(
            'pkgname = "hello"\nversion = "1.0_1"\narchitecture = "noarch"\nshort_desc = "x"\n'
        )
        self.own = root / "own"
        for kind in ("platforms", "profiles", "templates", "files"):
            (self.own / kind).mkdir(parents=True)
        (self.own / "profiles" / "mine.toml").write_text(
            'schema = 1\nkind = "profile"\nsummary = "mine"\nextends = "base"\n'
            '[[rootfs.files]]\npath = "/etc/x"\nsource = "x"\n'
            '[[rootfs.files]]\npath = "/etc/y"\ntemplate = "y"\n'
        )
        (self.own / "files" / "x").write_text("x")
        (self.own / "templates" / "y").write_text("y")


CASES: dict[str, tuple[str, tuple[str, ...]]] = {
    "index of a repository": (
        "repo/aarch64-repodata",
        ("lock", "rpi-aarch64", "-o", "new.json", "-r", "repo", "--repo-key", "trusted.plist"),
    ),
    "key of a repository": (
        "given.plist",
        ("lock", "rpi-aarch64", "-o", "new.json", "-r", "repo", "--repo-key", "given.plist"),
    ),
    "lock": ("given.json", ("build", "rpi-aarch64", "--lock", "given.json")),
    "lock to update": ("given.json", ("lock", "--update", "-o", "given.json")),
    "index to list": ("repo/aarch64-repodata", ("repo", "list", "repo")),
    "index to index": ("repo/aarch64-repodata", ("repo", "index", "repo")),
    "package to index": ("repo/lib-1.0_1.noarch.xbps", ("repo", "index", "repo")),
    "package to sign": (
        "repo/lib-1.0_1.noarch.xbps",
        ("repo", "sign", "repo", "--key", "second.pem", "--signed-by", "me"),
    ),
    "key to sign with": (
        "given.pem",
        ("repo", "sign", "repo", "--key", "given.pem", "--signed-by", "me"),
    ),
    "description of a package": ("hello/package.toml", ("repo", "create", "hello", "-o", "made")),
    "script of a package": ("hello/INSTALL", ("repo", "create", "hello", "-o", "made")),
    "profile": (
        "own/profiles/mine.toml",
        ("show", "rpi-aarch64", "--profile", "mine", "--platforms-and-profiles", "own"),
    ),
    "template": (
        "own/templates/y",
        ("show", "rpi-aarch64", "--profile", "mine", "--platforms-and-profiles", "own"),
    ),
    "own file": (
        "own/files/x",
        ("show", "rpi-aarch64", "--profile", "mine", "--platforms-and-profiles", "own", "--plan"),
    ),
    "checksums": ("20240314/sha256sum.txt", ("verify", "20240314")),
    "signature": ("20240314/sha256sum.sig", ("verify", "20240314")),
    "listed file": ("20240314/void-rpi-aarch64-20240314.img", ("verify", "20240314")),
    "download": (
        "20240314/void-rpi-aarch64-20240314.img",
        ("verify", "20240314/void-rpi-aarch64-20240314.img"),
    ),
    "public key": ("given.pub", ("verify", "20240314", "--key", "given.pub")),
    "key as found": ("void-release-20240314.pub", ("verify", "20240314")),
    "secret key": ("given.sec", ("sign", "20240314", "--key", "given.sec")),
    "checksums to replace": ("20240314/sha256sum.txt", ("sign", "20240314")),
    "checksums to lint": ("20240314/sha256sum.txt", ("lint", "20240314")),
    "image": ("given.img", ("inspect", "given.img")),
    "image to lint": ("given.img", ("lint", "given.img")),
}


_ANY_SIZE = {"listed file", "download", "package to sign", "own file"}
"""Cases in which a file of holes is right, or is not read here."""


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A `Stage` to copy: keys take their time."""
    return Stage(tmp_path_factory.mktemp("stage")).root


def _stop(_number: int, _frame: object) -> None:
    raise AssertionError("the command waits, or reads without end")


def _run(words: list[str]) -> VoidimgError:
    """The error that the command ends with, which has to come within seconds."""
    signal.signal(signal.SIGALRM, _stop)
    signal.alarm(30)
    try:
        with pytest.raises(VoidimgError) as caught:
            cli.main(args=words, prog_name="voidimg", standalone_mode=False)
    finally:
        signal.alarm(0)
    return caught.value


@pytest.mark.parametrize("case", CASES)
def test_no_command_waits_or_reads_without_end(
    case: str, stage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pipes, devices and files of holes are told within seconds, by an error with a code."""
    place, words = CASES[case]
    for shape, make in SHAPES.items():
        if shape == "sparse" and case in _ANY_SIZE:
            continue
        root = tmp_path / shape
        shutil.copytree(stage, root)
        path = root / place
        path.unlink(missing_ok=True)
        make(path)
        monkeypatch.chdir(root)
        error = _run(["--cache", "cache", "--out", "out", *words])
        assert error.as_json()["code"], shape


def test_a_pipe_ends_the_command_as_a_user_runs_it(stage: Path, tmp_path: Path) -> None:
    """With the exit status of its class, and in words that say what it is."""
    shutil.copytree(stage, tmp_path / "stage")
    os.mkfifo(tmp_path / "stage" / "given.json")
    words = ("build", "rpi-aarch64", "--lock", "given.json")
    ended = voidimg(*words, cwd=tmp_path / "stage", timeout=30)
    assert ended.returncode == 11, ended.stderr
    assert "a pipe and no regular file" in ended.stderr
    assert "Traceback" not in ended.stderr
