"""Runs the target's own dracut in the sandbox, which makes the initramfs of a kernel.

Runs inside the namespace of the tree.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from voidimg.errors import LayoutError, ScriptError
from voidimg.rootfs.kernels import Kernel
from voidimg.sandbox.chroot import Chroot
from voidimg.tree.tree import Tree

PROGRAMS = ("/usr/bin/dracut", "/usr/sbin/dracut")
"""Where dracut is."""
_ABSENT = re.compile(r"odule '?([\w-]+)'? (?:cannot be (?:found|installed)|will not be installed)")


def run_dracut(
    root: Path,
    kernel: Kernel,
    words: Sequence[str],
    output: str,
    *,
    arch: str,
    epoch: int,
    needed: Collection[str] = (),
) -> None:
    """Make the initramfs of `kernel` as the file `output` of the tree.

    Args:
        root: the tree.
        kernel: of the tree.
        words: further options of dracut.
        output: a path of the tree; a file that is there is replaced.
        arch: XBPS architecture of the tree.
        epoch: the build's time, in seconds since 1970.
        needed: modules of dracut without which the initramfs is of no use.

    Raises:
        LayoutError: the tree has no dracut.
        ScriptError: dracut failed, or left a needed module out.
        SandboxError: it cannot be started.
    """
    asked = ["--force", "--no-hostonly", *words, "--kver", kernel.release]
    with Chroot(root, arch, epoch=epoch) as chroot:
        program = chroot.first_program(PROGRAMS)
        if program is None:
            raise LayoutError(
                "the tree has no dracut",
                code="NO-DRACUT",
                where=PROGRAMS[0],
                hint="add the package dracut",
            )
        if _has_word(root, program, "--reproducible"):
            asked.insert(0, "--reproducible")
        ended = chroot.run((program, *asked, output))
    absent = [name for name in _ABSENT.findall(ended.text) if name in needed]
    if ended.status or absent:
        why = f"left out its module {absent[0]}" if absent else f"failed with {ended.status}"
        raise ScriptError(
            f"dracut {why}: {_last_line(ended.text)}",
            code="DRACUT",
            where=kernel.release,
            output=ended.text,
        )


def _has_word(root: Path, program: str, word: str) -> bool:
    """Whether `program`, a script, knows the option `word`."""
    with Tree(root) as tree:
        descriptor = tree.open_file(program)
        with os.fdopen(descriptor, "rb") as file:
            return word.encode() in file.read(1 << 20)


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1].strip() if lines else "it said nothing"
