"""The lock: which packages, from which state of which repositories, an image set is made of.

The file is JSON, ``schema`` 1, written canonically with one repository or package a line, so that
a line-wise diff of two locks reads as the change of packages. Equal locks have equal bytes::

    {"schema": 1,
     "repositories": [
      {"url": ..., "arch": ..., "repodata_sha256": ..., "key": fingerprint or null},
     ...
     "packages": [
      {"pkgver": ..., "arch": ..., "repository": index, "size": bytes, "sha256": ...,
       "stage": ..., "automatic": ...},
     ...

The order of packages is that of their installation. Sizes are bytes of the package file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, get_args

from voidimg.errors import CollectedError, PackageError, SpecError
from voidimg.xbps.names import Pkgver, file_name, split_pkgver
from voidimg.xbps.plan import Step
from voidimg.xbps.version import compare

SCHEMA = 1
"""The only version of the format so far."""

Stage = Literal["rootfs", "platformfs", "live", "live-build"]
"""Where a package comes in: with the ROOTFS, or with the PLATFORMFS on top of it; with the tree of
a live system, or only while it is made."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_ARCH = re.compile(r"[A-Za-z0-9_-]+")
_KEY = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){15}")


@dataclass(frozen=True, slots=True)
class LockedRepository:
    """A repository as it was: `repodata_sha256` of its index file, the key it is signed with.

    `key` is the fingerprint (MD5 in pairs joined with colons), None for unsigned repositories.
    """

    url: str
    arch: str
    repodata_sha256: str
    key: str | None


@dataclass(frozen=True, slots=True)
class LockedPackage:
    """A package: `repository` is an index into the lock's, `size` is in bytes."""

    pkgver: str
    arch: str
    repository: int
    size: int
    sha256: str
    stage: Stage
    automatic: bool

    @property
    def name(self) -> str:
        """The package name."""
        return _split(self.pkgver).name

    @property
    def file_name(self) -> str:
        """The name of the package file in its repository."""
        return file_name(self.pkgver, self.arch)


@dataclass(frozen=True, slots=True)
class Lock:
    """One repository state and the packages of it, in the order of installation."""

    repositories: tuple[LockedRepository, ...]
    packages: tuple[LockedPackage, ...]

    def encode(self) -> bytes:
        """The bytes of the lock file, ASCII with a newline at the end."""
        repositories = ",\n  ".join(_line(asdict(one)) for one in self.repositories)
        packages = ",\n  ".join(_line(asdict(one)) for one in self.packages)
        text = (
            f'{{\n "schema": {SCHEMA},\n "repositories": [\n  {repositories}\n ],\n'
            f' "packages": [\n  {packages}\n ]\n}}\n'
        )
        return text.encode()

    @classmethod
    def decode(cls, data: bytes, where: str) -> Lock:
        """The lock whose file has the bytes `data`; `where` is its path, for errors.

        Raises:
            SpecError: no JSON, an unknown schema, missing or unknown keys, wrong types or values;
                several in a CollectedError.
        """
        document = _document(data, where)
        repositories = _rows(document, "repositories", _REPOSITORY, where)
        packages = _rows(document, "packages", _PACKAGE, where)
        lock = cls(
            tuple(LockedRepository(**row) for row in repositories),  # type: ignore[arg-type]
            tuple(LockedPackage(**row) for row in packages),  # type: ignore[arg-type]
        )
        _check_references(lock, where)
        return lock

    def package(self, name: str) -> LockedPackage | None:
        """The package called `name`."""
        return next((package for package in self.packages if package.name == name), None)

    def of_stage(self, stage: Stage) -> tuple[LockedPackage, ...]:
        """The packages that come in with `stage`, in order."""
        return tuple(package for package in self.packages if package.stage == stage)

    def url_of(self, package: LockedPackage) -> str:
        """The URL of the repository that has `package`."""
        return self.repositories[package.repository].url


def locked(step: Step, repositories: Sequence[LockedRepository], stage: Stage) -> LockedPackage:
    """What the lock says of an installation that the resolver planned.

    Raises:
        PackageError: the index entry lacks a proper size, SHA-256 or architecture, or its
            repository is not among `repositories`.
    """
    urls = [repository.url for repository in repositories]
    values: dict[str, object] = {
        "pkgver": step.pkgver,
        "arch": step.entry.get("architecture"),
        "repository": urls.index(step.repository) if step.repository in urls else None,
        "size": step.entry.get("filename-size"),
        "sha256": step.entry.get("filename-sha256"),
        "stage": stage,
        "automatic": step.automatic,
    }
    for key, check in _PACKAGE.items():
        if (complaint := check(values[key])) is not None:
            raise PackageError(
                f"{step.pkgver} cannot be locked: its {key} {complaint}",
                code="INDEX",
                where=step.repository,
                hint="the repository index is damaged; fetch it again or leave it out",
            )
    return LockedPackage(**values)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Upgrade:
    """A package of both locks whose version or content differs."""

    old: LockedPackage
    new: LockedPackage

    @property
    def is_downgrade(self) -> bool:
        """Whether the new version is the lower one."""
        return compare(self.new.pkgver, self.old.pkgver) < 0

    @property
    def is_rebuild(self) -> bool:
        """Whether the version is the same and only the file differs."""
        return self.new.pkgver == self.old.pkgver


@dataclass(frozen=True, slots=True)
class LockDifference:
    """What changes from one lock to another; packages by name, sizes in bytes of package files."""

    added: tuple[LockedPackage, ...]
    removed: tuple[LockedPackage, ...]
    upgraded: tuple[Upgrade, ...]
    old_bytes: int
    new_bytes: int

    @property
    def is_empty(self) -> bool:
        """Whether the same packages come in."""
        return not (self.added or self.removed or self.upgraded)

    @property
    def download_bytes(self) -> int:
        """What has to be fetched by who has the packages of the old lock."""
        return sum(one.size for one in (*self.added, *(pair.new for pair in self.upgraded)))


def difference(old: Lock, new: Lock) -> LockDifference:
    """What changes from `old` to `new`. Order, stage and repository of a package do not count."""
    before = {package.name: package for package in old.packages}
    after = {package.name: package for package in new.packages}
    return LockDifference(
        added=tuple(after[name] for name in sorted(after.keys() - before.keys())),
        removed=tuple(before[name] for name in sorted(before.keys() - after.keys())),
        upgraded=tuple(
            Upgrade(before[name], after[name])
            for name in sorted(before.keys() & after.keys())
            if (before[name].pkgver, before[name].sha256)
            != (after[name].pkgver, after[name].sha256)
        ),
        old_bytes=sum(package.size for package in old.packages),
        new_bytes=sum(package.size for package in new.packages),
    )


def _line(row: Mapping[str, object]) -> str:
    return json.dumps(row, separators=(", ", ": "))


def _split(pkgver: str) -> Pkgver:
    split = split_pkgver(pkgver)
    if split is None:
        raise ValueError(f"{pkgver!r} is not a pkgver")
    return split


# Reading. Each check returns what is wrong with a value, or None.

Check = Callable[[object], str | None]


def _text(value: object) -> str | None:
    return None if isinstance(value, str) and value else "is not a text"


def _of_form(form: re.Pattern[str], what: str) -> Check:
    def check(value: object) -> str | None:
        fits = isinstance(value, str) and form.fullmatch(value) is not None
        return None if fits else f"is not {what}"

    return check


def _number(value: object) -> str | None:
    # bool is an int to Python, not to JSON.
    fits = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return None if fits else "is not a whole number from 0 up"


def _is_pkgver(value: object) -> str | None:
    return None if isinstance(value, str) and split_pkgver(value) else "is not a pkgver"


def _boolean(value: object) -> str | None:
    return None if isinstance(value, bool) else "is not true or false"


def _stage(value: object) -> str | None:
    known = get_args(Stage)
    return None if value in known else f"is not one of {', '.join(known)}"


def _or_null(check: Check) -> Check:
    return lambda value: None if value is None else check(value)


_ARCHITECTURE = _of_form(_ARCH, "an architecture")
_DIGEST = _of_form(_SHA256, "a SHA-256 of 64 small hexadecimal digits")
_REPOSITORY: Mapping[str, Check] = {
    "url": _text,
    "arch": _ARCHITECTURE,
    "repodata_sha256": _DIGEST,
    "key": _or_null(_of_form(_KEY, "a fingerprint")),
}
_PACKAGE: Mapping[str, Check] = {
    "pkgver": _is_pkgver,
    "arch": _ARCHITECTURE,
    "repository": _number,
    "size": _number,
    "sha256": _DIGEST,
    "stage": _stage,
    "automatic": _boolean,
}
_KEYS = {"schema", "repositories", "packages"}


def _document(data: bytes, where: str) -> dict[str, object]:
    try:
        document = json.loads(data)
    except json.JSONDecodeError as error:
        at = f"{where}:{error.lineno}:{error.colno}"
        raise _wrong("LOCK-SYNTAX", f"this is no JSON: {error.msg}", at) from error
    except UnicodeDecodeError as error:
        raise _wrong("LOCK-SYNTAX", "this is not UTF-8", where) from error
    except ValueError as error:  # a number of thousands of digits
        raise _wrong("LOCK-SYNTAX", str(error), where) from error
    except RecursionError as error:
        raise _wrong("LOCK-SYNTAX", "this is nested too deeply for a lock", where) from error
    if not isinstance(document, dict):
        raise _wrong("LOCK-SYNTAX", "a lock is a JSON object", where)
    schema = document.get("schema")
    if schema != SCHEMA or isinstance(schema, bool):
        raise _wrong(
            "LOCK-SCHEMA",
            f"schema {schema!r} of the lock is not known; this voidimg reads {SCHEMA}",
            where,
        )
    odd = sorted(_KEYS ^ document.keys())
    if odd:
        raise _wrong("LOCK-KEY", f"missing or unknown keys: {', '.join(odd)}", where)
    return document


def _rows(
    document: Mapping[str, object], table: str, checks: Mapping[str, Check], where: str
) -> list[dict[str, object]]:
    rows = document[table]
    if not isinstance(rows, list):
        raise _wrong("LOCK-TYPE", f"{table} is not a list", where)
    _raise(
        [
            _wrong("LOCK-TYPE", complaint, f"{where}: {table}[{index}]")
            for index, row in enumerate(rows)
            for complaint in _complaints(row, checks)
        ],
        where,
    )
    return rows


def _complaints(row: object, checks: Mapping[str, Check]) -> Iterable[str]:
    if not isinstance(row, dict):
        yield "is not an object"
        return
    for key in sorted(checks.keys() ^ row.keys()):
        yield f"{key} is {'missing' if key in checks else 'not known'}"
    for key in checks.keys() & row.keys():
        complaint = checks[key](row[key])
        if complaint is not None:
            yield f"{key} {complaint}"


def _check_references(lock: Lock, where: str) -> None:
    problems: list[SpecError] = []
    seen: set[str] = set()
    for index, package in enumerate(lock.packages):
        at = f"{where}: packages[{index}]"
        if package.repository >= len(lock.repositories):
            what = f"{package.pkgver} names repository {package.repository}, which is not listed"
            problems.append(_wrong("LOCK-REFERENCE", what, at))
        if package.name in seen:
            problems.append(_wrong("LOCK-TWICE", f"{package.name} is listed twice", at))
        seen.add(package.name)
    _raise(problems, where)


def _wrong(code: str, what: str, where: str) -> SpecError:
    return SpecError(what, code=code, where=where, hint="write it anew with 'voidimg lock'")


def _raise(problems: Sequence[SpecError], where: str) -> None:
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise CollectedError(f"{where}: {len(problems)} errors", problems)
