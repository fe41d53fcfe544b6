"""Chooses the Debian packages and answers what they are called here and what they depend on."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from voidimg.xbps.version import compare

from .apt import DebEntry, Term
from .target import DEFAULT, Target

_NOT_ALLOWED = re.compile(r"[^A-Za-z0-9.]")


@dataclass(frozen=True, slots=True)
class Names:
    """The tables of names.toml, with what the layers of one repository have beyond them."""

    roots: tuple[str, ...]
    drop: frozenset[str]
    rename: Mapping[str, str]
    merge: Mapping[str, tuple[str, ...]]
    prune: tuple[str, ...]
    instead: Mapping[str, str] = field(default_factory=dict)


def read_names(target: Target = DEFAULT) -> Names:
    """names.toml, changed by those of the target's layers.

    Each adds to `roots`, `drop`, `rename` and `prune`, replaces or (with an empty list) takes away
    entries of `merge`, and has `without` (roots not asked for), `take` (names not dropped
    after all), `keep` (patterns of `prune` that do not hold) and `instead` (Debian package that
    another one stands for).
    """
    table = tomllib.loads(target.names[0].read_text("utf-8"))
    more = target.settings()
    roots = [*more.get("roots", ()), *table["roots"]]
    merge = {**table["merge"], **more.get("merge", {})}
    prune = [*table["prune"]["paths"], *more.get("prune", {}).get("paths", ())]
    return Names(
        roots=tuple(name for name in roots if name not in more.get("without", ())),
        drop=frozenset({*table["drop"], *more.get("drop", ())} - {*more.get("take", ())}),
        rename={**table["rename"], **more.get("rename", {})},
        merge={name: tuple(debs) for name, debs in merge.items() if debs},
        prune=tuple(path for path in prune if path not in more.get("prune", {}).get("keep", ())),
        instead=more.get("instead", {}),
    )


def void_version(version: str) -> str:
    """A Debian version as XBPS can have it: no epoch, no Debian revision, `_1` as revision."""
    upstream = version.split(":", 1)[-1].rsplit("-", 1)[0]
    return f"{_NOT_ALLOWED.sub('.', upstream)}_1"


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen Debian packages and their grouping into Void packages."""

    names: Names
    debs: Mapping[str, DebEntry]

    @classmethod
    def closure(cls, index: Mapping[str, DebEntry], names: Names) -> Selection:
        """The roots and all they depend on, breadth first in the order of names.toml."""
        chosen: dict[str, DebEntry] = {}
        index = {name: _renamed_depends(deb, names.instead) for name, deb in index.items()}
        providers = _providers(index)
        waiting = list(names.roots)
        while waiting:
            name = waiting.pop(0)
            if name in chosen:
                continue
            chosen[name] = index[name]
            for terms in index[name].depends:
                known = [term.name for term in terms]
                if names.drop.intersection(known) or any(name in chosen for name in known):
                    continue
                real = next((name for name in known if name in index), None)
                virtual = [deb for name in known for deb in providers.get(name, ())]
                if real is None and any(deb in chosen for deb in virtual):
                    continue
                waiting.append(real if real is not None else virtual[0])
        return cls(names, dict(sorted(chosen.items())))

    def groups(self) -> dict[str, tuple[str, ...]]:
        """Void package name to its Debian packages, sorted by name."""
        taken = {deb for debs in self.names.merge.values() for deb in debs}
        groups = dict(self.names.merge)
        for deb in self.debs:
            if deb not in taken:
                groups[self.names.rename.get(deb, deb)] = (deb,)
        return dict(sorted(groups.items()))

    def run_depends(
        self, name: str, debs: Sequence[str], versions: Mapping[str, str]
    ) -> dict[str, str]:
        """What package `name` needs: Void package name to pattern.

        A minimum version of Debian is kept where the converted version satisfies it (a merged
        package has the version of its first part only), else any version will do.
        """
        owner = {deb: group for group, parts in self.groups().items() for deb in parts}
        found: dict[str, str] = {}
        for deb in debs:
            for terms in self.debs[deb].depends:
                term = self._choose(terms)
                if term is None:
                    continue
                other = owner[term.name]
                if other == name or other not in versions:
                    continue
                pattern = _pattern(other, term, versions[other])
                if other not in found or found[other] == f"{other}>=0":
                    found[other] = pattern
        return found

    def _choose(self, terms: Sequence[Term]) -> Term | None:
        providers = _providers(self.debs)
        for term in terms:
            if term.name in self.debs:
                return term
        for term in terms:
            for deb in providers.get(term.name, ()):
                return Term(deb)
        if self.names.drop.intersection(term.name for term in terms):
            return None
        raise LookupError(f"nothing chosen satisfies {terms}")


def _renamed_depends(deb: DebEntry, instead: Mapping[str, str]) -> DebEntry:
    text = deb.depends_text
    for old, new in instead.items():
        if old in text:
            text = re.sub(rf"(?<![\w.+-]){re.escape(old)}(?![\w.+-])( \([^)]*\))?", new, text)
    return deb if text == deb.depends_text else replace(deb, depends_text=text)


def _pattern(name: str, term: Term, version: str) -> str:
    if term.relation in (">=", "=", ">>"):
        least = void_version(term.version if "-" in term.version else f"{term.version}-0")
        if compare(version, least) >= 0:
            return f"{name}>={least}"
    return f"{name}>=0"


def _providers(index: Mapping[str, DebEntry]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for deb in index.values():
        for name in deb.provides:
            found.setdefault(name, []).append(deb.name)
    return found
