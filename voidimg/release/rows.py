"""From a set to the artifacts that an image set of it has: each once, under Void's name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from voidimg.artifacts.kind import MAIN, KindName
from voidimg.artifacts.registry import KINDS, kinds_of
from voidimg.catalog.catalog import Catalog
from voidimg.catalog.sets import ResolvedSet, SetMember
from voidimg.disk.compress import Compression, parse_compression
from voidimg.errors import ReleaseError, SpecError, UsageError, VoidimgError, every_error, raise_all
from voidimg.identity import ReleaseDate
from voidimg.lint.lint import lint_checks
from voidimg.spec.compose import ResolvedRecipe
from voidimg.spec.problems import in_order, problem
from voidimg.spec.tree import Origin
from voidimg.suggest import did_you_mean


@dataclass(frozen=True, slots=True)
class PlannedArtifact:
    """An artifact that an image set is to have.

    Attributes:
        row: the name of the row of the set that wants it.
        resolved: what it is made from.
        kind: the word of ``--artifact``.
        names: role -> file name; that of the artifact itself first.
        optional: why the set may be without it; None: it may not.
        accepted: lint check -> why it may fail that.
    """

    row: str
    resolved: ResolvedRecipe
    kind: KindName
    names: Mapping[str, str]
    optional: str | None
    accepted: Mapping[str, str]

    @property
    def name(self) -> str:
        """The file name of the artifact itself."""
        return self.names[MAIN]

    def as_json(self) -> dict[str, object]:
        """The artifact as a JSON-ready mapping."""
        recipe = self.resolved.recipe
        return {
            "row": self.row,
            "kind": self.kind,
            "platform": recipe.platform,
            "profile": recipe.profile,
            "architecture": recipe.arch,
            "name": self.name,
            "side_files": {role: name for role, name in self.names.items() if role != MAIN},
            "optional": self.optional,
        }


def planned_artifacts(
    whole: ResolvedSet, date: ReleaseDate, compression: Compression
) -> tuple[PlannedArtifact, ...]:
    """What an image set of `whole` has: in the order of the rows, kinds in that of their making.

    Raises:
        SpecError, UsageError, LayoutError, ToolError: rows ask for what their recipes have not, or
            want one file twice; several in a CollectedError.
        ReleaseError: the set says that no image set of it can be made yet.
    """
    if whole.set.unready is not None:
        raise ReleaseError(
            f"no image set of {whole.name!r} can be made yet: {whole.set.unready}",
            code="SET-UNREADY",
            where=str(whole.origins["unready"]),
            hint="`voidimg list` names the other sets",
        )
    errors: list[VoidimgError] = [*_wrong_kinds(whole)]
    raise_all(errors, f"the set {whole.name} cannot be made as it is written")
    found: dict[str, PlannedArtifact] = {}
    for member in whole.members:
        for planned in _of_member(member, date, compression, errors):
            other = found.setdefault(planned.name, planned)
            if other is not planned:
                errors.append(_twice(planned, other, member))
    raise_all(errors, f"the set {whole.name} cannot be made as it is written")
    return tuple(found.values())


def check_sets(catalog: Catalog, files: Collection[Path]) -> list[SpecError]:
    """What is wrong with the set files among `files` that only the artifact kinds can tell.

    What `Catalog.check_files` says of them comes first: only a set that resolves is looked at.
    """
    errors: list[SpecError] = []
    for file in files:
        try:
            if catalog.kind_of(str(file)) != "set":
                continue
            whole = catalog.resolved_set(str(file))
        except VoidimgError:
            continue
        errors += _wrong_in(whole)
    return in_order(errors)


def _wrong_in(whole: ResolvedSet) -> Iterator[SpecError]:
    wrong = list(_wrong_kinds(whole))
    yield from wrong
    if wrong or whole.set.unready is not None:
        return
    try:
        planned_artifacts(whole, ReleaseDate.parse("20240314"), parse_compression("xz"))
    except VoidimgError as error:
        yield from (one for one in every_error(error) if isinstance(one, SpecError))


def _wrong_kinds(whole: ResolvedSet) -> Iterator[SpecError]:
    """Words that are no artifact kind, and kinds that a recipe has not."""
    if whole.set.unready is not None:
        return
    told: set[Origin] = set()
    checks = [identifier for identifier, _severity, _says in lint_checks()]
    for member in whole.members:
        for one, place in zip(member.accepted, member.accepted_places, strict=True):
            if one.check not in checks and place not in told:
                what = f"there is no lint check {one.check!r}"
                hint = did_you_mean(one.check, checks) or "`voidimg lint --list` names them all"
                yield problem(place, what, code="LINT-CHECK", hint=hint)
                told.add(place)
        for kind, place in zip(member.artifacts, member.places, strict=True):
            if kind not in KINDS:
                if place not in told:
                    what = f"there is no artifact {kind!r}"
                    hint = did_you_mean(kind, KINDS) or f"choose from {', '.join(KINDS)}"
                    yield problem(place, what, code="ARTIFACT", hint=hint)
                told.add(place)
                continue
            yield from _wrong_kind(member, kind, place)


def _wrong_kind(member: SetMember, kind: KindName, place: Origin) -> Iterator[SpecError]:
    try:
        kinds_of(member.resolved.recipe, (kind,), only_live=member.resolved.only_live)
    except UsageError as error:
        code = error.code.removeprefix(f"{error.family}-")
        yield problem(place, error.what, code=code, hint="take it out of the row")


def _of_member(
    member: SetMember, date: ReleaseDate, compression: Compression, errors: list[VoidimgError]
) -> Iterator[PlannedArtifact]:
    recipe = member.resolved.recipe
    for kind in (one for one in KINDS if one in member.artifacts):
        try:
            KINDS[kind].check(recipe, date, compression)
        except VoidimgError as error:
            errors.extend(every_error(error))
            continue
        accepted = {one.check: one.reason for one in member.accepted}
        names = KINDS[kind].file_names(recipe, str(date), compression.suffix)
        yield PlannedArtifact(member.row, member.resolved, kind, names, member.optional, accepted)


def _twice(planned: PlannedArtifact, other: PlannedArtifact, member: SetMember) -> SpecError:
    place = member.places[member.artifacts.index(planned.kind)]
    what = f"{planned.name} would be in the set twice: the row {other.row!r} has it too"
    return problem(place, what, code="TWICE", hint="take it out of one of the rows")


def grouped(
    planned: Sequence[PlannedArtifact],
) -> dict[tuple[str, str, bool], list[PlannedArtifact]]:
    """The artifacts of each platform with each profile, optional ones apart: what one job makes."""
    groups: dict[tuple[str, str, bool], list[PlannedArtifact]] = {}
    for one in planned:
        recipe = one.resolved.recipe
        key = (recipe.platform, recipe.profile, one.optional is not None)
        groups.setdefault(key, []).append(one)
    return groups
