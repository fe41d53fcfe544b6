"""Packs a tree as a compressed tar, files of a package beside each other."""

from __future__ import annotations

from voidimg.artifacts.kind import MAIN, KindName
from voidimg.artifacts.making import Making
from voidimg.artifacts.trees import tree_of
from voidimg.errors import storing
from voidimg.rootfs.ownership import package_paths
from voidimg.rootfs.tar import write_tar
from voidimg.tree.tree import Tree


def pack_tree(making: Making, kind: KindName, *stages: str) -> None:
    """Pack the tree, which has the packages of `stages`, as the artifact of `kind`."""
    finished = making.work / f"{kind}.new"
    with storing(finished, "write"), finished.open("wb") as out:
        stream = making.compressed(out)
        with stream, Tree(tree_of(making)) as tree:
            write_tar(
                tree_of(making),
                stream,
                epoch=making.epoch,
                order=package_paths(tree, making.pkgnames(*stages)),
                listener=making.listener,
            )
    making.keep(kind, {MAIN: finished})
