"""A live system that keeps its changes: what its hooks do at the second start and at the third.

A root is set up once. What its owner changed since stays, unless a word on the command line asks
for something else; and whatever links lead where, the hooks write beneath that root only.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.live.test_dracut_hooks import EVERYTHING, MODULE, Medium
from voidimg.inspection.rights import READ, Right, find_rights
from voidimg.inspection.tree_files import TarFiles
from voidimg.lint.lint import lint_artifact
from voidimg.run import run

ISSUE = (
    'Welcome (\\n) \\l\n\nThe user is "anon", the password "voidlinux".\n'
    'The password of root is "voidlinux".\n\n'
)
SUDOERS = "etc/sudoers.d/99-void-live"
RULES = "etc/polkit-1/rules.d/void-live.rules"
MENU = "vconsole.keymap=us locale.LANG=en_US.UTF-8 console=tty0 console=ttyS0,115200"
"""What every entry of a menu with a serial console says."""


@pytest.fixture
def medium(tmp_path: Path) -> Medium:
    """XFCE with everything that a hook could write into."""
    medium = Medium(tmp_path, "xfce")
    for name in ("lightdm", "sddm", "gdm", "lxdm", "espeakup", "brltty", "agetty-ttyS0"):
        medium.service(name)
    medium.program("bin/bash")
    medium.program("bin/zsh")
    medium.write("etc/sv/agetty-ttyS0/conf", "BAUD_RATE=9600\n")
    medium.write("etc/lightdm/.session", "xfce\n")
    medium.write("etc/lightdm/lightdm.conf", "[Seat:*]\n")
    medium.write("etc/X11/xorg.conf.d/00-keyboard.conf", "")
    medium.write("etc/polkit-1/actions/a", "")
    medium.write("etc/issue", ISSUE)
    medium.write("etc/locale.conf", "LANG=en_US.UTF-8\n")
    medium.write("etc/default/libc-locales", "en_US.UTF-8 UTF-8\nde_DE.UTF-8 UTF-8\n#fr_FR.UTF-8\n")
    medium.write("etc/shadow", "root:$6$s$root:1::::::\n")
    medium.write("usr/share/kbd/keymaps/i386/qwerty/us.map.gz", "")
    medium.write("usr/share/kbd/keymaps/i386/qwertz/de-latin1.map.gz", "")
    return medium


def told(medium: Medium) -> list[str]:
    """What stands above the login of what is not as it was asked for."""
    lines = medium.text("etc/issue").splitlines()
    return [line for line in lines if line.startswith("Not as asked: ")]


def without(path: str) -> Callable[[Medium], object]:
    return lambda medium: (medium.root / path).unlink()


def replacing(path: str, old: str, new: str) -> Callable[[Medium], object]:
    def change(medium: Medium) -> None:
        text = medium.text(path)
        assert old in text
        medium.write(path, text.replace(old, new))

    return change


def writing(path: str, text: str) -> Callable[[Medium], object]:
    return lambda medium: medium.write(path, text)


def without_facts(found: dict[str, tuple[int, str]]) -> dict[str, tuple[int, str]]:
    """A snapshot without what the hooks remember for themselves."""
    return {path: what for path, what in found.items() if "var/lib/void-live/" not in path}


OWNERS: dict[str, Callable[[Medium], object]] = {
    "the live user removed": replacing("etc/passwd", "anon:x:1000", "gone:x:1000"),
    "the live user renamed": replacing("etc/passwd", "anon:", "alice:"),
    "no sudo rule": without(SUDOERS),
    "another sudo rule": writing(SUDOERS, "%wheel ALL=(ALL:ALL) ALL\n"),
    "no polkit rule": without(RULES),
    "another polkit rule": writing(RULES, "// nothing\n"),
    "another host name": writing("etc/hostname", "mine\n"),
    "other hosts": writing("etc/hosts", "127.0.0.1 localhost\n127.0.1.1 mine\n"),
    "another language": writing("etc/locale.conf", "LANG=de_DE.UTF-8\n"),
    "another keymap": replacing("etc/rc.conf", "KEYMAP=us", "KEYMAP=de-latin1"),
    "another layout": writing("etc/X11/xorg.conf.d/00-keyboard.conf", "# mine\n"),
    "another session": replacing("etc/lightdm/lightdm.conf", "session=xfce", "session=mate"),
    "an autologin": writing("etc/sddm.conf", "[Autologin]\nUser=alice\n"),
    "another name in live.conf": writing("etc/default/live.conf", "USERNAME=alice\n"),
    "an autologin on the console": writing("etc/sv/agetty-tty1/conf", 'GETTY_ARGS="-a alice"\n'),
    "another speed": writing("etc/sv/agetty-ttyS0/conf", "BAUD_RATE=57600\n"),
    "no serial login": without("etc/runit/runsvdir/default/agetty-ttyS0"),
    "a service of its own": lambda medium: (
        medium.root / "etc/runit/runsvdir/default/espeakup"
    ).symlink_to("/etc/sv/espeakup"),
    "a display manager that is down": writing("etc/sv/lightdm/down", ""),
    "other shells": writing("etc/shells", "/bin/sh\n"),
    "another issue": writing("etc/issue", "Mine\n"),
}
"""What the owner of a root did after its first start."""


@pytest.mark.parametrize("name", OWNERS)
def test_what_its_owner_changed_stays(medium: Medium, name: str) -> None:
    """At the second start and at the third, with the words of the menu that are there always."""
    medium.start(MENU)
    OWNERS[name](medium)
    before = medium.snapshot()
    issue = "etc/issue"
    for _ in range(2):
        log = medium.start(MENU)
        assert "useradd" not in log
        after = medium.snapshot()
        if "live user" in name:  # the issue says it no more
            assert '"anon"' not in medium.text(issue)
            before[issue] = after[issue]
        assert without_facts(after) == without_facts(before)


@pytest.mark.parametrize("cmdline", ["", MENU, EVERYTHING])
def test_three_starts_without_an_owner(medium: Medium, cmdline: str) -> None:
    """All is as after the first one."""
    medium.start(cmdline)
    first = medium.snapshot()
    for _ in range(2):
        medium.start(cmdline)
        assert medium.snapshot() == first


def test_a_word_asks_again(medium: Medium) -> None:
    """What is typed comes before what the owner changed."""
    medium.start(MENU)
    OWNERS["the live user removed"](medium)
    OWNERS["another language"](medium)
    medium.write("etc/rc.conf", "KEYMAP=fr\n")
    log = medium.start(f"{MENU} live.user=eve vconsole.keymap=de-latin1 live.autologin")
    assert log.count("useradd") == 1
    assert log.strip().endswith(" eve")
    assert "KEYMAP=de-latin1" in medium.text("etc/rc.conf")
    assert medium.text("etc/default/live.conf") == "USERNAME=eve\n"
    assert "autologin-user=eve\n" in medium.text("etc/lightdm/lightdm.conf")
    assert 'The user is "eve", the password "voidlinux".' in medium.text("etc/issue")
    # And it stays the live user, who is logged in only when that is asked for.
    assert "useradd" not in medium.start(MENU)
    assert "autologin-user" not in medium.text("etc/lightdm/lightdm.conf")
    assert medium.text("etc/default/live.conf") == "USERNAME=eve\n"


def test_words_of_the_profile_ask_for_nothing(medium: Medium) -> None:
    """They are in every entry of the menu: at the first start they count, later the owner does."""
    words = "live.user=eve vconsole.keymap=de-latin1 locale.LANG=de_DE.UTF-8"
    with (medium.module / "live.conf").open("a") as conf:
        conf.write(f"LIVE_CMDLINE='{words}'\n")
    assert " eve\n" in medium.start(f"{MENU} {words}")
    assert "KEYMAP=de-latin1" in medium.text("etc/rc.conf")
    replacing("etc/passwd", "eve:", "alice:")(medium)
    replacing("etc/rc.conf", "KEYMAP=de-latin1", "KEYMAP=us")(medium)
    medium.write("etc/locale.conf", "LANG=C\n")
    for _ in range(2):
        assert "useradd" not in medium.start(f"{MENU} {words}")
        assert "KEYMAP=us" in medium.text("etc/rc.conf")
        assert medium.text("etc/locale.conf").startswith("LANG=C\n")
        assert told(medium) == []


def test_the_root_is_set_up_once_more_when_that_is_asked_for(medium: Medium) -> None:
    """live.setup: as at the first start, over what was changed since."""
    medium.start(MENU)
    OWNERS["the live user removed"](medium)
    OWNERS["no sudo rule"](medium)
    OWNERS["another keymap"](medium)
    OWNERS["no serial login"](medium)
    medium.start(MENU)
    assert medium.start(f"{MENU} live.setup").count("useradd") == 1
    assert (medium.root / SUDOERS).exists()
    assert "KEYMAP=us" in medium.text("etc/rc.conf")
    assert "agetty-ttyS0" in medium.enabled()
    assert "useradd" not in medium.start(MENU)


def test_autologin_of_the_profile_is_set_once(medium: Medium) -> None:
    """Who takes it out finds it no more."""
    conf = "etc/lightdm/lightdm.conf"
    module = medium.module / "live.conf"
    module.write_text(module.read_text().replace("LIVE_AUTOLOGIN='0'", "LIVE_AUTOLOGIN='1'"))
    medium.start()
    assert "autologin-user=anon\n" in medium.text(conf)
    medium.start("live.autologin=0")
    assert "autologin-user" not in medium.text(conf)
    medium.start()
    assert "autologin-user=anon\n" in medium.text(conf)
    medium.write(conf, "[Seat:*]\n")
    medium.start()
    assert "autologin" not in medium.text(conf)


def test_what_autologin_replaced_comes_back(medium: Medium) -> None:
    """The owner's own autologin, and the one that was asked for at one start."""
    medium.start()
    medium.write("etc/sddm.conf", "[Autologin]\nUser=alice\n[X]\n")
    getty = "etc/sv/agetty-tty1/conf"
    medium.write(getty, 'GETTY_ARGS="-a alice"\n')
    for word, who in (("live.autologin", "anon"), ("live.autologin", "anon"), ("", "alice")):
        medium.start(word)
        assert f"User={who}\n" in medium.text("etc/sddm.conf")
        assert f"-a {who}" in medium.text(getty)
    medium.start("live.autologin=0")
    assert "User=" not in medium.text("etc/sddm.conf")
    medium.start()
    assert "User=alice\n" in medium.text("etc/sddm.conf")


def test_nobody_is_logged_in_who_is_gone(medium: Medium) -> None:
    """No display manager and no console waits for an account that its owner removed."""
    medium.start("live.autologin")
    OWNERS["the live user removed"](medium)
    medium.start("live.autologin")
    for path in ("etc/lightdm/lightdm.conf", "etc/sddm.conf", "etc/sv/agetty-tty1/conf"):
        assert "anon" not in medium.text(path)


TAKEN = ["audio", "wheel", "root", "daemon", "_chrony"]
SYSTEM = "daemon:x:1:1::/:/bin/false\n_chrony:x:999:999::/:/bin/false\n"


@pytest.mark.parametrize("name", [*TAKEN, "Eve", "../x", "-r", "a" * 33, "a\\q"])
def test_a_name_that_cannot_be_the_user(medium: Medium, name: str) -> None:
    """The profile's user is made instead; the screen says so, for as long as it is so."""
    medium.write("etc/passwd", medium.text("etc/passwd") + SYSTEM)
    log = medium.start(f"{MENU} live.user={name}")
    assert log.count("useradd") == 1
    assert " anon\n" in log
    (line,) = told(medium)
    assert line.endswith("; the user is anon")
    assert "\\" not in line
    assert 'The user is "anon", the password "voidlinux".\n' in medium.text("etc/issue")
    assert medium.text("etc/default/live.conf") == "USERNAME=anon\n"
    medium.start(f"{MENU} live.user={name}")
    assert len(told(medium)) == 1
    medium.start(MENU)
    assert told(medium) == []
    assert medium.text("etc/issue") == ISSUE


def test_the_name_of_the_profile_may_be_taken_too(medium: Medium) -> None:
    """Nobody is made, and the screen says so."""
    medium.write("etc/group", medium.text("etc/group") + "anon:x:77:\n")
    assert "useradd" not in medium.start(f"{MENU} live.autologin")
    assert told(medium) == [
        "Not as asked: anon is a name that the system has already: there is no live user"
    ]
    assert '"anon"' not in medium.text("etc/issue")
    assert "anon" not in medium.text("etc/lightdm/lightdm.conf")


@pytest.mark.parametrize(("uid", "is_there"), [(1000, True), (77, False)])
def test_a_root_of_an_earlier_live_system(medium: Medium, uid: int, is_there: bool) -> None:
    """Its live user is there, and no fact of it; an account of the system is another thing."""
    medium.write("etc/passwd", f"root:x:0:0::/:/x\nanon:x:{uid}:{uid}::/home/anon:/bin/sh\n")
    assert "useradd" not in medium.start(MENU)
    assert (told(medium) == []) is is_there
    assert ('The user is "anon"' in medium.text("etc/issue")) is is_there


def test_an_account_of_the_owner_can_be_the_user(medium: Medium) -> None:
    """On a root that was set up before, people have accounts of their own."""
    medium.start(MENU)
    medium.write("etc/passwd", medium.text("etc/passwd") + "bob:x:1001:1001::/home/bob:/bin/sh\n")
    medium.write("etc/shadow", "root:$6$s$root:1::::::\nbob:$6$s$bob:1::::::\n")
    assert "useradd" not in medium.start(f"{MENU} live.user=bob live.autologin")
    assert told(medium) == []
    assert "autologin-user=bob\n" in medium.text("etc/lightdm/lightdm.conf")
    assert 'The user is "bob".\n' in medium.text("etc/issue")


def test_the_issue_says_no_password_that_was_changed(medium: Medium) -> None:
    """Neither that of the live user nor that of root."""
    medium.start(MENU)
    users = "root:$6$s$root:1::::::\nanon:$6$salt$hash:1::::::\n"
    medium.write("etc/shadow", users)
    medium.start(MENU)
    assert medium.text("etc/issue") == ISSUE
    medium.write("etc/shadow", users.replace("root:1", "mine:1").replace("salt$hash", "salt$mine"))
    medium.start(MENU)
    assert "voidlinux" not in medium.text("etc/issue")
    assert 'The user is "anon".\n' in medium.text("etc/issue")


@pytest.mark.parametrize(
    ("word", "words"),
    [
        ("locale.LANG=fr_FR.UTF-8", "fr_FR.UTF-8 was not generated; the language is en_US.UTF-8"),
        ("locale.LANG=--x", "locale.LANG=--x is no locale; the language is en_US.UTF-8"),
        ("locale.LANG=\\d", "locale.LANG=?d is no locale"),
        ("vconsole.keymap=--x", "vconsole.keymap=--x is no keymap; the keymap is us"),
        ("vconsole.keymap=-u", "is no keymap; the keymap is us"),
        ("vconsole.keymap=dvorak-x", "the console has no keymap dvorak-x; the keymap is us"),
        ("live.shell=/bin/fish", "live.shell=/bin/fish is no program of the live system"),
        ("live.shell=zsh", "live.shell=zsh is no program of the live system"),
    ],
)
def test_what_the_system_does_not_have_is_told(medium: Medium, word: str, words: str) -> None:
    """It falls back to the profile's, and says so on the screen."""
    medium.start(f"{MENU} {word}")
    (line,) = told(medium)
    assert words in line
    assert "KEYMAP=us\n" in medium.text("etc/rc.conf")
    assert "LANG=en_US.UTF-8\n" in medium.text("etc/locale.conf")
    medium.start(MENU)
    assert told(medium) == []


@pytest.mark.parametrize("name", ["de_DE.UTF-8", "de_DE.utf8", "C.UTF-8", "C", "POSIX"])
def test_languages_that_are_there(medium: Medium, name: str) -> None:
    """In either spelling of the character set."""
    medium.start(f"locale.LANG={name}")
    assert medium.text("etc/locale.conf") == f"LANG={name}\nLC_COLLATE=C\n"
    assert told(medium) == []


LINKED = (
    *("etc/rc.conf", "etc/hosts", "etc/shells", "etc/hostname", "etc/issue", "etc/locale.conf"),
    *("etc/default/live.conf", "etc/sv/agetty-tty1/conf", "etc/sv/agetty-ttyS0/conf"),
    *("etc/lightdm/lightdm.conf", "etc/X11/xorg.conf.d/00-keyboard.conf", "etc/sddm.conf"),
    *("etc/gdm/custom.conf", "etc/lxdm/lxdm.conf", SUDOERS, RULES),
)
DIRECTORIES = ("etc/default", "etc/sudoers.d", "etc/polkit-1/rules.d", "etc/runit/runsvdir/default",
               "var/lib", "etc/sv/lightdm", "etc/lightdm", "etc/sv/agetty-ttyS0")  # fmt: skip


@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize("paths", [LINKED, DIRECTORIES])
def test_no_link_leads_out_of_the_root(
    medium: Medium, paths: tuple[str, ...], absolute: bool, tmp_path: Path
) -> None:
    """Where the new root would follow it to, the hooks write; nothing else changes."""
    outside = tmp_path / "outside"
    up = "/".join([".."] * 40)
    insides = []
    for number, path in enumerate(paths):
        there = outside / str(number) / "it"
        there.parent.mkdir(parents=True)
        inside = medium.root / str(there).lstrip("/")
        inside.parent.mkdir(parents=True)
        place = medium.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.exists():
            place.rename(inside)
        elif path in DIRECTORIES:
            inside.mkdir()
        if inside.is_dir():
            there.mkdir()
        else:
            there.write_bytes(inside.read_bytes() if inside.exists() else b"outside")
        place.symlink_to(f"{'' if absolute else up}{there}")
        insides.append(inside)
    before = snapshot_of(outside)
    for cmdline in (EVERYTHING, MENU):
        medium.start(cmdline)
        assert snapshot_of(outside) == before
    for path, inside in zip(paths, insides, strict=True):
        assert (medium.root / path).is_symlink(), path
        assert inside.exists(), path


def snapshot_of(top: Path) -> dict[str, bytes]:
    """Every file below `top`, and every link."""
    return {
        str(path): b"link" if path.is_symlink() else path.read_bytes()
        for path in top.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }


@pytest.mark.parametrize("path", ["etc/rc.conf", "etc/hosts", SUDOERS, "var/lib/void-live/facts"])
@pytest.mark.parametrize("kind", ["directory", "fifo", "circle"])
def test_what_is_no_file_is_left_alone(medium: Medium, path: str, kind: str) -> None:
    """It is neither waited for nor written into; the start goes on."""
    place = medium.root / path
    place.unlink(missing_ok=True)
    place.parent.mkdir(parents=True, exist_ok=True)
    if kind == "directory":
        place.mkdir()
    elif kind == "fifo":
        os.mkfifo(place)
    else:
        place.symlink_to(place.name)
    medium.start(MENU)
    assert f"/{path} is no file" in medium.start(f"{MENU} live.setup vconsole.keymap=de-latin1")


@pytest.mark.parametrize("path", ["usr/bin", "bin/bash"])
def test_a_shell_behind_a_link_is_found(medium: Medium, path: str) -> None:
    """Links are followed as the new root will."""
    if path == "usr/bin":
        (medium.root / "usr").mkdir(exist_ok=True)
        (medium.root / "bin").rename(medium.root / "usr/bin")
        (medium.root / "bin").symlink_to("/usr/bin")
    else:
        (medium.root / "bin/bash").unlink()
        (medium.root / "bin/bash").symlink_to("/bin/zsh")
    assert " -s /bin/bash " in medium.start()


CHECKED = """
. "$VOID_LIVE/dracut-lib.sh"
die() { echo "die: $*"; exit 3; }
. "$VOID_LIVE/live-checked.sh"
"""


@pytest.mark.parametrize(
    ("word", "status"),
    [
        ("", 0),
        ("live.sha256={digest}", 0),
        ("live.sha256={other}", 3),
        ("live.sha256={digest}0", 3),
        ("live.sha256=*", 3),
    ],
)
def test_a_fetched_root_is_compared(medium: Medium, word: str, status: int, tmp_path: Path) -> None:
    """Another one is not started."""
    fetched = tmp_path / "squashfs.img"
    fetched.write_bytes(b"root")
    digest = hashlib.sha256(b"root").hexdigest()
    ended = subprocess.run(
        ["dash", "-c", CHECKED],
        env={
            "PATH": os.environ["PATH"], "VOID_LIVE": str(medium.module), "LOG": str(medium.log),
            "VOID_LIVE_FETCHED": str(fetched),
            "CMDLINE": word.format(digest=digest, other="0" * 64),
        },
        capture_output=True, text=True, timeout=30,
    )  # fmt: skip
    assert ended.returncode == status
    assert ("is not the one" in ended.stdout) == bool(status)


def test_a_root_that_was_not_fetched_is_not_taken_for_checked(
    medium: Medium, tmp_path: Path
) -> None:
    """The word on a medium that nothing was fetched to."""
    environment = {
        "PATH": os.environ["PATH"], "VOID_LIVE": str(medium.module), "LOG": str(medium.log),
        "VOID_LIVE_FETCHED": str(tmp_path / "none"), "CMDLINE": f"live.sha256={'0' * 64}",
    }  # fmt: skip
    ended = subprocess.run(
        ["dash", "-c", CHECKED], env=environment, capture_output=True, timeout=30
    )
    assert ended.returncode == 3


def test_no_hook_names_the_new_root_itself() -> None:
    """But for what is started in it: every path goes through `beneath`."""
    for path in sorted(MODULE.glob("live-*.sh")):
        for line in path.read_text().splitlines():
            assert "NEWROOT" not in line or 'chroot "$NEWROOT"' in line, f"{path.name}: {line}"


def test_what_the_installer_leaves_of_the_live_user(medium: Medium, tmp_path: Path) -> None:
    """It copies the root as it runs, and removes the account and these two files: no right is left.

    The names are those that Void's installer and base-files know.
    """
    for name in ("sshd", "chronyd"):
        medium.service(name)
    medium.write("etc/polkit-1/rules.d/49-own.rules", "// nothing\n")
    for cmdline in (MENU, f"{MENU} live.user=eve live.autologin"):
        medium.start(cmdline)
    assert {right.where for right in rights_in(medium, tmp_path)} == {f"/{SUDOERS}", f"/{RULES}"}
    for path in (SUDOERS, RULES):
        (medium.root / path).unlink()
    for name in ("anon", "eve"):
        line = next(x for x in medium.text("etc/passwd").splitlines() if x.startswith(f"{name}:"))
        medium.write("etc/passwd", medium.text("etc/passwd").replace(f"{line}\n", ""))
    assert rights_in(medium, tmp_path) == ()
    found = lint_artifact(installed(medium, tmp_path)).defects
    assert not [one for one in found if one.check in ("unasked-root", "empty-password")]


def installed(medium: Medium, place: Path) -> Path:
    """The root as a tar."""
    path = place / "void-x86_64-ROOTFS-20240314.tar"
    run(["tar", "-c", "--format=posix", "-f", path, "."], cwd=medium.root)
    return path


def rights_in(medium: Medium, place: Path) -> tuple[Right, ...]:
    return find_rights(TarFiles.of(installed(medium, place), READ))
