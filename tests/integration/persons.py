"""Lets somebody else run a command: an ordinary user if the tests run as root, else a root.

Root plays alice: in a mount namespace of its own, with other files in place of /etc/passwd and
/etc/subuid, so that the host keeps its own. An ordinary user can only play a root of a user
namespace; that root has the same rights over its ids, but is not the host's.

`python persons.py HOME COMMAND...` is the part that runs in the new mount namespace.
"""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from voidimg.sandbox import kernel

PROJECT = Path(__file__).resolve().parents[2]
ALICE = 1234
_FILES = {
    "passwd": f"root:x:0:0::/root:/bin/sh\nalice:x:{ALICE}:{ALICE}::{{home}}:/bin/sh\n",
    "group": f"root:x:0:\nalice:x:{ALICE}:\n",
    "subuid": "bob:5:5\nalice:200000:65536\n",
    "subgid": "bob:5:5\nalice:200000:65536\n",
}


def as_somebody_else(home: Path, words: list[str]) -> list[str]:
    """The argv that runs `words` as the other person; `home` is an existing directory of theirs."""
    if os.geteuid() == 0:
        own = [sys.executable, __file__, str(home)]
        return ["unshare", "--mount", "--propagation", "private", *own, *words]
    root = ["--map-auto", "--map-root-user", "--setuid", "0", "--setgid", "0"]
    return ["unshare", *root, "--mount", *words]


def _expose(directories: list[Path]) -> None:
    """Make `directories` reachable for everybody here, also below a closed directory."""
    held = {path: os.open(path, os.O_PATH | os.O_DIRECTORY) for path in directories}
    for path, descriptor in held.items():
        above = reversed(path.parents)
        closed = next((parent for parent in above if not parent.stat().st_mode & 0o001), None)
        if closed is not None:
            kernel.mount("tmpfs", str(closed), "tmpfs", options="mode=0755")
        if closed is not None or not path.is_dir():
            path.mkdir(parents=True, exist_ok=True)
            kernel.mount(f"/proc/self/fd/{descriptor}", str(path), flags=kernel.MS_BIND)


def _become_alice(home: Path) -> None:
    asked = os.umask(0o022)
    _expose(sorted({PROJECT, Path(sys.prefix), Path(sys.base_prefix), home}))
    etc = home / "etc"
    etc.mkdir(exist_ok=True)
    for name, text in _FILES.items():
        (etc / name).write_text(text.format(home=home))
        kernel.mount(str(etc / name), f"/etc/{name}", flags=kernel.MS_BIND)
    os.umask(asked)
    os.chown(home, ALICE, ALICE)
    os.setgroups([])
    os.setresgid(ALICE, ALICE, ALICE)
    os.setresuid(ALICE, ALICE, ALICE)
    os.environ.update(HOME=str(home), USER="alice", LOGNAME="alice")


def main(home: Path, words: list[str]) -> None:
    """Become alice, whose home is `home`, and go on as the command `words`."""
    _become_alice(home)
    os.chdir(home)
    try:
        os.execvp(words[0], words)
    except OSError as error:
        sys.exit(f"{shlex.join(words)}: {error}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
