"""Runs a command in surroundings that builders meet: `python surroundings.py WHICH COMMAND...`.

``root`` changes nothing; ``container`` is a user namespace with exactly 65536 ids; ``weak`` is root
without CAP_SYS_ADMIN; ``old`` is a kernel without openat2 and the newer calls for mounts.
"""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

from voidimg.sandbox import kernel
from voidimg.sandbox.seccomp import install_filter

CAP_SYS_ADMIN = 21
_NEWER = (428, 429, 430, 431, 432, 433, 436, 437, 439, 442)
"""open_tree to fspick, close_range, openat2, faccessat2, mount_setattr: the same everywhere."""


def container() -> None:
    """Become root of a user namespace with exactly the ids 0 to 65535."""
    reading, writing = os.pipe()
    mapped, done = os.pipe()
    outside = os.fork()
    if outside == 0:
        os.read(reading, 1)
        for kind in ("uid", "gid"):
            Path(f"/proc/{os.getppid()}/{kind}_map").write_text("0 0 65536\n")
        os.write(done, b"x")
        os._exit(0)
    kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
    os.write(writing, b"x")
    os.read(mapped, 1)
    os.waitpid(outside, 0)
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)


def weak() -> None:
    """Take CAP_SYS_ADMIN from what is executed next."""
    kernel.prctl(kernel.PR_CAPBSET_DROP, CAP_SYS_ADMIN)


def old() -> None:
    """Let the newer system calls be unknown from now on."""
    program = [(0x20, 0, 0, 0)]
    for number in _NEWER:
        program += [(0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | 38)]
    program.append((0x06, 0, 0, 0x7FFF0000))
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
    install_filter(b"".join(struct.pack("<HBBI", *one) for one in program))


def main(which: str, words: list[str]) -> None:
    """Enter the surroundings and become the command."""
    {"root": lambda: None, "container": container, "weak": weak, "old": old}[which]()
    os.execvp(words[0], words)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
