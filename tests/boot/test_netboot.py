"""A PC starts over the network from a netboot tarball, up to a login of the live user.

PXE in the network card's own ROM, PXELINUX by TFTP, the root by HTTP; all of it through QEMU's own
network, which reaches this machine's loopback and nothing else is served there.
"""

from __future__ import annotations

import re
import tarfile
import time
from pathlib import Path

import pytest

from tests.command import voidimg_json
from tests.http_server import serving
from tests.images import DATE, PLACE, SPEC
from tests.testrepo import provide
from voidimg.smoke.console import Console
from voidimg.smoke.emulator import started
from voidimg.smoke.shell import Shell, wait_for_login

pytestmark = pytest.mark.smoke

START_SECONDS = 900.0
ANSWER_SECONDS = 60.0
POWER_OFF_SECONDS = 180.0
HOST = "10.0.2.2"
"""This machine, as QEMU's user network calls it."""

PC = (
    *("-cpu", "qemu64", "-smp", "2", "-m", "2G", "-accel", "tcg,thread=multi"),
    *("-display", "none", "-monitor", "none", "-no-reboot"),
    *("-netdev", "user,id=net,tftp={directory},bootfile=pxelinux.0"),
    *("-device", "e1000,netdev=net,bootindex=1"),
)


@pytest.fixture(scope="session")
def tarball() -> Path:
    """The base live system for the network, with its menu and console on the serial port."""
    repository = provide(arch="x86_64")
    (artifact,) = voidimg_json(
        *("--quiet", "--cache", PLACE / "cache", "--out", PLACE / "out"),
        *("build", "x86_64", "--profile", "live-console", "--artifact", "netboot", "--json"),
        *("--date", DATE, "--platforms-and-profiles", SPEC),
        *("-r", repository.path, "--repo-key", repository.key_plist),
    )
    return Path(artifact["path"])


def edited(config: str, server: str) -> str:
    """The menu as whoever serves it changes it: the address, and what starts by itself."""
    assert config.count("//SERVER/") == 4
    config = config.replace("//SERVER/", f"//{server}/")
    config, timeouts = re.subn(r"(?m)^TIMEOUT \d+$", "TIMEOUT 20", config)
    config, defaults = re.subn(r"(?m)^ONTIMEOUT disk$", "ONTIMEOUT linux", config)
    assert (timeouts, defaults) == (1, 1)
    return config


def answer(shell: Shell, command: str) -> str:
    """What `command` says in the guest; it must succeed."""
    found = shell.run(command, time.monotonic() + ANSWER_SECONDS)
    assert found is not None, f"{command} does not end"
    assert found.status == 0, f"{command}: {found.output}"
    return found.output


def test_a_pc_starts_over_the_network(tarball: Path, tmp_path: Path) -> None:
    """The live user logs in; the root came by HTTP; what only made the initramfs is not in it."""
    served = tmp_path / "served"
    with tarfile.open(tarball) as tar:
        tar.extractall(served, filter="data")
    with serving(served) as server:
        config = served / "pxelinux.cfg/default"
        address = f"{HOST}:{server.url.rpartition(':')[2]}"
        config.write_text(edited(config.read_text(), address))
        words = [word.replace("{directory}", str(served)) for word in PC]
        with (
            started("qemu-system-x86_64", words) as emulator,
            (tmp_path / "console.log").open("wb") as file,
            Console(emulator.console, file) as console,
        ):
            until = time.monotonic() + START_SECONDS
            wait_for_login(console, until)
            shell = Shell.log_in(console, "anon", "voidlinux", until)
            answer(shell, "sudo -n sv down /var/service/acpid /var/service/wpa_supplicant")
            assert "uid=1000(anon)" in answer(shell, "id")
            cmdline = answer(shell, "cat /proc/cmdline")
            assert f"root=live:http://{address}/squashfs.img" in cmdline
            assert "BOOTIF=01-" in cmdline
            mounts = answer(shell, "cat /proc/mounts")
            assert " / overlay rw," in mounts
            assert " squashfs ro," in mounts
            answer(shell, "test ! -e /usr/bin/curl && test ! -e /usr/bin/dhclient")
            answer(shell, "until pgrep -x sshd; do sleep 1; done")
            assert f"via {HOST}" in answer(shell, "ip route show default")
            shell.run("sudo -n poweroff", time.monotonic() + ANSWER_SECONDS)
            assert emulator.wait(POWER_OFF_SECONDS) == 0
