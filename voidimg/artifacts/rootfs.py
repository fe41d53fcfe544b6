"""The ROOTFS: an installed system as a tarball, the same for all platforms of an architecture."""

from __future__ import annotations

from collections.abc import Sequence

from voidimg.artifact_names import NameForm
from voidimg.artifacts.kind import ArtifactKind, PlannedStep, Step
from voidimg.artifacts.tarball import pack_tree
from voidimg.artifacts.trees import ROOTFS_TREE
from voidimg.spec.model import Recipe

FIELDS = frozenset({"arch", "libc", "locale", "timezone", "hostname", "users", "rootfs"})
"""What a ROOTFS depends on: nothing that only the platform says, so platforms share it."""


class Rootfs(ArtifactKind):
    """``void-<arch>-ROOTFS-<date>.tar.xz``."""

    name = "rootfs"
    title = "ROOTFS"
    part = ROOTFS_TREE
    # A PLATFORMFS is made on top of it: one lock has the packages of both.
    stages = ("rootfs", "platformfs")
    own_stages = ("rootfs",)
    fields = FIELDS
    form = NameForm(".tar", mark="ROOTFS", profile="before")

    def why_not(self, recipe: Recipe) -> str | None:
        """Every recipe has one."""
        del recipe
        return None

    def subject(self, recipe: Recipe) -> str:
        """The architecture."""
        return recipe.arch

    def steps(self, recipe: Recipe) -> Sequence[Step]:
        """Pack the tree."""
        del recipe
        line = PlannedStep("rootfs", "write the ROOTFS tarball")
        return (
            Step("rootfs: pack", (line,), lambda making: pack_tree(making, "rootfs", "rootfs")),
        )
