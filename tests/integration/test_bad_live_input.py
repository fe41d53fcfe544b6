"""Mistakes in what makes live systems, netboot tarballs and files for WSL: told before work starts.

The repository is the tiny one, which could not make a live system: nothing here comes so far.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.command import voidimg
from tests.integration.building import build_words, left_in_work, published
from tests.integration.tampering import Tampered
from tests.testrepo import RepositoryFixture
from voidimg.xbps.plist import PlistDict

PLATFORM = """schema = 1
kind = "platform"
extends = "void"
summary = "A board that starts a live system"
arch = "aarch64"
libc = ["glibc"]

[live]
kernel = "tiny-platform"
loaders = ["grub-arm64-efi"]
serial_port = "ttyAMA0,115200"
"""
PROFILE = """schema = 1
kind = "profile"
extends = "void"
summary = "A live system"

[wsl]
packages = ["tiny-base"]

[live]
packages = ["tiny-base"]
"""
INSTALLER = "#!/bin/sh\necho install\n"


class Bench:
    """A directory with the platform `board` and the profile `mine`."""

    def __init__(self, place: Path, repository: RepositoryFixture):
        self.place = place
        self.spec = place / "spec"
        self._repository = repository
        for directory in ("platforms", "profiles", "files"):
            (self.spec / directory).mkdir(parents=True)
        (self.spec / "platforms/board.toml").write_text(PLATFORM)
        (self.spec / "profiles/mine.toml").write_text(PROFILE)
        (self.spec / "files/installer").write_text(INSTALLER)

    def platform(self, old: str, new: str) -> None:
        assert PLATFORM.count(old) == 1
        (self.spec / "platforms/board.toml").write_text(PLATFORM.replace(old, new))

    def profile(self, more: str) -> None:
        (self.spec / "profiles/mine.toml").write_text(PROFILE + more)

    def told(
        self,
        status: int,
        *parts: str,
        artifact: str = "iso",
        platform: str = "board",
        profile: str = "mine",
        compression: str = "none",
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Build, require this exit status and these parts of one message, and nothing done."""
        own: list[str | Path] = ["--platforms-and-profiles", self.spec, "--profile", profile]
        own += ["--artifact", artifact]
        words = build_words(
            self._repository, self.place, *own, platform=platform, compression=compression
        )
        ended = voidimg(*words, env=env)
        assert ended.returncode == status, ended.stderr
        assert "Traceback" not in ended.stderr
        assert ended.stderr.count("voidimg: ") == 1, ended.stderr
        for part in parts:
            assert part in ended.stderr, ended.stderr
        assert "live: install" not in ended.stderr
        assert ended.stdout == ""
        assert published(self.place) == {}
        assert left_in_work(self.place) == []


@pytest.fixture
def bench(tiny: RepositoryFixture, tmp_path: Path) -> Bench:
    """A bench of one's own."""
    return Bench(tmp_path, tiny)


def test_no_kernel(bench: Bench) -> None:
    """Neither the platform nor the profile has one."""
    bench.platform('kernel = "tiny-platform"\n', "")
    bench.told(3, "[E-SPEC-LIVE-KERNEL]", "mine.toml:", 'kernel = "linux"')


@pytest.mark.parametrize(
    ("more", "parts"),
    [
        ('services = ["NetworkManager", "dhcpcd", "dbus"]\n',
         ("[E-SPEC-NETWORK]", "NetworkManager and dhcpcd", "mine.toml:11:31")),
        ('volume_id = "VOID_LIVE_OF_THE_WHOLE_DEPARTMENT"\n',
         ("[E-SPEC-VOLUME-ID]", "has 33 characters", "mine.toml:11:13")),
        ('keymap = "de latin1"\n', ("[E-SPEC-KEYMAP]", "'de latin1'", "mine.toml:11:10")),
        ('title = "Void\\u001b[2J Linux"\n',
         ("[E-SPEC-MENU-TITLE]", "cannot stand in a boot menu", "mine.toml:11:9")),
        ('cmdline = "init=$(sh)"\n', ("[E-SPEC-CMDLINE]", "'init=$(sh)'", "a loader would change")),
        ('squashfs = { compression = "lzo" }\n', ("[E-SPEC-VALUE]", "'lzo'")),
        ('[glibc]\nlocale = "english"\n', ("[E-SPEC-LOCALE]", "'english'", "mine.toml:12:10")),
        ('files = [{ path = "/usr/bin/void-installer", source = "instaler" }]\n',
         ("[E-SPEC-SOURCE]", "instaler", "installer", "mine.toml:11:")),
        (f'files = [{{ path = "/installer", source = "installer", sha256 = "{"0" * 64}" }}]\n',
         ("[E-SPEC-SOURCE-PIN]", "pinned is 0000", "mine.toml:11:")),
    ],
    ids=["networks", "volume-id", "keymap", "title", "cmdline", "compressor", "locale", "no-file",
         "another-file"],
)  # fmt: skip
def test_a_mistake_in_a_profile(more: str, parts: tuple[str, ...], bench: Bench) -> None:
    """What, where and what to do."""
    bench.profile(more)
    bench.told(8 if "LAYOUT" in parts[0] else 3, *parts)


def test_a_service_without_its_package(tiny: RepositoryFixture, tmp_path: Path) -> None:
    """Known when the packages are, before any is fetched."""
    tampered = Tampered(tiny, tmp_path / "repository")

    def add_kernel(index: dict[str, PlistDict]) -> None:
        entry = {**index["tiny-base"], "pkgver": "linux-1.0_1"}
        entry.pop("run_depends", None)
        index["linux"] = entry

    tampered.change_index(add_kernel)
    bench = Bench(tmp_path, tampered.fixture)
    bench.platform('"tiny-platform"', '"linux"')
    bench.profile('services = ["tinyd"]\nservice_packages = { tinyd = "tiny-service" }\n')
    bench.told(3, "[E-SPEC-SERVICE-PACKAGE]", "tinyd is enabled without its package tiny-service")


def test_a_compressor_that_the_host_lacks(bench: Bench) -> None:
    """A mksquashfs that was built with fewer than the profile asks for."""
    tools = bench.place / "bin"
    tools.mkdir()
    program = tools / "mksquashfs"
    program.write_text("#!/bin/sh\necho 'Compressor \"zstd\" is not supported!' >&2\nexit 1\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    path = f"{tools}:/usr/bin:/bin"
    bench.told(13, "[E-TOOL-COMPRESSOR]", "cannot compress with zstd", env={"PATH": path})


@pytest.mark.parametrize(
    ("artifact", "platform", "reason"),
    [
        ("iso", "rpi-aarch64", "no [live]"),
        ("image", "board", "no [disk]"),
        ("netboot", "board", "no [live.netboot]"),
        ("netboot", "rpi-aarch64", "no [live]"),
        ("wsl", "i686", "WSL is for x86_64 and aarch64"),
    ],
)
def test_an_artifact_that_the_platform_has_not(
    artifact: str, platform: str, reason: str, bench: Bench
) -> None:
    """Said with the reason."""
    bench.told(2, "[E-USAGE-ARTIFACT]", reason, artifact=artifact, platform=platform)


def test_a_compression_that_wsl_does_not_read(bench: Bench) -> None:
    """Told before a build that nobody could import."""
    bench.told(2, "[E-USAGE-COMPRESSION]", "xz or none", artifact="wsl", compression="zstd:1")
