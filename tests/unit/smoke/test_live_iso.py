"""What a boot test takes from a live ISO, and which machines start one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

import voidimg
from tests.command import voidimg as run_command
from tests.unit.live.isos import EPOCH, IDENTIFIERS
from voidimg.catalog.catalog import Catalog
from voidimg.errors import LayoutError, ToolError, UsageError
from voidimg.live.efi import GRUB_CONFIG
from voidimg.live.iso import write_iso
from voidimg.live.iso_plan import IsoFile, IsoPlan
from voidimg.live.menus import Menu, render_grub, render_isolinux
from voidimg.smoke.boot import choose_machines, platform_of_image, profile_of_image
from voidimg.smoke.live_iso import is_iso, live_user, patterns_of, words_for_serial
from voidimg.smoke.machine import Drive, Start, arguments_of
from voidimg.smoke.uefi import Uefi, find_uefi, words_of
from voidimg.spec.live_model import Access, Live
from voidimg.spec.smoke_model import Firmware
from voidimg.spec.templates import Templates

TEMPLATES = Templates.read([Path(voidimg.__file__).parent / "templates"])
NAME = "void-live-x86_64-20240314-base.iso"
MENU = Menu("Void Linux", "6.6.21_1", "x86_64", "VOID_TEST", serial="ttyS0,115200")
RECIPE = Catalog().recipe("x86_64").recipe


def live_part() -> Live:
    assert RECIPE.live is not None
    return RECIPE.live


def iso_with(menu: Menu, place: Path) -> Path:
    """An ISO with the menus of `menu` and nothing that they name."""
    path = place / NAME
    files = (
        IsoFile("/boot/isolinux/isolinux.cfg", render_isolinux(menu, TEMPLATES).encode()),
        IsoFile(GRUB_CONFIG, render_grub(menu, TEMPLATES).encode()),
    )
    write_iso(IsoPlan(menu.volume_id, files, IDENTIFIERS, None, None), path, EPOCH)
    return path


def test_an_iso_is_known_by_its_content(tmp_path: Path) -> None:
    """Whatever its name."""
    path = iso_with(MENU, tmp_path)
    assert is_iso(path)
    (tmp_path / "x.iso").write_bytes(bytes(2**17))
    assert not is_iso(tmp_path / "x.iso")


def test_what_an_iso_promises(tmp_path: Path) -> None:
    """Its volume id, and the kernel that its menu names; as patterns."""
    found = patterns_of(iso_with(MENU, tmp_path), live_part(), "x86_64", ["bios", "uefi"])
    assert found == {"volume_id": "VOID_TEST", "kernel_release": r"6\.6\.21_1"}


@pytest.mark.parametrize(
    ("serial", "words"),
    [
        (None, "console=tty0 console=ttyS0,115200"),
        ("ttyUSB0,115200", "console=tty0 console=ttyS0,115200"),
        ("ttyS0,115200", ""),
    ],
)
@pytest.mark.parametrize("firmware", ["bios", "uefi", "uefi-ia32"])
def test_an_iso_without_a_serial_console_is_typed_to(
    serial: str | None, words: str, firmware: Firmware, tmp_path: Path
) -> None:
    """As its users do; the port is the one of its platform."""
    path = iso_with(replace(MENU, serial=serial), tmp_path)
    assert words_for_serial(path, RECIPE, firmware) == words


@pytest.mark.parametrize("lacks", ["port", "screen"])
def test_an_iso_that_nobody_can_type_to(lacks: str, tmp_path: Path) -> None:
    """Nobody could see what it does; told before anything starts."""
    path = iso_with(replace(MENU, serial=None), tmp_path)
    change: dict[str, object] = {"live": live_part().model_copy(update={"serial_port": None})}
    if lacks == "screen":
        change = {"smoke": RECIPE.smoke.model_copy(update={"qemu": "qemu-system-aarch64"})}
    with pytest.raises(UsageError, match="serial = true") as caught:
        words_for_serial(path, RECIPE.model_copy(update=change), "uefi")
    assert caught.value.code == "E-USAGE-NO-SERIAL"


def test_an_iso_of_another_profile(tmp_path: Path) -> None:
    """Its menu has another title, so the promises would be those of another system."""
    path = iso_with(replace(MENU, title="My Linux"), tmp_path)
    with pytest.raises(LayoutError, match="--profile"):
        patterns_of(path, live_part(), "x86_64", ["uefi"])


def test_the_command_refuses_an_iso_without_a_serial_console(tmp_path: Path) -> None:
    """In the words of the command line, where nobody can type."""
    menu = replace(MENU, serial=None, arch="aarch64")
    path = iso_with(menu, tmp_path).rename(tmp_path / "void-live-aarch64-20240314-base.iso")
    ended = run_command("--cache", tmp_path / "cache", "--out", tmp_path / "out", "smoke", path)
    assert ended.returncode == 2, ended.stderr
    assert "[E-USAGE-NO-SERIAL]" in ended.stderr
    assert "serial = true" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_an_iso_of_a_platform_that_has_none(tmp_path: Path) -> None:
    """It is not taken for a disk image."""
    path = iso_with(MENU, tmp_path)
    words = ("smoke", path, "--platform", "rpi-aarch64", "--profile", "base")
    ended = run_command("--cache", tmp_path / "cache", "--out", tmp_path / "out", *words)
    assert ended.returncode == 2, ended.stderr
    assert "[E-USAGE-NO-LIVE]" in ended.stderr


def test_names_of_isos() -> None:
    """Platform, date and profile, which has the statements."""
    path = Path("void-live-x86_64-musl-20240314rc1-xfce-wayland.iso")
    assert platform_of_image(path) == ("x86_64-musl", "20240314rc1")
    assert profile_of_image(path) == "xfce-wayland"
    assert profile_of_image(Path("void-rpi-aarch64-20240314.img")) is None


def test_machines_with_firmware_are_for_isos() -> None:
    """And the others for disk images."""
    machines = choose_machines(RECIPE, (), live=True)
    assert [(one.medium, one.firmware) for one in machines] == [("cd", "bios"), ("usb", "uefi")]
    assert choose_machines(RECIPE, ["cd"], live=True) == machines[:1]
    with pytest.raises(UsageError, match="boots a disk image"):
        choose_machines(RECIPE, ())
    with pytest.raises(UsageError, match="boots a live ISO"):
        choose_machines(Catalog().recipe("rpi-aarch64").recipe, (), live=True)


def test_firmware_starts_a_medium_that_is_only_read() -> None:
    """No kernel is given; UEFI has two flash chips, of which it may write to one."""
    bios, uefi = choose_machines(RECIPE, (), live=True)
    words = arguments_of(bios, Start(Drive(Path("/x.iso"), "raw")), kvm=False)
    assert "media=cdrom,file=/x.iso,format=raw,readonly=on" in words
    assert {"-kernel", "-append"}.isdisjoint(words)
    assert not [word for word in words if "pflash" in word]
    chips = words_of(Uefi(Path("/code"), Path("/old")), Path("/variables"))
    words = arguments_of(uefi, Start(Drive(Path("/x.iso"), "raw"), chips), kvm=False)
    assert [word for word in words if "pflash" in word] == [
        "if=pflash,format=raw,readonly=on,file=/code",
        "if=pflash,format=raw,file=/variables",
    ]


def test_firmware_is_looked_for() -> None:
    """That of this host, and none for machines that have none."""
    assert find_uefi("qemu-system-x86_64").code.name.startswith("OVMF_CODE")
    assert find_uefi("qemu-system-aarch64").variables.is_file()
    with pytest.raises(ToolError, match="no UEFI firmware for qemu-system-ppc64"):
        find_uefi("qemu-system-ppc64")


@pytest.mark.parametrize(
    ("access", "password", "power_off"),
    [
        (Access(), "voidlinux", "sudo -n poweroff"),
        (Access(sudo="password", password="a b"), "a b", "echo 'a b' | sudo -S poweroff"),
        (Access(sudo="none", groups=()), "voidlinux", "poweroff"),
        (Access(password=None), None, "sudo -n poweroff"),
    ],
)
def test_the_live_user_logs_in(access: Access, password: str | None, power_off: str) -> None:
    """With the profile's password, and powers off by what the profile lets it do."""
    person = live_user(live_part().model_copy(update={"access": access}))
    assert (person.name, person.password, person.power_off) == ("anon", password, power_off)
