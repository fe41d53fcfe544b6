"""Cross checks of a resolved recipe: what no single value shows to be wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from voidimg.arch import Libc
from voidimg.catalog.disk_checks import check_disk, check_grub
from voidimg.catalog.live_checks import (
    check_live,
    check_live_content,
    check_menus,
    check_volume_id_length,
)
from voidimg.errors import SpecError
from voidimg.spec.cmdline import (
    LOADER_SIGNS,
    ROOT_BYTES,
    bad_menu_words,
    sets_root,
    why_not_kernel,
)
from voidimg.spec.document import Profile
from voidimg.spec.model import Recipe
from voidimg.spec.problems import problem
from voidimg.spec.search import SearchPath
from voidimg.spec.smoke_model import FIRMWARE_PROGRAMS, LIVE_FIRMWARE, Machine
from voidimg.spec.sources import check_sources
from voidimg.spec.stages import CONTENT_STAGES
from voidimg.spec.templates import check_templates
from voidimg.spec.tree import Node
from voidimg.spec.volume_id import SAMPLE_DATE, unknown_placeholders, volume_id_of
from voidimg.suggest import did_you_mean

PLACEHOLDERS = frozenset({"root_partuuid", "boot_partuuid", "date", "volume_id", "kernel_release"})
"""What stands for the image's own values in the `expect` of a statement."""

_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")

_LOOPBACK = frozenset({"localhost", "localhost6", "ip6-localhost", "ip6-loopback"})
"""Names that /etc/hosts gives 127.0.0.1 and ::1."""

Content = Recipe | Profile
"""What has users, files and statements: a profile alone, or the recipe that it went into."""


def check_recipe(recipe: Recipe, node: Node, search: SearchPath) -> list[SpecError]:
    """Everything that is contradictory in `recipe`, whose places are those of `node`.

    `search` is where templates and own files are looked up.
    """
    found = [error for check in _HARDWARE_CHECKS for error in check(recipe, node)]
    return found + check_content(recipe, node, recipe.libc, search)


def check_content(content: Content, node: Node, libc: Libc, search: SearchPath) -> list[SpecError]:
    """Everything that is contradictory in the users, files and statements of `content`."""
    return [
        *_check_image_stage(content, node),
        *_check_users(content, node),
        *_check_locale(content, node, libc),
        *_check_live_content(content, node),
        *_check_files(node),
        *_check_statements(content, node),
        *check_templates(node, search.templates),
        *check_sources(node, search.sources),
    ]


def _check_image_stage(content: Content, node: Node) -> Iterator[SpecError]:
    if content.image.packages:
        yield problem(
            node.at("image", "packages").key,
            "the image stage installs no packages",
            code="IMAGE-PACKAGES",
            hint="put them into [platformfs]",
        )


def _check_users(content: Content, node: Node) -> Iterator[SpecError]:
    names = [user.name for user in content.users]
    for index, name in enumerate(names):
        if name in names[:index]:
            place = node.at("users", index, "name").origin
            yield problem(place, f"user {name!r} is there twice", code="TWICE")
    if content.live is not None and content.live.access.user in set(names) - {"root"}:
        at = names.index(content.live.access.user)
        yield problem(
            node.at("users", at, "name").origin,
            f"{names[at]} is the live user too, who is made when the live system starts",
            code="NAME-TAKEN",
            hint="give one of them another name",
        )
    if content.hostname.partition(".")[0] in _LOOPBACK:
        yield problem(
            node.at("hostname").origin,
            f"the host name {content.hostname!r} is the one of every machine for itself",
            code="NAME-TAKEN",
            hint="choose another name",
        )


def _check_locale(content: Content, node: Node, libc: Libc) -> Iterator[SpecError]:
    if libc == "musl" and content.locale is not None:
        yield problem(
            node.at("locale").key,
            "musl has no locales, only C.UTF-8",
            code="LOCALE-MUSL",
            hint="write locale in the table [glibc]",
        )


def _check_files(node: Node) -> Iterator[SpecError]:
    for stage in CONTENT_STAGES:
        files = node.table[stage].table.get("files") if stage in node.table else None
        seen: dict[str, Node] = {}
        for element in files.items if files is not None else ():
            path = element.table["path"]
            before = seen.setdefault(str(path.content), path)
            if before is not path:
                yield problem(
                    path.origin,
                    f"[{stage}] writes {path.content} twice, first at {before.origin}",
                    code="TWICE",
                    hint="remove one of them",
                )


def _check_live_content(content: Content, node: Node) -> Iterator[SpecError]:
    if content.live is not None:
        yield from check_live_content(content.live, node.at("live"))


def _check_live(recipe: Recipe, node: Node) -> Iterator[SpecError]:
    if recipe.live is not None:
        yield from check_live(recipe.live, recipe.arch, node.at("live"))
        yield from check_menus(recipe, node.at("live"))
        template = recipe.live.volume_id
        if template is not None and not unknown_placeholders(template):
            shown = volume_id_of(recipe, SAMPLE_DATE)
            yield from check_volume_id_length(shown, node.at("live", "volume_id").origin)


def _check_boot(recipe: Recipe, node: Node) -> Iterator[SpecError]:
    place = node.at("boot", "cmdline").origin
    reason = why_not_kernel(recipe.boot.cmdline, recipe.arch, before_bytes=ROOT_BYTES)
    if reason is not None:
        what = f"the kernel cannot read boot.cmdline: {reason}"
        yield problem(place, what, code="CMDLINE", hint="write fewer or plain words")
    by_loader = recipe.boot.firmware == "u-boot" or recipe.boot.grub is not None
    for word in bad_menu_words(recipe.boot.cmdline) if by_loader else ():
        yield problem(
            place,
            f"{word!r} cannot be on boot.cmdline: the boot loader would change it",
            code="CMDLINE",
            hint=f"do without {' '.join(sorted(LOADER_SIGNS))}",
        )
    if sets_root(recipe.boot.cmdline):
        yield problem(
            place,
            "boot.cmdline must not say root=, which follows from the disk",
            code="CMDLINE-ROOT",
            hint="templates put root=PARTUUID=... in front of it",
        )


_CONTROLLED = {"xhci": "usb", "ehci": "usb", "sdhci": "sd"}
"""Controller -> the medium that it is for."""


def _check_machines(recipe: Recipe, node: Node) -> Iterator[SpecError]:
    for index, machine in enumerate(recipe.smoke.machines):
        place = node.at("smoke", "machines", index)
        if machine.controller is not None and _CONTROLLED[machine.controller] != machine.medium:
            yield problem(
                place.at("controller").origin,
                f"{machine.controller} is a controller for {_CONTROLLED[machine.controller]},"
                f" not for {machine.medium}",
                code="MACHINE-CONTROLLER",
            )
        yield from _check_firmware(recipe.smoke.qemu, machine, place)
        if machine.dtb_edits and machine.dtb is None:
            yield problem(
                place.at("dtb_edits").key, "dtb_edits needs dtb, the file to edit", code="MISSING"
            )
    played = [one for one in recipe.smoke.machines if one.firmware not in LIVE_FIRMWARE]
    if played and recipe.disk is None:
        yield problem(
            node.at("smoke", "machines").key, "[smoke] needs a [disk] to boot from", code="MISSING"
        )


def _check_firmware(qemu: str, machine: Machine, place: Node) -> Iterator[SpecError]:
    if qemu not in FIRMWARE_PROGRAMS[machine.firmware]:
        yield problem(
            place.at("firmware").origin,
            f"{machine.firmware} is no firmware for {qemu}",
            code="MACHINE-FIRMWARE",
            hint=f"it is for {', '.join(sorted(FIRMWARE_PROGRAMS[machine.firmware]))}",
        )
    if machine.medium == "cd" and machine.firmware not in LIVE_FIRMWARE:
        yield problem(
            place.at("medium").origin,
            "a cd starts by the machine's own firmware",
            code="MACHINE-CD",
            hint='say firmware = "bios" or "uefi"',
        )
    if machine.firmware != "raspberry-pi" and (machine.dtb or machine.append):
        yield problem(
            place.at("firmware").origin,
            f"with {machine.firmware} the medium itself says what is started:"
            " dtb and append are for disk images that a raspberry-pi starts",
            code="MACHINE-FIRMWARE",
        )


def _check_statements(content: Content, node: Node) -> Iterator[SpecError]:
    names: set[str] = set()
    for index, statement in enumerate(content.smoke.statements):
        place = node.at("smoke", "statements", index)
        if statement.name in names:
            yield problem(
                place.at("name").origin,
                f"statement {statement.name!r} is there twice",
                code="TWICE",
            )
        names.add(statement.name)
        expect = place.at("expect").origin
        for word in _PLACEHOLDER.findall(statement.expect):
            if word not in PLACEHOLDERS:
                yield problem(
                    expect,
                    f"{{{word}}} is no placeholder; there are {', '.join(sorted(PLACEHOLDERS))}",
                    code="PLACEHOLDER",
                    hint=did_you_mean(word, PLACEHOLDERS),
                )
        try:
            re.compile(_PLACEHOLDER.sub("x", statement.expect))
        except re.error as error:
            what = f"{statement.expect!r} is not a regular expression: {error}"
            yield problem(expect, what, code="REGEX")


def _check_login(recipe: Recipe, node: Node) -> Iterator[SpecError]:
    names = {"root", *(user.name for user in recipe.users)}
    if recipe.smoke.machines and recipe.smoke.user not in names:
        yield problem(
            node.at("smoke", "user").origin,
            f"the boot test logs in as {recipe.smoke.user!r}, who is no user of the recipe",
            code="SMOKE-USER",
            hint=did_you_mean(recipe.smoke.user, names),
        )


def _check_layout(recipe: Recipe, node: Node) -> Iterator[SpecError]:
    if recipe.disk is not None:
        yield from check_disk(recipe.disk, recipe.boot, node.at("disk"))
    yield from check_grub(recipe.boot, recipe.arch, node.at("boot"))


_HARDWARE_CHECKS: tuple[Callable[[Recipe, Node], Iterator[SpecError]], ...] = (
    _check_boot,
    _check_machines,
    _check_login,
    _check_layout,
    _check_live,
)
