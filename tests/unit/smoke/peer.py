"""A getty, a login and a shell on a pseudo-terminal: a guest's console without QEMU."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

USER, PASSWORD = "root", "voidlinux"

_GETTY = """
import fcntl, getpass, os, signal, sys, termios, time
signal.signal(signal.SIGINT, signal.SIG_DFL)  # ignored from birth in a shell's background jobs
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
shell, behaviour = sys.argv[1], sys.argv[2]
print("[    0.000000] Booting Linux", flush=True)
if behaviour == "panic":
    print("[    1.0] Kernel panic - not syncing: VFS: Unable to mount root fs", flush=True)
    time.sleep(30)
if behaviour == "emergency":
    print("Cannot continue due to errors above, starting emergency shell.", flush=True)
    print("When ready type exit to continue booting.", flush=True)
    time.sleep(30)
if behaviour == "quiet":
    time.sleep(30)
if behaviour == "end":
    sys.exit(0)
print("\\x1b[1mWelcome\\x1b[0m to Void\\n", flush=True)
lost, busy = behaviour == "loses-first-name", behaviour == "is-busy"
while True:
    name = input("void-live login: ")
    if lost or not name:
        lost = False
        continue
    if busy:  # what was typed in the meantime is taken for the password
        time.sleep(2.0)
        word, busy = input("Password: "), False
    else:
        word = getpass.getpass("Password: ")
    if (name, word) == ("root", "voidlinux"):
        break
    print("Login incorrect", flush=True)
print("Last login: Thu Mar 14 00:00:00 on console", flush=True)
if behaviour == "flushes":
    time.sleep(1.0)
    os.read(0, 12)
os.environ.update(PS1="root@void-live # ", HOME="/", ENV="", PATH="/usr/sbin:/usr/bin:/sbin:/bin")
os.execvp(shell.split()[0], shell.split())
"""


@contextmanager
def guest(shell: str = "dash -i", behaviour: str = "normal") -> Iterator[int]:
    """The master side of a terminal on which such a guest runs."""
    master, slave = pty.openpty()
    words: Sequence[str] = [sys.executable, "-c", _GETTY, shell, behaviour]
    child = subprocess.Popen(
        words, stdin=slave, stdout=slave, stderr=slave, start_new_session=True, close_fds=True
    )
    os.close(slave)
    try:
        yield master
    finally:
        os.close(master)
        child.kill()
        child.wait()
