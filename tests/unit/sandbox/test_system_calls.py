"""The filter: every refused call is made by a real program, natively, by int 0x80 and emulated."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import struct
from pathlib import Path

import pytest

from tests.unit.sandbox.machine_code import Call, program_of, results
from voidimg.errors import SandboxError
from voidimg.sandbox import kernel
from voidimg.sandbox.chroot import Chroot
from voidimg.sandbox.namespace import call
from voidimg.sandbox.seccomp import build_filter
from voidimg.sandbox.system_calls import (
    AUDIT_AARCH64,
    AUDIT_I386,
    AUDIT_X86_64,
    REFUSED,
    TABLES,
    refusals,
)

NATIVE = platform.machine() == "x86_64"
ARGUMENTS = {"unshare": (0x20000, 0), "clone": (0x10000011, 0), "ioctl": (0, 0x5412),
             "socket": (40, 1), "socketcall": (1, 0), "settimeofday": (1, 0)}  # fmt: skip
"""With these the calls are refused whose arguments decide: a new mount namespace, a new user
namespace, TIOCSTI, AF_VSOCK, SYS_SOCKET. (QEMU 7.2 falls over settimeofday without a time.)"""


def run_program(place: str, content: bytes, arch: str) -> bytes:
    tree = Path(place, "tree")
    (tree / "bin").mkdir(parents=True)
    (tree / "bin/calls").write_bytes(content)
    (tree / "bin/calls").chmod(0o755)
    with Chroot(tree, arch) as chroot:
        return chroot.run(("/bin/calls",)).output


def made(place: Path, machine: str, calls: list[Call], arch: str = "x86_64") -> list[int]:
    found = results(call(run_program, str(place), program_of(machine, calls), arch))
    assert len(found) == len(calls)
    return found


def refused_calls(kind: int, machine: str) -> dict[str, Call]:
    return {
        name: (number, *ARGUMENTS.get(name, (0, 0)))
        for name, number in TABLES[machine][kind].items()
    }


@pytest.mark.skipif(not NATIVE, reason="the programs are of x86_64")
@pytest.mark.parametrize(("entry", "kind"), [("x86_64", AUDIT_X86_64), ("i386-entry", AUDIT_I386)])
def test_every_refused_call_is_refused(entry: str, kind: int, tmp_path: Path) -> None:
    """By the errno of the table, through both doors of the kernel."""
    calls = refused_calls(kind, "x86_64")
    found = dict(zip(calls, made(tmp_path, entry, list(calls.values())), strict=True))
    table = refusals("x86_64")
    assert table is not None
    wanted = {name: -table[kind][number].number for name, (number, _, _) in calls.items()}
    assert found == wanted


@pytest.mark.skipif(not NATIVE, reason="the programs are of x86_64")
def test_the_third_door_is_closed_and_the_rest_goes_on(tmp_path: Path) -> None:
    """x32 calls are unknown; what scripts need of the same calls is allowed."""
    x32 = [(0x40000000 + number, 0, 0) for number in (39, 102, 165, 250)]
    allowed = [(39, 0, 0), (272, 0x200, 0), (41, 1, 1), (41, 2, 1), (41, 16, 3), (250 - 211, 0, 0)]
    found = made(tmp_path, "x86_64", [*x32, *allowed])
    assert found[:4] == [-errno.ENOSYS] * 4
    assert all(value >= 0 for value in found[4:]), found


def test_every_refused_call_is_refused_under_emulation(tmp_path: Path) -> None:
    """The emulator passes some on and knows others not: none succeeds."""
    calls = refused_calls(AUDIT_AARCH64, "aarch64")
    found = dict(
        zip(calls, made(tmp_path, "aarch64", list(calls.values()), "aarch64"), strict=True)
    )
    assert [name for name, value in found.items() if value >= 0] == []


@pytest.mark.parametrize(
    ("header", "machine", "kind"),
    [
        ("x86_64-linux-gnu/asm/unistd_64.h", "x86_64", AUDIT_X86_64),
        ("x86_64-linux-gnu/asm/unistd_32.h", "x86_64", AUDIT_I386),
        ("asm-generic/unistd.h", "aarch64", AUDIT_AARCH64),
    ],
)
def test_numbers_are_those_of_the_kernel(header: str, machine: str, kind: int) -> None:
    """Compared with the headers of this machine, where it has them."""
    path = Path("/usr/include", header)
    if not path.exists():
        pytest.skip("no kernel headers here")
    numbers = {
        name: int(number)
        for name, number in re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", path.read_text())
    }
    table = TABLES[machine][kind]
    assert {name: number for name, number in table.items() if name in numbers} == {
        name: numbers[name] for name in table if name in numbers
    }
    assert {name.removesuffix("64") for name in table if name not in numbers} <= {
        "statmount", "listmount", "open_tree_attr",
    }  # fmt: skip


def test_no_refusal_is_forgotten() -> None:
    """Every name of the list has a number somewhere, and every jump of the filter is in reach."""
    known = {name for tables in TABLES.values() for table in tables.values() for name in table}
    assert set(REFUSED) <= known
    for machine in TABLES:
        program = build_filter(machine)
        codes = list(struct.iter_unpack("<HBBI", program))
        assert len(codes) < 4096
        for index, (code, true, false, operand) in enumerate(codes):
            skips = (operand,) if code == 0x05 else (true, false)
            assert all(index + 1 + skip < len(codes) for skip in skips if code & 7 == 5)
    with pytest.raises(SandboxError) as caught:
        build_filter("vax")
    assert caught.value.code == "E-SANDBOX-SECCOMP"


# --- keys -------------------------------------------------------------------------------------

_ADD, _KEYCTL, _SEARCH, _SESSION = 248, 250, 10, -3
"""System calls of x86_64, KEYCTL_SEARCH, KEY_SPEC_SESSION_KEYRING."""


def find_key(name: bytes) -> int:
    """The errno of a search for the user key `name` in the session keyring, 0 when it is found."""
    libc = ctypes.CDLL(None, use_errno=True)
    found = libc.syscall(_KEYCTL, _SEARCH, _SESSION, b"user", name, 0)
    return 0 if found >= 0 else ctypes.get_errno()


@pytest.mark.skipif(not NATIVE, reason="the numbers are of x86_64")
def test_the_session_keyring_of_the_caller_is_not_the_workers() -> None:
    """A key that the caller has is not found from the namespace on."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            kernel.leave_session_keyring()
            libc = ctypes.CDLL(None, use_errno=True)
            added = libc.syscall(_ADD, b"user", b"canary", b"secret", 6, _SESSION)
            inside = call(find_key, b"canary") if added >= 0 else -1
            os.write(writing, f"{added >= 0} {find_key(b'canary')} {inside}".encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    if text.startswith("False"):
        pytest.skip("no keys on this kernel")
    assert text == f"True 0 {errno.ENOKEY}"
