"""The boot-time hooks of the live system, run by dash against a fake root.

dracut's own functions and the programs of the target are stood in for; the hooks are the shipped
ones.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from voidimg.catalog.catalog import Catalog
from voidimg.spec.search import SHIPPED
from voidimg.spec.templates import Templates

MODULE = SHIPPED / "templates/live/dracut"
HOOKS = ("user", "display-manager", "serial", "locale", "accessibility", "nomodeset")

DRACUT_LIB = """
warn() { echo "warning: $*" >> "$LOG"; }
getargs() {
    for _word in $CMDLINE; do
        case "$_word" in "$1"*) printf '%s ' "${_word#"$1"}" ;; esac
    done
}
getarg() {
    _key=${1%=} _found=1 _last=
    for _word in $CMDLINE; do
        case "$_word" in
            "$_key="*) _found=0 _last=${_word#*=} ;;
            "$_key") case "$1" in *=) ;; *) _found=0 _last= ;; esac ;;
        esac
    done
    [ "$_found" = 1 ] || echo "$_last"
    return "$_found"
}
getargbool() {
    _default=$1
    _value=$(getarg "$2") || _value=$_default
    case "$_value" in 0 | no | off) return 1 ;; esac
    return 0
}
"""

CHROOT = """#!/bin/sh
root=$1; shift
echo "$*" >> "$LOG"
for name; do :; done
[ "$1" != useradd ] || echo "$name:x:1000:1000::/home/$name:/bin/bash" >> "$root/etc/passwd"
"""


class Medium:
    """A fake root on a medium that keeps what is written, and its starts."""

    def __init__(self, directory: Path, profile: str):
        self.root = directory / "root"
        self.module = directory / "module"
        self._programs = directory / "bin"
        self.log = directory / "log"
        self.consoles = directory / "consoles"
        shutil.copytree(MODULE, self.module)
        resolved = Catalog().recipe("x86_64", profile)
        context = {"recipe": resolved.recipe, "password_hash": "$6$salt$hash", "date": "20240314"}
        conf = Templates.read(resolved.templates).render("live/dracut/live.conf.j2", context)
        (self.module / "live.conf").write_text(conf)
        (self.module / "dracut-lib.sh").write_text(DRACUT_LIB)
        self._programs.mkdir()
        (self._programs / "chroot").write_text(CHROOT)
        (self._programs / "chroot").chmod(0o755)
        for name in ("etc/runit/runsvdir/default", "bin", "etc/default"):
            (self.root / name).mkdir(parents=True)
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        self.write("etc/group", "root:x:0:\naudio:x:1:\nvideo:x:2:\nwheel:x:3:\n")
        self.write("etc/shells", "/bin/sh\n")
        self.write("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")
        self.write("etc/rc.conf", '#HARDWARECLOCK="UTC"\n#KEYMAP="es"\n#FONT="lat9w-16"\n')
        self.service("agetty-tty1", 'GETTY_ARGS="--noclear"\nBAUD_RATE=38400\n')

    def write(self, path: str, text: str) -> None:
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(text)

    def program(self, path: str) -> None:
        self.write(path, "")
        (self.root / path).chmod(0o755)

    def service(self, name: str, conf: str | None = None) -> None:
        (self.root / "etc/sv" / name).mkdir(parents=True)
        if conf is not None:
            self.write(f"etc/sv/{name}/conf", conf)

    def start(self, cmdline: str = "", *hooks: str) -> str:
        """Run the hooks as dracut does, in one shell; what they logged."""
        self.log.write_text("")
        script = '. "$VOID_LIVE/dracut-lib.sh"\n' + "".join(
            f'. "$VOID_LIVE/live-{name}.sh"\n' for name in hooks or HOOKS
        )
        environment = {
            "PATH": f"{self._programs}:{os.environ['PATH']}",
            "VOID_LIVE": str(self.module),
            "VOID_LIVE_CONSOLES": str(self.consoles),
            "NEWROOT": str(self.root),
            "CMDLINE": cmdline,
            "LOG": str(self.log),
        }
        ended = subprocess.run(
            ["dash", "-c", script], env=environment, capture_output=True, text=True, timeout=30
        )
        assert (ended.returncode, ended.stderr, ended.stdout) == (0, "", "")
        return self.log.read_text()

    def text(self, path: str) -> str:
        return (self.root / path).read_text()

    def enabled(self) -> dict[str, str]:
        level = self.root / "etc/runit/runsvdir/default"
        return {path.name: os.readlink(path) for path in sorted(level.iterdir())}

    def snapshot(self) -> dict[str, tuple[int, str]]:
        found = {}
        for path in sorted(self.root.rglob("*")):
            status = path.lstat()
            if path.is_symlink():
                text = os.readlink(path)
            else:
                text = path.read_text() if path.is_file() else ""
            found[str(path.relative_to(self.root))] = (stat.S_IMODE(status.st_mode), text)
        return found


@pytest.fixture
def base(tmp_path: Path) -> Medium:
    return Medium(tmp_path, "base")


@pytest.fixture
def xfce(tmp_path: Path) -> Medium:
    medium = Medium(tmp_path, "xfce")
    medium.service("lightdm")
    medium.write("etc/lightdm/.session", "xfce\n")
    medium.write(
        "etc/lightdm/lightdm.conf", "[LightDM]\n#x=1\n\n[Seat:*]\n#autologin-user=\n\n[V]\n"
    )
    medium.write("etc/X11/xorg.conf.d/00-keyboard.conf", "")
    medium.write("etc/polkit-1/actions/a", "")
    return medium


EVERYTHING = (
    "live.user=eve live.shell=/bin/zsh live.autologin live.accessibility locale.LANG=de_DE.UTF-8"
    " vconsole.keymap=de-latin1 console=tty0 console=ttyS0,115200n8 console=ttyAMA0 nomodeset"
)


@pytest.mark.parametrize("cmdline", ["", EVERYTHING])
def test_a_second_start_changes_nothing(xfce: Medium, cmdline: str) -> None:
    """On a persistent medium the hooks find their own work and leave it."""
    xfce.program("bin/zsh")
    for name in ("espeakup", "brltty", "agetty-ttyS0", "agetty-generic"):
        xfce.service(name)
    first = xfce.start(cmdline)
    before = xfce.snapshot()
    second = xfce.start(cmdline)
    assert xfce.snapshot() == before
    assert first.count("useradd") == 1
    assert "useradd" not in second
    assert "warning" not in first + second


def test_what_a_start_asks_for_is_gone_after_one_that_does_not(xfce: Medium) -> None:
    """Autologin, nomodeset, speech, and logins on serial ports do not stay on the medium."""
    for name in ("espeakup", "brltty", "agetty-ttyS0", "agetty-ttyS1"):
        xfce.service(name)
    xfce.start("")
    plain = xfce.snapshot()
    xfce.start("live.autologin nomodeset")
    assert xfce.snapshot() != plain
    xfce.start("")
    assert xfce.snapshot() == plain
    xfce.start("live.accessibility console=ttyS0 console=ttyS1")
    assert set(xfce.enabled()) == {"espeakup", "brltty", "agetty-ttyS0", "agetty-ttyS1"}
    xfce.start("console=ttyS1")
    assert set(xfce.enabled()) == {"agetty-ttyS1"}
    xfce.start("")
    assert xfce.enabled() == {}


def test_what_the_user_enabled_stays(base: Medium) -> None:
    """Only what the live system itself enabled is taken back."""
    base.service("espeakup")
    link = base.root / "etc/runit/runsvdir/default/espeakup"
    link.symlink_to("/etc/sv/espeakup")
    for cmdline in ("live.accessibility", ""):
        base.start(cmdline)
        assert base.enabled() == {"espeakup": "/etc/sv/espeakup"}


def test_the_live_user_of_the_profile(base: Medium) -> None:
    """Made once with the password's hash and those groups that exist; sudo asks nothing."""
    base.program("bin/bash")
    base.write("etc/group", "root:x:0:\naudio:x:1:\nwheel:x:3:\n")
    log = base.start("", "user")
    assert log == "useradd -m -c anon -s /bin/bash -G audio,wheel -p $6$salt$hash anon\n"
    assert base.text("etc/hostname") == "void-live\n"
    hosts = "127.0.0.1 localhost\n::1 localhost\n127.0.1.1 void-live\n"
    assert base.text("etc/hosts") == hosts
    assert base.text("etc/default/live.conf") == "USERNAME=anon\n"
    assert base.text("etc/shells") == "/bin/sh\n/bin/bash\n"
    sudoers = base.root / "etc/sudoers.d/99-void-live"
    assert sudoers.read_text() == "%wheel ALL=(ALL:ALL) NOPASSWD: ALL\n"
    assert stat.S_IMODE(sudoers.stat().st_mode) == 0o440


def test_the_live_user_of_the_command_line(base: Medium) -> None:
    """The last live.user= and live.shell= count."""
    base.program("bin/zsh")
    log = base.start("live.user=adam live.user=eve live.shell=/bin/zsh", "user")
    assert "-s /bin/zsh -G audio,video,wheel -p $6$salt$hash eve\n" in log
    assert base.text("etc/default/live.conf") == "USERNAME=eve\n"
    assert base.text("etc/shells") == "/bin/sh\n/bin/zsh\n"


@pytest.mark.parametrize("name", ["root", "Eve", "1st", "a;b", "../x", "-r", "a" * 33])
def test_what_can_be_no_user(base: Medium, name: str) -> None:
    """The profile's user is made instead, and the log says why."""
    log = base.start(f"live.user={name}", "user")
    assert "warning: live.user=" in log
    assert log.endswith(" anon\n")


def test_the_longest_name(base: Medium) -> None:
    """As useradd counts."""
    assert base.start(f"live.user={'a' * 32}", "user").endswith(f" {'a' * 32}\n")


@pytest.mark.parametrize("shell", ["/bin/fish", "/bin"])
def test_a_shell_that_is_no_program(shell: str, base: Medium) -> None:
    """/bin/sh is there always, bash mostly."""
    log = base.start(f"live.shell={shell}", "user")
    assert f"warning: live.shell={shell} " in log
    assert "-s /bin/sh " in log


def test_polkit_asks_the_group_wheel_nothing(xfce: Medium) -> None:
    """Where polkit is installed; its own user must be able to read the rule."""
    log = xfce.start("", "user")
    rules = "etc/polkit-1/rules.d/void-live.rules"
    assert 'subject.isInGroup("wheel")' in xfce.text(rules)
    assert f"chown polkitd:polkitd /{rules}\n" in log


@pytest.mark.parametrize(
    ("cmdline", "expected"),
    [
        ("", 0),
        ("live.autologin", 1),
        ("live.autologin=1", 1),
        ("live.autologin live.autologin=0", 0),
    ],
)
def test_autologin(xfce: Medium, cmdline: str, expected: int) -> None:
    """On the console and of the display manager alike; the greeter is seen otherwise."""
    xfce.start(cmdline, "user", "display-manager")
    conf = xfce.text("etc/lightdm/lightdm.conf")
    keys = ["user-session=xfce"]
    if expected:
        keys += ["autologin-user=anon", "autologin-user-timeout=0", "autologin-session=xfce"]
    lines = conf.splitlines()
    assert [line for line in lines if "=" in line and line[0] != "#"] == keys
    assert lines.index("[Seat:*]") < lines.index(keys[0]) < lines.index("[V]")
    getty = xfce.text("etc/sv/agetty-tty1/conf").splitlines()[0]
    assert (" -a anon" in getty) == bool(expected)


def test_every_display_manager_has_its_own_file(base: Medium) -> None:
    """Only those that are installed are told."""
    base.start("live.autologin", "display-manager")
    assert not (base.root / "etc/sddm.conf").exists()
    for name in ("sddm", "gdm", "lxdm"):
        base.service(name)
    base.write("etc/lxdm/lxdm.conf", "[base]\n# autologin=dgod\n[server]\nautologin=x\n")
    base.start("live.autologin live.user=eve", "display-manager")
    assert base.text("etc/sddm.conf").startswith("[Autologin]\nUser=eve\n")
    expected = "[daemon]\nAutomaticLoginEnable=true\nAutomaticLogin=eve\n"
    assert base.text("etc/gdm/custom.conf") == expected
    lxdm = base.text("etc/lxdm/lxdm.conf")
    assert lxdm == "[base]\n# autologin=dgod\nautologin=eve\n[server]\nautologin=x\n"


def test_every_serial_console_gets_a_login(base: Medium) -> None:
    """All console= count, with their speeds; screens and what is no terminal do not."""
    base.service("agetty-ttyS0", "BAUD_RATE=9600\nTERM_NAME=vt100\n")
    base.service("agetty-generic")
    base.service("agetty-hvc0")
    base.start("console=tty0 console=tty1 console=ttyS0,115200n8 console=ttyAMA0 console=hvc0"
               " console=ttyS2,1500000 console=null console=uart8250,io,0x3f8"
               " console=../ttyS3", "serial")  # fmt: skip
    names = ("ttyAMA0", "ttyS0", "hvc0", "ttyS2")
    assert base.enabled() == {f"agetty-{name}": f"/etc/sv/agetty-{name}" for name in names}
    assert base.text("etc/sv/agetty-ttyS0/conf") == "BAUD_RATE=115200\nTERM_NAME=vt100\n"
    conf = 'GETTY_ARGS="-L"\nTERM_NAME=vt100\n'
    assert base.text("etc/sv/agetty-ttyAMA0/conf") == conf
    assert base.text("etc/sv/agetty-ttyS2/conf") == conf + "BAUD_RATE=1500000\n"
    assert os.readlink(base.root / "etc/sv/agetty-ttyS2/run") == "../agetty-generic/run"


def test_the_port_that_the_kernel_chose_gets_a_login(base: Medium) -> None:
    """Without console= firmware names it, as on ARM machines; with it the words alone count."""
    base.service("agetty-ttyAMA0", "BAUD_RATE=115200\n")
    base.service("agetty-ttyS0", "BAUD_RATE=9600\n")
    base.consoles.write_text("tty0 ttyAMA0\n")
    base.start("console=tty0 console=ttyS0", "serial")
    assert list(base.enabled()) == ["agetty-ttyS0"]
    base.start("", "serial")
    assert list(base.enabled()) == ["agetty-ttyAMA0"]


def test_without_a_serial_console_nothing_is_enabled(base: Medium) -> None:
    base.service("agetty-ttyS0")
    base.start("console=tty0", "serial")
    assert base.enabled() == {}


def test_language_and_keymap(base: Medium) -> None:
    """Lines that are there are replaced, also those that are comments."""
    base.write("etc/locale.conf", "LANG=en_US.UTF-8\nLC_TIME=C\n")
    base.start("locale.LANG=de_DE.UTF-8 vconsole.keymap=de-latin1", "locale")
    assert base.text("etc/locale.conf") == "LANG=de_DE.UTF-8\nLC_TIME=C\nLC_COLLATE=C\n"
    expected = '#HARDWARECLOCK="UTC"\nKEYMAP=de-latin1\n#FONT="lat9w-16"\n'
    assert base.text("etc/rc.conf") == expected
    base.write("etc/vconsole.conf", "KEYMAP=us")
    base.start("vconsole.keymap=fr", "locale")
    assert base.text("etc/vconsole.conf") == "KEYMAP=fr\n"
    assert not (base.root / "etc/X11").exists()


def test_words_that_are_no_locale_and_no_keymap(base: Medium) -> None:
    """They would be read by a shell."""
    log = base.start("locale.LANG=$(x) vconsole.keymap=../x;y", "locale")
    assert log.count("warning") == 2
    assert not (base.root / "etc/locale.conf").exists()
    assert "KEYMAP=us\n" in base.text("etc/rc.conf")


@pytest.mark.parametrize(
    ("keymap", "layouts", "variants"),
    [
        ("us", "us,de,fr,es", ",,,"),
        ("de-latin1", "de,us,fr,es", ",,,"),
        ("de-latin1-nodeadkeys", "de,us,de,fr", "nodeadkeys,,,"),
        ("uk", "gb,us,de,fr", ",,,"),
        ("cz", "cz,us,de,fr", "qwerty,,,"),
        ("ru", "us,ru,de,fr", ",,,"),
        ("dvorak-ru", "us,ru,us,de", "dvorak,,,"),
    ],
)
def test_the_keymap_reaches_x(xfce: Medium, keymap: str, layouts: str, variants: str) -> None:
    """It is the first of four layouts; LightDM and the session read the same file."""
    xfce.start(f"vconsole.keymap={keymap}", "locale")
    conf = xfce.text("etc/X11/xorg.conf.d/00-keyboard.conf")
    assert f'\tOption "XkbLayout" "{layouts}"\n' in conf
    assert f'\tOption "XkbVariant" "{variants}"\n' in conf
    assert '"grp:alt_shift_toggle"' in conf


def test_a_keymap_that_x_does_not_know(xfce: Medium) -> None:
    """The console has it; X offers what it offers."""
    log = xfce.start("vconsole.keymap=applkey", "locale")
    assert "warning: no layout of X" in log
    assert '"us,de,fr,es"' in xfce.text("etc/X11/xorg.conf.d/00-keyboard.conf")
    assert "KEYMAP=applkey\n" in xfce.text("etc/rc.conf")


def test_the_built_keyboard_file_is_that_of_the_hook(xfce: Medium) -> None:
    """Without vconsole.keymap the file of the tree stays as it was made."""
    resolved = Catalog().recipe("x86_64", "xfce")
    made = Templates.read(resolved.templates).render(
        "live/keyboard.conf.j2", {"recipe": resolved.recipe}
    )
    path = "etc/X11/xorg.conf.d/00-keyboard.conf"
    xfce.write(path, made)
    xfce.start("", "locale")
    assert xfce.text(path) == made


def test_speech_and_braille_when_asked_for(base: Medium) -> None:
    """Only what is installed is started."""
    base.service("espeakup")
    base.start("", "accessibility")
    assert base.enabled() == {}
    base.start("live.accessibility", "accessibility")
    assert base.enabled() == {"espeakup": "/etc/sv/espeakup"}


def test_without_mode_setting_the_display_manager_stays_down(xfce: Medium) -> None:
    """A `down` file of the user's own is left alone."""
    xfce.start("nomodeset", "nomodeset")
    down = xfce.root / "etc/sv/lightdm/down"
    assert down.exists()
    xfce.start("", "nomodeset")
    assert not down.exists()
    down.write_text("")
    xfce.start("", "nomodeset")
    assert down.exists()


def test_every_keymap_is_named_once_with_a_layout() -> None:
    """The table that leads from the console's keymaps to X's layouts."""
    lines = [line.split(" ") for line in (MODULE / "keymaps").read_text().splitlines()]
    assert {len(words) for words in lines} == {2, 3}
    names = [words[0] for words in lines]
    assert len(set(names)) == len(names)


def test_the_module_installs_what_it_has() -> None:
    """Every shipped file is named in its set-up."""
    setup = (MODULE / "module-setup.sh").read_text()
    names = {path.name.removesuffix(".j2") for path in MODULE.iterdir()} - {"module-setup.sh"}
    assert all(name in setup for name in names)
    assert {f"live-{name}.sh" for name in HOOKS} <= names
    subprocess.run(["bash", "-n", str(MODULE / "module-setup.sh")], check=True)
