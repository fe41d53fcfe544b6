"""What must be true of every live system that was started with our words on its command line."""

from __future__ import annotations

from tests.boot.pc import Guest

SERVICES = ("acpid", "chronyd", "sshd", "wpa_supplicant")
USER = "eve"
WORDS = f"live.user={USER} vconsole.keymap=fr-latin1 locale.LANG=C.UTF-8"
"""None of them is what the profile says."""


def check_root(guest: Guest) -> None:
    """A squashfs below a layer that can be written, and a name that leads to this machine."""
    mounts = guest.answer("cat /proc/mounts")
    assert " / overlay rw," in mounts
    assert " squashfs ro," in mounts
    assert guest.answer("sudo -n sh -c 'echo kept > /etc/written && cat /etc/written'") == "kept"
    assert guest.answer("uname -n") == "void-live"


def check_user(guest: Guest, port: str = "ttyS0") -> None:
    """Who the command line named, and nobody else, is there, on `port`, and may do everything."""
    assert f"uid=1000({USER})" in guest.answer("id")
    assert guest.answer("id -Gn").split() == [USER, "wheel", "audio", "video"]
    assert "anon" not in guest.answer("cat /etc/passwd")
    assert guest.answer("pwd; echo $HOME; ps -o tty= -p $PPID").split() == [
        *(f"/home/{USER}", f"/home/{USER}", port)
    ]
    # sudo says so on its standard error when the host's name leads nowhere.
    assert guest.answer("sudo -n id -un") == "root"


def check_services(guest: Guest) -> None:
    """They run, also those that have nothing to do on this machine; sshd takes connections."""
    for service in SERVICES:
        guest.answer(f"until sudo -n sv check {service}; do sleep 1; done")
        assert guest.answer(f"sudo -n sv status {service}").startswith("run: ")
    guest.answer("until pgrep -x chronyd && pgrep -x sshd; do sleep 1; done")
    guest.answer("until ss -ltn | grep -q ':22 '; do sleep 1; done")
