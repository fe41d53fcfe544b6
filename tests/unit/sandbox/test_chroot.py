"""Chroot: what a program of a tree sees, what it cannot do, and what is told when it fails."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import time
from pathlib import Path

import pytest

from tests.unit.sandbox.conftest import adopt
from voidimg.errors import SandboxError, ScriptError
from voidimg.sandbox import binfmt, jail
from voidimg.sandbox.chroot import Chroot
from voidimg.sandbox.namespace import call

ARCH = os.uname().machine

# --- functions that run inside -----------------------------------------------------------------


def shell(tree: str, *lines: str, stdin: bytes = b"", seconds: float = 60) -> list[tuple[int, str]]:
    """Status and output of each line, run by the tree's shell, one after the other."""
    found = []
    with Chroot(Path(tree), ARCH, epoch=1234567890) as chroot:
        for line in lines:
            argv = ("/bin/sh", "-c", line)
            ended = chroot.run(argv, stdin=stdin, timeout_seconds=seconds)
            found.append((ended.status, ended.text))
    return found


def with_script(tree: str, script: bytes, *arguments: str) -> tuple[int, str]:
    with Chroot(Path(tree), ARCH) as chroot:
        ended = chroot.run(("/bin/sh", jail.SCRIPT, *arguments), script=script)
        return ended.status, ended.text


def with_bootstrap(tree: str, bootstrap: str, line: str) -> tuple[int, str]:
    with Chroot(Path(tree), ARCH, Path(bootstrap)) as chroot:
        ended = chroot.run(("/bin/sh", "-c", line))
        return ended.status, ended.text


def first_program(tree: str, paths: list[str]) -> str | None:
    with Chroot(Path(tree), ARCH) as chroot:
        return chroot.first_program(paths)


def quick_runs(tree: str, count: int) -> float:
    with Chroot(Path(tree), ARCH) as chroot:
        started = time.perf_counter()
        for _ in range(count):
            chroot.run(("/bin/sh", "-c", ":"))
        return (time.perf_counter() - started) / count


def registered(arch: str) -> list[str]:
    binfmt.register(arch)
    binfmt.register(arch)
    return sorted(os.listdir("/proc/sys/fs/binfmt_misc"))


def run_foreign(tree: str, arch: str) -> str:
    with Chroot(Path(tree), arch) as chroot:
        ended = chroot.run(("/bin/hello",))
        return f"{ended.status} {ended.text}"


def processes_after(tree: str) -> int:
    """How many processes there are beside this one after a chroot was closed."""
    shell(tree, "setsid sleep 600 & echo")
    return len([name for name in os.listdir("/proc") if name.isdecimal()]) - 1


def lock_while_open(tree: str, lock: str) -> bool:
    """Whether a lock that was held when a chroot was opened is free once its holder let go."""
    held = os.open(lock, os.O_RDWR | os.O_CREAT)
    fcntl.flock(held, fcntl.LOCK_EX)
    with Chroot(Path(tree), ARCH) as chroot, Chroot(Path(tree), ARCH) as second:
        os.close(held)
        again = os.open(lock, os.O_RDWR)
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        chroot.close()
        return second.run(("/bin/sh", "-c", ":")).status == 0


# --- what they show ----------------------------------------------------------------------------


def test_the_tree_is_the_whole_world(native_tree: Path) -> None:
    """Nothing of the host is mounted, named or running there."""
    ((status, text), (_, processes), (_, names)) = call(
        shell,
        str(native_tree),
        "cat /proc/self/mountinfo /proc/mounts; ls -A /",
        "ls /proc",
        "cat /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_forward; ls /proc/sys/net/ipv4/conf",
    )
    assert status == 0
    assert set(text.splitlines()) == {
        *("bin", "dev", "etc", "proc"),
        *(path.name for path in native_tree.iterdir()),
    }
    assert len([line for line in processes.splitlines() if line.isdecimal()]) == 3
    assert names.split() == ["void", "0", "all", "default", "lo"]


def test_the_environment_is_fixed(native_tree: Path) -> None:
    """Only what is needed, with the date of the build."""
    ((_, text),) = call(shell, str(native_tree), "export -p; umask; cat; pwd")
    assert text.splitlines() == [
        "export HOME='/'",
        "export LC_ALL='C'",
        "export PATH='/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'",
        "export PWD='/'",
        "export PYTHONHASHSEED='0'",
        "export SOURCE_DATE_EPOCH='1234567890'",
        "export TERM='dumb'",
        "export TZ='UTC'",
        "0022",
        "/",
    ]


@pytest.mark.parametrize(
    "line",
    [
        "echo x > /proc/sys/kernel/domainname",
        "echo b > /proc/sysrq-trigger",
        "mount -t tmpfs none /etc",
        "mount -o remount,rw,bind /proc",
        "unshare -Ur true",
        "unshare -m true",
        "cat /proc/1/environ",
        "cat < /proc/1/fd/0",
        "ls -A /proc/1/root/",
    ],
)
def test_a_program_cannot_change_its_world(native_tree: Path, line: str) -> None:
    """Root of the tree has no power over mounts, the host's settings or its keeper."""
    ((status, _),) = call(shell, str(native_tree), line)
    assert status != 0


def test_what_scripts_need_is_there(native_tree: Path) -> None:
    """Devices can be read and written, owners changed, descriptors named."""
    results = call(
        shell,
        str(native_tree),
        "echo gone > /dev/null && cat /dev/null && ls /dev/fd/0 /dev/shm /dev/urandom",
        "mkdir -p /made && chown 12:34 /made && ls -nd /made",
        "echo out > /dev/stdout; echo err > /dev/stderr",
        "cat",
        "kill -TERM $$",
        "exit 3",
        stdin=b"typed",
    )
    assert [status for status, _ in results] == [0, 0, 0, 0, -15, 3]
    assert " 12 34 " in results[1][1]
    assert results[2][1] == "out\nerr\n"
    assert results[3][1] == "typed"


def test_what_is_left_in_the_background_ends_with_the_run(native_tree: Path) -> None:
    """A daemon neither holds up the run nor outlives it, nor do files in shared memory."""
    started = time.monotonic()
    (_, (_, processes), (_, memory)) = call(
        shell,
        str(native_tree),
        "echo secret > /dev/shm/file; setsid sleep 600 & echo started",
        "ls /proc",
        "ls /dev/shm",
    )
    assert time.monotonic() - started < 10
    assert len([line for line in processes.splitlines() if line.isdecimal()]) == 3
    assert memory == ""
    assert call(processes_after, str(native_tree)) == 0


def test_time_and_output_are_bounded(native_tree: Path) -> None:
    """Endless programs are killed; of endless output the middle is dropped."""
    with pytest.raises(ScriptError, match=r"did not end within 0\.3 seconds") as caught:
        call(shell, str(native_tree), "echo begun; sleep 600", seconds=0.3)
    assert caught.value.output == "begun\n"
    ((_, text),) = call(
        shell,
        str(native_tree),
        "i=0; while [ $i -lt 50000 ]; do echo $i-------; i=$((i+1)); done",
    )
    assert text.startswith("0-------\n1-------\n")
    assert text.endswith("\n49999-------\n")
    assert "bytes left out" in text
    assert len(text) < jail.OUTPUT_BYTES + 100


def test_a_script_is_given_beside_the_tree(native_tree: Path) -> None:
    """The script file exists for its run, with arguments, and not in the tree."""
    script = b"#!/no/such/shell\necho $1 $2; ls -A /dev\n"
    status, text = call(with_script, str(native_tree), script, "post", "a b")
    assert (status, text.splitlines()[0]) == (0, "post a b")
    assert not list(native_tree.rglob("xbps-script"))


def test_a_bootstrap_tree_lends_its_programs(native_tree: Path, tmp_path: Path) -> None:
    """The target is the working directory and gets what relative paths write."""
    call(adopt, str(tmp_path))
    status, text = call(
        with_bootstrap, str(tmp_path), str(native_tree), "mkdir -p etc tmp && echo x > etc/y; ls"
    )
    assert (status, text) == (0, "etc\ntmp\n")
    assert (tmp_path / "etc/y").read_text() == "x\n"
    assert not (tmp_path / "dev").exists()
    call(shutil.rmtree, str(tmp_path / "etc"))


def test_links_of_the_tree_do_not_lead_out(native_tree: Path, tmp_path: Path) -> None:
    """A tree whose /proc or /dev is a link cannot aim the mounts at the host."""
    host = tmp_path / "host"
    host.mkdir()
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/dev").symlink_to(host)
    with pytest.raises(SandboxError, match="/dev of the tree is not a directory"):
        call(shell, str(tmp_path / "tree"), ":")
    assert list(host.iterdir()) == []


def test_programs_that_cannot_be_run_are_told(native_tree: Path, tmp_path: Path) -> None:
    """A missing program and one of another machine are errors of the sandbox, with a hint."""
    call(adopt, str(tmp_path))
    with pytest.raises(SandboxError, match="No such file") as caught:
        call(shell, str(tmp_path), ":")
    assert caught.value.code == "E-SANDBOX-EXEC"
    elf = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HH", 2, 1) + bytes(100)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/sh").write_bytes(elf)
    (tmp_path / "bin/sh").chmod(0o755)
    with pytest.raises(SandboxError, match="Exec format error"):
        call(shell, str(tmp_path), ":")


def test_the_first_program_of_several(native_tree: Path) -> None:
    """Looked up in the tree, following its links there."""
    tree = str(native_tree)
    assert call(first_program, tree, ["/usr/bin/none", "/bin/sh", "/bin/ls"]) == "/bin/sh"
    assert call(first_program, tree, [str(native_tree / "bin/sh")]) is None


def test_the_sandbox_holds_nothing_of_its_caller(native_tree: Path, tmp_path: Path) -> None:
    """No lock stays taken, and one of two sandboxes can be closed before the other."""
    assert call(lock_while_open, str(native_tree), str(tmp_path / "lock"))


def test_a_run_is_cheap(native_tree: Path) -> None:
    """Hundreds of scripts cost seconds at most (about 3 ms each on an idle machine)."""
    assert call(quick_runs, str(native_tree), 20) < 0.1


def hello() -> bytes:
    """A static ELF program for aarch64: write(1, "hello\\n", 6); exit(7)."""
    code = b"".join(
        struct.pack("<I", word)
        for word in (
            0xD2800020,  # mov x0, #1
            0x100000E1,  # adr x1, . + 28, the text
            0xD28000C2,  # mov x2, #6
            0xD2800808,  # mov x8, #64 (write)
            0xD4000001,  # svc #0
            0xD28000E0,  # mov x0, #7
            0xD2800BA8,  # mov x8, #93 (exit)
            0xD4000001,  # svc #0
        )
    )
    code += b"hello\n"
    base, offset = 0x400000, 120
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", 2, 183, 1, base + offset, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    size = offset + len(code)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, base, base, size, size, 0x1000)
    return header + segment + code


def test_programs_of_another_architecture_run(tmp_path: Path) -> None:
    """An aarch64 program runs without anything registered on the host."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/hello").write_bytes(hello())
    (tmp_path / "bin/hello").chmod(0o755)
    call(adopt, str(tmp_path))
    assert call(run_foreign, str(tmp_path), "aarch64-musl") == "7 hello\n"


def test_a_registration_is_made_once(tmp_path: Path) -> None:
    """Registering twice is one entry; a native architecture needs none."""
    foreign = "aarch64" if ARCH != "aarch64" else "x86_64"
    assert f"voidimg-{foreign}" in call(registered, foreign)
    assert not any(name.startswith("voidimg") for name in call(registered, ARCH))
