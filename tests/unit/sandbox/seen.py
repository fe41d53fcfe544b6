"""Tells as JSON what a script sees and may do here: `python seen.py TREE PLACE`.

`TREE` is a native tree, copied into the new directory `PLACE`, where its owners are right.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from voidimg.errors import VoidimgError
from voidimg.sandbox.chroot import Chroot
from voidimg.sandbox.namespace import call

QUESTIONS = {
    "ids": "cat /proc/self/uid_map",
    "owner": "echo x > /owned && chown 65534:65534 /owned && ls -n /owned",
    "host files": "ls -A /",
    "host mounts": "cat /proc/self/mountinfo /proc/self/mounts /proc/self/mountstats",
    "device is written": "echo x > /dev/null",
    "device is changed": "for node in /dev/null /dev/full /dev/tty; do chown 1:1 $node && echo "
    "changed; done; exit 0",
    "keys": "cat /proc/keys",
    "network": "cat /proc/net/dev",
    "others": "ls /proc",
    "keeper": "ls /proc/1",
    "processes": "ulimit -p",
    "files": "ulimit -n",
    "memory": "ulimit -d",
    "binfmt": "ls /proc/sys/fs/binfmt_misc",
    "settings": "echo x > /proc/sys/kernel/domainname",
    "mount": "mount -t tmpfs none /etc",
    "namespaces": "unshare -m true",
}


def answers(tree: str, place: str) -> dict[str, tuple[int, str]]:
    """Status and output of each of `QUESTIONS`."""
    shutil.copytree(tree, place, symlinks=True)
    os.chmod(place, 0o755)
    found = {}
    with Chroot(Path(place), os.uname().machine) as chroot:
        for name, line in QUESTIONS.items():
            ended = chroot.run(("/bin/sh", "-c", line))
            found[name] = (ended.status, ended.text)
    return found


def main(tree: str, place: str) -> None:
    """Print the answers, or the error."""
    try:
        sys.stdout.write(json.dumps(call(answers, tree, place)))
        call(shutil.rmtree, place)
    except VoidimgError as error:
        sys.stdout.write(json.dumps(error.as_json()))


if __name__ == "__main__":
    # The worker must find `answers` by this module's own name.
    from tests.unit.sandbox import seen

    seen.main(sys.argv[1], sys.argv[2])
