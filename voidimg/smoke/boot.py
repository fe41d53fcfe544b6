"""Boots one image on the machines its platform states, and asks the guest what was promised."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from voidimg.artifact_names import DATE_FORM
from voidimg.artifacts.registry import read_name
from voidimg.errors import UsageError, storing
from voidimg.events import Listener, Message, ignore, step
from voidimg.foreign import open_regular
from voidimg.formats.partition_table import read_table
from voidimg.inspection.boot_files import open_boot_files
from voidimg.inspection.opened import open_artifact, raw_image
from voidimg.smoke.accelerator import choose_accelerator
from voidimg.smoke.console import Console, ConsoleClosedError
from voidimg.smoke.emulator import (
    Emulator,
    NamelessFile,
    Start,
    arguments_of,
    edit_dtb,
    make_overlay,
    medium_bytes,
    path_of,
    started,
)
from voidimg.smoke.live_iso import is_iso, live_user, patterns_of
from voidimg.smoke.raspberry_pi import load, require_root
from voidimg.smoke.shell import Person, Shell, wait_for_login
from voidimg.smoke.statements import Expectation, fill_in, judge
from voidimg.smoke.uefi import find_uefi
from voidimg.smoke.verdict import BootVerdict, Check, GuestError, SmokeReport
from voidimg.spec.live_model import Live
from voidimg.spec.model import Recipe
from voidimg.spec.smoke_model import Machine

_POWER_OFF_SECONDS = 90.0
_POWERED_OFF = re.compile(rb"reboot: (?:Power down|System halted)")
_LOGIN_CHECK = "the guest starts up to a login prompt"
_SHELL_CHECK = "{user} logs in on the console"


def platform_of_image(path: Path) -> tuple[str, str]:
    """Platform and date in the file name of an artifact that QEMU can start.

    Raises:
        UsageError: the name has another form.
    """
    found = read_name(path)
    if found is None or found[0].role == "tree":
        raise UsageError(
            f"the name {path.name} does not say its platform",
            code="IMAGE-NAME",
            where=str(path),
            hint="name it with --platform",
        )
    return found[1].subject, found[1].date


def profile_of_image(path: Path) -> str | None:
    """The profile in the file name of an artifact; None when it has none: the platform's own."""
    found = read_name(path)
    return None if found is None else found[1].profile


def choose_machines(
    recipe: Recipe, media: Sequence[str], *, live: bool = False
) -> tuple[Machine, ...]:
    """The platform's machines that boot from `media`, in their order; all without `media`.

    Those with firmware are for `live` ISOs, the others for disk images.

    Raises:
        UsageError: there is none for one of `media`, or none at all.
    """
    stated = tuple(one for one in recipe.smoke.machines if (one.firmware is not None) == live)
    offered = sorted({machine.medium for machine in stated})
    missing = [medium for medium in media if medium not in offered]
    if missing or not stated:
        what = "live ISO" if live else "disk image"
        medium = f" from {missing[0]}" if missing else ""
        others = "disk images" if live else "live ISOs"
        hint = f"its machines boot {others}" if recipe.smoke.machines else "see [smoke] of its file"
        raise UsageError(
            f"{recipe.platform} states no machine of QEMU that boots a {what}{medium}",
            code="MEDIUM",
            where=recipe.platform,
            hint=f"it has: {', '.join(offered)}" if offered else hint,
        )
    wanted = dict.fromkeys(media or (machine.medium for machine in stated))
    return tuple(machine for medium in wanted for machine in stated if machine.medium == medium)


def smoke_image(
    image: Path,
    recipe: Recipe,
    *,
    logs: Path,
    media: Sequence[str] = (),
    scratch: Path | None = None,
    patience: float = 1.0,
    listener: Listener = ignore,
) -> SmokeReport:
    """Boot `image` under QEMU on each of its platform's machines, and judge what it answers.

    The image (``.img``, ``.img.xz``, ``.img.zst``) is only read: the guest writes to an overlay on
    a larger medium. A live ISO is started by the machines' own firmware, and must have a serial
    console; its live user logs in. What fails is in the report; see `SmokeReport.require_passed`.

    Args:
        image: the image file.
        recipe: what it was built from: machines, statements, users, partitions.
        logs: directory of the console logs, made if need be.
        media: boot only from these (``sd``, ``usb``, ``nvme``, ``virtio``, ``cd``).
        scratch: directory for the unpacked image; by default that of temporary files.
        patience: factor on every time limit, for slow or busy hosts.
        listener: gets the steps, and console lines as messages of level ``debug``.

    Raises:
        UsageError: no machine fits `media`, or the ISO has no serial console.
        LayoutError: the image is damaged, or has no such partitions.
        SpecError: a statement is wrong.
        ToolError: QEMU, mtools or fdtput is missing.
    """
    live = _live_of(image, recipe)
    machines = choose_machines(recipe, media, live=live is not None)
    if live is not None:
        firmware = [one.firmware for one in machines if one.firmware is not None]
        patterns = patterns_of(image, live, recipe.arch, firmware)
    with storing(logs, "make the directory"):
        logs.mkdir(parents=True, exist_ok=True)
    with ExitStack() as opened:
        if live is not None:
            raw = image
        else:
            opened.enter_context(step(listener, f"unpack {image.name}"))
            raw = opened.enter_context(raw_image(open_artifact(image), scratch))
        file = open_regular(raw, block_device=True)
    # From here on an unpacked image has no name any more, and goes away with us.
    with file:
        base = raw if raw == image else path_of(file.fileno())
        if live is None:
            patterns = _patterns(base, recipe)
        subject = _Subject(
            image=image,
            base=base.absolute(),
            recipe=recipe,
            expectations=fill_in(recipe.smoke.statements, {**patterns, "date": _date(image)}),
            scratch=scratch or logs,
            patience=patience,
            person=_person(recipe) if live is None else live_user(live),
        )
        boots = []
        for machine in machines:
            with step(listener, f"smoke: {machine.medium} on {machine.machine}"):
                boots.append(subject.boot(machine, logs, listener))
    return SmokeReport(image, recipe.platform, tuple(boots))


def _live_of(image: Path, recipe: Recipe) -> Live | None:
    """The live system of `recipe` when `image` is an ISO, None when it is a disk image."""
    if not is_iso(image):
        return None
    if recipe.live is None:
        raise UsageError(
            f"{image.name} is a live ISO, but {recipe.platform} with {recipe.profile} has none",
            code="NO-LIVE",
            where=str(image),
            hint="name what it was built from with --platform and --profile",
        )
    return recipe.live


def _date(image: Path) -> str:
    """What ``{date}`` stands for: that of the image's name, or any date when the name has none."""
    found = read_name(image)
    return re.escape(found[1].date) if found else DATE_FORM


def _patterns(base: Path, recipe: Recipe) -> dict[str, str]:
    """What ``{root_partuuid}`` and its like stand for, from the image's own partition table."""
    partitions = recipe.disk.partitions if recipe.disk else ()
    table = read_table(base)
    names = {"/": "root_partuuid", "/boot": "boot_partuuid"}
    return {
        names[partition.mount]: re.escape(table.partition(number).partuuid)
        for number, partition in enumerate(partitions, start=1)
        if partition.mount in names
    }


@dataclass(frozen=True, slots=True)
class _Subject:
    """The image under test."""

    image: Path
    base: Path
    recipe: Recipe
    expectations: tuple[Expectation, ...]
    scratch: Path
    patience: float
    person: Person

    def boot(self, machine: Machine, logs: Path, listener: Listener) -> BootVerdict:
        """One boot; whatever goes wrong in it is part of the verdict."""
        stem = self.image.name.partition(".img")[0].removesuffix(".iso")
        kind = re.sub(r"[^\w.-]", "_", machine.machine)
        log = logs / f"{stem}.{machine.medium}-{kind}.log"
        accelerator = choose_accelerator(self.recipe.smoke.qemu, machine)
        begun = time.monotonic()
        course = _Course(self, machine, begun)
        last_lines = ""
        with ExitStack() as files, storing(log, "write"), log.open("wb") as log_file:
            try:
                start = self._start(machine, files)
            except GuestError as error:
                course.fail(error)
            else:
                words = arguments_of(machine, start, kvm=accelerator == "kvm")
                with (
                    started(self.recipe.smoke.qemu, words) as emulator,
                    Console(emulator.console, log_file, _line_reporter(listener)) as console,
                ):
                    course.run(emulator, console)
                    last_lines = console.last_lines()
        return BootVerdict(
            medium=machine.medium,
            machine=machine.machine,
            accelerator=accelerator,
            seconds=time.monotonic() - begun,
            login_seconds=course.login_seconds,
            powered_off=course.powered_off,
            log=log,
            last_lines=last_lines,
            checks=tuple(course.checks),
        )

    def _start(self, machine: Machine, files: ExitStack) -> Start:
        """What QEMU starts with, in nameless files that live as long as `files`."""

        def nameless(content: bytes | None) -> Path | None:
            if content is None:
                return None
            return files.enter_context(NamelessFile(self.scratch, content)).path

        if machine.firmware is not None:
            flash = None
            if machine.firmware == "uefi":
                uefi = find_uefi(self.recipe.smoke.qemu)
                with storing(uefi.variables, "read"):
                    variables = nameless(uefi.variables.read_bytes())
                flash = (uefi.code, variables) if variables is not None else None
            return Start(None, None, None, "", self.base, flash)
        overlay = files.enter_context(NamelessFile(self.scratch)).path
        make_overlay(self.base, medium_bytes(self.base.stat().st_size), overlay)
        loaded = load(open_boot_files(self.base), machine, self.recipe.arch)
        require_root(loaded.cmdline, read_table(self.base))
        dtb = nameless(loaded.dtb)
        if dtb is not None:
            edit_dtb(dtb, machine.dtb_edits)
        kernel = files.enter_context(NamelessFile(self.scratch, loaded.kernel)).path
        return Start(kernel, nameless(loaded.initramfs), dtb, loaded.cmdline, overlay)


class _Course:
    """The course of one boot: login prompt, login, statements, power off."""

    def __init__(self, subject: _Subject, machine: Machine, begun: float):
        self._subject = subject
        self._begun = begun
        self._check_begun = begun
        self._until = begun + machine.deadline_seconds * subject.patience
        self._open = [_LOGIN_CHECK, _SHELL_CHECK.format(user=subject.person.name)]
        self._open += [expectation.statement.name for expectation in subject.expectations]
        self.checks: list[Check] = []
        self.login_seconds: float | None = None
        self.powered_off = False

    def run(self, emulator: Emulator, console: Console) -> None:
        """Go through it; the first failure that leaves no shell skips the rest."""
        try:
            self._run(emulator, console)
        except GuestError as error:
            self.fail(error)
        except ConsoleClosedError:
            self.fail(_ended(emulator))

    def _run(self, emulator: Emulator, console: Console) -> None:
        wait_for_login(console, self._until)
        self.login_seconds = time.monotonic() - self._begun
        self._add(Check(self._open[0], "passed", self.login_seconds))
        person = self._subject.person
        if person.password is None:
            raise GuestError(
                f"{person.name} has no password, so nobody can log in on the console",
                code="NO-PASSWORD",
                hint="give one to that user in the profile, or set smoke.user to another",
            )
        shell = Shell.log_in(console, person.name, person.password, self._until)
        self._add(Check(self._open[0], "passed", time.monotonic() - self._check_begun))
        for expectation in self._subject.expectations:
            if time.monotonic() >= self._until:
                raise GuestError("the time for the whole boot is over", code="DEADLINE")
            self._add(judge(shell, expectation, self._until, self._subject.patience))
        self._power_off(emulator, console, shell)

    def _power_off(self, emulator: Emulator, console: Console, shell: Shell) -> None:
        until = time.monotonic() + _POWER_OFF_SECONDS * self._subject.patience
        try:
            shell.power_off(until, self._subject.person.power_off)
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


def _person(recipe: Recipe) -> Person:
    """Who logs in on a disk image."""
    passwords = {user.name: user.password for user in recipe.users}
    return Person(recipe.smoke.user, passwords.get(recipe.smoke.user))


def _ended(emulator: Emulator) -> GuestError:
    status = emulator.wait(1.0)
    complaint = emulator.complaints().splitlines()
    reason = complaint[-1] if complaint else "the guest powered off or restarted"
    return GuestError(f"QEMU ended with status {status}: {reason}", code="QEMU-ENDED")


def _line_reporter(listener: Listener) -> Callable[[str], None]:
    return lambda line: listener(Message("debug", line))
