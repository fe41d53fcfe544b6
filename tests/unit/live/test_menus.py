"""The boot menus: one table, two loaders, and what each of them makes of it."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

import voidimg
from voidimg.errors import CollectedError, LayoutError
from voidimg.formats.boot_menus import read_grub, read_isolinux
from voidimg.live.menus import (
    TITLE_COLUMNS,
    MachineMenu,
    Menu,
    entries_of,
    files_of,
    kernel_words,
    netboot_menu,
    render_grub,
    render_isolinux,
    submenus_of,
)
from voidimg.run import run
from voidimg.spec.templates import Templates

TEMPLATES = Templates.read([Path(voidimg.__file__).parent / "templates"])
X86 = Menu(
    title="Void Linux",
    kernel_version="6.6.21_1",
    arch="x86_64-musl",
    volume_id="VOID_LIVE",
    keymap="de",
    locale="de_DE.UTF-8",
    cmdline="quiet",
    serial="ttyS1,9600",
    memtest_bios="/boot/memtest.bin",
    memtest_efi="/boot/memtest.efi",
    splash="/boot/isolinux/splash.png",
    font="/boot/grub/fonts/unicode.pf2",
)
ARM = Menu(
    title="Void Linux",
    kernel_version="6.6.21_1",
    arch="aarch64",
    volume_id="VOID_LIVE",
    kernel="/boot/vmlinux",
    machines=(
        MachineMenu("pinebookpro", "Pinebook Pro", "console=ttyS2,115200", "/boot/dtbs/pbp.dtb"),
        MachineMenu("plain", "Plain", "clk_ignore_unused"),
    ),
)
BASE = (
    "root=live:CDLABEL=VOID_LIVE ro init=/sbin/init rd.luks=0 rd.md=0 rd.dm=0 loglevel=4"
    " vconsole.unicode=1 vconsole.keymap=de locale.LANG=de_DE.UTF-8 quiet"
    " console=tty0 console=ttyS1,9600 rd.live.overlay.overlayfs=1 rd.overlay=1"
)
COMMAND_LINE_SIZE = 2048
"""With the closing zero (kernel, arch/x86/include/asm/setup.h)."""
SPEECH = " live.accessibility live.autologin"
EXPECTED = {
    "linux": "",
    "linuxram": " rd.live.ram",
    "linuxnogfx": " nomodeset",
    "linuxa11y": SPEECH,
    "linuxa11yram": f"{SPEECH} rd.live.ram",
    "linuxa11ynogfx": f"{SPEECH} nomodeset",
}


def isolinux_entries(text: str) -> dict[str, dict[str, str]]:
    """Label -> directive -> its argument, of an isolinux.cfg."""
    found: dict[str, dict[str, str]] = {}
    for block in text.split("\nLABEL ")[1:]:
        label, *lines = block.strip().splitlines()
        words = (line.strip() for line in lines)
        found[label] = {word.rpartition(" ")[0] if word.startswith("COM32") else word.split()[0]:
                        word.split(" ", 1)[1] for word in words}  # fmt: skip
    return found


def grub_entries(text: str) -> dict[str, tuple[str, str, list[str]]]:
    """Id -> title, key and commands, of a grub.cfg."""
    pattern = r'menuentry "([^"]+)" --id "([^"]+)"(?: --hotkey=(\w))? \{\n(.*?)\n\t*\}'
    return {
        identifier: (title, key, [line.strip() for line in body.splitlines()])
        for title, identifier, key, body in re.findall(pattern, text, re.DOTALL)
    }


def test_the_table() -> None:
    """Void's entries, ids, keys and kernel command lines."""
    entries = entries_of(X86)
    assert {e.id: e.cmdline for e in entries if e.kind == "linux"} == {
        identifier: BASE + words for identifier, words in EXPECTED.items()
    }
    assert [(e.id, e.key) for e in entries] == [
        ("linux", ""), ("linuxram", ""), ("linuxnogfx", ""), ("linuxa11y", "s"),
        ("linuxa11yram", "r"), ("linuxa11ynogfx", "g"), ("memtest", "m"), ("disk", "c"),
        ("uefifw", "f"), ("restart", "b"), ("poweroff", "p"),
    ]  # fmt: skip
    assert entries[3].title == "Void Linux 6.6.21_1 (x86_64-musl) with speech"


def test_the_keys_differ_and_can_be_marked() -> None:
    """isolinux shows the key in the title, so it must have the letter."""
    keys = [entry.key for entry in entries_of(X86) if entry.key]
    assert len(set(keys)) == len(keys)
    marked = {entry.id: entry.marked_title for entry in entries_of(X86)}
    assert all("^" in marked[entry.id] for entry in entries_of(X86) if entry.key)
    assert marked["linux"].count("^") == 0
    assert marked["linuxa11yram"].endswith("with speech (^RAM)")
    assert marked["memtest"] == "Run ^Memtest86+"
    assert marked["restart"] == "Re^boot"


def test_both_loaders_offer_the_same() -> None:
    """Titles and command lines; GRUB adds what only UEFI machines want."""
    bios, efi = (
        isolinux_entries(render_isolinux(X86, TEMPLATES)),
        grub_entries(render_grub(X86, TEMPLATES)),
    )
    for identifier, words in EXPECTED.items():
        title, _, commands = efi[identifier]
        assert bios[identifier]["MENU"].replace("^", "") == f"LABEL {title}"
        assert bios[identifier]["APPEND"] == BASE + words
        assert bios[identifier]["LINUX"] == "/boot/vmlinuz"
        assert bios[identifier]["INITRD"] == "/boot/initrd"
        assert commands == [
            f"linux /boot/vmlinuz {BASE}{words} gpt add_efi_memmap", "initrd /boot/initrd"
        ]  # fmt: skip
    assert set(bios) - set(efi) == {"disk"}
    assert set(efi) - set(bios) == {"uefifw"}
    assert [efi[name][2] for name in ("memtest", "uefifw", "restart", "poweroff")] == [
        ["linux /boot/memtest.efi"],
        ["fwsetup"],
        ["reboot"],
        ["halt"],
    ]


@pytest.mark.parametrize("menu", [X86, ARM, replace(X86, serial=None), replace(X86, font=None)])
def test_grub_can_read_its_menu(menu: Menu, tmp_path: Path) -> None:
    """GRUB's own parser finds nothing wrong."""
    path = tmp_path / "grub.cfg"
    path.write_text(render_grub(menu, TEMPLATES))
    run(["grub-script-check", path])


def test_machines_have_a_submenu() -> None:
    """The same entries with the machine's words and device tree, and ids of their own."""
    text = render_grub(ARM, TEMPLATES)
    assert 'submenu "Pinebook Pro" --id "platform-pinebookpro" {' in text
    efi = grub_entries(text)
    for identifier, words in EXPECTED.items():
        title, key, commands = efi[f"{identifier}-pinebookpro"]
        assert "Pinebook Pro" in title
        assert key == ""
        assert commands[0].startswith("linux /boot/vmlinux root=live:CDLABEL=VOID_LIVE ro ")
        assert commands[0].endswith(f"rd.overlay=1 console=ttyS2,115200{words}")
        assert commands[1:] == ["initrd /boot/initrd", "devicetree /boot/dtbs/pbp.dtb"]
        assert "devicetree" not in str(efi[f"{identifier}-plain"])
        assert "add_efi_memmap" not in str(efi[identifier])
    assert [submenu.title for submenu in submenus_of(ARM)] == ["Pinebook Pro", "Plain"]
    assert "play" not in text
    assert "memtest" not in text


def test_serial_and_timeout() -> None:
    """The loaders speak where the kernel does; 0 seconds is for ever in both."""
    bios, efi = render_isolinux(X86, TEMPLATES), render_grub(X86, TEMPLATES)
    assert bios.startswith("SERIAL 1 9600\n")
    assert "serial --unit=1 --speed=9600\n" in efi
    assert "terminal_output gfxterm serial\n" in efi
    assert "\nTIMEOUT 150\n" in bios
    assert "\nset timeout=15\n" in efi
    silent = replace(X86, serial=None, timeout_seconds=0)
    bios, efi = render_isolinux(silent, TEMPLATES), render_grub(silent, TEMPLATES)
    assert "serial" not in (bios + efi).lower()
    assert "console=" not in bios + efi
    assert "\nTIMEOUT 0\n" in bios
    assert "\nset timeout=-1\n" in efi
    arm = replace(ARM, serial="ttyAMA0,115200", font=X86.font)
    assert kernel_words(arm)[-4:-2] == ("console=tty0", "console=ttyAMA0,115200")
    # Where GRUB has no driver for the port, its menu is seen by the firmware's console, as text.
    assert "serial" not in render_grub(arm, TEMPLATES)
    assert "gfxterm" not in render_grub(arm, TEMPLATES)
    assert "terminal_output gfxterm\n" in render_grub(replace(arm, serial=None), TEMPLATES)


def test_what_is_left_out() -> None:
    """No speech, no memtest, no splash, no font: nothing of them is named."""
    bare = replace(X86, speech=False, memtest_bios=None, memtest_efi=None, splash=None, font=None)
    assert [entry.id for entry in entries_of(bare) if entry.kind == "linux"] == list(EXPECTED)[:3]
    for text in (render_isolinux(bare, TEMPLATES), render_grub(bare, TEMPLATES)):
        for word in ("a11y", "memtest", "splash", "BACKGROUND", "loadfont", "play"):
            assert word not in text
    only_efi = replace(X86, memtest_bios=None)
    assert "memtest" not in render_isolinux(only_efi, TEMPLATES)
    assert 'if [ "$grub_cpu" = "x86_64" ]' in render_grub(only_efi, TEMPLATES)


def test_every_file_that_is_named_is_listed() -> None:
    """What a menu names is what must be on the ISO."""
    for text, files in (
        (render_isolinux(X86, TEMPLATES), files_of(X86, "bios")),
        (render_grub(X86, TEMPLATES), files_of(X86, "efi")),
        (render_grub(ARM, TEMPLATES), files_of(ARM, "efi")),
    ):
        named = set(re.findall(r"(?<![\w:=])/boot/[\w./-]+", text)) - {"/boot/isolinux"}
        named |= {f"/boot/isolinux/{name}" for name in re.findall(r"[\w]+\.c32", text)}
        assert named <= files
        assert files - named <= {
            f"/boot/isolinux/{name}.c32" for name in ("ldlinux", "libcom32", "libutil")
        }


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"title": 'Void "Linux"'}, "cannot stand in a boot menu"),
        ({"title": "Void ^Linux"}, "cannot stand in a boot menu"),
        ({"title": "Void f\xfcr alle"}, "cannot stand in a boot menu"),
        ({"title": "a\nb"}, "cannot stand in a boot menu"),
        ({"kernel_version": ""}, "cannot stand in a boot menu"),
        ({"cmdline": "a=$b"}, "'a=$b' cannot stand in a boot menu"),
        ({"cmdline": "x;reboot"}, "'x;reboot' cannot stand in a boot menu"),
        ({"cmdline": "n=\xfcber"}, "cannot stand in a boot menu"),
        ({"kernel": "/boot/my kernel"}, "cannot stand in a boot menu"),
        ({"cmdline": "x=" + "y" * 2000}, "but the kernel reads 2047"),
        ({"serial": "com1"}, "not a serial console"),
        (
            {"machines": (MachineMenu("a", "A"), MachineMenu("a", "B"))},
            "two machines are called a",
        ),
        ({"machines": (MachineMenu("a", "A", "{x}"),)}, "'{x}' cannot stand in a boot menu"),
    ],
)
def test_what_a_loader_would_change_is_refused(change: dict[str, object], text: str) -> None:
    """Rather than a menu that starts something else."""
    with pytest.raises(LayoutError, match=re.escape(text)) as caught:
        entries_of(replace(X86, **change))  # type: ignore[arg-type]
    assert caught.value.hint


@pytest.mark.parametrize(
    ("url", "added"),
    [
        (None, "BOOT_IMAGE=/boot/vmlinuz initrd=/boot/initrd "),
        ("http://SERVER/squashfs.img",
         "BOOT_IMAGE=vmlinuz initrd=initrd BOOTIF=01-52-54-00-12-34-56 "),
    ],
    ids=["isolinux", "PXELINUX"],
)  # fmt: skip
def test_what_loaders_add_to_the_command_line_has_room(url: str | None, added: str) -> None:
    """The kernel would cut off its last words without a message."""
    plain = X86 if url is None else netboot_menu(X86, url)
    longest = max(len(entry.cmdline) for entry in entries_of(plain) if entry.kind == "linux")
    room = COMMAND_LINE_SIZE - 1 - len(added) - longest
    fitting = replace(plain, cmdline="quiet " + "x" * (room - 1))
    lengths = {len(added + entry.cmdline) for entry in entries_of(fitting)}
    assert max(lengths) == COMMAND_LINE_SIZE - 1
    with pytest.raises(LayoutError, match="but the kernel reads 2047"):
        entries_of(replace(fitting, cmdline=fitting.cmdline + "x"))


def test_several_problems_are_said_at_once() -> None:
    """All of them."""
    with pytest.raises(CollectedError) as raised:
        render_grub(replace(X86, title="$", cmdline="a'b", serial="x"), TEMPLATES)
    assert len(raised.value.errors) >= 3


@pytest.mark.parametrize("columns", [1, 10, 20, 30, 35, 39, 40])
@pytest.mark.parametrize("machine", ["A", "Lenovo ThinkPad X13s", "x" * 40])
def test_what_tells_entries_apart_is_on_the_screen(columns: int, machine: str) -> None:
    """However long a title is, no two lines are the same where the screen ends."""
    menu = replace(
        X86, title="T" * columns, kernel_version="6.14.8-asahi_1",
        machines=(MachineMenu("m", machine),),
    )  # fmt: skip
    for entries in (entries_of(menu), *(submenu.entries for submenu in submenus_of(menu))):
        shown = [entry.title[:TITLE_COLUMNS] for entry in entries]
        assert len(set(shown)) == len(shown)
        assert [entry.title for entry in entries] == shown


def test_a_title_that_leaves_no_room_is_refused() -> None:
    """61 characters made six lines that were the same."""
    with pytest.raises(LayoutError, match="a boot menu shows 72"):
        entries_of(replace(X86, title="T" * 61))


WILD = "acpi_osi=!* usbcore.quirks=0781:558?:k a=[bc] b=*"


def test_a_wildcard_reaches_the_kernel_as_it_is() -> None:
    """GRUB would put the names of its files in its place: it is quoted there, and there only."""
    menu = replace(X86, cmdline=WILD)
    text = render_grub(menu, TEMPLATES)
    assert " 'acpi_osi=!*' 'usbcore.quirks=0781:558?:k' 'a=[bc]' 'b=*' " in text
    assert f" {WILD} " in render_isolinux(menu, TEMPLATES)
    for read in (read_grub(text, "/x"), read_isolinux(render_isolinux(menu, TEMPLATES), "/x")):
        assert all(f" {WILD} " in entry.cmdline for entry in read.live_entries)


def test_grub_itself_leaves_the_wildcards(tmp_path: Path) -> None:
    """Its own shell, with the module that knows wildcards, says the words as they are."""
    line = next(
        line for line in render_grub(replace(X86, cmdline=WILD), TEMPLATES).splitlines()
        if "\tlinux " in line
    )  # fmt: skip
    assert "'" in line
    assert shlex.split(line)[-1] == "add_efi_memmap"
    script = tmp_path / "grub.cfg"
    script.write_text(render_grub(replace(X86, cmdline=WILD), TEMPLATES))
    run(["grub-script-check", script])
