"""Sets: the rows of a set file become recipes, and every wrong word is told with its place."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from voidimg.errors import CollectedError, SpecError, every_error
from voidimg.spec.compose import ResolvedRecipe, leaf_paths
from voidimg.spec.document import Kind
from voidimg.spec.family import Family
from voidimg.spec.merge import Report
from voidimg.spec.positions import TomlPath
from voidimg.spec.problems import problem
from voidimg.spec.search import is_path
from voidimg.spec.set_model import Accepted, Set, SetRow
from voidimg.spec.tree import DEFAULT, Node, Origin, path_text


@dataclass(frozen=True, slots=True)
class SetMember:
    """One platform with one profile of one row, and the artifacts that the set wants of it.

    Attributes:
        row: the name of the row.
        platform: as the row says it, a name or the path of a file.
        resolved: the recipe.
        artifacts: the words of ``--artifact``; nobody has looked yet whether the recipe has them.
        optional: why the set may be without them; None: it may not.
        places: where each of `artifacts` is written.
        accepted: errors of the lint that its artifacts may have.
        accepted_places: where the check of each of `accepted` is written.
    """

    row: str
    platform: str
    resolved: ResolvedRecipe
    artifacts: tuple[str, ...]
    optional: str | None
    places: tuple[Origin, ...]
    accepted: tuple[Accepted, ...] = ()
    accepted_places: tuple[Origin, ...] = ()


@dataclass(frozen=True, slots=True)
class ResolvedSet:
    """A set, the recipes that its rows name, and where everything in it was written.

    `origins` has the place of every value by its path (``rows[0].platforms[1]``).
    """

    name: str
    set: Set
    members: tuple[SetMember, ...]
    origins: Mapping[str, Origin]
    files: tuple[Path, ...]
    """The TOML files it was made of: its parents and itself."""

    def as_json(self) -> dict[str, Any]:
        """The set as a JSON-ready mapping."""
        return {"name": self.name, **self.set.model_dump(mode="json")}

    def values(self) -> Iterator[tuple[str, object]]:
        """Every value of the set by its path, in the order of the models."""
        whole = self.set.model_dump(mode="json")
        for path in leaf_paths(whole):
            value: Any = whole
            for step in path:
                value = value[step]
            yield path_text(path), value


Recipe = Callable[[str, str | None], ResolvedRecipe]
"""The recipe of a platform with a profile; raises `SpecError` or `CollectedError`."""

Known = Callable[[Kind, str, Origin], SpecError | None]
"""None when there is a platform or profile of that name or path; else the error at the place."""


def resolve_set(family: Family, recipe: Recipe, known: Known, report: Report) -> ResolvedSet | None:
    """The set that `family` is; None when `report` was told why not."""
    node = family.merged("glibc", report)
    if node is None:
        return None
    whole = Set.model_validate(node.plain(), context={"document": True})
    errors: list[SpecError] = []
    errors += _repeated(whole, node)
    members: list[SetMember] = []
    for number, row in enumerate(whole.rows):
        place = node.at("rows", number)
        members += _members(row, place, _Recipes(recipe, known, errors))
    for error in errors:
        report(error)
    if errors:
        return None
    written = {path: leaf.origin for path, leaf in node.leaves()}
    paths: Iterator[TomlPath] = leaf_paths(whole.model_dump(mode="python"))
    origins = {path_text(path): written.get(path, DEFAULT) for path in paths}
    return ResolvedSet(family.files[-1].stem, whole, tuple(members), origins, family.files)


def _repeated(whole: Set, node: Node) -> Iterator[SpecError]:
    """Rows of one name: who extends the set could not say which one is meant."""
    seen: dict[str, Origin] = {}
    for number, row in enumerate(whole.rows):
        place = node.at("rows", number, "name").origin
        if row.name in seen:
            what = f"a row called {row.name!r} is there already, at {seen[row.name]}"
            yield problem(place, what, code="TWICE", hint="give each row a name of its own")
        seen.setdefault(row.name, place)


class _Recipes:
    """The recipes that rows name; what is wrong with one is told once."""

    def __init__(self, recipe: Recipe, known: Known, errors: list[SpecError]):
        self._recipe = recipe
        self._known = known
        self._errors = errors

    def named(self, kind: Kind, word: Node) -> str | None:
        """`word` as it can be asked for: a path follows from the file that it is written in."""
        text = str(word.content)
        if is_path(text):
            text = str(Path(word.origin.file).parent / text)
        error = self._known(kind, text, word.origin)
        if error is None:
            return text
        self._errors.append(error)
        return None

    def of(self, platform: str, profile: str | None, place: Origin) -> ResolvedRecipe | None:
        try:
            return self._recipe(platform, profile)
        except (SpecError, CollectedError) as error:
            for one in every_error(error):
                if isinstance(one, SpecError):
                    self._errors.append(_at(one, place))
        return None


def _at(error: SpecError, place: Origin) -> SpecError:
    """`error` with a place: an error that names none is one of the row."""
    if error.where is not None:
        return error
    return problem(place, error.what, code=error.code.removeprefix("E-SPEC-"), hint=error.hint)


def _members(row: SetRow, place: Node, recipes: _Recipes) -> Iterator[SetMember]:
    platforms = [(node, recipes.named("platform", node)) for node in place.at("platforms").items]
    profiles = [recipes.named("profile", node) for node in place.table.get("profiles", _NONE).items]
    if None in profiles:
        return
    places = tuple(node.origin for node in place.at("artifacts").items)
    checks = tuple(node.at("check").origin for node in place.at("accepted").items)
    for node, platform in platforms:
        for profile in profiles or [None]:
            resolved = recipes.of(platform, profile, node.origin) if platform is not None else None
            if platform is not None and resolved is not None:
                yield SetMember(
                    row.name,
                    platform,
                    resolved,
                    row.artifacts,
                    row.optional,
                    places,
                    row.accepted,
                    checks,
                )


_NONE = Node((), DEFAULT, DEFAULT)
