"""Void's own platforms: every file of its sets can be planned by name; what boards differ in."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest

from tests.unit.spec.conftest import Write
from voidimg.arch import PI_KERNELS, without_libc
from voidimg.artifacts.registry import KINDS, artifact_name, kinds_of
from voidimg.catalog.catalog import Catalog
from voidimg.errors import SpecError, UsageError
from voidimg.identity import ReleaseDate
from voidimg.spec.search import SHIPPED

DATE = ReleaseDate.parse("20250202")
BOTH = ("", "-musl")
PIS = [f"rpi-{arch}{libc}" for arch, libc in product(("armv6l", "armv7l", "aarch64"), BOTH)]
ROOTFS = ["i686", *(f"{arch}{libc}" for arch, libc in product(
    ("x86_64", "armv6l", "armv7l", "aarch64"), BOTH
))]  # fmt: skip
ISO = ["i686", *(f"{arch}{libc}" for arch, libc in product(("x86_64", "aarch64", "asahi"), BOTH))]
WSL = [f"{arch}{libc}" for arch, libc in product(("x86_64", "aarch64"), BOTH)]

SET: list[tuple[str, str, str, str]] = [
    *((f"void-{arch}-ROOTFS-{DATE}.tar.xz", arch, "base", "rootfs") for arch in ROOTFS),
    *((f"void-{pi}-PLATFORMFS-{DATE}.tar.xz", pi, "base", "platformfs") for pi in PIS),
    *((f"void-{pi}-{DATE}.img.xz", pi, "base", "image") for pi in PIS),
    *((f"void-live-{arch}-{DATE}-{profile}.iso", arch, profile, "iso")
      for arch, profile in product(ISO, ("base", "xfce"))),
    *((f"void-{arch}-{DATE}.wsl", arch, "base", "wsl") for arch in WSL),
]  # fmt: skip
"""Name -> platform, profile and kind: facts of void-mklive's release matrix."""


def test_there_are_as_many_as_void_has() -> None:
    """35 files in the set of 20250202, and the four for WSL since."""
    assert len({name for name, *_ in SET}) == 39
    assert sum(kind != "wsl" for *_, kind in SET) == 35


@pytest.mark.parametrize(("name", "platform", "profile", "kind"), SET)
def test_every_file_of_voids_sets_can_be_planned(
    name: str, platform: str, profile: str, kind: str
) -> None:
    recipe = Catalog().recipe(platform, profile).recipe
    assert KINDS[kind].why_not(recipe) is None
    assert artifact_name(kind, recipe, DATE, ".xz") == name


@pytest.mark.parametrize("platform", PIS)
def test_the_boards_differ_in_what_their_processors_need(platform: str) -> None:
    """Disk, packages and command line are those of all; QEMU has a machine for each."""
    recipe, other = (Catalog().recipe(name).recipe for name in (platform, "rpi-aarch64"))
    assert recipe.disk == other.disk
    assert recipe.boot == other.boot
    assert recipe.platformfs.services == other.platformfs.services
    assert without_libc(recipe.arch) in PI_KERNELS
    assert recipe.smoke.machines[0].medium == "sd"
    assert recipe.smoke.machines[0].power_of_two


def test_the_pi_5_alone_has_a_platform_with_its_kernel() -> None:
    """Nothing else differs; QEMU has no machine for it."""
    recipe, other = (Catalog().recipe(name).recipe for name in ("rpi5-aarch64", "rpi-aarch64"))
    assert {*recipe.platformfs.packages} - {*other.platformfs.packages} == {"rpi5-kernel"}
    assert (recipe.disk, recipe.image, recipe.boot) == (other.disk, other.image, other.boot)
    assert (recipe.boards, recipe.smoke.machines) == (("5", "500", "CM5"), ())


@pytest.mark.parametrize("platform", ["armv6l", "armv7l-musl"])
def test_an_architecture_alone_is_a_rootfs(platform: str) -> None:
    recipe = Catalog().recipe(platform).recipe
    assert kinds_of(recipe) == ("rootfs",)
    assert "platformfs" in kinds_of(Catalog().recipe("rpi-armv6l").recipe)


def test_asahi_says_why_it_has_no_disk_image() -> None:
    recipe = Catalog().recipe("asahi").recipe
    assert kinds_of(recipe) == ("rootfs", "iso")
    with pytest.raises(UsageError, match="Asahi installer makes the boot environment"):
        kinds_of(recipe, ["image"])


@pytest.mark.parametrize(
    ("profile", "session"), [("xfce", "xfce-wayland"), ("xfce-wayland", "xfce-wayland")]
)
def test_asahi_has_its_own_graphics_and_sound(profile: str, session: str) -> None:
    """The name stays that which was asked for, as Void names it."""
    recipe = Catalog().recipe("asahi", profile).recipe
    assert recipe.profile == profile
    assert recipe.live is not None
    assert recipe.live.session == session
    assert "mesa-dri" not in recipe.live.packages
    assert recipe.live.packages.count("mesa-asahi-dri") == 1
    assert "speakersafetyd" in recipe.live.services
    console = Catalog().recipe("asahi", "base").recipe.live
    assert console is not None
    assert "speakersafetyd" not in console.services
    assert {"linux-asahi"} == {console.kernel, recipe.live.kernel}


def test_a_profile_that_a_platform_puts_in_the_place_of_another_must_exist(
    write: Write, tmp_path: Path
) -> None:
    path = write(
        "platforms/mine.toml",
        'schema = 1\nkind = "platform"\nextends = "asahi"\n'
        '[live]\nprofiles = { xfce = "xfce-wayland2" }\n',
    )
    with pytest.raises(SpecError, match="'xfce-wayland2'") as raised:
        Catalog([tmp_path]).recipe("mine", "xfce")
    assert raised.value.where == f"{path}:5:21"
    assert (SHIPPED / "profiles" / "xfce-wayland.toml").exists()


@pytest.mark.parametrize(
    ("parent", "cmdline", "what"),
    [
        ("rpi-armv7l", "x" * 1000, "the kernel reads 1023"),
        ("rpi-aarch64", "x" * 2040, "the kernel reads 2047"),
        ("rock64", "quiet=$fdtfile", "the boot loader would change it"),
        ("rock64", "panic=10 loglevel='4'", "the boot loader would change it"),
    ],
)
def test_a_command_line_must_reach_the_kernel_as_it_is(
    parent: str, cmdline: str, what: str, write: Write, tmp_path: Path
) -> None:
    """Kernels of 32-bit ARM read half; U-Boot has signs of its own."""
    head = f'schema = 1\nkind = "platform"\nextends = "{parent}"\n'
    write("platforms/mine.toml", f'{head}[boot]\ncmdline = "{cmdline}"\n')
    with pytest.raises(SpecError, match=what):
        Catalog([tmp_path]).recipe("mine")
    longest = "x" * 960
    write("platforms/mine.toml", f'{head}[boot]\ncmdline = "{longest}"\n')
    assert Catalog([tmp_path]).recipe("mine").recipe.boot.cmdline == longest
