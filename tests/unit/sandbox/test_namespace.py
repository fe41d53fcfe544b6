"""namespace.call: who we are inside, what comes back, and that nothing stays behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import voidimg
from voidimg.errors import CollectedError, DiskFullError, ResolveError, SandboxError
from voidimg.events import Event, Listener, Message, ignore
from voidimg.sandbox import kernel, worker
from voidimg.sandbox.idmap import own_extents
from voidimg.sandbox.namespace import WorkerError, call

PROJECT = Path(voidimg.__file__).parent.parent

# --- functions that run inside -----------------------------------------------------------------


def identity() -> dict[str, object]:
    mask = os.umask(0)
    os.umask(mask)
    return {
        "ids": (os.getresuid(), os.getresgid(), os.getgroups()),
        "pid": os.getpid(),
        "umask": mask,
        "cwd": os.getcwd(),
        "environment": sorted(os.environ),
        "processes": sorted(name for name in os.listdir("/proc") if name.isdecimal()),
        "interfaces": sorted(os.listdir("/proc/sys/net/ipv4/conf")),
    }


def own(path: str) -> tuple[int, int, int, bytes]:
    """Change owner and mode and set a capability, as unpacking and scripts do."""
    Path(path).touch()
    os.chown(path, 1234, 65534)
    os.chmod(path, 0o4755)
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    os.setxattr(path, "security.capability", capability)
    found = os.stat(path)
    return found.st_uid, found.st_gid, found.st_mode, os.getxattr(path, "security.capability")


def fail(kind: str) -> None:
    if kind == "resolve":
        raise ResolveError("no foo", code="NONE", where="foo", hint="ask for bar")
    if kind == "many":
        raise CollectedError("two", [ResolveError("a", code="A"), ResolveError("b", code="B")])
    if kind == "full":
        raise OSError(errno.ENOSPC, "No space left on device", "/tree/file")
    if kind == "exit":
        os.write(2, b"last words\n")
        os._exit(7)
    raise RuntimeError("a fault\nin two lines")


def speak(count: int, listener: Listener = ignore) -> int:
    for number in range(count):
        listener(Message("note", str(number)))
    return count


def large(data: bytes) -> bytes:
    return data[::-1]


def linger(marker: str) -> None:
    """Mount something, start processes that want to survive, and never end."""
    kernel.mount("tmpfs", marker, "tmpfs")
    Path(marker, "inside").touch()
    for _ in range(2):
        subprocess.Popen(["setsid", "sleep", "600"], env={"MARKER": marker, "PATH": os.defpath})
    Path(os.path.dirname(marker), "ready").touch()
    time.sleep(600)


def forbid() -> SandboxError | None:
    """What a call says where no user namespace may be made."""
    Path("/proc/sys/user/max_user_namespaces").write_bytes(b"0")
    try:
        call(os.getpid)
    except SandboxError as error:
        return error
    return None


# --- what they show ----------------------------------------------------------------------------


def test_the_function_is_root_of_its_own_world() -> None:
    """Uid 0, pid 1, no network, a fixed environment, whatever the caller's are."""
    inside = call(identity)
    assert inside == {
        "ids": ((0, 0, 0), (0, 0, 0), []),
        "pid": 1,
        "umask": 0o022,
        "cwd": "/",
        "environment": ["HOME", "LC_ALL", "PATH", "TZ", "VOIDIMG_CALLER"],
        "processes": ["1"],
        "interfaces": ["all", "default", "lo"],
    }


def test_owners_modes_and_capabilities_can_be_set(tmp_path: Path) -> None:
    """The powers are real: what is set is what is read back."""
    uid, gid, mode, capability = call(own, str(tmp_path / "file"))
    assert (uid, gid, mode & 0o7777) == (1234, 65534, 0o4755)
    assert capability == bytes.fromhex("0100000200200000000000000000000000000000")
    if os.geteuid() == 0:
        tree_ids = own_extents("uid")[0]
        assert (tmp_path / "file").stat().st_uid == tree_ids.outside + 1234
    call(os.unlink, str(tmp_path / "file"))


def test_our_errors_come_back_as_themselves() -> None:
    """Class, text, code and hint survive the border."""
    with pytest.raises(ResolveError) as caught:
        call(fail, "resolve")
    assert str(caught.value) == "no foo (ask for bar)"
    assert caught.value.code == "E-RESOLVE-NONE"
    with pytest.raises(CollectedError) as many:
        call(fail, "many")
    assert [error.code for error in many.value.errors] == ["E-RESOLVE-A", "E-RESOLVE-B"]


def test_a_full_disk_is_a_full_disk() -> None:
    """ENOSPC inside has its own class outside."""
    with pytest.raises(DiskFullError, match="/tree/file"):
        call(fail, "full")


def test_other_exceptions_become_one_line_with_a_traceback_in_reach() -> None:
    """A fault of ours is told without a traceback, and can be looked into."""
    with pytest.raises(WorkerError) as caught:
        call(fail, "fault")
    assert caught.value.what == "RuntimeError: a fault in two lines"
    assert "in fail" in caught.value.output


def test_a_worker_that_just_ends_is_noticed() -> None:
    """An end without an answer is an error with its last words."""
    with pytest.raises(WorkerError, match="status 7") as caught:
        call(fail, "exit")
    assert caught.value.output == "last words\n"


def test_events_are_forwarded_in_order() -> None:
    """The caller's listener hears what the function says."""
    heard: list[Event] = []
    assert call(speak, 50, listener=heard.append) == 50
    assert heard == [Message("note", str(number)) for number in range(50)]


def test_a_listener_that_fails_ends_the_call() -> None:
    """The exception of the caller's own listener is the caller's."""

    def refuse(_event: Event) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        call(speak, 100000, listener=refuse)


def test_large_values_pass_both_ways() -> None:
    """More than any pipe buffer."""
    data = os.urandom(3_000_000)
    assert call(large, data) == data[::-1]


def test_only_top_level_functions_are_taken() -> None:
    """What another interpreter cannot import is refused at once."""
    with pytest.raises(TypeError, match="top-level"):
        call(lambda: None)


def _alive(marker: str) -> list[str]:
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdecimal():
            try:
                known = (directory / "environ").read_bytes() + (directory / "cmdline").read_bytes()
                mounts = (directory / "mountinfo").read_bytes()
            except OSError:
                continue
            if marker.encode() in known or marker.encode() in mounts:
                found.append(directory.name)
    return found


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_when_the_caller_dies(tmp_path: Path, number: signal.Signals) -> None:
    """After kill -9 of the caller no process and no mount of the call exists; Ctrl-C the same."""
    marker = tmp_path / "marker"
    marker.mkdir()
    program = (
        f"import sys; sys.path[:0] = [{str(PROJECT)!r}, {str(Path(__file__).parent)!r}]\n"
        # a shell's background jobs, such as a CI's, are born with SIGINT ignored
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from voidimg.sandbox.namespace import call; import test_namespace\n"
        "call(test_namespace.linger, sys.argv[1])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(marker)], stderr=subprocess.DEVNULL
    ) as caller:
        try:
            deadline = time.monotonic() + 20
            while not (tmp_path / "ready").exists():
                assert caller.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert len(_alive(str(marker))) >= 4
            caller.send_signal(number)
            caller.wait(timeout=10)
        finally:
            caller.kill()  # leaving the block waits for it, without limit
    deadline = time.monotonic() + 5
    while _alive(str(marker)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert _alive(str(marker)) == []
    assert list(marker.iterdir()) == []


def test_forbidden_namespaces_are_explained() -> None:
    """The kernel's refusal names the setting that causes it."""
    error = call(forbid)
    assert error is not None
    assert error.code == "E-SANDBOX-NAMESPACE"
    assert error.hint == "as root: sysctl -w user.max_user_namespaces=65536"


@pytest.mark.parametrize(
    ("path", "value", "hint"),
    [
        ("kernel/unprivileged_userns_clone", "0", "kernel.unprivileged_userns_clone=1"),
        (
            "kernel/apparmor_restrict_unprivileged_userns",
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        ("kernel/other", "1", "must be enabled"),
    ],
)
def test_the_hint_follows_the_settings(tmp_path: Path, path: str, value: str, hint: str) -> None:
    """Debian's and Ubuntu's switches are recognised."""
    (tmp_path / path).parent.mkdir()
    (tmp_path / path).write_text(f"{value}\n")
    assert hint in worker._hint(tmp_path)
