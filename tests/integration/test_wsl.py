"""A file for WSL: its tree is the one of `wsl-base`, in a form that every WSL reads."""

from __future__ import annotations

import configparser
import json
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.command import voidimg, voidimg_json
from tests.integration.building import DATE, build_words, published
from tests.testrepo import RepositoryFixture, provide

NAME = "void-x86_64-20240314.wsl"


@pytest.fixture(scope="module")
def pc() -> RepositoryFixture:
    """The repository for x86_64, which needs no emulation here."""
    return provide(arch="x86_64")


@pytest.fixture(scope="module")
def wsl(pc: RepositoryFixture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file, from a build of it alone."""
    place = tmp_path_factory.mktemp("wsl")
    (artifact,) = voidimg_json(
        *("--quiet", "--cache", place / "cache", "--out", place / "out"),
        *("build", "x86_64", "--artifact", "wsl", "--json", "--date", DATE),
        *("--compression", "xz:0", "-r", pc.path, "--repo-key", pc.key_plist),
    )
    assert artifact["name"] == NAME
    return Path(artifact["path"])


def content(tar: tarfile.TarFile, name: str) -> str:
    member = tar.extractfile(name)
    assert member is not None
    return member.read().decode()


# The whole tree of a ROOTFS is made and packed: not part of every run.
@pytest.mark.smoke
def test_what_wsl_reads_of_it(wsl: Path) -> None:
    """An xz tarball whatever its name, root at its top, with what WSL looks for in /etc."""
    listed = subprocess.run(["bsdtar", "-tf", wsl], capture_output=True, check=True)
    assert b"./etc/wsl-distribution.conf\n" in listed.stdout
    with tarfile.open(wsl, "r:xz") as tar:
        found = {member.name.removeprefix("./"): member for member in tar}
        wsl_conf, distribution = configparser.ConfigParser(), configparser.ConfigParser()
        wsl_conf.read_string(content(tar, "./etc/wsl.conf"))
        distribution.read_string(content(tar, "./etc/wsl-distribution.conf"))
        passwd = content(tar, "./etc/passwd")
        release = content(tar, "./etc/void-image-release")
    assert not wsl_conf.getboolean("boot", "systemd")
    setup = found[distribution["oobe"]["command"].removeprefix("/")]
    assert setup.isfile()
    assert setup.mode == 0o755
    assert distribution["oobe"]["defaultUid"] == "1000"
    assert distribution["oobe"]["defaultName"] == "voidlinux-glibc"
    # The user is made by the command above: until then nobody has that id.
    assert "1000" not in [line.split(":")[2] for line in passwd.splitlines()]
    assert f'IMAGE_VERSION="{DATE}"' in release
    assert {member.uid for name, member in found.items() if name.startswith("etc/wsl")} == {0}
    assert not [name for name in found if name.startswith("boot/vmlinuz")]


def test_a_tree_of_its_own(tiny: RepositoryFixture, tmp_path: Path) -> None:
    """With the profile's packages for WSL instead of those of the ROOTFS, by a lock of its own."""
    spec = tmp_path / "spec"
    (spec / "profiles").mkdir(parents=True)
    (spec / "profiles/mine.toml").write_text(
        'schema = 1\nkind = "profile"\nextends = "void"\nsummary = "WSL"\n[wsl]\n'
        'packages = ["tiny-base"]\nfiles = [{ path = "/etc/wsl.conf", content = "[boot]\\n" }]\n'
    )
    more = ("--platforms-and-profiles", spec, "--artifact", "wsl", "--profile", "mine")
    ended = voidimg(*build_words(tiny, tmp_path, *more, platform="rpi-aarch64"))
    assert ended.returncode == 0, ended.stderr
    name, lock = "void-aarch64-20240314-mine.wsl", "void-aarch64-20240314-mine.wsl.lock.json"
    assert published(tmp_path).keys() == {name, lock}
    with tarfile.open(tmp_path / "out" / DATE / name, "r:") as tar:
        assert content(tar, "./etc/wsl.conf") == "[boot]\n"
        assert "./usr/bin/busybox" in tar.getnames()
    stages = json.loads((tmp_path / "out" / DATE / lock).read_text())["platforms"][0].keys()
    assert stages == {"platform", "profile", "arch", "keys", "wsl"}
