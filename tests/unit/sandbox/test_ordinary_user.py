"""namespace.call by an ordinary user, played by root; collected only when root runs the tests.

An ordinary user's own run of the other tests already is the test of an ordinary user.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import voidimg
from voidimg.sandbox import kernel

PROJECT = Path(voidimg.__file__).parent.parent


def expose(paths: list[str]) -> None:
    """Make `paths` reachable for everybody here, also when they lie below a closed home."""
    held = {path: os.open(path, os.O_PATH | os.O_DIRECTORY) for path in paths}
    for path, descriptor in held.items():
        above = [str(parent) for parent in reversed(Path(path).parents)]
        closed = [parent for parent in above if not os.stat(parent).st_mode & 0o001]
        if closed:
            kernel.mount("tmpfs", closed[0], "tmpfs", options="mode=0755")
        if closed or not os.path.isdir(path):
            os.makedirs(path)
            kernel.mount(f"/proc/self/fd/{descriptor}", path, flags=kernel.MS_BIND)


def in_own_mounts(directory: str, subuid: str, program: str, hide: bool) -> tuple[int, str]:
    """`as_ordinary_user` in a mount namespace of its own; its status and output."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            kernel.unshare(kernel.CLONE_NEWNS)
            kernel.mount(None, "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
            with open(writing, "w") as out:
                json.dump(as_ordinary_user(directory, subuid, program, hide), out)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading) as answer:
        status, text = json.load(answer)
    os.waitpid(child, 0)
    return status, text


def as_ordinary_user(directory: str, subuid: str, program: str, hide: bool) -> tuple[int, str]:
    """Run `program` in Python as user alice (uid 1234), with `subuid` as subordinate ranges."""
    expose(sorted({str(PROJECT), sys.prefix, sys.base_prefix, directory}))
    os.chmod(directory, 0o755)
    texts = {
        "passwd": "root:x:0:0::/:/bin/sh\nalice:x:1234:1234::/:/bin/sh\n",
        "subuid": subuid,
        "subgid": subuid,
    }
    for name, text in texts.items():
        Path(directory, name).write_text(text)
        kernel.mount(f"{directory}/{name}", f"/etc/{name}", flags=kernel.MS_BIND)
    home = Path(directory, "home")
    home.mkdir()
    os.chown(home, 1234, 1234)
    if hide:
        kernel.mount(f"{directory}/passwd", "/usr/bin/newuidmap", flags=kernel.MS_BIND)
    ended = subprocess.run(
        [sys.executable, "-c", f"home={str(home)!r}\n{program}"],
        user=1234,
        group=1234,
        extra_groups=[],
        env={"PYTHONPATH": str(PROJECT), "PATH": os.defpath},
        capture_output=True,
        text=True,
    )
    return ended.returncode, ended.stdout + ended.stderr


def _as_user(
    tmp_path: Path, subuid: str, expression: str, *, hide: bool = False
) -> dict[str, object]:
    """What `expression` is for an ordinary user, or the error as JSON."""
    program = f"""
import json, os
from voidimg.errors import VoidimgError
from voidimg.sandbox.namespace import call
try:
    print(json.dumps({{"value": {expression}}}))
except VoidimgError as error:
    print(json.dumps(error.as_json()))
"""
    status, text = in_own_mounts(str(tmp_path), subuid, program, hide)
    assert status == 0, text
    answer: dict[str, object] = json.loads(text)
    return answer


def test_an_ordinary_user_is_root_inside(tmp_path: Path) -> None:
    """With a line in subuid, owners 0 to 65535 can be given."""
    answer = _as_user(
        tmp_path,
        "bob:5:5\nalice:100000:65536\n",
        "[call(os.getuid), call(os.mkdir, home + '/d'), call(os.chown, home + '/d', 65534, 7),"
        " os.stat(home + '/d').st_uid, call(os.rmdir, home + '/d')]",
    )
    assert answer == {"value": [0, None, None, 165533, None]}


def test_without_ranges_the_missing_line_is_told(tmp_path: Path) -> None:
    """The hint is the command that mends it, with a range nobody has."""
    answer = _as_user(tmp_path, "bob:100000:65536\n", "call(os.getuid)")
    assert answer["code"] == "E-SANDBOX-SUBIDS"
    assert answer["hint"] == "as root: echo 'alice:165536:65536' >> /etc/subuid"


def test_without_newuidmap_the_package_is_told(tmp_path: Path) -> None:
    """The program is missing, the hint names the package."""
    answer = _as_user(tmp_path, "alice:100000:65536\n", "call(os.getuid)", hide=True)
    assert answer["code"] == "E-TOOL-MISSING"
    assert "uidmap" in str(answer["hint"])
