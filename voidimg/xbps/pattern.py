"""Package patterns: which pkgvers a dependency, a request or a conflict means.

A pattern is relational (``foo>=1.0<2.0``) or a shell glob over the whole pkgver
(``foo-[0-9]*``). Behaviour follows libxbps 0.60.7, oddities included, since packages were written
against it: ``foo>1.0`` matches ``foo-1.0_1`` because the revision counts, ``=`` is not an
operator, and a bare name matches nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from voidimg.xbps.names import is_name
from voidimg.xbps.version import compare

_SPECIAL = frozenset("<>*?[]")
_GLOB = frozenset("*?[]")
_FIRST_SPECIAL = re.compile(r"[<>*?\[\]]")
_FIRST_RELATION = re.compile(r"[<>]")

_CLASSES = {
    "alnum": "a-zA-Z0-9",
    "alpha": "a-zA-Z",
    "blank": r"\ \t",
    "cntrl": r"\x00-\x1f\x7f",
    "digit": "0-9",
    "graph": r"\x21-\x7e",
    "lower": "a-z",
    "print": r"\x20-\x7e",
    "punct": r"\x21-\x2f\x3a-\x40\x5b-\x60\x7b-\x7e",
    "space": r"\ \t\n\r\f\v",
    "upper": "A-Z",
    "xdigit": "0-9a-fA-F",
}
_LONGEST_CLASS = max(map(len, _CLASSES))


def is_pattern(text: str) -> bool:
    """Whether `text` is a pattern rather than a name or a pkgver."""
    return not _SPECIAL.isdisjoint(text)


@lru_cache(maxsize=1 << 16)
def name_of(pattern: str) -> str | None:
    """The package name under which `pattern` is looked up, or None if it has none.

    It is the text before the first of ``> < * ? [ ]`` without one ``-`` at its end. So
    ``foo-[0-9]*`` is looked up as ``foo``, but ``foo-1.*`` as ``foo-1.``, which no package has.

    >>> name_of("foo>=1.0"), name_of("foo-1.*"), name_of("foo")
    ('foo', 'foo-1.', None)
    """
    special = _FIRST_SPECIAL.search(pattern)
    if special is None:
        return None
    name = pattern[: special.start()].removesuffix("-")
    return name if is_name(name) else None


def condition_of(pattern: str) -> str | None:
    """What `pattern` demands of the version: all from its first special character on, or None."""
    special = _FIRST_SPECIAL.search(pattern)
    return None if special is None else pattern[special.start() :]


def literal_prefix(pattern: str) -> str:
    """What everything that the glob, name or pkgver `pattern` means begins with.

    >>> literal_prefix("foo-1.[0-9]*")
    'foo-1.'
    """
    special = _FIRST_SPECIAL.search(pattern)
    return pattern[: None if special is None else special.start()].partition("\\")[0]


def matches(pkgver: str, pattern: str) -> bool:
    """Whether `pattern` means `pkgver` (any text of the form ``<name>-<version>``).

    >>> matches("foo-1.5_1", "foo>=1.0<2.0"), matches("foo-1.0_1", "foo<=1.0")
    (True, False)
    """
    if pkgver == pattern:
        return True
    relation = _FIRST_RELATION.search(pattern)
    if relation is not None:
        return _relational_matches(pkgver, pattern, relation.start())
    return not _GLOB.isdisjoint(pattern) and glob_matches(pkgver, pattern)


def _relational_matches(pkgver: str, pattern: str, at: int) -> bool:
    name, dash, version = pkgver.rpartition("-")
    if not dash or name != pattern[:at]:
        return False
    return all(one.holds(version) for one in _conditions(pattern[at:]))


@dataclass(frozen=True, slots=True)
class Condition:
    """What a relational pattern demands of a version; the operators are ``>=  >  <=  <``."""

    operator: str
    version: str

    @classmethod
    def parse(cls, text: str) -> Condition:
        """``>=1.0`` or the like; everything after the operator is the version."""
        end = 2 if text[1:2] == "=" else 1
        return cls(text[:end], text[end:])

    def holds(self, version: str) -> bool:
        """Whether `version` meets it."""
        order = compare(version, self.version)
        if order == 0:
            return len(self.operator) == 2
        return order > 0 if self.operator[0] == ">" else order < 0


@dataclass(frozen=True, slots=True)
class Relation:
    """A relational pattern taken apart; all `conditions` must hold."""

    name: str
    conditions: tuple[Condition, ...]


def relation_of(pattern: str) -> Relation | None:
    """`pattern` taken apart, None if it is not relational.

    >>> relation_of("foo>=1.0<2.0").name
    'foo'
    """
    first = _FIRST_RELATION.search(pattern)
    if first is None:
        return None
    return Relation(pattern[: first.start()], _conditions(pattern[first.start() :]))


@lru_cache(maxsize=1 << 15)
def _conditions(text: str) -> tuple[Condition, ...]:
    """``>=1<2`` as both conditions. Only a lower bound may be followed by an upper one."""
    at = text.find("<", 1) if text[0] == ">" else -1
    parts = (text,) if at < 0 else (text[:at], text[at:])
    return tuple(map(Condition.parse, parts))


def glob_matches(text: str, glob: str, *, period: bool = True) -> bool:
    """Whether the shell `glob` means the whole `text`, as fnmatch(3) says.

    ``*`` and ``?`` also match ``/``. With `period` (FNM_PERIOD) a dot at the start of `text` must
    be written out. Bracket expressions know ``!``, ``^`` and the ASCII classes; a backslash takes
    the next character literally.
    """
    if period and text.startswith(".") and not glob.startswith((".", "\\.")):
        return False
    return _compiled(glob).fullmatch(text) is not None


@lru_cache(maxsize=1 << 12)
def _compiled(glob: str) -> re.Pattern[str]:
    # Each stretch between stars is taken at its first place and never given back (an atomic
    # group): that is enough for a glob and keeps hostile patterns from costing exponential time.
    stretches: list[list[str]] = [[]]
    open_ended: set[int] = set()
    at = 0
    while at < len(glob):
        if glob[at] == "*":
            stretches.append([])
            at += 1
        else:
            piece, at = _piece(glob, at, open_ended)
            stretches[-1].append(piece)
    head, *rest = ("".join(stretch) for stretch in stretches)
    if not rest:
        return re.compile(head, re.DOTALL)
    *middle, last = rest
    return re.compile(head + "".join(f"(?>.*?{m})" for m in middle) + f".*{last}", re.DOTALL)


def _piece(glob: str, at: int, open_ended: set[int]) -> tuple[str, int]:
    """The regular expression of the one character element at `at`, and where the next begins."""
    match glob[at]:
        case "?":
            return ".", at + 1
        case "\\":
            # A backslash at the end escapes nothing; fnmatch then never matches.
            return (re.escape(glob[at + 1]), at + 2) if at + 1 < len(glob) else (r"(?!)", at + 1)
        case "[":
            return _bracket(glob, at, open_ended)
        case character:
            return re.escape(character), at + 1


def _bracket(glob: str, start: int, open_ended: set[int]) -> tuple[str, int]:
    """A bracket expression as a character set; an unclosed ``[`` stands for itself.

    `open_ended` are the places from which no end was found before: nothing is searched twice, or
    a hostile row of ``[`` would cost quadratic time.
    """
    at = start + 1
    negated = glob.startswith(("!", "^"), at)
    first = at = at + negated
    members: list[str] = []
    seen: list[int] = []
    while at < len(glob) and at not in open_ended and (glob[at] != "]" or at == first):
        member, at = _member(glob, at)
        members.append(member)
        seen.append(at)
    if at >= len(glob) or at in open_ended:
        open_ended.update(seen)
        return r"\[", start + 1
    body = "".join(members)
    if not body:
        return ("." if negated else r"(?!)"), at + 1
    return f"[{'^' if negated else ''}{body}]", at + 1


def _member(glob: str, at: int) -> tuple[str, int]:
    """One member of a bracket expression: a class, a range or a character."""
    if glob.startswith("[:", at):
        end = glob.find(":]", at + 2, at + 2 + _LONGEST_CLASS + 2)
        if end >= 0 and glob[at + 2 : end] in _CLASSES:
            return _CLASSES[glob[at + 2 : end]], end + 2
    low, at = _literal(glob, at)
    if glob[at : at + 1] == "-" and glob[at + 1 : at + 2] not in ("", "]"):
        high, after = _literal(glob, at + 1)
        return (f"{re.escape(low)}-{re.escape(high)}" if low <= high else ""), after
    return re.escape(low), at


def _literal(glob: str, at: int) -> tuple[str, int]:
    if glob[at] == "\\" and at + 1 < len(glob):
        return glob[at + 1], at + 2
    return glob[at], at + 1
