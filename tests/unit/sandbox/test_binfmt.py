"""binfmt_misc entries: the line for the kernel, who is native, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from voidimg.errors import SandboxError
from voidimg.sandbox import binfmt


def test_the_line_for_aarch64() -> None:
    """Magic and mask as in the kernel's documentation of binfmt_misc and QEMU's own list."""
    assert binfmt.registration("x", "aarch64-musl", "/usr/bin/qemu") == (
        rb":x:M::\x7f\x45\x4c\x46\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
        rb":\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
        rb":/usr/bin/qemu:POCF"
    )


def test_the_line_for_a_big_endian_machine() -> None:
    """Type and machine are in the byte order of the program."""
    line = binfmt.registration("x", "ppc", "/q")
    assert line.startswith(rb":x:M::\x7f\x45\x4c\x46\x01\x02\x01")
    assert rb"\x00\x02\x00\x14:\xff" in line
    assert rb"\xff\xfe\xff\xff:/q:" in line


@pytest.mark.parametrize(
    ("arch", "machine", "native"),
    [
        ("x86_64", "x86_64", True),
        ("x86_64-musl", "x86_64", True),
        ("i686", "x86_64", True),
        ("aarch64", "x86_64", False),
        ("armv7l-musl", "aarch64", False),
        ("armv7l", "armv7l", True),
    ],
)
def test_who_is_native(arch: str, machine: str, native: bool) -> None:
    """The libc does not matter, the machine does."""
    assert binfmt.is_native(arch, machine) is native


def test_an_unknown_architecture_is_refused() -> None:
    """The hint lists the known ones."""
    with pytest.raises(SandboxError, match="vax") as caught:
        binfmt.register("vax")
    assert "aarch64" in str(caught.value.hint)


def test_a_registration_of_the_host_counts_only_with_the_flag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without F the emulator would be looked for in the tree."""
    monkeypatch.setattr(binfmt, "_DIRECTORY", tmp_path)
    text = (
        "enabled\ninterpreter /usr/bin/qemu-aarch64-static\nflags: {flags}\noffset 0\n"
        "magic 7f454c460201010000000000000000000200b700\n"
        "mask ffffffffffffff00fffffffffffffffffeffffff\n"
    )
    elf = binfmt._ELF["aarch64"]
    assert not binfmt._host_entry(elf)
    for flags, usable in (("OC", False), ("OCF", True)):
        (tmp_path / "qemu-aarch64").write_text(text.format(flags=flags))
        assert binfmt._host_entry(elf) is usable
        assert not binfmt._host_entry(binfmt._ELF["riscv64"])
