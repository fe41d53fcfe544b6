"""The stages that install packages, and the trees that they make."""

from __future__ import annotations

from typing import Literal, get_args

PackageStage = Literal["rootfs", "platformfs", "live", "live-build", "netboot-build", "wsl"]
"""Where a package comes in: with the ROOTFS, or with the PLATFORMFS on top of it; with the tree of
a live system, or only while that is made, for any medium or for the network; with the tree for
WSL."""

STAGES: tuple[PackageStage, ...] = get_args(PackageStage)
"""The stages in the order in which they are made."""

TREES: tuple[tuple[PackageStage, ...], ...] = (
    ("rootfs", "platformfs"),
    ("live", "live-build", "netboot-build"),
    ("wsl",),
)
"""Tree -> the stages that install packages into it, in their order."""
