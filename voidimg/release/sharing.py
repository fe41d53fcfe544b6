"""Which artifacts of a set are made together, and how shares for several machines are cut.

Artifacts of one platform with one profile are made by one job, and platforms whose ROOTFS is the
same share its tree: cut apart, each machine would make it again (facts of Void's own matrix: 39
artifacts have 13 trees).
"""

from __future__ import annotations

from collections.abc import Sequence

from voidimg.artifacts.registry import KINDS
from voidimg.errors import UsageError
from voidimg.release.options import Shard
from voidimg.release.rows import PlannedArtifact, grouped

Cluster = tuple[PlannedArtifact, ...]
"""Artifacts that are best made by one machine."""

_WEIGHT = {"live": 4, "disk": 2, "tree": 1}
"""Role of a kind -> how long it takes, roughly, against a ROOTFS tarball."""


def clusters(planned: Sequence[PlannedArtifact]) -> tuple[Cluster, ...]:
    """`planned` by what they share, in their order."""
    found: dict[object, list[PlannedArtifact]] = {}
    for group in grouped(planned).values():
        found.setdefault(_shared(group), []).extend(group)
    return tuple(tuple(cluster) for cluster in found.values())


def _shared(group: Sequence[PlannedArtifact]) -> object:
    """What says that two groups share the tree of a ROOTFS; their own names where they do not."""
    recipe = group[0].resolved.recipe
    if any(KINDS[one.kind].begins_with("rootfs") for one in group):
        return (recipe.arch, recipe.profile, recipe.rootfs.model_dump_json())
    return (recipe.platform, recipe.profile)


def of_shard(planned: Sequence[PlannedArtifact], shard: Shard) -> tuple[PlannedArtifact, ...]:
    """The share of `planned` that `shard` names; every artifact is in exactly one.

    Raises:
        UsageError: there are more shares than artifacts.
    """
    chosen = set(shares(planned, shard.count)[shard.number - 1])
    return tuple(one for one in planned if one.name in chosen)


def shares(planned: Sequence[PlannedArtifact], count: int) -> list[list[str]]:
    """The names of the artifacts of each of `count` shares, as even as their clusters allow.

    It depends on nothing but the set and the count, so every machine cuts the same shares.

    Raises:
        UsageError: there are fewer artifacts.
    """
    if count > len(planned):
        raise UsageError(
            f"{len(planned)} artifacts cannot be cut into {count} shares",
            code="SHARD",
            where="--shard",
            hint=f"choose a count of at most {len(planned)}",
        )
    pieces: Sequence[Sequence[PlannedArtifact]] = clusters(planned)
    if count > len(pieces):
        pieces = list(grouped(planned).values())
    if count > len(pieces):
        pieces = [(one,) for one in planned]
    found: list[list[str]] = [[] for _ in range(count)]
    weights = [0] * count
    for piece in sorted(pieces, key=lambda one: (-_weight(one), one[0].name)):
        lightest = weights.index(min(weights))
        found[lightest] += [one.name for one in piece]
        weights[lightest] += _weight(piece)
    return found


def _weight(piece: Sequence[PlannedArtifact]) -> int:
    return sum(_WEIGHT[KINDS[one.kind].role] for one in piece)
