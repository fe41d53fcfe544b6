"""Runs package scripts in the sandbox, also those that come before the tree has a shell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from voidimg.errors import StoreError
from voidimg.sandbox import jail
from voidimg.sandbox.chroot import Chroot
from voidimg.tree.tree import Tree
from voidimg.xbps.install.scripts import ScriptOutcome

SHELLS = ("/bin/sh", "/bin/dash", "/bin/bash", "/usr/bin/sh", "/usr/bin/dash", "/usr/bin/bash")
"""Where a shell is looked for; like xbps we ignore a script's first line."""

Bootstrap = Callable[[], Path | None]
"""Makes a tree that has a shell when it is first needed; None when there can be none."""


class TreeScripts:
    """A `voidimg.xbps.install.scripts.ScriptRunner` for one tree; a context manager.

    Each script runs with the tree as ``/`` as soon as the tree has a shell. Before, which is when
    ``pre`` scripts of an empty tree run, it runs in the tree that `bootstrap` makes, with the
    target as working directory: scripts use relative paths. It is never run by a shell of the
    host. Without a shell anywhere the answer is None, and the package stays unpacked. A shell that
    is there and cannot be run, as on a file system that is mounted noexec, is an error.

    Args:
        root: the tree.
        arch: its XBPS architecture.
        epoch: SOURCE_DATE_EPOCH of the scripts.
        bootstrap: see above.
        timeout_seconds: of one script; generating locales under emulation takes 10 s.
    """

    def __init__(
        self,
        root: Path,
        arch: str,
        *,
        epoch: int,
        bootstrap: Bootstrap = lambda: None,
        timeout_seconds: float = 3600,
    ):
        self._root = root
        self._arch = arch
        self._epoch = epoch
        self._bootstrap = bootstrap
        self._timeout_seconds = timeout_seconds
        self._own: tuple[Chroot, str] | None = None
        self._lent: tuple[Chroot, str] | None = None
        self._tried_bootstrap = False

    def __call__(self, script: bytes, arguments: Sequence[str]) -> ScriptOutcome | None:
        """Run `script`; see `voidimg.xbps.install.scripts.ScriptRunner`.

        Raises:
            SandboxError: there is a shell that cannot be started, such as for want of its mode or
                its libraries.
            ScriptError: the script's time is over.
        """
        place = self._place()
        if place is None:
            return None
        chroot, shell = place
        ended = chroot.run(
            (shell, jail.SCRIPT, *arguments),
            script=script,
            timeout_seconds=self._timeout_seconds,
        )
        # Bytes that are no text are shown as they are, and not as one mark for all.
        return ScriptOutcome(ended.status, ended.output.decode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """End the sandboxes."""
        for place in (self._own, self._lent):
            if place is not None:
                place[0].close()
        self._own = self._lent = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()

    def _place(self) -> tuple[Chroot, str] | None:
        if self._own is None and self._may_have_shell():
            self._own = self._open(self._root, None)
        if self._own is not None:
            return self._own
        if not self._tried_bootstrap:
            self._tried_bootstrap = True
            tree = self._bootstrap()
            self._lent = None if tree is None else self._open(self._root, tree)
        return self._lent

    def _may_have_shell(self) -> bool:
        """A cheap look; the sandbox has the last word."""
        if not self._root.is_dir():
            return False
        with Tree(self._root) as tree:
            return any(self._holds(tree, path) for path in SHELLS)

    def _holds(self, tree: Tree, path: str) -> bool:
        try:
            return tree.lstat(path) is not None
        except StoreError:  # behind something that is no directory
            return False

    def _open(self, root: Path, bootstrap: Path | None) -> tuple[Chroot, str] | None:
        chroot = Chroot(root, self._arch, bootstrap, epoch=self._epoch)
        shell = chroot.first_program(SHELLS)
        if shell is None:
            chroot.close()
            return None
        return chroot, shell
