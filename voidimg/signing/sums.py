"""The checksum file of an image set: ``sha256sum.txt`` in the BSD form that Void publishes.

One line a file, ``SHA256 (<name>) = <64 hex digits>``, names without a directory, in the order of
a shell's glob in the C locale (by bytes). The file names neither itself nor its signature.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from voidimg.errors import StoreError, VerifyError, VoidimgError, raise_all
from voidimg.events import Listener, Progress, ignore
from voidimg.foreign import open_regular
from voidimg.signing.recognise import Kind, kind_of

SUMS_NAME = "sha256sum.txt"
SIGNATURE_NAME = "sha256sum.sig"

_NAME = re.compile(r"(?!\.{1,2}\Z)[^/\x00-\x1f\x7f]+")
_LINE = re.compile(r"SHA256 \((?!\.{1,2}\) )([^/\x00-\x1f\x7f]+)\) = ([0-9a-f]{64})")
_GNU_LINE = re.compile(r"[0-9a-fA-F]{64} [ *]\S")
MAX_SUMS_BYTES = 4 * 2**20
_CHUNK_BYTES = 2**20
_MAX_PROBLEMS = 20


def encode_sums(digests: Mapping[str, str]) -> bytes:
    """`digests` (file name to SHA-256 in hex) as the bytes of ``sha256sum.txt``.

    Raises:
        VerifyError: a name cannot be read back from a line of it.
    """
    names = sorted(digests, key=os.fsencode)
    raise_all([*_unfit(names)], "these names cannot be in a checksum file")
    return b"".join(
        b"SHA256 (%b) = %b\n" % (os.fsencode(name), digests[name].encode()) for name in names
    )


def _unfit(names: Sequence[str]) -> Iterator[VerifyError]:
    for name in names:
        if _NAME.fullmatch(name) is None:
            yield VerifyError(
                f"a checksum file cannot hold the name {name!r}",
                code="SUMS-NAME",
                where=name,
                hint="rename the file: control characters and / do not fit into a line",
            )


def decode_sums(content: bytes, where: str) -> dict[str, str]:
    """The file names and SHA-256 of the checksum file `content`, in its order.

    Raises:
        VerifyError: it is not a checksum file, or is cut off; several wrong lines are collected.
    """
    kind = kind_of(content)
    if (kind is not Kind.SUMS and kind is not Kind.TEXT) or len(content) > MAX_SUMS_BYTES:
        found = "far too long" if len(content) > MAX_SUMS_BYTES else kind.description
        raise VerifyError(
            f"this is not a checksum file: it is {found}",
            code="SUMS-NOT-SUMS",
            where=where,
            hint=f"download {SUMS_NAME} itself, from the directory that holds the images",
        )
    text = os.fsdecode(content)
    digests: dict[str, str] = {}
    problems: list[VoidimgError] = []
    # Not splitlines: names may hold what it takes for the end of a line (U+0085, U+2028).
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        match = _LINE.fullmatch(line)
        if len(problems) == _MAX_PROBLEMS:
            break
        if match is None:
            problems.append(_wrong_line(line, f"{where}:{number}"))
        elif match[1] in digests:
            problems.append(
                VerifyError(
                    f"{match[1]} is listed twice", code="SUMS-TWICE", where=f"{where}:{number}"
                )
            )
        else:
            digests[match[1]] = match[2]
    raise_all(problems, "the checksum file has wrong lines")
    if not text.endswith("\n"):
        raise VerifyError(
            "the checksum file is cut off: its last line has no end",
            code="SUMS-CUT",
            where=where,
            hint="download it again",
        )
    return digests


def _wrong_line(line: str, where: str) -> VerifyError:
    hint = "download it again; nobody should edit this file"
    if _GNU_LINE.match(line):
        hint = "this is the form of GNU sha256sum; Void's is that of sha256sum --tag"
    return VerifyError(
        f"not a line of the form SHA256 (name) = digest: {line[:80]!r}",
        code="SUMS-LINE",
        where=where,
        hint=hint,
    )


@dataclass(frozen=True, slots=True)
class Digested:
    """A file that was read: its SHA-256 in hex, and what tells whether it changed afterwards."""

    sha256: str
    stamp: tuple[int, ...]


def digest_files(
    paths: Sequence[Path], *, jobs: int = 1, step: str = "checksums", listener: Listener = ignore
) -> list[Digested]:
    """The SHA-256 of each of `paths`, `jobs` files at a time; regular files, no links.

    Raises:
        StoreError: a file cannot be read, is not regular, or changes while it is read.
    """
    total_bytes = sum(_size_bytes(path) for path in paths)
    done_bytes = 0
    digests = []
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        for path, digest in zip(paths, pool.map(_digest, paths), strict=True):
            done_bytes += _size_bytes(path)
            listener(Progress(step, done_bytes, total_bytes, "bytes"))
            digests.append(digest)
    return digests


def require_unchanged(paths: Sequence[Path], digests: Sequence[Digested]) -> None:
    """Ensure that `paths` are still the files that were read.

    Raises:
        StoreError: one was changed or replaced since.
    """
    for path, digest in zip(paths, digests, strict=True):
        try:
            found = path.lstat()
        except OSError as error:
            raise _unreadable(path, error) from error
        if _stamp(found) != digest.stamp:
            raise _changed(path)


def _digest(path: Path) -> Digested:
    running = hashlib.sha256()
    try:
        with open_regular(path, follow=False) as file:
            before = _stamp(os.fstat(file.fileno()))
            while chunk := file.read(_CHUNK_BYTES):
                running.update(chunk)
            after = _stamp(os.fstat(file.fileno()))
    except OSError as error:
        raise _unreadable(path, error) from error
    if before != after:
        raise _changed(path)
    return Digested(running.hexdigest(), after)


def _stamp(found: os.stat_result) -> tuple[int, ...]:
    """What is different after every change of a file, its replacement included."""
    times = (found.st_mtime_ns, found.st_ctime_ns)
    return (found.st_mode, found.st_dev, found.st_ino, found.st_size, *times)


def _size_bytes(path: Path) -> int:
    try:
        return path.stat(follow_symlinks=False).st_size
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"cannot read {path}: {error.strerror or error}",
        code="IO",
        where=str(path),
        hint=getattr(error, "hint", None),
    )


def _changed(path: Path) -> StoreError:
    return StoreError(
        f"{path} changed while it was read",
        code="CHANGED",
        where=str(path),
        hint="wait until nothing writes to the image set any more, and try again",
    )
