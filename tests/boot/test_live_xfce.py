"""The XFCE live ISO: greeter, its menu of layouts, a typed login, the desktop, and autologin.

Keys and pointer are those of QEMU, typed and moved as a person would; what the X server and the
kernel say inside the guest is asked over the serial console. The pictures are in out/smoke.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.boot import pc
from tests.boot.pc import ANSWER_SECONDS, Guest
from tests.boot.screen import Screen
from tests.command import voidimg_json
from tests.images import built_iso
from tests.integration import pc_tree
from tests.testrepo import provide
from voidimg.run import run
from voidimg.smoke.picture import Picture
from voidimg.smoke.qmp import Qmp
from voidimg.spec.search import SHIPPED

pytestmark = pytest.mark.smoke

SESSION_SECONDS = 600.0
SESSION = ("xfce4-session", "xfwm4", "xfce4-panel", "xfdesktop")
SERVICES = ("NetworkManager", "chronyd", "dbus", "lightdm", "polkitd", "sshd")

LOGS = "sudo -n sh -c 'tail -n 80 /var/log/lightdm/*.log* /var/log/Xorg.*.log; dmesg | tail -n 40'"

INDICATOR = (0.918, 0.015)
"""Where the greeter's panel has the layout in force; the menu opens from it."""

DVORAK = str.maketrans("voidlinux", ".sghpglfb")
"""The keys, by what they type on American keyboards, that type the password on Dvorak's."""


@pytest.fixture(scope="session")
def xfce_iso() -> Path:
    """The XFCE live ISO with its menu and a console on the serial port."""
    return built_iso("xfce-console")


def soon(seconds: float = ANSWER_SECONDS) -> float:
    """`seconds` from now."""
    return time.monotonic() + seconds


@dataclass(frozen=True, slots=True)
class Desktop(Guest):
    """A started live system with its screen and keys; `begun` is of the monotonic clock."""

    screen: Screen
    qmp: Qmp
    begun: float

    def wait_for_process(self, name: str, seconds: float) -> None:
        """Wait until the program `name` runs."""
        self.answer(f"until pgrep -x {name[:15]}; do sleep 2; done", seconds)

    def layouts(self, *environment: str) -> list[str]:
        """Layouts and variants that the X server has, asked with the `environment` of its owner."""
        words = self.answer(f"{' '.join(environment)} DISPLAY=:0 setxkbmap -query").splitlines()
        found = dict(line.split(":", 1) for line in words if ":" in line)
        return [found.get(key, "").strip() for key in ("layout", "variant")]

    def greeter_layouts(self) -> list[str]:
        """`layouts`, with the authority of the greeter's X server."""
        return self.layouts("sudo -n env XAUTHORITY=/run/lightdm/root/:0")

    def keep(self, name: str) -> None:
        """Keep a picture of the screen, and how many seconds after QEMU's start it was taken."""
        seconds = round(time.monotonic() - self.begun)
        path = self.screen.keep(name)
        path.with_suffix(".txt").write_text(f"{seconds} s after the start\n")


@contextmanager
def booted(iso: Path, medium: str, words: str, place: Path) -> Iterator[Desktop]:
    """The live system, started from the menu of `medium` with `words` on the command line."""
    begun = time.monotonic()
    log = place / "console.log"
    with pc.booted(iso, medium, log, words=words, machine=pc.DESKTOP_PC) as guest:
        qmp = Qmp(guest.emulator.control, soon())
        screen = Screen(qmp, place)
        desktop = Desktop(guest.shell, guest.console, guest.emulator, screen, qmp, begun)
        try:
            yield desktop
        except AssertionError:
            # The logs are in that of the console then.
            desktop.keep("xfce-failed")
            guest.shell.run(LOGS, soon())
            raise
        guest.power_off()


def is_greeter(shown: Picture) -> bool:
    """A panel at the top, a dialog in the middle, nothing else yet."""
    return shown.brightness(0.3, 0.012) > 60 and shown.brightness(0.5, 0.6) > 600


def is_desktop(shown: Picture) -> bool:
    """A bright panel over a background that is not black."""
    return shown.brightness(0.3, 0.012) > 600 and shown.black() < 0.5


def has_menu_over(before: Picture) -> Callable[[Picture], bool]:
    """Whether a good part of the screen is another than `before`."""
    return lambda shown: shown.differs(before) > 0.1


def is_like(before: Picture) -> Callable[[Picture], bool]:
    """Whether little is another than `before`."""
    return lambda shown: shown.differs(before) < 0.02


def check_services(guest: Desktop) -> None:
    """Each service runs, and the network has one owner."""
    for service in SERVICES:
        status = guest.answer(f"sudo -n sv status /var/service/{service}")
        assert status.startswith("run: "), status
    guest.answer("pgrep -x chronyd && pgrep -x NetworkManager && ! pgrep -x dhcpcd")
    guest.answer("until nmcli -t -f STATE general | grep -q '^connected'; do sleep 2; done")
    assert guest.answer("loginctl show-user anon -p Name").strip() == "Name=anon"
    # Made when the system starts: every start of the medium is another machine.
    guest.answer("test -s /var/lib/dbus/machine-id && test ! -e /run/rootfsbase/etc/machine-id")
    guest.answer("test ! -e /run/rootfsbase/var/lib/dbus/machine-id")


def test_greeter_layouts_and_login(xfce_iso: Path, tmp_path: Path) -> None:
    """The keymap of the boot menu is in force; another is chosen in the greeter, and types."""
    with booted(xfce_iso, "cd on BIOS", "vconsole.keymap=de-latin1", tmp_path) as guest:
        keys = guest.answer("sudo -n dumpkeys -C /dev/tty1")
        assert "keycode  21 = z" in keys
        guest.wait_for_process("lightdm-gtk-greeter", SESSION_SECONDS)
        greeter = guest.screen.wait_until("the greeter", is_greeter, SESSION_SECONDS)
        guest.keep("xfce-1-greeter")
        check_services(guest)
        guest.answer('grep -q \'XkbLayout" "de,us,fr,es"\' /etc/X11/xorg.conf.d/00-keyboard.conf')
        assert guest.greeter_layouts()[0].split(",")[0] == "de"

        guest.qmp.click(*INDICATOR, soon())
        menu = has_menu_over(greeter)
        guest.screen.wait_until("the menu of layouts", menu, SESSION_SECONDS)
        for _ in range(10):
            guest.qmp.press(["down"], soon())
        guest.screen.wait_until("the tenth layout", menu, ANSWER_SECONDS)
        guest.keep("xfce-2-layouts")
        guest.qmp.press(["ret"], soon())
        guest.qmp.point(0.6, 0.8, soon())
        guest.screen.wait_until("no menu", is_like(greeter), ANSWER_SECONDS)
        assert guest.greeter_layouts() == ["us", "dvorak"]

        guest.qmp.type("voidlinux".translate(DVORAK), soon())
        guest.screen.wait_until("the password", is_like(greeter), ANSWER_SECONDS)
        guest.keep("xfce-3-login")
        guest.qmp.press(["ret"], soon())
        for name in SESSION:
            guest.wait_for_process(name, SESSION_SECONDS)
        guest.screen.wait_until("the desktop", is_desktop, SESSION_SECONDS)
        guest.keep("xfce-4-desktop")
        assert guest.layouts() == ["us", "dvorak"]
        guest.answer("test $(pgrep -u anon -x -c 'xfwm4|xfce4-panel') = 2")


def test_autologin(xfce_iso: Path, tmp_path: Path) -> None:
    """`live.autologin` brings the desktop without the greeter, on the keys of the boot menu.

    From the same ISO as USB stick of a machine with UEFI.
    """
    words = "live.autologin vconsole.keymap=fr-latin9"
    with booted(xfce_iso, "usb on UEFI", words, tmp_path) as guest:
        guest.answer("test -d /sys/firmware/efi")
        for name in SESSION:
            guest.wait_for_process(name, SESSION_SECONDS)
        guest.screen.wait_until("the desktop", is_desktop, SESSION_SECONDS)
        guest.keep("xfce-5-autologin")
        # The plus says that the key for capitals works on it.
        assert "keycode  16 = +a " in guest.answer("sudo -n dumpkeys -C /dev/tty1")
        assert guest.layouts() == ["fr,us,de,fr", "latin9,,,"]
        guest.answer("! sudo -n grep -r lightdm-gtk-greeter /var/log/lightdm/lightdm.log")


def test_the_offline_checks_pass(xfce_iso: Path) -> None:
    """Those of the greeter too, which only a system with LightDM is asked."""
    (report,) = voidimg_json("--quiet", "lint", "--json", xfce_iso)
    assert {one["check"] for one in report["defects"]} <= {"live-public-password"}
    assert {"greeter-layout", "greeter-session"} <= set(report["checks"])


def test_every_keymap_leads_to_layouts_that_x_has() -> None:
    """With their variants, as xkeyboard-config lists them."""
    repository = provide(arch="x86_64")
    packages = pc_tree.planned(repository, ["xkeyboard-config"])
    (path,) = (one.path for one in packages if one.step.pkgname == "xkeyboard-config")
    assert path is not None
    rules = run(["bsdtar", "-xOf", path, "./usr/share/X11/xkb/rules/evdev.lst"]).stdout.decode()
    sections = {part.split()[0]: part.splitlines()[1:] for part in rules.split("! ")[1:]}
    known = {line.split()[0] for line in sections["layout"] if line.strip()}
    for line in filter(str.strip, sections["variant"]):
        variant, layout = line.split(":")[0].split()
        known.add(f"{layout}({variant})")
    lines = (SHIPPED / "templates/live/dracut/keymaps").read_text().splitlines()
    asked = {layout for line in lines for layout in line.split()[1:]}
    assert asked <= known
