"""From a recipe and what its tree has to the boot menus of its ISO."""

from __future__ import annotations

import pytest

from voidimg.catalog.catalog import Catalog
from voidimg.live.menus import Menu, entries_of, files_of, render_grub, submenus_of
from voidimg.live.recipe_menu import live_menu
from voidimg.rootfs.kernels import Kernel
from voidimg.spec.search import SHIPPED
from voidimg.spec.templates import Templates

MEMTEST = ("/boot/memtest.bin", "/boot/memtest.efi")
SPLASH, FONT = "/boot/isolinux/splash.png", "/boot/grub/fonts/unicode.pf2"


def menu(platform: str, *others: str, speech: bool = True, profile: str = "base") -> Menu:
    recipe = Catalog().recipe(platform, profile).recipe
    image = "vmlinux" if platform.startswith("aarch64") else "vmlinuz"
    kernel = Kernel("6.6.21_1", f"/boot/{image}-6.6.21_1")
    return live_menu(recipe, "VOID_LIVE", kernel, others, speech=speech)


@pytest.mark.parametrize("platform", ["aarch64", "aarch64-musl"])
def test_arm_laptops_have_submenus(platform: str) -> None:
    """With the command lines that Void gives them, and their device trees."""
    made = menu(platform)
    laptops = {submenu.id: submenu for submenu in submenus_of(made)}
    assert list(laptops) == ["platform-pinebookpro", "platform-x13s"]
    (entry, *_) = laptops["platform-pinebookpro"].entries
    assert entry.id == "linux-pinebookpro"
    assert entry.cmdline.endswith(" console=ttyS2,115200 video=eDP-1:1920x1080x60")
    assert entry.devicetree == "/boot/dtbs/rockchip/rk3399-pinebook-pro.dtb"
    (entry, *_) = laptops["platform-x13s"].entries
    assert entry.cmdline.endswith(
        " rd.driver.blacklist=qcom_q6v5_pas arm64.nopauth clk_ignore_unused pd_ignore_unused"
    )
    assert entry.devicetree == "/boot/dtbs/qcom/sc8280xp-lenovo-thinkpad-x13s.dtb"
    assert {entry.devicetree for one in laptops.values() for entry in one.entries} <= files_of(
        made, "efi"
    )
    assert all("devicetree" not in str(entry.words) for entry in entries_of(made))
    assert made.kernel == "/boot/vmlinux"


def test_what_the_tree_lacks_is_not_offered() -> None:
    """Memory tests, speech, splash and font only where the tree has them."""
    full, bare = menu("x86_64", *MEMTEST, SPLASH, FONT), menu("x86_64", speech=False)
    assert (full.memtest_bios, full.memtest_efi) == MEMTEST
    assert (full.splash, full.font) == (SPLASH, FONT)
    assert {entry.id for entry in entries_of(full)} - {entry.id for entry in entries_of(bare)} == {
        "memtest", "linuxa11y", "linuxa11yram", "linuxa11ynogfx",
    }  # fmt: skip
    assert (bare.splash, bare.font) == (None, None)
    assert not submenus_of(full)
    assert full.kernel == "/boot/vmlinuz"


@pytest.mark.parametrize("platform", ["x86_64", "aarch64"])
def test_musl_has_the_same_live_systems(platform: str) -> None:
    """Loaders, kernel, packages, services and menus; another repository, and the one locale."""
    glibc, musl = (Catalog().recipe(f"{platform}{libc}", "xfce").recipe for libc in ("", "-musl"))
    assert musl.live == glibc.live
    assert (musl.arch, musl.locale, glibc.locale) == (f"{platform}-musl", None, "en_US.UTF-8")
    (url,) = musl.repositories
    assert url.endswith({"x86_64": "/current/musl", "aarch64": "/current/aarch64"}[platform])
    menus = [menu(f"{platform}{libc}", *MEMTEST, profile="xfce") for libc in ("", "-musl")]
    for glibc_entry, musl_entry in zip(*map(entries_of, menus), strict=True):
        title = glibc_entry.title.replace(f"({platform})", f"({platform}-musl)")
        words = glibc_entry.cmdline.replace("LANG=en_US.UTF-8", "LANG=C.UTF-8")
        assert (musl_entry.title, musl_entry.cmdline) == (title, words)
    assert "locale.LANG=C.UTF-8" in entries_of(menus[1])[0].words
    assert files_of(menus[0], "efi") == files_of(menus[1], "efi")
    first, second = (render_grub(one, Templates.read([SHIPPED / "templates"])) for one in menus)
    assert second == first.replace(f"({platform})", f"({platform}-musl)").replace(
        "LANG=en_US.UTF-8", "LANG=C.UTF-8"
    )
