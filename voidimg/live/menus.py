"""The boot menus of a live system: one table of entries, for isolinux, PXELINUX and GRUB. Pure.

Whatever firmware a machine has, it offers the same entries with the same command lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from voidimg.errors import LayoutError, one_or_many
from voidimg.formats.boot_menus import SYSLINUX_LIBRARIES
from voidimg.spec.cmdline import LOADER_SIGNS, MAX_BYTES, MAX_TITLE, is_menu_word, title_fits
from voidimg.spec.templates import Templates

Kind = Literal["linux", "memtest", "disk", "firmware", "restart", "poweroff"]
Firmware = Literal["bios", "efi"]

TITLE_COLUMNS = 72
"""What isolinux shows of a line in our menu (vesamenu: WIDTH 78 less margins and frame); GRUB shows
a little more."""

_BOTH: tuple[Firmware, ...] = ("bios", "efi")
_X86_EFI_WORDS = ("gpt", "add_efi_memmap")
_BOOTIF = "BOOTIF=01-00-00-00-00-00-00"
"""What PXELINUX says of the network card, with any address of it."""
_SPEECH = ("live.accessibility", "live.autologin")
_RAM, _NO_GRAPHICS = ("rd.live.ram",), ("nomodeset",)
_WILDCARDS = frozenset("*?[]")
"""What GRUB's shell would replace by the names of files and disks that match (regexp)."""
_SERIAL = re.compile(r"(tty[A-Z]+)(\d+)(?:,(\d+))?[a-z0-9]*")
_DEFAULT_SPEED = 115200
NO_DIGEST = "0" * 64
"""Stands for the digest of a root that is not made yet."""
_NETBOOT_SECONDS = 10
"""Void's: machines that try the network first go on with their disk soon."""


@dataclass(frozen=True, slots=True)
class MachineMenu:
    """Entries of their own for a machine that the generic ones do not fit, in a submenu of GRUB.

    `devicetree` is the path on the ISO; `cmdline` is added to the command line of every entry.
    """

    name: str
    title: str
    cmdline: str = ""
    devicetree: str | None = None


@dataclass(frozen=True, slots=True)
class Menu:
    """What the menus of one ISO are made from; paths are those on the ISO.

    `title`, `kernel_version` and `arch` make up the name of each entry. `cmdline` is added to the
    kernel command line. `serial` (``ttyS0,115200``) makes the loaders and the kernel speak there
    too. `speech` adds the entries with a screen reader. `memtest` has the program for each firmware
    that can run one. `splash` and `font` are optional.
    """

    title: str
    kernel_version: str
    arch: str
    volume_id: str
    keymap: str = "us"
    locale: str = "en_US.UTF-8"
    cmdline: str = ""
    kernel: str = "/boot/vmlinuz"
    initrd: str = "/boot/initrd"
    timeout_seconds: int = 15
    serial: str | None = None
    speech: bool = True
    memtest_bios: str | None = None
    memtest_efi: str | None = None
    splash: str | None = None
    font: str | None = None
    modules: str = "/boot/isolinux"
    """The directory of isolinux with its modules (``*.c32``)."""
    netboot: str | None = None
    """The URL of the root for machines that start over the network by PXELINUX; all paths are
    relative to its directory then, and the first hard disk is what starts by itself."""
    root_sha256: str | None = None
    """Of the root that comes over the network, in 64 hexadecimal digits."""
    machines: tuple[MachineMenu, ...] = ()

    @property
    def default(self) -> str:
        """The id of the entry that starts when nobody chooses."""
        return "linux" if self.netboot is None else "disk"

    def module(self, name: str) -> str:
        """The path of a module of isolinux or PXELINUX."""
        return f"{self.modules}/{name}.c32" if self.netboot is None else f"{name}.c32"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the menu. `id` is stable; `key` starts it at once; `firmware` shows it.

    `words` is the kernel command line of a ``linux`` entry without what one firmware adds, and
    `program` the path of a ``memtest`` by firmware.
    """

    id: str
    kind: Kind
    title: str
    key: str = ""
    words: tuple[str, ...] = ()
    firmware: tuple[Firmware, ...] = _BOTH
    program: Mapping[Firmware, str] | None = None
    devicetree: str | None = None

    @property
    def cmdline(self) -> str:
        """The command line as it stands in the configuration."""
        return " ".join(self.words)

    @property
    def grub_words(self) -> tuple[str, ...]:
        """`words` as GRUB's shell takes them literally."""
        return tuple(f"'{word}'" if set(word) & _WILDCARDS else word for word in self.words)

    @property
    def marked_title(self) -> str:
        """The title with ``^`` before its key, as isolinux wants it."""
        if not self.key:
            return self.title
        begins = [
            match.start() for match in re.finditer(rf"\b{self.key}", self.title, re.IGNORECASE)
        ]
        at = begins[-1] if begins else self.title.lower().rindex(self.key)
        return f"{self.title[:at]}^{self.title[at:]}"


@dataclass(frozen=True, slots=True)
class Submenu:
    """The entries of one machine."""

    id: str
    title: str
    entries: tuple[Entry, ...]


def netboot_menu(menu: Menu, url: str) -> Menu:
    """`menu` for machines that start over the network by PXELINUX, and fetch their root from `url`.

    Its `root_sha256` is `NO_DIGEST`, until there is a root.

    Files are relative to the directory that PXELINUX was loaded from, as servers put it anywhere.
    """
    splash, memtest = (
        path and path.rpartition("/")[2] for path in (menu.splash, menu.memtest_bios)
    )
    return replace(
        menu, netboot=url, kernel=menu.kernel.rpartition("/")[2], initrd="initrd",
        timeout_seconds=_NETBOOT_SECONDS, memtest_bios=memtest, memtest_efi=None, splash=splash,
        font=None, machines=(), root_sha256=NO_DIGEST,
    )  # fmt: skip


def check_menu_words(menu: Menu) -> None:
    """Raise for a title or command line that cannot be written into a menu, as `entries_of`."""
    _check(menu)


def kernel_words(menu: Menu) -> tuple[str, ...]:
    """The command line of the first entry.

    ``rd.live.overlay.overlayfs`` is what dracut calls it up to 109, ``rd.overlay`` later: the root
    is a squashfs without an image in it, which only overlayfs can make writable.
    """
    consoles = () if menu.serial is None else ("console=tty0", f"console={menu.serial}")
    root = menu.netboot or f"CDLABEL={menu.volume_id}"
    return (
        f"root=live:{root}", "ro", "init=/sbin/init", "rd.luks=0", "rd.md=0",
        "rd.dm=0", "loglevel=4", "vconsole.unicode=1", f"vconsole.keymap={menu.keymap}",
        f"locale.LANG={menu.locale}", *menu.cmdline.split(), *consoles,
        "rd.live.overlay.overlayfs=1", "rd.overlay=1",
        *(() if menu.root_sha256 is None else (f"live.sha256={menu.root_sha256}",)),
    )  # fmt: skip


def entries_of(menu: Menu) -> tuple[Entry, ...]:
    """The table: every entry of the menu, in its order.

    Raises:
        LayoutError: a title or command line cannot be written into a menu; several in a
            `CollectedError`.
    """
    _check(menu)
    return (*_linux(menu, None), *_others(menu))


def submenus_of(menu: Menu) -> tuple[Submenu, ...]:
    """The entries of the machines that have some of their own; isolinux shows none."""
    _check(menu)
    return tuple(
        Submenu(f"platform-{machine.name}", machine.title, tuple(_linux(menu, machine)))
        for machine in menu.machines
    )


def files_of(menu: Menu, firmware: Firmware) -> frozenset[str]:
    """The paths on the ISO that the menu for `firmware` names, all of which must be there."""
    entries = [entry for entry in entries_of(menu) if firmware in entry.firmware]
    named = {menu.kernel, menu.initrd, menu.splash}
    named |= {entry.program[firmware] for entry in entries if entry.program}
    if firmware == "efi":
        named |= {menu.font, *(machine.devicetree for machine in menu.machines)}
    else:
        modules = [
            "vesamenu",
            *(_MODULES[entry.kind] for entry in entries if entry.kind in _MODULES),
        ]
        libraries = [name.removesuffix(".c32") for name in SYSLINUX_LIBRARIES]
        named |= {menu.module(name) for name in (*modules, *libraries)}
    return frozenset(path for path in named if path is not None)


def render_isolinux(menu: Menu, templates: Templates) -> str:
    """``isolinux.cfg``, for BIOS machines.

    Raises:
        LayoutError: see `entries_of`.
        SpecError: the template is missing or broken.
    """
    entries = [entry for entry in entries_of(menu) if "bios" in entry.firmware]
    context = {"menu": menu, "entries": entries, "serial": _serial(menu), "modules": _MODULES}
    return templates.render("live/isolinux.cfg.j2", context)


def render_pxelinux(menu: Menu, templates: Templates) -> str:
    """``pxelinux.cfg/default``, for machines that start over the network; see `render_isolinux`."""
    return render_isolinux(menu, templates)


def render_grub(menu: Menu, templates: Templates) -> str:
    """``grub.cfg``, for UEFI machines; see `render_isolinux`."""
    is_x86 = _is_x86(menu)
    context = {
        "menu": menu,
        "entries": [entry for entry in entries_of(menu) if "efi" in entry.firmware],
        "submenus": submenus_of(menu),
        "serial": _serial(menu) if is_x86 else None,
        # Where GRUB has no driver for the port, the firmware's console is on it: text only.
        "font": menu.font if is_x86 or menu.serial is None else None,
        "efi_words": _X86_EFI_WORDS if is_x86 else (),
        "cpu": "x86_64" if menu.arch.startswith("x86_64") else "i386",
        "is_x86": is_x86,
        "timeout": menu.timeout_seconds or -1,
    }
    return templates.render("live/grub.cfg.j2", context)


_MODULES: Mapping[Kind, str] = {"disk": "chain", "restart": "reboot", "poweroff": "poweroff"}
"""What isolinux does these with."""


def _linux(menu: Menu, machine: MachineMenu | None) -> Iterator[Entry]:
    variants = [
        ("linux", "", "", ()),
        ("linuxram", " (RAM)", "", _RAM),
        ("linuxnogfx", " (graphics disabled)", "", _NO_GRAPHICS),
    ]
    if menu.speech:
        variants += [
            ("linuxa11y", " with speech", "s", _SPEECH),
            ("linuxa11yram", " with speech (RAM)", "r", (*_SPEECH, *_RAM)),
            ("linuxa11ynogfx", " with speech (graphics disabled)", "g", (*_SPEECH, *_NO_GRAPHICS)),
        ]
    if menu.netboot is not None:  # what comes over the network is in memory always
        variants = [variant for variant in variants if "rd.live.ram" not in variant[3]]
    base = kernel_words(menu)
    name = _name(menu, machine, max(len(suffix) for _, suffix, _, _ in variants))
    if machine is None:
        for identifier, suffix, key, words in variants:
            yield Entry(identifier, "linux", name + suffix, key, (*base, *words))
        return
    for identifier, suffix, _, words in variants:
        # A key works in the whole menu of GRUB, where the entries above have it already.
        yield Entry(
            f"{identifier}-{machine.name}", "linux", name + suffix, "",
            (*base, *machine.cmdline.split(), *words), ("efi",), devicetree=machine.devicetree,
        )  # fmt: skip


def _name(menu: Menu, machine: MachineMenu | None, suffix_columns: int) -> str:
    """What the titles of entries begin with: as much as there is room for before their suffixes.

    What is cut off at the edge of the screen are the suffixes, which tell the entries apart.
    """
    kernel, arch = menu.kernel_version, f"({menu.arch})"
    forms: list[tuple[str, ...]] = [(menu.title, kernel, arch), (menu.title, kernel), (menu.title,)]
    if machine is not None:
        forms = [(*form, machine.title) for form in (*forms, ())]
    names = [" ".join(form) for form in forms]
    fitting = (name for name in names if len(name) + suffix_columns <= TITLE_COLUMNS)
    return next(fitting, names[-1])


def _others(menu: Menu) -> Iterator[Entry]:
    memtest = {
        firmware: path
        for firmware, path in zip(_BOTH, (menu.memtest_bios, menu.memtest_efi), strict=True)
        if path is not None
    }
    if memtest:
        firmware = tuple(memtest)
        yield Entry("memtest", "memtest", "Run Memtest86+", "m", firmware=firmware, program=memtest)
    yield Entry("disk", "disk", "Continue from the first hard disk", "c", firmware=("bios",))
    yield Entry("uefifw", "firmware", "UEFI firmware setup", "f", firmware=("efi",))
    yield Entry("restart", "restart", "Reboot", "b")
    yield Entry("poweroff", "poweroff", "Power off", "p")


def _is_x86(menu: Menu) -> bool:
    return not menu.arch.startswith("aarch64")


def _serial(menu: Menu) -> Mapping[str, int] | None:
    """Number and speed of the serial port; None when the loaders shall not use one."""
    match = None if menu.serial is None else _SERIAL.fullmatch(menu.serial)
    if match is None or match[1] != "ttyS":
        return None
    return {"unit": int(match[2]), "speed": int(match[3] or _DEFAULT_SPEED)}


def _problems(menu: Menu) -> list[LayoutError]:
    problems = [*_check_titles(menu), *word_problems(menu)]
    if menu.serial is not None and _SERIAL.fullmatch(menu.serial) is None:
        what = f"{menu.serial!r} is not a serial console"
        problems.append(_bad(what, "write it like ttyS0,115200"))
    names = [machine.name for machine in menu.machines]
    problems += [
        _bad(f"two machines are called {name}", "give one of them another name")
        for name in sorted(set(names))
        if names.count(name) > 1
    ]
    return problems


def _check(menu: Menu) -> None:
    if problems := _problems(menu):
        raise one_or_many(problems, "the boot menu cannot be written")


def _check_titles(menu: Menu) -> Iterator[LayoutError]:
    texts = [menu.title, menu.kernel_version, menu.arch]
    for text in (*texts, *(machine.title for machine in menu.machines)):
        if not title_fits(text):
            yield _bad(
                f"{text!r} cannot stand in a boot menu",
                "write one line of ASCII, not empty, without quotes, $, ^ and \\",
            )
    for machine in menu.machines or (None,):
        entries = [*_linux(menu, machine), *_others(menu)]
        longest = max((entry.title for entry in entries), key=len)
        if len(longest) > TITLE_COLUMNS:
            yield _bad(
                f"{longest!r} has {len(longest)} characters, a boot menu shows {TITLE_COLUMNS}",
                f"a title in [live] can have {MAX_TITLE} characters",
            )
    titles = [machine.title for machine in menu.machines]
    for title in sorted({title for title in titles if titles.count(title) > 1}):
        yield _bad(f"two machines have the title {title!r}", "give one of them another title")


def word_problems(menu: Menu) -> Iterator[LayoutError]:
    """What the command lines of `menu` cannot say, as words and in length."""
    machines = menu.machines or (None,)
    paths = [menu.kernel, menu.initrd, menu.memtest_bios, menu.memtest_efi, menu.splash, menu.font]
    paths += [menu.modules, *(machine.devicetree for machine in menu.machines)]
    names = [machine.name for machine in menu.machines]
    words = [*kernel_words(menu), *_given(paths), *names]
    words += [word for machine in menu.machines for word in machine.cmdline.split()]
    for word in dict.fromkeys(words):
        if not is_menu_word(word):
            yield _bad(
                f"{word!r} cannot stand in a boot menu: a loader would change it",
                f"do without {' '.join(sorted(LOADER_SIGNS))} and without letters that are"
                " not ASCII",
            )
    for machine in machines:
        entries = _linux(menu, machine)
        length = max(len(entry.cmdline) for entry in entries) + _bytes_of_loaders(menu)
        if length > MAX_BYTES:
            where = "the kernel command line" + (f" of {machine.name}" if machine else "")
            yield _bad(
                f"{where} has {length} bytes, but the kernel reads {MAX_BYTES}",
                "shorten cmdline in [live] of the profile, or of the machine",
            )


def _bytes_of_loaders(menu: Menu) -> int:
    """How long what loaders write beside our words on the command line can be.

    All say where they have the kernel from (GRUB, grub-core/loader/linux.c; syslinux,
    com32/elflink/ldlinux/kernel.c), isolinux and PXELINUX the initramfs too.
    """
    kernel = f"BOOT_IMAGE={menu.kernel}"
    grub = (kernel, *_X86_EFI_WORDS, "")
    syslinux = (kernel, f"initrd={menu.initrd}", *(() if menu.netboot is None else (_BOOTIF,)), "")
    return max(len(" ".join(words)) for words in (grub, syslinux))


def _given(paths: Iterable[str | None]) -> Iterator[str]:
    return (path for path in paths if path is not None)


def _bad(what: str, hint: str) -> LayoutError:
    return LayoutError(what, code="MENU", where="boot menu", hint=hint)
