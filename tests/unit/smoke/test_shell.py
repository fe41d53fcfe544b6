"""Login and commands on a real terminal with real shells."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.smoke.peer import PASSWORD, USER, guest
from voidimg.smoke import console as console_module
from voidimg.smoke import shell as shell_module
from voidimg.smoke.console import Console, ConsoleClosedError
from voidimg.smoke.shell import Shell, Sum, wait_for_login
from voidimg.smoke.verdict import GuestError


def soon(seconds: float = 10.0) -> float:
    """A deadline."""
    return time.monotonic() + seconds


@contextmanager
def _logged_in(shell: str = "dash -i", behaviour: str = "normal") -> Iterator[Shell]:
    with guest(shell, behaviour) as descriptor, Console(descriptor, io.BytesIO()) as console:
        wait_for_login(console, soon())
        yield Shell.log_in(console, USER, PASSWORD, soon())


@pytest.fixture(scope="module")
def dash() -> Iterator[Shell]:
    """One login for the tests that leave the shell as it was."""
    with _logged_in() as shell:
        yield shell


@pytest.mark.parametrize("shell", ["dash -i", "bash --norc -i"])
def test_what_a_command_writes_is_captured_without_its_echo(shell: str) -> None:
    """Both streams, the status, and quoting of every kind."""
    with _logged_in(shell) as logged_in:
        answer = logged_in.run("echo \"it's $((6 * 7))\"; echo 'two' >&2; exit 3", soon())
        assert answer is not None
        assert (answer.output, answer.status) == ("it's 42\ntwo\n", 3)


@pytest.mark.parametrize(
    ("command", "output", "status"),
    [
        ("cat", "", 0),
        ("true", "", 0),
        ("printf 'no end of line'", "no end of line", 0),
        ("printf 'a\\n\\nb\\n'", "a\n\nb\n", 0),
        ("for i in 1 2\ndo\necho $i\ndone", "1\n2\n", 0),
        ("printf '\\033[31mred\\033[0m\\n'", "red\n", 0),
        ("echo VOIDIMG-END-9:0", "VOIDIMG-END-9:0\n", 0),
        ("exec false", "", 1),
        ("seq 2000 | tail -n 1", "2000\n", 0),
        ("echo grüße", "grüße\n", 0),
    ],
)
def test_commands_of_every_kind(dash: Shell, command: str, output: str, status: int) -> None:
    """One that reads, that has no line end, several lines, colours, our own marker."""
    answer = dash.run(command, soon())
    assert answer is not None
    assert (output, status) == (answer.output, answer.status)


def test_a_syntax_error_harms_only_its_command(dash: Shell) -> None:
    """The shell of the login goes on."""
    wrong = dash.run("if then (", soon())
    after = dash.run("echo after", soon())
    assert wrong is not None
    assert wrong.status == 2
    assert after is not None
    assert after.output == "after\n"


def test_a_command_that_does_not_end_is_interrupted() -> None:
    """It costs its own time only, and the shell can be used again."""
    with _logged_in() as shell:
        assert shell.run("sleep 60", soon(0.5)) is None
        answer = shell.run("echo here", soon())
        assert answer is not None
        assert answer.output == "here\n"


def test_a_lot_of_output_arrives_whole(dash: Shell) -> None:
    """More than any buffer on the way."""
    answer = dash.run("seq 30000", soon())
    assert answer is not None
    assert answer.output.split() == [str(number) for number in range(1, 30001)]


def test_a_getty_that_loses_the_name_is_asked_again() -> None:
    """As when it flushes its input after the prompt."""
    with _logged_in(behaviour="loses-first-name") as shell:
        assert shell.run("true", soon()) is not None


def test_a_guest_that_is_busy_after_the_name_is_let_try_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It takes the name that is typed once more for the password, and refuses that."""
    monkeypatch.setattr(shell_module, "_PASSWORD_SECONDS", 0.5)
    monkeypatch.setattr(shell_module, "_QUIET_SECONDS", 1.0)
    with guest(behaviour="is-busy") as descriptor, Console(descriptor, io.BytesIO()) as console:
        wait_for_login(console, soon())
        shell = Shell.log_in(console, USER, PASSWORD, soon(30.0))
        assert shell.run("true", soon()) is not None


@pytest.mark.parametrize("shell", ["dash -i", "bash --norc -i"])
def test_a_login_that_flushes_its_input_may_leave_half_a_line(shell: str) -> None:
    """The shell then reads the rest of one, which must not open a quote."""
    with _logged_in(shell, behaviour="flushes") as logged_in:
        answer = logged_in.run("echo here", soon())
        assert answer is not None
        assert answer.output == "here\n"


def test_a_wrong_password_is_told_as_such() -> None:
    """And not as a time that ran out."""
    with guest() as descriptor, Console(descriptor, io.BytesIO()) as console:
        wait_for_login(console, soon())
        with pytest.raises(GuestError) as caught:
            Shell.log_in(console, USER, "wrong", soon())
    assert caught.value.code == "E-BOOT-LOGIN-REFUSED"


@pytest.mark.parametrize(
    ("behaviour", "code"),
    [("panic", "PANIC"), ("emergency", "EMERGENCY"), ("quiet", "NO-LOGIN")],
)
def test_a_guest_that_does_not_get_there(behaviour: str, code: str) -> None:
    """A panic and an emergency shell end the wait at once; a panic's line is in the message."""
    started = time.monotonic()
    with guest(behaviour=behaviour) as descriptor, Console(descriptor, io.BytesIO()) as console:
        with pytest.raises(GuestError) as caught:
            wait_for_login(console, soon(2.0 if behaviour == "quiet" else 30.0))
        assert "Booting Linux" in console.last_lines()
    assert f"E-BOOT-{code}" == caught.value.code
    assert time.monotonic() - started < 10
    if behaviour == "panic":
        assert "Unable to mount root fs" in caught.value.what


def test_a_guest_that_ends_is_noticed() -> None:
    """At once, without waiting for the deadline."""
    with (
        guest(behaviour="end") as descriptor,
        Console(descriptor, io.BytesIO()) as console,
        pytest.raises(ConsoleClosedError),
    ):
        wait_for_login(console, soon())


def test_everything_is_logged_and_told_line_by_line() -> None:
    """The log has the very bytes, the lines are readable."""
    log, lines = io.BytesIO(), list[str]()
    with guest() as descriptor, Console(descriptor, log, lines.append) as console:
        wait_for_login(console, soon())
    assert b"\x1b[1mWelcome\x1b[0m to Void\r\n" in log.getvalue()
    assert "Welcome to Void" in lines


_IMITATION = """
import re, sys, time
print("void login: ", end="", flush=True)
sys.stdin.readline()
print("Password: ", end="", flush=True)
sys.stdin.readline()
for line in sys.stdin:
    print(line, end="")
    for number in range(1, 30):
        print(f"VOIDIMG-READY-{number}")
        print(f"VOIDIMG-BEGIN-{number}\\nroot=PARTUUID=5a1e0001-02\\nVOIDIMG-END-{number}:0")
    for found in re.findall(r"VOIDIMG-[A-Z]+-\\S+", line):
        print(found.strip(";"), found.strip(";").replace("\\\\", ""), sep="\\n", flush=True)
    print("root@void # ", end="", flush=True)
"""


def test_a_guest_that_imitates_a_shell_is_not_believed(tmp_path: Path) -> None:
    """It knows our prompts and markers, and echoes; it has no shell that calculates."""
    (tmp_path / "guest").write_text(_IMITATION)
    near, far = socket.socketpair()
    words = [sys.executable, str(tmp_path / "guest")]
    with (
        near,
        subprocess.Popen(words, stdin=far.fileno(), stdout=far.fileno()),
        Console(near.fileno(), io.BytesIO()) as console,
    ):
        far.close()
        wait_for_login(console, soon())
        with pytest.raises(GuestError):
            Shell.log_in(console, USER, PASSWORD, soon(4.0))
        near.shutdown(socket.SHUT_RDWR)


def test_no_two_answers_are_the_same() -> None:
    """So none can be written down before."""
    drawn = [Sum.drawn() for _ in range(100)]
    assert len({one.answer for one in drawn}) == 100
    assert all(one.answer < 2**31 and str(one.answer) not in one.asked for one in drawn)


def test_a_guest_that_never_stops_talking_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """And its log has an end."""
    monkeypatch.setattr(console_module, "MAX_LOG_BYTES", 2**20)
    near, far = socket.socketpair()
    log = io.BytesIO()
    with (
        near,
        subprocess.Popen(["cat", "/dev/zero"], stdout=far.fileno()) as flood,
        Console(near.fileno(), log) as console,
    ):
        far.close()
        try:
            with pytest.raises(GuestError, match="1 MiB"):
                wait_for_login(console, soon(60.0))
        finally:
            flood.kill()
    assert log.tell() <= 2**20
