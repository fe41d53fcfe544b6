"""The catalog: every platform, profile and set that can be named, and the recipes they make."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from voidimg.arch import LIBCS, Libc, with_libc
from voidimg.catalog.recipe_checks import check_content, check_recipe
from voidimg.catalog.sets import ResolvedSet, resolve_set
from voidimg.errors import SpecError, raise_all
from voidimg.spec.compose import Part, ResolvedRecipe, compose, default_profile
from voidimg.spec.document import FILE_KINDS, Kind, Profile
from voidimg.spec.dropped import DroppedElements, find_dropped
from voidimg.spec.family import Family, kind_of, read_family
from voidimg.spec.problems import in_order, problem
from voidimg.spec.search import SearchPath, is_path
from voidimg.spec.tree import Node, Origin, implied, read_document
from voidimg.suggest import did_you_mean

_SEVERAL = "errors in platform, profile and set files"
_MUSL = with_libc("", "musl")


@dataclass(frozen=True, slots=True)
class CatalogEntry:
    """A platform, profile or set that can be named; `source` is its file."""

    name: str
    summary: str
    source: Path

    def as_json(self) -> dict[str, str]:
        """The entry as a JSON-ready mapping."""
        return {"name": self.name, "summary": self.summary, "source": str(self.source)}


class Catalog:
    """The platforms, profiles and sets on the search path.

    Args:
        search: Own directories, searched in order before what voidimg ships. Each may hold
            ``platforms/``, ``profiles/``, ``profiles/sets/`` and ``templates/``.

    Examples:
        >>> Catalog().recipe("rpi-aarch64-musl").recipe.arch
        'aarch64-musl'
    """

    def __init__(self, search: Sequence[Path] = ()):
        self._search = SearchPath.of(search)

    def platforms(self) -> tuple[CatalogEntry, ...]:
        """Every platform that can be built, ``-musl`` names included, by name.

        Raises:
            SpecError, CollectedError: files on the search path are wrong.
        """
        return tuple(self._entries("platform"))

    def profiles(self) -> tuple[CatalogEntry, ...]:
        """Every profile, by name.

        Raises:
            SpecError, CollectedError: files on the search path are wrong.
        """
        return tuple(self._entries("profile"))

    def sets(self) -> tuple[CatalogEntry, ...]:
        """Every set, by name.

        Raises:
            SpecError, CollectedError: files on the search path are wrong.
        """
        return tuple(self._entries("set"))

    def files(self) -> tuple[Path, ...]:
        """Every platform, profile and set file on the search path that no other file hides."""
        return tuple(files[0] for kind in FILE_KINDS for files in self._search.files(kind).values())

    def kind_of(self, word: str) -> Kind | None:
        """Whether `word`, a name or the path of a TOML file, is a platform, profile or set.

        A platform comes before a profile of the same name, and that before a set. None: it is
        nothing that is known.

        Raises:
            SpecError: it is a file that cannot be read, or says no kind.
        """
        if is_path(word) and Path(word).exists():
            errors: list[SpecError] = []
            kind = kind_of(read_document(Path(word)), errors.append)
            raise_all(errors, _SEVERAL)
            return kind
        return next((one for one in FILE_KINDS if self._locate(one, word) is not None), None)

    def resolved_set(self, word: str) -> ResolvedSet:
        """The set `word`, a name or the path of a TOML file, with the recipes that its rows name.

        Platforms and profiles beside the file of a set are found by their names too.

        Raises:
            SpecError: something is wrong with the files or names; `CollectedError` for several.
        """
        errors: list[SpecError] = []
        resolved = self._resolved_set(word, errors)
        raise_all(in_order(errors), _SEVERAL)
        if resolved is None:  # every way to None leaves an error behind
            raise AssertionError("no set and no error")
        return resolved

    def recipe(self, platform: str, profile: str | None = None) -> ResolvedRecipe:
        """The recipe of `platform` with `profile`, or with the platform's own profile.

        Both are names, or paths of TOML files. A platform that is offered with musl has a second
        name (or path) with ``-musl`` at its end.

        Raises:
            SpecError: something is wrong with the files or names; `CollectedError` for several.
        """
        errors: list[SpecError] = []
        resolved = self._recipe(platform, profile, errors)
        raise_all(in_order(errors), _SEVERAL)
        if resolved is None:  # every way to None leaves an error behind
            raise AssertionError("no recipe and no error")
        return resolved

    def check_files(self, paths: Iterable[Path]) -> list[SpecError]:
        """Everything that is wrong with the files at `paths` and with what they inherit.

        A platform is resolved with its own profile for each libc it is offered with.
        """
        errors: list[SpecError] = []
        for path in paths:
            self._check_file(path, errors)
        return in_order(errors)

    def dropped(self, paths: Iterable[Path]) -> list[DroppedElements]:
        """What the files at `paths` leave out of what they inherit, by writing a list anew.

        Files that are not sound are left to `check_files`.
        """
        found: dict[tuple[Origin, str], DroppedElements] = {}
        for path in paths:
            for one in self._dropped_by(path):  # for each library of C
                before = found.get((one.where, one.list))
                left_out = (*(before.left_out if before else ()), *one.left_out)
                names = tuple(dict.fromkeys(left_out))
                found[one.where, one.list] = replace(one, left_out=names)
        return list(found.values())

    def _dropped_by(self, path: Path) -> Iterator[DroppedElements]:
        errors: list[SpecError] = []
        try:
            kind = kind_of(read_document(path), errors.append)
        except SpecError:
            return
        search = self._search.beside(path)
        family = None if kind is None else read_family(path, kind, search, errors.append)
        if family is not None and not errors:
            for libc in LIBCS:
                yield from find_dropped(family.documents, libc)

    def _entries(self, kind: Kind) -> Iterator[CatalogEntry]:
        errors: list[SpecError] = []
        for name, files in self._search.files(kind).items():
            family = read_family(files[0], kind, self._search, errors.append)
            if family is None or _is_abstract(family):
                continue
            merged = family.merged("glibc", errors.append)
            if merged is None:
                continue
            summary = str(merged.at("summary").content)
            for libc in _offered(merged) if kind == "platform" else ("glibc",):
                yield CatalogEntry(with_libc(name, libc), summary, files[0])
        raise_all(in_order(errors), _SEVERAL)

    def _recipe(
        self, platform: str, profile: str | None, errors: list[SpecError]
    ) -> ResolvedRecipe | None:
        found = self._locate("platform", platform)
        if found is None:
            errors.append(self._unknown("platform", platform))
            return None
        path, libc = found
        search = self._search
        for word in (profile or "", platform):
            search = search.beside(Path(word)) if is_path(word) else search
        family = read_family(path, "platform", search, errors.append)
        if family is None:
            return None
        return _resolve(family, profile, libc, search, errors)

    def _resolved_set(self, word: str, errors: list[SpecError]) -> ResolvedSet | None:
        found = self._locate("set", word)
        if found is None:
            errors.append(self._unknown("set", word))
            return None
        path, _libc = found
        search = self._search.beside(path) if is_path(word) else self._search
        family = read_family(path, "set", search, errors.append)
        if family is None:
            return None
        if _is_abstract(family):
            errors.append(_abstract_error(family))
            return None
        there = _Searching(search)
        return resolve_set(family, there.recipe, there.why_unknown, errors.append)

    def _locate(self, kind: Kind, word: str) -> tuple[Path, Libc] | None:
        """The file that `word` means, and the libc it asks for."""
        known = self._search.files(kind)
        if is_path(word):
            path = Path(word)
            if kind != "platform":
                return path, "glibc"
            plain = path.with_name(path.stem.removesuffix(_MUSL) + ".toml")
            if not path.exists() and path.stem.endswith(_MUSL) and plain.exists():
                return plain, "musl"
            return path, "glibc"
        if word in known:
            return known[word][0], "glibc"
        if kind == "platform" and word.endswith(_MUSL) and word.removesuffix(_MUSL) in known:
            return known[word.removesuffix(_MUSL)][0], "musl"
        return None

    def _unknown(self, kind: Kind, word: str) -> SpecError:
        return unknown_name(self._search, kind, word, None)

    def _check_file(self, path: Path, errors: list[SpecError]) -> None:
        try:
            kind = kind_of(read_document(path), errors.append)
        except SpecError as error:
            errors.append(error)
            return
        if kind is None:
            return
        search = self._search.beside(path)
        family = read_family(path, kind, search, errors.append)
        if family is None:
            return
        if kind == "platform":
            _check_platform(family, search, errors)
        elif kind == "profile":
            _check_profile(family, search, errors)
        elif not _is_abstract(family):
            there = _Searching(search)
            resolve_set(family, there.recipe, there.why_unknown, errors.append)


class _Searching(Catalog):
    """A catalog whose search path is known already."""

    def __init__(self, search: SearchPath):
        self._search = search

    def why_unknown(self, kind: Kind, word: str, place: Origin) -> SpecError | None:
        """The error at `place` that there is no `kind` called `word`; None when there is."""
        found = self._locate(kind, word)
        if found is not None and is_path(word) and not found[0].exists():
            what = f"there is no file {word}"
            hint = "a path follows from the directory of the set's own file"
            return problem(place, what, code=f"UNKNOWN-{kind.upper()}", hint=hint)
        if found is not None:
            return None
        return unknown_name(self._search, kind, word, place)


def _check_platform(family: Family, search: SearchPath, errors: list[SpecError]) -> None:
    if _is_abstract(family):
        return
    merged = family.merged("glibc", errors.append)
    for libc in _offered(merged) if merged is not None else ():
        _resolve(family, None, libc, search, errors)


def _check_profile(family: Family, search: SearchPath, errors: list[SpecError]) -> None:
    for libc in () if _is_abstract(family) else LIBCS:
        merged = family.merged(libc, errors.append)
        if merged is not None:
            profile = Profile.model_validate(merged.plain(), context={"document": True})
            errors.extend(check_content(profile, merged, libc, search))


def unknown_name(search: SearchPath, kind: Kind, word: str, where: Origin | None) -> SpecError:
    """The error that there is no platform, profile or set `word`."""
    known = set(search.files(kind))
    if kind == "platform":
        known |= {name + _MUSL for name in known}
    return SpecError(
        f"there is no {kind} {word!r}",
        code=f"UNKNOWN-{kind.upper()}",
        where=None if where is None else str(where),
        hint=did_you_mean(word, known) or f"`voidimg list` names every {kind}",
    )


def _resolve(
    family: Family,
    profile: str | None,
    libc: Libc,
    search: SearchPath,
    errors: list[SpecError],
) -> ResolvedRecipe | None:
    """The recipe of the platform `family`; None when `errors` grew."""
    path = family.files[-1]
    if _is_abstract(family):
        errors.append(_abstract_error(family))
        return None
    merged = family.merged(libc, errors.append)
    if merged is None:
        return None
    if not _check_libc(family, merged, libc, errors):
        return None
    platform = Part(path.stem, merged, Origin(str(path)), family.files)
    content = _profile_part(merged, profile, libc, search, errors)
    if content is None:
        return None
    only_live = profile is not None and _is_only_live(merged, content, libc, search)
    if only_live and merged.table.get("live") is None:
        errors.append(_live_only_error(path.stem, content, search))
        return None
    resolved = compose(platform, content, libc, search, check_recipe, errors.append)
    return None if resolved is None else replace(resolved, only_live=only_live)


def _is_only_live(platform: Node, content: Part, libc: Libc, search: SearchPath) -> bool:
    """Whether `content` differs from the platform's own profile in its live system alone."""
    own = _profile_part(platform, None, libc, search, [])
    live = content.node.table.get("live")
    if own is None or live is None or live.plain() == own.node.at("live").plain():
        return False
    return _beside_live(own.node) == _beside_live(content.node)


def _beside_live(profile: Node) -> object:
    """What a profile says of everything but live systems, its defaults filled in."""
    whole = Profile.model_validate(profile.plain(), context={"document": True})
    return whole.model_copy(update={"summary": "", "live": None})


def _live_only_error(platform: str, content: Part, search: SearchPath) -> SpecError:
    what = (
        f"the profile {content.name} says what a live system has, and the platform {platform} has"
        " no live system: it would be built without anything of the profile"
    )
    lives = ", ".join(_platforms_with_live(search))
    return SpecError(
        what,
        code="PROFILE-LIVE",
        where=content.asked.file or content.name,
        hint=f"build it for a platform with a live system ({lives}), or write a profile with"
        " [rootfs] or [platformfs] packages",
    )


def _platforms_with_live(search: SearchPath) -> list[str]:
    found = []
    for name, files in search.files("platform").items():
        errors: list[SpecError] = []
        family = read_family(files[0], "platform", search, errors.append)
        if family is None or _is_abstract(family):
            continue
        merged = family.merged("glibc", errors.append)
        if merged is not None and merged.table.get("live") is not None:
            found.append(name)
    return found


def _check_libc(family: Family, merged: Node, libc: Libc, errors: list[SpecError]) -> bool:
    """Whether the platform is offered with `libc`, and has no table for one that it is not."""
    offered = _offered(merged)
    before = len(errors)
    for other in LIBCS:
        table = family.youngest.table.get(other)
        if table is not None and other not in offered:
            what = f"[{other}] has no effect: libc does not name {other}"
            errors.append(problem(table.key, what, code="LIBC"))
    if libc not in offered:
        name = family.files[-1].stem
        what = f"platform {name!r} is not offered with {libc}, only with {' and '.join(offered)}"
        hint = None if libc == "musl" else f"its name is {name + _MUSL!r}"
        errors.append(problem(merged.at("libc").origin, what, code="LIBC", hint=hint))
    return len(errors) == before


def _profile_part(
    platform: Node, asked: str | None, libc: Libc, search: SearchPath, errors: list[SpecError]
) -> Part | None:
    default = platform.table.get("profile")
    word = asked if asked is not None else default_profile(platform)
    place = default.origin if default is not None and asked is None else None
    if is_path(word):
        path = Path(word)
    else:
        known = search.files("profile")
        if word not in known:
            errors.append(unknown_name(search, "profile", word, place))
            return None
        other = _profiles_of_live(platform).get(word)
        if other is not None and str(other.content) not in known:
            errors.append(unknown_name(search, "profile", str(other.content), other.origin))
            return None
        path = known[word if other is None else str(other.content)][0]
    family = read_family(path, "profile", search, errors.append)
    if family is not None and _is_abstract(family):
        errors.append(_abstract_error(family))
        return None
    merged = family.merged(libc, errors.append) if family is not None else None
    if family is None or merged is None:
        return None
    name = path.stem if is_path(word) else word
    return Part(name, merged, place or Origin(str(path)), family.files)


def _profiles_of_live(platform: Node) -> dict[str, Node]:
    """Profile -> the one whose content it has on `platform` (`LiveHardware.profiles`)."""
    live = platform.table.get("live", implied({}))
    return live.table.get("profiles", implied({})).table


def _abstract_error(family: Family) -> SpecError:
    what = f"{family.kind} {family.files[-1].stem!r} is only there to be extended or included"
    return problem(family.youngest.at("abstract").origin, what, code="ABSTRACT")


def _is_abstract(family: Family) -> bool:
    return family.youngest.at("abstract").content is True


def _offered(platform: Node) -> tuple[Libc, ...]:
    words = {node.content for node in platform.at("libc").items}
    return tuple(libc for libc in LIBCS if libc in words)
