"""What tells two machines apart that one image became: asked of a guest, and compared."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping

import pytest

from voidimg.rootfs.identities import IDENTITIES, identity_of
from voidimg.smoke.first_boots import command, compare, parse

KEY = "/etc/ssh/ssh_host_ed25519_key"
DRAWN = "/proc/sys/kernel/random/boot_id"
FIRST = {KEY: "a" * 64, "/etc/machine-id": "b" * 64, DRAWN: "c" * 64}
OTHER = {KEY: "d" * 64, "/etc/machine-id": "e" * 64, DRAWN: "f" * 64}


def test_a_guest_answers_with_what_it_has() -> None:
    """This machine is one: the kernel's number is there, and nothing that is not in the table."""
    answer = subprocess.run(["sh", "-c", command()], capture_output=True, text=True, check=True)
    found = parse(f"sh: something else\n{answer.stdout}")
    assert DRAWN in found
    for path in found.keys() - {DRAWN}:
        identity = identity_of(path)
        assert identity is not None, path
        assert identity.is_unique, path


@pytest.mark.parametrize(
    "path",
    [
        *("/etc/ssh/ssh_host_rsa_key", "/etc/dropbear/dropbear_ed25519_host_key"),
        *("/etc/machine-id", "/var/lib/dbus/machine-id", "/etc/iscsi/initiatorname.iscsi"),
        *("/var/lib/random-seed", "/var/lib/seedrng/seed.credit"),
    ],
)
def test_host_keys_identifiers_and_seeds_are_asked_for(path: str) -> None:
    """Those that the table has as random."""
    identity = identity_of(path)
    assert identity is not None
    assert identity.is_unique
    assert f"-path {identity.pattern}" in command().replace("'", "")


@pytest.mark.parametrize("path", ["/var/lib/chrony/drift", "/etc/wireguard/wg0.conf"])
def test_what_may_be_the_same_is_not_compared(path: str) -> None:
    """A clock's drift can be; a secret was brought by the profile, for all."""
    identity = identity_of(path)
    assert identity is not None
    assert not identity.is_unique
    assert identity.pattern not in command()


def test_every_host_key_and_seed_that_is_made_anew_is_compared() -> None:
    """No row of the table is forgotten."""
    for one in IDENTITIES:
        if one.made_anew and one.kind in ("host key", "seed"):
            assert one.is_unique, one


@pytest.mark.parametrize(
    ("mine", "message"),
    [
        (OTHER, ""),
        ({**OTHER, KEY: FIRST[KEY]}, f"{KEY} is that of usb on virt"),
        ({**OTHER, "/etc/machine-id": FIRST["/etc/machine-id"]}, "/etc/machine-id is that of"),
        ({**OTHER, DRAWN: FIRST[DRAWN]}, f"{DRAWN} is that of"),
        ({**OTHER, "/etc/hostid": FIRST[KEY]}, "/etc/hostid is that of"),
        ({}, "told nothing"),
    ],
)
def test_two_boots_are_compared(mine: Mapping[str, str], message: str) -> None:
    """By content, wherever it is."""
    check = compare(mine, [("usb on virt", FIRST)])
    assert check.status == ("failed" if message else "passed")
    assert message in check.message
