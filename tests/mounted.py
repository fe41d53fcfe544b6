"""Runs a program in a mount namespace of its own, with a file system that lacks something."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.command import environment

TMPFS = "mount -t tmpfs -o {} none PLACE"

_DEFAULT_ACL = """import os, struct, sys
bits = [(1, 7, -1), (4, 7, -1), (8, 7, 100), (16, 7, -1), (32, 0, -1)]
rows = [struct.pack("<HHi", *one) for one in bits]
os.setxattr(sys.argv[1], "system.posix_acl_default", struct.pack("<I", 2) + b"".join(rows))
"""
"""Gives new files a group of their own; the form is that of linux/posix_acl_xattr.h."""

SETTINGS = {
    "noexec": TMPFS.format("noexec"),
    "nosymfollow": TMPFS.format("nosymfollow"),
    "read-only": TMPFS.format("ro"),
    "full": TMPFS.format("nr_inodes=3"),
    "plain": TMPFS.format("size=64m"),
    "overlay": TMPFS.format("size=64m") + " && mkdir PLACE/l PLACE/u PLACE/w PLACE/m &&"
    " mount -t overlay -o lowerdir=PLACE/l,upperdir=PLACE/u,workdir=PLACE/w none PLACE/m &&"
    " mount --move PLACE/m PLACE",
    "one-id": "true",
    "acl": TMPFS.format("size=64m") + " && ACL PLACE",
}
"""Name -> the commands that mount it at PLACE."""


def give_default_acl(directory: Path) -> None:
    """Let new files in `directory` inherit an access control list."""
    subprocess.run([sys.executable, "-c", _DEFAULT_ACL, str(directory)], check=True)


def run_mounted(
    setting: str, place: Path, words: Sequence[str | Path]
) -> subprocess.CompletedProcess[str]:
    """Run `words` where the directory `place` is the mount `setting`; it is gone afterwards."""
    acl = shlex.join([sys.executable, "-c", _DEFAULT_ACL])
    script = SETTINGS[setting].replace("PLACE", shlex.quote(str(place))).replace("ACL", acl)
    command = shlex.join(map(str, words))
    ids = ["--user", "--map-root-user"] if setting == "one-id" else []
    return subprocess.run(
        ["unshare", *ids, "--mount", "sh", "-c", f"({script}) || exit 77; exec {command}"],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
