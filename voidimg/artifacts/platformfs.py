"""The PLATFORMFS: a ROOTFS with what one platform needs, a tarball to be unpacked on a medium."""

from __future__ import annotations

from collections.abc import Sequence

from voidimg.artifact_names import NameForm
from voidimg.artifacts.kind import ArtifactKind, PlannedStep, Step
from voidimg.artifacts.making import Making
from voidimg.artifacts.rootfs import FIELDS as ROOTFS_FIELDS
from voidimg.artifacts.tarball import pack_tree
from voidimg.artifacts.trees import PLATFORMFS_TREE
from voidimg.spec.model import Recipe


class Platformfs(ArtifactKind):
    """``void-<platform>-PLATFORMFS-<date>.tar.xz``."""

    name = "platformfs"
    title = "PLATFORMFS"
    part = PLATFORMFS_TREE
    stages = ("rootfs", "platformfs")
    fields = ROOTFS_FIELDS | {"platform", "platformfs", "boot"}
    form = NameForm(".tar", mark="PLATFORMFS")

    def why_not(self, recipe: Recipe) -> str | None:
        """Every recipe has one."""
        del recipe
        return None

    def by_default(self, recipe: Recipe) -> bool:
        """Boards need it; a live platform is for its ISO, an architecture alone for its ROOTFS."""
        return recipe.disk is not None or (recipe.live is None and bool(recipe.boards))

    def steps(self, recipe: Recipe) -> Sequence[Step]:
        """Pack the tree."""
        del recipe
        line = PlannedStep("platformfs", "write the PLATFORMFS tarball")
        return (Step("platformfs: pack", (line,), _pack),)


def _pack(making: Making) -> None:
    # An image is made of the same tree, so its packages are in the order of both stages.
    pack_tree(making, "platformfs", "rootfs", "platformfs")
