"""Boots one image on the machines its platform states, and asks the guest what was promised."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from voidimg.artifact_names import DATE_FORM
from voidimg.artifacts.registry import read_name
from voidimg.errors import UsageError, storing
from voidimg.events import Listener, Message, ignore, step
from voidimg.formats.partition_table import read_table
from voidimg.smoke.accelerator import choose_accelerator
from voidimg.smoke.boot_menu import type_at_menu
from voidimg.smoke.console import Console
from voidimg.smoke.emulator import Emulator, started
from voidimg.smoke.first_boots import Identities, compare
from voidimg.smoke.live_iso import is_iso, live_user, patterns_of, words_for_serial
from voidimg.smoke.machine import arguments_of
from voidimg.smoke.one_boot import OneBoot
from voidimg.smoke.shell import Person
from voidimg.smoke.starting import opened, start_of
from voidimg.smoke.statements import Expectation, fill_in
from voidimg.smoke.verdict import BootVerdict, GuestError, SmokeReport
from voidimg.spec.live_model import Live
from voidimg.spec.model import Recipe
from voidimg.spec.smoke_model import LIVE_FIRMWARE, Firmware, Machine


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
    recipe: Recipe,
    media: Sequence[str] = (),
    firmware: Sequence[str] = (),
    *,
    live: bool = False,
) -> tuple[Machine, ...]:
    """The platform's machines that boot from `media` by `firmware`, in that order; empty: all.

    `live` asks for those that start live ISOs, else for those that start disk images.

    Raises:
        UsageError: there is none for one of `media` or `firmware`, or none at all.
    """
    stated = tuple(one for one in recipe.smoke.machines if _boots(recipe, one, live=live))
    what = "live ISO" if live else "disk image"
    for asked, has, sort in (
        (media, sorted({one.medium for one in stated}), "from"),
        (firmware, sorted({one.firmware for one in stated}), "by"),
    ):
        missing = [word for word in asked if word not in has]
        if not missing and stated:
            continue
        others = "disk images" if live else "live ISOs"
        hint = f"its machines boot {others}" if recipe.smoke.machines else "see [smoke] of its file"
        raise UsageError(
            f"{recipe.platform} states no machine of QEMU that boots a {what}"
            f"{f' {sort} {missing[0]}' if missing else ''}",
            code="MEDIUM",
            where=recipe.platform,
            hint=f"it has: {', '.join(has)}" if has else hint,
        )
    found = tuple(
        one
        for medium in dict.fromkeys(media or (one.medium for one in stated))
        for one in stated
        if one.medium == medium and (not firmware or one.firmware in firmware)
    )
    if not found:
        raise UsageError(
            f"{recipe.platform} states no machine of QEMU that boots a {what} from"
            f" {' or '.join(media)} by {' or '.join(firmware)}",
            code="MEDIUM",
            where=recipe.platform,
            hint=f"it has: {', '.join(f'{one.medium} by {one.firmware}' for one in stated)}",
        )
    return found


def _boots(recipe: Recipe, machine: Machine, *, live: bool) -> bool:
    """Whether `machine` boots what is asked for, of which `recipe` must have one."""
    if live:
        return recipe.live is not None and machine.firmware in LIVE_FIRMWARE
    return recipe.disk is not None and machine.medium != "cd"


def smoke_image(
    image: Path,
    recipe: Recipe,
    *,
    logs: Path,
    media: Sequence[str] = (),
    firmware: Sequence[str] = (),
    twice: bool = False,
    scratch: Path | None = None,
    patience: float = 1.0,
    listener: Listener = ignore,
) -> SmokeReport:
    """Boot `image` under QEMU on each of its platform's machines, and judge what it answers.

    The image (``.img``, ``.img.xz``, ``.img.zst``) is only read: the guest writes to an overlay on
    a larger medium. A live ISO is started by the machines' own firmware; where its menu asks for no
    serial console, that is typed at the menu. Its live user logs in. What fails is in the report;
    see `SmokeReport.require_passed`.

    Args:
        image: the image file.
        recipe: what it was built from: machines, statements, users, partitions.
        logs: directory of the console logs, made if need be.
        media: boot only from these (``sd``, ``usb``, ``nvme`` and so on).
        firmware: boot only by these (``bios``, ``uefi`` and so on).
        twice: boot the first machine once more at the end, for what must differ between machines;
            of several boots each is compared with those before.
        scratch: directory for the unpacked image; by default that of temporary files.
        patience: factor on every time limit, for slow or busy hosts.
        listener: gets the steps, and console lines as messages of level ``debug``.

    Raises:
        UsageError: no machine fits `media`, or the ISO has no serial console and no screen.
        LayoutError: the image is damaged, or has no such partitions.
        SpecError: a statement is wrong.
        ToolError: QEMU, mtools or fdtput is missing.
    """
    live = _live_of(image, recipe)
    words: dict[Firmware, str] = {}
    machines = choose_machines(recipe, media, firmware, live=live is not None)
    if twice:
        machines += machines[:1]
    if live is not None:
        patterns = patterns_of(image, live, recipe.arch, [one.firmware for one in machines])
        words = {one.firmware: words_for_serial(image, recipe, one.firmware) for one in machines}
    with storing(logs, "make the directory"):
        logs.mkdir(parents=True, exist_ok=True)
    with opened(image, scratch, listener) as base:
        if live is None:
            patterns = _patterns(base, recipe)
        subject = _Subject(
            image=image,
            base=base,
            recipe=recipe,
            expectations=fill_in(recipe.smoke.statements, {**patterns, "date": _date(image)}),
            scratch=scratch or logs,
            patience=patience,
            person=_person(recipe) if live is None else live_user(live),
            menu_words=words,
        )
        boots: list[BootVerdict] = []
        earlier: list[tuple[str, Identities]] = []
        for machine, log in zip(machines, _log_names(image, machines), strict=True):
            with step(listener, f"smoke: {_boot_name(machine)}"):
                boot, identities = subject.boot(machine, logs / log, listener)
            if identities is not None:
                if earlier:
                    boot = replace(boot, checks=(*boot.checks, compare(identities, earlier)))
                earlier.append((boot.name, identities))
            boots.append(boot)
    return SmokeReport(image, recipe.platform, tuple(boots))


def _boot_name(machine: Machine) -> str:
    return f"{machine.medium} on {machine.machine}, {machine.firmware}"


def _log_names(image: Path, machines: Sequence[Machine]) -> list[str]:
    """The file name of each machine's console log; no two are the same."""
    stem = image.name.partition(".img")[0].removesuffix(".iso")
    names: list[str] = []
    for machine in machines:
        kind = re.sub(r"[^\w.-]", "_", machine.machine)
        name = f"{stem}.{machine.medium}-{kind}"
        # A live ISO's name and a Pi's said no firmware before there was a choice of it.
        for more in (
            "",
            f"-{machine.firmware}",
            *(f"-{machine.firmware}-{n}" for n in range(2, 99)),
        ):
            if f"{name}{more}.log" not in names:
                names.append(f"{name}{more}.log")
                break
    return names


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
    menu_words: Mapping[Firmware, str]
    """What is typed at the boot menu of each firmware; nothing where it is empty."""

    def boot(
        self, machine: Machine, log: Path, listener: Listener
    ) -> tuple[BootVerdict, Identities | None]:
        """One boot, and what tells it from others; what goes wrong in it is in the verdict."""
        qemu = self.recipe.smoke.qemu
        acceleration = choose_accelerator(qemu, machine)
        begun = time.monotonic()
        course = OneBoot(
            self.person,
            self.expectations,
            begun=begun,
            until=begun + machine.deadline_seconds * self.patience,
            patience=self.patience,
            at_menu=self._at_menu(machine.firmware),
        )
        last_lines = ""
        with ExitStack() as files, storing(log, "write"), log.open("wb") as log_file:
            try:
                start = start_of(self.base, machine, qemu, self.recipe.arch, self.scratch, files)
            except GuestError as error:
                course.fail(error)
            else:
                kvm = acceleration.name == "kvm"
                words = [*arguments_of(machine, start, kvm=kvm), "-nic", "none"]
                with (
                    started(qemu, words) as emulator,
                    Console(emulator.console, log_file, _line_reporter(listener)) as console,
                ):
                    course.run(emulator, console)
                    last_lines = console.last_lines()
        verdict = BootVerdict(
            medium=machine.medium,
            machine=machine.machine,
            firmware=machine.firmware,
            accelerator=acceleration.name,
            seconds=time.monotonic() - begun,
            login_seconds=course.login_seconds,
            powered_off=course.powered_off,
            log=log,
            last_lines=last_lines,
            checks=tuple(course.checks),
            why_not_kvm=acceleration.why_not_kvm,
        )
        return verdict, course.identities

    def _at_menu(self, firmware: Firmware) -> Callable[[Emulator, Console, float], None] | None:
        words = self.menu_words.get(firmware)
        if not words:
            return None

        def type_words(emulator: Emulator, console: Console, until: float) -> None:
            type_at_menu(emulator, console, firmware, words, scratch=self.scratch, until=until)

        return type_words


def _person(recipe: Recipe) -> Person:
    """Who logs in on a disk image."""
    passwords = {user.name: user.password for user in recipe.users}
    return Person(recipe.smoke.user, passwords.get(recipe.smoke.user))


def _line_reporter(listener: Listener) -> Callable[[str], None]:
    return lambda line: listener(Message("debug", line))
