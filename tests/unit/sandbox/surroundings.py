"""Runs a command in surroundings that builders meet: `python surroundings.py WHICH COMMAND...`.

``root`` changes nothing; ``container`` is a user namespace with exactly 65536 ids; ``weak`` is root
without CAP_SYS_ADMIN; ``old`` is a kernel without openat2 and the newer calls for mounts. The
others say what they are in their functions.
"""

from __future__ import annotations

import os
import resource
import struct
import sys
import tempfile
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


def no_new_privs() -> None:
    """What ``sudo`` in a hardened service and ``setpriv --no-new-privs`` do."""
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def c_locale() -> None:
    """No locale, no home, no terminal, an almost empty environment."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH")}
    os.environ.clear()
    os.environ.update(kept, LC_ALL="C", PYTHONCOERCECLOCALE="0", PYTHONUTF8="0")


def deleted_directory() -> None:
    """A working directory that is not there any more."""
    place = tempfile.mkdtemp()
    os.chdir(place)
    os.rmdir(place)


def read_only() -> None:
    """Home and temporary directory on a file system that takes nothing, and is full."""
    place = tempfile.mkdtemp()
    kernel.unshare(kernel.CLONE_NEWNS)
    kernel.mount(None, "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("none", place, "tmpfs", kernel.MS_RDONLY, "size=4096")
    os.environ.update(HOME=place, TMPDIR=place, XDG_CACHE_HOME=f"{place}/cache")


def few_files() -> None:
    """As few open files as a careful service gives, though more can be asked for."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, most))


def many_files() -> None:
    """As many as can be asked for, over which nobody may loop."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def open_to_all() -> None:
    """A umask of nothing."""
    os.umask(0)


def closed_streams() -> None:
    """Standard input and error are closed, as some daemons start programs."""
    os.close(0)
    os.close(2)


SURROUNDINGS = {
    "root": lambda: None, "container": container, "weak": weak, "old": old,
    "no_new_privs": no_new_privs, "c_locale": c_locale, "deleted": deleted_directory,
    "read_only": read_only, "few_files": few_files, "many_files": many_files,
    "open_to_all": open_to_all, "closed_streams": closed_streams,
}  # fmt: skip
"""Name -> what enters it."""


def main(which: str, words: list[str]) -> None:
    """Enter the surroundings and become the command."""
    SURROUNDINGS[which]()
    os.execvp(words[0], words)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
