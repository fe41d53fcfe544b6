"""Programs of the host that read foreign bytes reach nothing but what they are given.

A Python program stands for one that a hostile image has taken over, and tries what others would.
"""

from __future__ import annotations

import ast
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import voidimg
from tests.integration.persons import as_somebody_else
from voidimg.errors import ToolError
from voidimg.sandbox.confined import run_bounded, streamed
from voidimg.sandbox.landlock import landlock_version

PACKAGE = Path(voidimg.__file__).parent
PROJECT = PACKAGE.parent
PYTHON = "/usr/bin/python3"

with_landlock = pytest.mark.skipif(landlock_version() == 0, reason="this kernel has no Landlock")


def taken_over(
    line: str, *, reads: list[Path] | None = None, writes: list[Path] | None = None
) -> str:
    """What a confined program that runs the statements `line` says."""
    words = [PYTHON, "-I", "-S", "-c", line]
    return run_bounded(
        words, max_bytes=2**16, seconds=20, reads=reads or [], writes=writes or []
    ).stdout.decode()


ATTEMPTS = {
    "a connection": "import socket; socket.create_connection(('127.0.0.1', {port}), 2)",
    "a datagram": "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "a socket of the host": "import socket as s; s.socket(s.AF_UNIX).connect('{place}/socket')",
    "an abstract socket": "import socket as s; s.socket(s.AF_UNIX).connect('\\0voidimg-{port}')",
    "netlink": "import socket; socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "a mount": "import ctypes, os; libc = ctypes.CDLL(None, use_errno=True);"
    " libc.mount(b'none', b'{place}', b'tmpfs', 0, None) and exit(str(ctypes.get_errno()))",
    "keys": "import ctypes; ctypes.CDLL(None).syscall({keyctl}, 1, None) < 0 and exit('refused')",
    "a namespace": "import ctypes; ctypes.CDLL(None).unshare(0x10000000) and exit('refused')",
}
FILES = {
    "a file of the user": "open('{place}/secret').read()",
    "the names of the user's files": "import os; os.listdir('{place}')",
    "a password file": "open('/etc/shadow').read()",
    "a new file": "open('{place}/new', 'w')",
    "another content": "open('{place}/secret', 'w').write('x')",
    "a removal": "import os; os.unlink('{place}/secret')",
    "another name": "import os; os.rename('{place}/secret', '{place}/taken')",
    "the system's programs": "open('/usr/bin/voidimg-test', 'w')",
    "a temporary file": "open('/tmp/voidimg-test', 'w')",
    "a setting of the kernel": "open('/proc/sys/kernel/domainname', 'w').write('x')",
    "the caller's environment": "open('/proc/{caller}/environ').read()",
    "the caller's memory": "open('/proc/{caller}/mem', 'rb')",
    "the caller's files": "import os; os.listdir('/proc/{caller}/fd')",
    "a signal": "import os; os.kill({caller}, 0)",
}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[dict[str, object]]:
    """What an attacker would be after: a port, a socket, a secret."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "socket"))
        local.listen()
        (tmp_path / "secret").write_text("s3cret")
        port = server.getsockname()[1]
        keyctl = {"x86_64": 250}.get(os.uname().machine, 219)
        yield {"port": port, "place": tmp_path, "caller": os.getpid(), "keyctl": keyctl}


@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_the_network_and_the_kernel_are_out_of_reach(attempt: str, host: dict[str, object]) -> None:
    with pytest.raises(ToolError):
        taken_over(ATTEMPTS[attempt].format(**host))


@with_landlock
@pytest.mark.parametrize("attempt", FILES)
def test_files_and_other_programs_are_out_of_reach(attempt: str, host: dict[str, object]) -> None:
    with pytest.raises(ToolError):
        taken_over(FILES[attempt].format(**host))
    place = Path(str(host["place"]))
    assert (place / "secret").read_text() == "s3cret"
    assert sorted(path.name for path in place.iterdir()) == ["secret", "socket"]


def test_what_is_given_is_reached(tmp_path: Path) -> None:
    """The neighbours of what is refused: a file to read, one to change, a directory to fill."""
    given, changed, filled = tmp_path / "given", tmp_path / "changed", tmp_path / "filled"
    given.write_text("content")
    changed.write_text("before")
    filled.mkdir()
    said = taken_over(
        f"print(open('{given}').read()); open('{changed}', 'r+').write('after');"
        f"import os; os.mkdir('{filled}/a'); open('{filled}/a/b', 'w').write('x')",
        reads=[given],
        writes=[changed, filled],
    )
    assert (said, changed.read_text()) == ("content\n", "aftere")
    assert (filled / "a/b").read_text() == "x"


def test_our_own_open_files_are_reached(tmp_path: Path) -> None:
    """Files without a name are named by our directory of /proc, which is closed to the program."""
    with (tmp_path / "unpacked").open("w+b") as file:
        file.write(b"content")
        file.flush()
        (tmp_path / "unpacked").unlink()
        path = Path(f"/proc/{os.getpid()}/fd/{file.fileno()}")
        assert run_bounded(["cat", path], max_bytes=99, reads=[path]).stdout == b"content"
        with streamed(["cat", path], reads=[path]) as stream:
            assert stream.read() == b"content"


def test_no_privilege_is_gained() -> None:
    line = "import ctypes; print(ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))  # PR_GET_NO_NEW_PRIVS"
    assert taken_over(line) == "1\n"


def test_we_ourselves_go_on_as_before(tmp_path: Path) -> None:
    """What is taken is taken from a thread that starts the program, not from us."""
    run_bounded(["true"], max_bytes=9)
    (tmp_path / "new").write_text("x")
    with socket.socket():
        pass
    assert "NoNewPrivs:\t0" in Path("/proc/self/status").read_text() or os.geteuid() != 0


def test_a_program_ends_with_us(tmp_path: Path) -> None:
    """Killed by SIGKILL, we leave no reader behind, though it waits and says nothing."""
    line = (
        "from voidimg.sandbox.confined import run_bounded;"
        f"run_bounded(['sleep', '60.{os.getpid()}'], max_bytes=9)"
    )
    with subprocess.Popen([sys.executable, "-c", line], cwd=PROJECT) as ours:
        until = time.monotonic() + 10
        while not sleepers() and time.monotonic() < until:
            time.sleep(0.02)
        assert sleepers()
        ours.send_signal(signal.SIGKILL)
    until = time.monotonic() + 5
    while sleepers() and time.monotonic() < until:
        time.sleep(0.02)
    assert not sleepers()


def sleepers() -> list[str]:
    """The programs that `test_a_program_ends_with_us` started."""
    found = []
    asked = b"sleep\0" + f"60.{os.getpid()}\0".encode()
    for words in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words.read_bytes().endswith(asked):
                found.append(words.parent.name)
        except OSError:
            continue
    return found


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can play another user")
def test_an_ordinary_user_is_confined_too(tmp_path: Path) -> None:
    """No privilege is needed for it."""
    tmp_path.chmod(0o755)
    line = (
        "from voidimg.sandbox.confined import run_bounded; from voidimg.errors import ToolError\n"
        "for line in ('import socket; socket.socket()', 'open(\"/etc/passwd\")'):\n"
        "    try: run_bounded(['/usr/bin/python3', '-I', '-S', '-c', line], max_bytes=99)\n"
        "    except ToolError as error: print('refused', error.what[-60:])\n"
    )
    words = as_somebody_else(tmp_path, [sys.executable, "-c", line])
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    ended = subprocess.run(words, capture_output=True, text=True, env=environment)
    expected = 2 if landlock_version() else 1
    assert ended.stdout.count("refused") == expected, (ended.stdout, ended.stderr)


def test_it_costs_little() -> None:
    """Some milliseconds above starting the program at all: hundreds are started for one image."""

    def least(start: Callable[[], object]) -> float:
        times = []
        for _ in range(15):
            begun = time.monotonic()
            start()
            times.append(time.monotonic() - begun)
        return min(times)

    plain = least(lambda: subprocess.run(["true"], check=True, capture_output=True))
    confined = least(lambda: run_bounded(["true"], max_bytes=9))
    assert confined - plain < 0.025


# --- nobody starts a program of the host over foreign bytes in another way ---

UNCONFINED = {
    "voidimg/sandbox/idmap.py": "newuidmap and newgidmap are given numbers of our own",
    "voidimg/rootfs/accounts.py": "openssl makes a sum of a password that the profile has",
    "voidimg/tree/copy.py": "cp copies a tree inside the namespace, and parses nothing",
    "voidimg/disk/ext4.py": "mke2fs copies a tree inside the namespace; debugfs reads what it made",
    "voidimg/disk/fat.py": "mkfs.vfat and mtools fill a file of our own inside the namespace",
    "voidimg/live/squashfs.py": "mksquashfs copies a tree inside the namespace",
    "voidimg/disk/grub_version.py": "grub-mkimage says its version",
    "voidimg/dib/elements.py": "bash looks at the grammar of our own scripts",
    "voidimg/inspection/public_password.py": "openssl is given a salt of plain letters",
    "voidimg/smoke/emulator.py": "qemu-img makes an empty overlay, and opens no base",
    "voidimg/diagnosis/machine.py": "programs say their versions",
    "voidimg/run.py": "it is the door",
}
"""Modules that start programs without confining them, and why that is right."""
STARTERS = {
    "voidimg/run.py": "it is the door",
    "voidimg/sandbox/confined.py": "it is the other door",
    "voidimg/sandbox/namespace.py": "the worker in its namespaces",
    "voidimg/smoke/emulator.py": "QEMU, under its own filter",
}


def _calls(name: str) -> set[str]:
    """The modules that call `name` as it is, or as `subprocess.<name>`."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call):
                continue
            function = node.func
            plain = isinstance(function, ast.Name) and function.id == name
            of_subprocess = (
                isinstance(function, ast.Attribute)
                and isinstance(function.value, ast.Name)
                and function.value.id == "subprocess"
            )
            if plain or (of_subprocess and name == "subprocess"):
                found.add(path.relative_to(PROJECT).as_posix())
    return found


def test_every_program_that_is_not_confined_is_judged() -> None:
    """A new call of `run` needs a reason why nothing foreign is parsed there."""
    assert _calls("run") - UNCONFINED.keys() == set()
    assert _calls("subprocess") == STARTERS.keys()


def test_the_parsers_of_foreign_bytes_are_confined() -> None:
    """Each of them is named with the one that starts it."""
    confined = _calls("run_bounded") | _calls("streamed")
    named = {
        "voidimg/disk/fsck.py": ("e2fsck", "fsck.vfat"),
        "voidimg/inspection/boot_files.py": ("mdir", "mtype", "mcopy"),
        "voidimg/inspection/ext4_files.py": ("debugfs",),
        "voidimg/inspection/squashfs_files.py": ("unsquashfs",),
        "voidimg/disk/grub_core.py": ("grub-mkimage",),
        "voidimg/smoke/emulator.py": ("fdtput",),
    }
    assert named.keys() <= confined
    for module, programs in named.items():
        text = (PROJECT / module).read_text()
        assert all(f'"{program}"' in text for program in programs)
