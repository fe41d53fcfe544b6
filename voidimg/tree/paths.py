"""Paths inside a tree: how they are written, encoded, and how their failures are told."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from voidimg.errors import DiskFullError, StoreError

MAX_PATH_BYTES = 4095
"""Longer paths cannot be opened (PATH_MAX of Linux, less its NUL), so no artifact may have one."""


class NotInTreeError(StoreError):
    """The path, or a directory on the way to it, does not exist in the tree."""


def encode_path(path: str) -> bytes:
    """`path`, absolute in the tree, as bytes relative to its root; the root itself is empty.

    Repeated slashes and ``.`` components vanish. Names are UTF-8 on disk whatever the locale;
    bytes that are not UTF-8 are carried as surrogates.

    Raises:
        StoreError: the path is relative, or holds ``..`` or a NUL.
    """
    raw = path.encode("utf-8", "surrogateescape")
    parts = raw.split(b"/")
    if not raw or parts[0] or b".." in parts or b"\0" in raw:
        raise StoreError(
            f"{path!r} is not a path of an image",
            code="TREE-PATH",
            where=path,
            hint="write an absolute path without '..'",
        )
    if len(raw) > MAX_PATH_BYTES:
        raise _too_long(path)
    return b"/".join(part for part in parts if part not in (b"", b"."))


def decode_path(raw: bytes) -> str:
    """The reverse of `encode_path`: bytes relative to the root as an absolute path."""
    return "/" + raw.decode("utf-8", "surrogateescape")


_CODES = {
    errno.ENOENT: "TREE-MISSING",
    errno.EEXIST: "TREE-EXISTS",
    errno.EXDEV: "TREE-ESCAPE",
    errno.ELOOP: "TREE-ESCAPE",
    errno.ENOTDIR: "TREE-TYPE",
    errno.EISDIR: "TREE-TYPE",
    errno.ENOTEMPTY: "TREE-NOT-EMPTY",
}


def tree_error(reason: str, code: str, action: str, path: str) -> StoreError:
    """The error "cannot <action> <path> in the tree: <reason>"."""
    kind = NotInTreeError if code == "TREE-MISSING" else StoreError
    return kind(f"cannot {action} {path} in the tree: {reason}", code=code, where=path)


def _too_long(path: str) -> StoreError:
    shown = f"{path[:40]}...{path[-40:]}"
    return StoreError(
        f"the path {shown} is longer than {MAX_PATH_BYTES} bytes",
        code="TREE-LENGTH",
        where=shown,
        hint="no program could open it: leave out the package or script that makes it",
    )


@contextmanager
def mapped(action: str, path: str) -> Iterator[None]:
    """Map `OSError` to `StoreError`; `action` completes "cannot <action> <path>"."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFullError(
                f"the disk is full: cannot {action} {path} in the tree",
                code="FULL",
                where=path,
                hint="free some space, or choose another --cache directory",
            ) from error
        if error.errno == errno.ENAMETOOLONG:
            raise tree_error(
                f"a path is longer than {MAX_PATH_BYTES} bytes, or a name longer than 255",
                "TREE-LENGTH",
                action,
                path,
            ) from error
        code = _CODES.get(error.errno or 0, "TREE-IO")
        raise tree_error(error.strerror or str(error), code, action, path) from error
