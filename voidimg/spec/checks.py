"""Cross checks of a resolved recipe: what no single value shows to be wrong."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from voidimg.errors import SpecError
from voidimg.spec.disk_checks import check_disk
from voidimg.spec.model import Recipe
from voidimg.spec.problems import did_you_mean, problem
from voidimg.spec.templates import check_templates
from voidimg.spec.tree import Node

PLACEHOLDERS = frozenset({"root_partuuid", "boot_partuuid", "date"})
"""What stands for the image's own values in the `expect` of a statement."""

_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")

Check = Callable[[Recipe, Node], Iterator[SpecError]]


def check_recipe(recipe: Recipe, node: Node, templates: Sequence[Path]) -> list[SpecError]:
    """Everything that is contradictory in `recipe`, whose places are those of `node`.

    `templates` are the directories in which templates are looked up, first match wins.
    """
    found = [error for check in _CHECKS for error in check(recipe, node)]
    found.extend(check_templates(node, templates))
    return found


def _check_image_stage(recipe: Recipe, node: Node) -> Iterator[SpecError]:
    if recipe.image.packages:
        yield problem(
            node.at("image", "packages").key,
            "the image stage installs no packages",
            code="IMAGE-PACKAGES",
            hint="put them into [platformfs]",
        )


def _check_users(recipe: Recipe, node: Node) -> Iterator[SpecError]:
    names = [user.name for user in recipe.users]
    for index, name in enumerate(names):
        if name in names[:index]:
            yield problem(
                node.at("users", index, "name").origin,
                f"user {name!r} is there twice",
                code="TWICE",
            )
    if recipe.smoke.machines and recipe.smoke.user not in {"root", *names}:
        yield problem(
            node.at("smoke", "user").origin,
            f"the boot test logs in as {recipe.smoke.user!r}, who is no user of the recipe",
            code="SMOKE-USER",
            hint=did_you_mean(recipe.smoke.user, {"root", *names}),
        )


def _check_locale(recipe: Recipe, node: Node) -> Iterator[SpecError]:
    if recipe.libc == "musl" and recipe.locale is not None:
        yield problem(
            node.at("locale").key,
            "musl has no locales, only C.UTF-8",
            code="LOCALE-MUSL",
            hint="write locale in the table [glibc]",
        )


def _check_files(recipe: Recipe, node: Node) -> Iterator[SpecError]:
    for stage in ("rootfs", "platformfs", "image"):
        seen: dict[str, Node] = {}
        for element in node.at(stage).table.get("files", node.at(stage)).items:
            path = element.table["path"]
            before = seen.setdefault(str(path.content), path)
            if before is not path:
                yield problem(
                    path.origin,
                    f"[{stage}] writes {path.content} twice, first at {before.origin}",
                    code="TWICE",
                    hint="remove one of them",
                )
    del recipe


def _check_boot(recipe: Recipe, node: Node) -> Iterator[SpecError]:
    if re.search(r"(?:^|\s)root=", recipe.boot.cmdline):
        yield problem(
            node.at("boot", "cmdline").origin,
            "boot.cmdline must not say root=, which follows from the disk",
            code="CMDLINE-ROOT",
            hint="templates put root=PARTUUID=... in front of it",
        )


def _check_machines(recipe: Recipe, node: Node) -> Iterator[SpecError]:
    for index, machine in enumerate(recipe.smoke.machines):
        place = node.at("smoke", "machines", index)
        if sum("{drive}" in argument for argument in machine.attach) != 1:
            yield problem(
                place.at("attach").origin,
                "attach must have {drive} in exactly one argument",
                code="MACHINE-DRIVE",
            )
        if machine.dtb_edits and machine.dtb is None:
            yield problem(
                place.at("dtb_edits").key, "dtb_edits needs dtb, the file to edit", code="MISSING"
            )
    if recipe.smoke.machines and recipe.disk is None:
        yield problem(
            node.at("smoke", "machines").key, "[smoke] needs a [disk] to boot from", code="MISSING"
        )


def _check_statements(recipe: Recipe, node: Node) -> Iterator[SpecError]:
    names: set[str] = set()
    for index, statement in enumerate(recipe.smoke.statements):
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


def _check_layout(recipe: Recipe, node: Node) -> Iterator[SpecError]:
    if recipe.disk is not None:
        yield from check_disk(recipe.disk, recipe.boot, node.at("disk"))


_CHECKS: tuple[Check, ...] = (
    _check_image_stage,
    _check_users,
    _check_locale,
    _check_files,
    _check_boot,
    _check_machines,
    _check_statements,
    _check_layout,
)
