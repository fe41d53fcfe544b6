"""Logs in on a guest's console and runs commands there, whatever its shell and echo do.

Markers make it robust: they hold a sum that the shell is to calculate, of numbers drawn anew for
each command. So the echo of a command is never taken for its output, nor what a guest says that
imitates prompts and answers without a shell.
"""

from __future__ import annotations

import re
import secrets
import shlex
import time
from dataclasses import dataclass

from voidimg.smoke.console import Console, readable
from voidimg.smoke.verdict import GuestError

_LOGIN = re.compile(rb"(?<!Last )login: ")
_PASSWORD = re.compile(rb"(?i)password: ?|(?<!Last )login: ")
_START_ENDED = re.compile(
    rb"(?<!Last )(?P<login>login: )"
    rb"|(?i:(?:starting|entering) emergency (?:shell|mode)|give root password for maintenance)"
)
"""The prompt, or what stage 1 of Void's runit, dracut and sulogin say when they give up."""

_AFTER_EMERGENCY_SECONDS = 1.0
_PROMPT_PAUSE_SECONDS = 0.3
"""Some gettys throw away what is typed before they have set up the line."""

_PASSWORD_SECONDS = 30.0
_TRIES = 3
_QUIET_SECONDS = 10.0
"""A login waits some seconds after a wrong password, a busy guest longer."""

_REFUSED_CODE = "E-BOOT-LOGIN-REFUSED"
_FIRST_PROBE_SECONDS, _LAST_PROBE_SECONDS = 0.5, 5.0
"""A login throws away what is typed too early; a slow one should not be flooded."""

_REFUSED = (
    rb"login incorrect|incorrect password|authentication failure|account (?:is )?locked"
    rb"|(?<!last )login: "
)
_INTERRUPT = "\x03"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command wrote (both streams) and its exit status."""

    output: str
    status: int


@dataclass(frozen=True, slots=True)
class Sum:
    """What only a shell makes of what is typed: `asked` becomes `answer`.

    Small enough for shells that calculate in 32 bits.
    """

    asked: str
    answer: int

    @classmethod
    def drawn(cls) -> Sum:
        """One that nobody knows before."""
        first, second = (10**8 + secrets.randbelow(9 * 10**8) for _ in range(2))
        return cls(f"$(({first}+{second}))", first + second)


@dataclass(frozen=True, slots=True)
class Person:
    """Who logs in: `password` None cannot. `power_off` is what this one types to power off.

    `as_root` stands before a command that root is to run; None where this one cannot become root.
    """

    name: str
    password: str | None
    power_off: str = "poweroff"
    as_root: str | None = ""


class Shell:
    """A shell on a console, where commands are run one after another."""

    def __init__(self, console: Console):
        self._console = console

    @classmethod
    def log_in(cls, console: Console, user: str, password: str, until: float) -> Shell:
        """Type `user` and `password` at the login prompt that `wait_for_login` saw.

        Raises:
            GuestError: refused, or no shell until `until`.
            ConsoleClosedError: the guest ended.
        """
        shell = cls(console)
        for left in reversed(range(_TRIES)):
            times = shell._give_name(user, until)
            time.sleep(_PROMPT_PAUSE_SECONDS)
            console.send(f"{password}\n", until)
            try:
                shell._settle(user, until)
            except GuestError as error:
                # A guest that was busy took what was typed again for the password.
                if error.code != _REFUSED_CODE or times == 1 or not left:
                    raise
                shell._return_to_login(until)
            else:
                return shell
        raise AssertionError("the last try returns or raises")

    def _give_name(self, user: str, until: float) -> int:
        """Type the user's name until the password is asked for; how often it was typed."""
        times = 1
        while not self._ask(user, until):
            if time.monotonic() >= until:
                raise GuestError(
                    "no password prompt follows the user's name",
                    code="NO-PASSWORD-PROMPT",
                    hint="does the console's getty take input?",
                )
            times += 1
        return times

    def _return_to_login(self, until: float) -> None:
        """Wait until nothing that was typed is left to be taken for names and passwords."""
        seen = -1
        while seen != self._console.received_bytes and time.monotonic() < until:
            seen = self._console.received_bytes
            self._console.listen(min(until, time.monotonic() + _QUIET_SECONDS))
        self._console.forget()
        self._console.send("\n", until)
        self._console.wait_for(_LOGIN, min(until, time.monotonic() + _PASSWORD_SECONDS))

    def _ask(self, user: str, until: float) -> bool:
        """Type the user's name; True when the password is asked for."""
        time.sleep(_PROMPT_PAUSE_SECONDS)
        self._console.send(f"{user}\n", until)
        match = self._console.wait_for(_PASSWORD, min(until, time.monotonic() + _PASSWORD_SECONDS))
        if match is not None:
            return b"assword" in match[0].lower()
        self._console.send("\n", until)  # a getty that lost the name shows its prompt again
        self._console.wait_for(_LOGIN, min(until, time.monotonic() + _PASSWORD_SECONDS))
        return False

    def _settle(self, user: str, until: float) -> None:
        """Wait for the shell by asking for a marker, then make it quiet."""
        wait_seconds = _FIRST_PROBE_SECONDS
        while time.monotonic() < until:
            ready = Sum.drawn()
            marker = f"VOIDIMG-READY-{ready.answer}"
            pattern = re.compile(marker.encode() + rb"\r*\n|" + _REFUSED, re.IGNORECASE)
            # A login that flushes its input may leave any end of the line: no quote must be in it
            # that would be left open, nor a parenthesis: an arithmetic one is closed at once.
            self._console.send(f"echo VOIDIMG-READY-{ready.asked}\n", until)
            match = self._console.wait_for(pattern, min(until, time.monotonic() + wait_seconds))
            wait_seconds = min(2 * wait_seconds, _LAST_PROBE_SECONDS)
            if match is None:
                continue
            if marker.encode() not in match[0]:
                raise GuestError(
                    f"{user} is not let in: {readable(match[0])}",
                    code="LOGIN-REFUSED",
                    hint="is this password the one of the profile's users?",
                )
            quiet = "stty -echo; PS1= PS2= PROMPT_COMMAND=; export TERM=dumb LC_ALL=C; dmesg -n 1"
            self._console.send(f"{{ {quiet}; }} 2>/dev/null\n", until)
            if self.run("true", until) is not None:
                return
        raise GuestError(
            f"{user} logged in, but no shell answers", code="NO-SHELL", hint="see its console"
        )

    def run(self, command: str, until: float) -> Answer | None:
        """Run `command` by ``sh -c``, without input; None when it does not end until `until`.

        A command that does not end is interrupted, so that the shell can be used again.

        Raises:
            ConsoleClosedError: the guest ended.
        """
        begin, end = Sum.drawn(), Sum.drawn()
        self._console.forget()
        self._console.send(
            f"printf '\\n%s\\n' VOIDIMG-BEGIN-{begin.asked};"
            f" sh -c {shlex.quote(command)} </dev/null 2>&1;"
            f" printf '\\n%s:%s\\n' VOIDIMG-END-{end.asked} \"$?\"\n",
            until,
        )
        pattern = re.compile(
            rb"VOIDIMG-BEGIN-%d\r*\n(.*?)\r*\nVOIDIMG-END-%d:(\d+)\r*\n"
            % (begin.answer, end.answer),
            re.DOTALL,
        )
        match = self._console.wait_for(pattern, until)
        if match is None:
            self._console.send(f"{_INTERRUPT}\n", time.monotonic() + 1)
            return None
        return Answer(readable(match[1]), int(match[2]))

    def power_off(self, until: float, command: str = "poweroff") -> None:
        """Tell the guest to power off."""
        self._console.forget()
        self._console.send(f"{command}\n", until)


def wait_for_login(console: Console, until: float) -> None:
    """Wait for the login prompt.

    Raises:
        GuestError: none appeared, stage 1 gave up, or the kernel panicked.
        ConsoleClosedError: the guest ended.
    """
    match = console.wait_for(_START_ENDED, until)
    if match is not None and match["login"]:
        return
    if match is not None:
        console.listen(time.monotonic() + _AFTER_EMERGENCY_SECONDS)
        raise GuestError(
            "the guest stopped in an emergency shell",
            code="EMERGENCY",
            hint="why stands above it on the console: a filesystem that is not there or is damaged",
        )
    if console.received_bytes == 0:
        raise GuestError(
            "the guest said nothing at all",
            code="SILENT",
            hint="is the kernel for this machine, and the serial port its console?",
        )
    raise GuestError(
        "no login prompt appeared on the console",
        code="NO-LOGIN",
        hint="is a getty enabled on the serial console, and the console= appended last?",
    )
