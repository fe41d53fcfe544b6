"""A platform and a profile become a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from pydantic import BaseModel

from voidimg.arch import ARCHES, Libc, with_libc
from voidimg.errors import SpecError, without_passwords
from voidimg.spec.base import Model
from voidimg.spec.document import Platform, Profile
from voidimg.spec.merge import Report, join_lists, join_live, join_stages
from voidimg.spec.model import Recipe
from voidimg.spec.positions import TomlPath
from voidimg.spec.problems import problem, validate
from voidimg.spec.search import SearchPath
from voidimg.spec.tree import DEFAULT, Node, Origin, implied, path_text
from voidimg.suggest import did_you_mean

_USUAL_PROFILE = "base"
"""What a platform that names no profile is made with."""


@dataclass(frozen=True, slots=True)
class ResolvedRecipe:
    """A recipe, and where everything in it comes from.

    `origins` has the place of every value by its path (``disk.partitions[0].size``).
    """

    recipe: Recipe
    origins: Mapping[str, Origin]
    files: tuple[Path, ...]
    """The TOML files it was made of: the platform's parents and itself, then the profile's."""
    templates: tuple[Path, ...]
    """The directories in which its templates are found, first match wins."""
    sources: tuple[Path, ...]
    """The directories in which own files are found, first match wins."""
    only_live: bool = False
    """Whether the profile was asked for and changes nothing but the live system of the platform."""

    def as_json(self) -> dict[str, Any]:
        """The recipe as a JSON-ready mapping; no password of a URL is in it."""
        shown: dict[str, Any] = _without_passwords(self.recipe.model_dump(mode="json"))
        return shown

    def values(self) -> Iterator[tuple[str, object]]:
        """Every value of `as_json` by its path, in the order of the models."""
        recipe = self.as_json()
        for path in leaf_paths(recipe):
            value: Any = recipe
            for step in path:
                value = value[step]
            yield path_text(path), value


def _without_passwords(value: Any) -> Any:
    """`value`, as JSON has it, without the passwords of URLs in its texts."""
    if isinstance(value, str):
        return without_passwords(value)
    if isinstance(value, list):
        return [_without_passwords(one) for one in value]
    if isinstance(value, dict):
        return {key: _without_passwords(one) for key, one in value.items()}
    return value


@dataclass(frozen=True, slots=True)
class Part:
    """A merged platform or profile with its name; `asked` is where that name was asked for."""

    name: str
    node: Node
    asked: Origin
    files: tuple[Path, ...]


Check = Callable[[Recipe, Node, SearchPath], list[SpecError]]
"""What is contradictory in a recipe, whose places are those of a node."""


def compose(
    platform: Part, profile: Part, libc: Libc, search: SearchPath, check: Check, report: Report
) -> ResolvedRecipe | None:
    """The recipe of `platform` with `profile` for `libc`; None when `report` was told why not.

    `check` finds contradictions that no single value shows.
    """
    node = _recipe_node(platform, profile, libc)
    errors = _check_repositories(platform.node, str(node.table["arch"].content))
    errors += validate(Recipe, node, document=True)
    recipe = None
    if not errors:
        recipe = Recipe.model_validate(node.plain(), context={"document": True})
        errors = check(recipe, node, search)
    for error in errors:
        report(error)
    if recipe is None or errors:
        return None
    origins = _origins(recipe, node)
    files = platform.files + profile.files
    return ResolvedRecipe(recipe, origins, files, search.templates, search.sources)


def _recipe_node(platform: Part, profile: Part, libc: Libc) -> Node:
    """The recipe as a tree; what no file says is implied by a default."""
    hardware, content = platform.node, profile.node
    words = {str(node.content): node for node in hardware.at("libc").items}
    arch = hardware.at("arch")
    arch_name = with_libc(str(arch.content), libc)
    repositories = hardware.at("repositories").table.get(arch_name)
    table = {
        "platform": implied(with_libc(platform.name, libc), platform.asked),
        "arch": Node(arch_name, arch.origin, arch.key),
        "libc": words[libc],
        "profile": implied(profile.name, profile.asked),
        "own_profile": _own_profile(hardware),
        "repositories": repositories or implied((), hardware.at("repositories").key),
        "rootfs": _entry(Profile, content, "rootfs"),
        "smoke": _smoke(hardware.table.get("smoke"), content.table.get("smoke")),
        "live": join_live(hardware.table.get("live"), content.table.get("live")),
    }
    for name in ("summary", "boards", "keys", "disk", "no_disk", "boot"):
        table[name] = _entry(Platform, hardware, name)
    for name in ("locale", "timezone", "hostname", "users", "wsl"):
        table[name] = _entry(Profile, content, name)
    for name in ("platformfs", "image"):
        joined = join_stages(content.table.get(name), hardware.table.get(name))
        table[name] = joined or implied({})
    return Node(table, hardware.origin, hardware.key)


def default_profile(platform: Node) -> str:
    """The profile, a name or a path, that `platform` has unless another is asked for."""
    found = platform.table.get("profile")
    return _USUAL_PROFILE if found is None else str(found.content)


def _own_profile(platform: Node) -> Node:
    return implied(PurePath(default_profile(platform)).name.removesuffix(".toml"))


def _entry(model: type[Model], node: Node, name: str) -> Node:
    """The entry `name` of a merged document, or its default."""
    if name in node.table:
        return node.table[name]
    default = model.model_fields[name].default
    return implied({} if isinstance(default, BaseModel) else default)


def _smoke(platform: Node | None, profile: Node | None) -> Node:
    """The platform's boot tests, and the statements of the profile after its own."""
    if platform is None:
        return implied({})
    statements = profile.table.get("statements") if profile is not None else None
    if statements is None:
        return platform
    joined = join_lists(platform.table.get("statements"), statements)
    return Node({**platform.table, "statements": joined}, platform.origin, platform.key)


def _check_repositories(platform: Node, arch: str) -> list[SpecError]:
    node = platform.at("repositories")
    found = [
        problem(
            entry.key,
            f"repositories: there is no architecture {name!r}",
            code="UNKNOWN-KEY",
            hint=did_you_mean(name, ARCHES),
        )
        for name, entry in node.table.items()
        if name not in ARCHES
    ]
    if not node.table.get(arch, implied(())).items:
        what = f"repositories has none for {arch}"
        found.append(problem(node.key, what, code="REPOSITORY"))
    return found


def _origins(recipe: Recipe, node: Node) -> dict[str, Origin]:
    """The origin of every value of `recipe`, defaults included."""
    written = {path: leaf.origin for path, leaf in node.leaves()}
    return {
        path_text(path): written.get(path, DEFAULT)
        for path in leaf_paths(recipe.model_dump(mode="python"))
    }


def leaf_paths(value: object, path: TomlPath = ()) -> Iterator[TomlPath]:
    """The path of every scalar, empty table and empty list in `value`."""
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaf_paths(inner, (*path, name))
    elif isinstance(value, list | tuple) and value:
        for index, inner in enumerate(value):
            yield from leaf_paths(inner, (*path, index))
    else:
        yield path
