"""The file for WSL: a tarball of a system of its own, that Windows imports."""

from __future__ import annotations

from collections.abc import Sequence

from voidimg.arch import WSL_ARCHES, without_libc
from voidimg.artifact_names import NameForm
from voidimg.artifacts.kind import ArtifactKind, PlannedStep, Step
from voidimg.artifacts.rootfs import FIELDS as ROOTFS_FIELDS
from voidimg.artifacts.tarball import pack_tree
from voidimg.artifacts.trees import WSL_TREE
from voidimg.disk.compress import Compression
from voidimg.errors import UsageError
from voidimg.identity import ReleaseDate
from voidimg.spec.model import Recipe


class Wsl(ArtifactKind):
    """``void-<arch>-<date>.wsl``; WSL looks into it, so the suffix never says its compression."""

    name = "wsl"
    title = "file for WSL"
    part = WSL_TREE
    stages = ("wsl",)
    named_only = True
    fields = ROOTFS_FIELDS - {"rootfs"} | {"wsl"}
    form = NameForm(".wsl", compressed=False)

    def why_not(self, recipe: Recipe) -> str | None:
        """It needs a profile that says what is in it, and a machine that runs Windows."""
        if recipe.wsl is None:
            return "the profile file has no [wsl]"
        if without_libc(recipe.arch) not in WSL_ARCHES:
            return f"WSL is for {' and '.join(WSL_ARCHES)}"
        return None

    def check(self, recipe: Recipe, date: ReleaseDate, compression: Compression) -> None:
        """Refuse a compression that WSL does not read.

        WSL 2 happens to read Zstandard, WSL 1 does not; its makers support gzip and xz
        (microsoft/WSL, pull request 12818).

        Raises:
            UsageError: WSL does not read it.
        """
        del recipe, date
        if compression.kind == "zstd":
            raise UsageError(
                "WSL does not read every file that is compressed with zstd",
                code="COMPRESSION",
                where="--compression",
                hint="build it with xz or none",
            )

    def subject(self, recipe: Recipe) -> str:
        """The architecture."""
        return recipe.arch

    def steps(self, recipe: Recipe) -> Sequence[Step]:
        """Pack the tree."""
        del recipe
        line = PlannedStep("wsl", "write the file for WSL, when it is asked for")
        return (Step("wsl: pack", (line,), lambda making: pack_tree(making, "wsl", "wsl")),)
