"""Writes a recipe's files into a tree and applies its line edits."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable, Sequence

from voidimg.arch import without_libc
from voidimg.errors import SpecError
from voidimg.formats.uboot_script import write_script
from voidimg.sandbox.patterns import first_match
from voidimg.spec.sources import Placed
from voidimg.spec.stage_model import Edit, File
from voidimg.tree.tree import NotInTreeError, Tree

Render = Callable[[str], str]
"""Template name -> text, such as `voidimg.spec.templates.Templates.render` with its context."""

OwnContent = Callable[[File], Iterable[tuple[Placed, bytes]]]
"""An entry with a source or directory -> what it places, each with the bytes of a file."""

_MOST_LINKS = 40


def apply_files(
    tree: Tree,
    files: Sequence[File],
    *,
    render: Render,
    own: OwnContent,
    arch: str,
    epoch: int,
) -> None:
    """Write `files`, in their order, with missing directories (0755, root); times are `epoch`.

    A file or link at the path is replaced; the path of a directory is an error.

    Raises:
        SpecError: a template is missing or broken.
        StoreError: the path is a directory, or below something that is none.
    """
    for file in files:
        if file.source is not None or file.directory is not None:
            for entry, content in own(file):
                _place(tree, entry, content, file, epoch)
            continue
        if file.link is not None:
            tree.symlink(file.path, file.link, file.uid, file.gid, epoch, parents=True)
            continue
        text = render(file.template) if file.template is not None else file.content or ""
        content = text.encode("utf-8", "surrogateescape")
        if file.form == "u-boot-script":
            content = write_script(text, without_libc(arch), epoch)
        tree.write(file.path, content, file.mode, file.uid, file.gid, epoch, parents=True)


def _place(tree: Tree, entry: Placed, content: bytes, file: File, epoch: int) -> None:
    if entry.kind == "link":
        tree.symlink(entry.path, entry.link, file.uid, file.gid, epoch, parents=True)
    elif entry.kind == "file":
        tree.write(entry.path, content, entry.mode, file.uid, file.gid, epoch, parents=True)
    else:
        tree.mkdir(entry.path, entry.mode, file.uid, file.gid, parents=True)


def apply_edits(tree: Tree, edits: Sequence[Edit], *, epoch: int) -> None:
    """Apply `edits`, in their order; owner and mode of the files stay.

    The first line in which the expression is found becomes the new line; without one it is
    appended. A missing file is made (0644, root), unless the edit is required.

    Raises:
        SpecError: a required line or its file does not exist, or an expression takes too long.
    """
    for edit in edits:
        path = final_path(tree, edit.path)
        status = tree.lstat(path)
        if status is None and edit.required:
            raise _unmatched(edit, "the file does not exist")
        text = "" if status is None else tree.read(path).decode("utf-8", "surrogateescape")
        changed = edited(text, edit)
        if changed is None:
            raise _unmatched(edit, "no line matches")
        if changed == text:
            continue
        mode, uid, gid = (
            (0o644, 0, 0)
            if status is None
            else (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)
        )
        content = changed.encode("utf-8", "surrogateescape")
        tree.write(path, content, mode, uid, gid, epoch, parents=True)


def edited(text: str, edit: Edit) -> str | None:
    """`text` after `edit`; None when the line is required and not there.

    Raises:
        SpecError: the expression takes too long to search.
    """
    lines = text.split("\n")
    # The piece after the last newline is no line.
    real = lines if lines[-1] else lines[:-1]
    found = first_match(edit.match, real, where=edit.path)
    if found is not None:
        return "\n".join([*lines[:found], edit.line, *lines[found + 1 :]])
    if edit.required:
        return None
    separator = "" if text.endswith("\n") or not text else "\n"
    return f"{text}{separator}{edit.line}\n"


def final_path(tree: Tree, path: str) -> str:
    """`path` with links at its end replaced by what they name, inside the tree.

    Raises:
        SpecError: the links go round in a circle, or above the root.
    """
    wanted = path
    for _ in range(_MOST_LINKS):
        try:
            status = tree.stat(path, follow=False)
        except NotInTreeError:
            return path
        if not stat.S_ISLNK(status.st_mode):
            return path
        text = tree.readlink(path)
        joined = text if text.startswith("/") else f"{path.rpartition('/')[0]}/{text}"
        parts: list[str] = []
        for part in joined.split("/"):
            if part == "..":
                parts = parts[:-1]
            elif part not in ("", "."):
                parts.append(part)
        path = "/" + "/".join(parts)
    raise SpecError(f"{wanted} of the tree is a link to itself", code="EDIT-LINK", where=wanted)


def _unmatched(edit: Edit, reason: str) -> SpecError:
    return SpecError(
        f"the edit of {edit.path} cannot be made: {reason} ({edit.match!r})",
        code="EDIT",
        where=edit.path,
        hint="the package may have changed its file; look at it, or set required = false",
    )
