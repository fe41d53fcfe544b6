"""The stages of recipes and of packages, and the trees that they make."""

from __future__ import annotations

from typing import Literal, get_args

StageName = Literal["rootfs", "platformfs", "image", "live", "wsl"]
"""A table of a platform or profile that says what goes into a tree or a disk."""

CONTENT_STAGES: tuple[StageName, ...] = get_args(StageName)
"""The tables in the order in which they are used."""

PackageStage = Literal["rootfs", "platformfs", "live", "live-build", "netboot-build", "wsl"]
"""Where a package comes in: with the ROOTFS, or with the PLATFORMFS on top of it; with the tree of
a live system, or only while that is made, for any medium or for the network; with the tree for
WSL."""

STAGES: tuple[PackageStage, ...] = get_args(PackageStage)
"""The stages in the order in which they are made."""

SYSTEM_TREE: tuple[PackageStage, ...] = ("rootfs", "platformfs")
"""What is installed into the tree of an installed system, which a disk image holds."""

LIVE_TREE: tuple[PackageStage, ...] = ("live", "live-build", "netboot-build")
"""What is installed into the tree of a live system."""

TREES: tuple[tuple[PackageStage, ...], ...] = (SYSTEM_TREE, LIVE_TREE, ("wsl",))
"""Tree -> the stages that install packages into it, in their order."""
