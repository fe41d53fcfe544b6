"""A document with its parents: read, checked one by one, and merged into a whole."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from voidimg.arch import libc_of
from voidimg.artifact_names import why_not_named
from voidimg.errors import SpecError
from voidimg.spec.document import DOCUMENTS, FILE_KINDS, WHOLE, Kind
from voidimg.spec.merge import Report, merge_documents
from voidimg.spec.problems import problem, validate
from voidimg.spec.search import SearchPath, is_path
from voidimg.spec.tree import Node, Origin, read_document
from voidimg.suggest import did_you_mean

SCHEMA = 1
"""The version of the format of platform, profile and set files."""


@dataclass(frozen=True, slots=True)
class Family:
    """A document after its parents, the eldest first; what each includes comes before it."""

    kind: Kind
    files: tuple[Path, ...]
    documents: tuple[Node, ...]

    @property
    def youngest(self) -> Node:
        """The document that was asked for."""
        return self.documents[-1]

    def merged(self, libc: str, report: Report) -> Node | None:
        """The whole platform, profile or set for `libc`; None when it is not valid."""
        errors: list[SpecError] = []
        node = merge_documents(self.documents, libc, errors.append)
        errors += validate(WHOLE[self.kind], node, document=True)
        for error in errors:
            report(error)
        return None if errors else node


def read_family(path: Path, kind: Kind, search: SearchPath, report: Report) -> Family | None:
    """The document at `path` and its parents; None when any is wrong, which `report` is told."""
    files, documents = [path], []
    errors = 0

    def count(error: SpecError) -> None:
        nonlocal errors
        errors += 1
        report(error)

    while True:
        document = _read(files[-1], kind, count)
        if document is None:
            return None
        documents.append(document)
        parent = _parent(files, document, kind, search, count)
        if parent is None:
            break
        files.append(parent)
    members: dict[Path, Node] = {}
    for file, document in zip(reversed(files), reversed(documents), strict=True):
        for part in _included(file, document, kind, search, count):
            members.setdefault(*part)
        members[file] = document
    if errors:
        return None
    return Family(kind, tuple(members), tuple(members.values()))


def _included(
    here: Path, document: Node, kind: Kind, search: SearchPath, report: Report
) -> Iterator[tuple[Path, Node]]:
    """What `document` includes: abstract documents without parents, in its order."""
    for word in document.at("include").items:
        path = _named(str(word.content), here, kind, search)
        if path is None:
            known = search.files(kind)
            report(_unknown(str(word.content), word.origin, kind, known, key="include"))
            continue
        part = _read(path, kind, report)
        if part is None:
            continue
        reason = _why_no_part(part)
        if reason is not None:
            what = f"include: {word.content!r} {reason}"
            hint = f"extend it, or write an abstract {kind} without parents"
            report(problem(word.origin, what, code="INCLUDE", hint=hint))
            continue
        yield path, part


def _why_no_part(document: Node) -> str | None:
    if document.at("abstract").content is not True:
        return "is not abstract"
    for key in ("extends", "include"):
        if key in document.table:
            return f"has {key!r} itself"
    return None


def _named(word: str, here: Path, kind: Kind, search: SearchPath) -> Path | None:
    if is_path(word):
        return here.parent / word
    found = search.files(kind).get(word)
    return found[0] if found is not None else None


def kind_of(document: Node, report: Report) -> Kind | None:
    """The kind that a document says it is of."""
    node = document.table.get("kind")
    for kind in FILE_KINDS:
        if node is not None and node.content == kind:
            return kind
    if node is None:
        what = "the file needs 'kind': platform, profile or set"
        report(problem(document.key, what, code="MISSING"))
    else:
        what = f"kind is {node.content!r}, not one of 'platform', 'profile' or 'set'"
        hint = did_you_mean(str(node.content), FILE_KINDS)
        report(problem(node.origin, what, code="VALUE", hint=hint))
    return None


def _read(path: Path, kind: Kind, report: Report) -> Node | None:
    try:
        document = read_document(path)
    except SpecError as error:
        report(error)
        return None
    schema = document.table.get("schema")
    if schema is not None and schema.content != SCHEMA:
        report(
            problem(
                schema.origin,
                f"schema {schema.content!r} is not known here, only schema = {SCHEMA}",
                code="SCHEMA",
                hint="a newer voidimg may read it",
            )
        )
        return None
    found = kind_of(document, report)
    if found is None:
        return None
    if found != kind:
        place = document.table["kind"].origin
        report(problem(place, f"this is a {found}, a {kind} is needed here", code="KIND"))
        return None
    if kind == "platform" and libc_of(path.stem) == "musl":
        hint = 'name the file without it and write libc = ["musl"]'
        what = "names with -musl are made from libc, no file can have one"
        report(SpecError(what, code="NAME", where=str(path), hint=hint))
    unclear = why_not_named(path.stem, subject=kind == "platform")
    if unclear is not None:
        what = f"{path.stem!r} cannot be the name of a {kind}: {unclear}"
        report(SpecError(what, code="NAME", where=str(path), hint="give the file another name"))
    for wrong in validate(DOCUMENTS[kind], document, document=True):
        report(wrong)
    return document


def _parent(
    files: Sequence[Path], document: Node, kind: Kind, search: SearchPath, report: Report
) -> Path | None:
    """The file that the last of `files` extends.

    A name that is the file's own means the next file of that name on the search path: an own file
    may so extend the shipped one that it hides.
    """
    extends = document.table.get("extends")
    if extends is None or not isinstance(extends.content, str):
        return None
    here, word = files[-1], extends.content
    if is_path(word):
        candidates: tuple[Path, ...] = (here.parent / word,)
    else:
        known = search.files(kind)
        candidates = known.get(word, ())
        if word == here.stem:
            candidates = _behind(here, candidates)
        if not candidates:
            report(_unknown(word, extends.origin, kind, known, key="extends"))
            return None
    parent = candidates[0]
    seen = [file.resolve() for file in files]
    if parent.resolve() in seen:
        circle = [file.stem for file in files[seen.index(parent.resolve()) :]]
        report(
            problem(
                extends.origin,
                f"{kind}s extend each other in a circle: {' -> '.join([*circle, circle[0]])}",
                code="CYCLE",
            )
        )
        return None
    return parent


def _behind(here: Path, candidates: tuple[Path, ...]) -> tuple[Path, ...]:
    """The candidates after `here`; all of them if it is not on the search path."""
    places = [path.resolve() for path in candidates]
    start = places.index(here.resolve()) + 1 if here.resolve() in places else 0
    return candidates[start:]


def _unknown(word: str, origin: Origin, kind: Kind, known: Iterable[str], *, key: str) -> SpecError:
    return problem(
        origin,
        f"{key}: there is no {kind} {word!r}",
        code=f"UNKNOWN-{kind.upper()}",
        hint=did_you_mean(word, known),
    )
