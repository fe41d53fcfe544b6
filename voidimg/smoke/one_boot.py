"""One boot of an image: login prompt, login, statements, power off; what came of each."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Callable, Sequence

from voidimg.smoke import first_boots
from voidimg.smoke.console import Console, ConsoleClosedError
from voidimg.smoke.emulator import Emulator
from voidimg.smoke.shell import Person, Shell, wait_for_login
from voidimg.smoke.statements import Expectation, judge
from voidimg.smoke.verdict import Check, GuestError

_POWER_OFF_SECONDS = 90.0
_IDENTITIES_SECONDS = 60.0
_POWERED_OFF = re.compile(rb"reboot: (?:Power down|System halted)")
_MENU_CHECK = "the boot menu takes keys"
_LOGIN_CHECK = "the guest starts up to a login prompt"
_SHELL_CHECK = "{user} logs in on the console"


class OneBoot:
    """The course of one boot: login prompt, login, statements, power off.

    Times are of `time.monotonic`: when QEMU was started, and `until` when the login must be there.
    What is done `at_menu`, where something is, comes first. `identities` are what a guest that got
    so far said of them, None where nobody could ask.
    """

    def __init__(
        self,
        person: Person,
        expectations: Sequence[Expectation],
        *,
        begun: float,
        until: float,
        patience: float,
        at_menu: Callable[[Emulator, Console, float], None] | None = None,
    ):
        self._person = person
        self._expectations = expectations
        self._begun = begun
        self._check_begun = begun
        self._until = until
        self._patience = patience
        self._at_menu = at_menu
        self._open = [_MENU_CHECK] if at_menu is not None else []
        self._open += [_LOGIN_CHECK, _SHELL_CHECK.format(user=person.name)]
        self._open += [expectation.statement.name for expectation in expectations]
        self.checks: list[Check] = []
        self.login_seconds: float | None = None
        self.powered_off = False
        self.identities: first_boots.Identities | None = None

    def run(self, emulator: Emulator, console: Console) -> None:
        """Go through it; the first failure that leaves no shell skips the rest."""
        try:
            self._run(emulator, console)
        except GuestError as error:
            self.fail(error)
        except ConsoleClosedError:
            self.fail(_ended(emulator))

    def _run(self, emulator: Emulator, console: Console) -> None:
        if self._at_menu is not None:
            self._at_menu(emulator, console, self._until)
            self._add(Check(self._open[0], "passed", time.monotonic() - self._check_begun))
        wait_for_login(console, self._until)
        self.login_seconds = time.monotonic() - self._begun
        self._add(Check(self._open[0], "passed", self.login_seconds))
        person = self._person
        if person.password is None:
            raise GuestError(
                f"{person.name} has no password, so nobody can log in on the console",
                code="NO-PASSWORD",
                hint="give one to that user in the profile, or set smoke.user to another",
            )
        shell = Shell.log_in(console, person.name, person.password, self._until)
        self._add(Check(self._open[0], "passed", time.monotonic() - self._check_begun))
        for expectation in self._expectations:
            if time.monotonic() >= self._until:
                raise GuestError("the time for the whole boot is over", code="DEADLINE")
            self._add(judge(shell, expectation, self._until, self._patience))
        self._ask_identities(shell)
        self._power_off(emulator, console, shell)

    def _ask_identities(self, shell: Shell) -> None:
        """Ask what tells this machine from others; `compare` says what follows from it."""
        as_root = self._person.as_root
        if as_root is None:
            return
        until = time.monotonic() + _IDENTITIES_SECONDS * self._patience
        command = first_boots.command()
        answer = shell.run(f"{as_root}sh -c {shlex.quote(command)}" if as_root else command, until)
        self.identities = first_boots.parse(answer.output) if answer is not None else {}

    def _power_off(self, emulator: Emulator, console: Console, shell: Shell) -> None:
        until = time.monotonic() + _POWER_OFF_SECONDS * self._patience
        try:
            shell.power_off(until, self._person.power_off)
            # Some boards halt and leave the power on, so QEMU goes on too.
            self.powered_off = console.wait_for(_POWERED_OFF, until) is not None
        except ConsoleClosedError:
            self.powered_off = emulator.wait(until - time.monotonic()) == 0

    def _add(self, check: Check) -> None:
        self._open.pop(0)
        self._check_begun = time.monotonic()
        self.checks.append(check)

    def fail(self, error: GuestError) -> None:
        """The first open check failed with `error`; the others were not reached."""
        if not self._open:
            return
        name, *rest = self._open
        self.checks.append(
            Check(
                name,
                "failed",
                time.monotonic() - self._check_begun,
                code=error.code.removeprefix(f"{error.family}-"),
                message=error.what if error.hint is None else f"{error.what} ({error.hint})",
            )
        )
        self.checks += [Check(each, "skipped", 0.0, message="not reached") for each in rest]
        self._open = []


def _ended(emulator: Emulator) -> GuestError:
    status = emulator.wait(1.0)
    complaint = emulator.complaints().splitlines()
    reason = complaint[-1] if complaint else "the guest powered off or restarted"
    return GuestError(f"QEMU ended with status {status}: {reason}", code="QEMU-ENDED")
