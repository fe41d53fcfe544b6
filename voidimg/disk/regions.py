"""What lies where on a disk, as byte ranges with names: nothing may overlap. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

Path = tuple[str | int, ...]
"""The keys and indexes that lead to a value of `Disk`: ``("partitions", 0, "size")``."""


@dataclass(frozen=True, slots=True)
class Region:
    """Bytes `start` to `end` (the first after it) of a disk, called `name` by people.

    `path` leads to the value of `Disk` that decides where it lies; None where nothing does.
    """

    name: str
    start: int
    end: int
    path: Path | None = None

    def __str__(self) -> str:
        """The name, and its bytes as people count them."""
        return f"{self.name} (bytes {self.start} to {self.end - 1})"


@dataclass(frozen=True, slots=True)
class Overlap:
    """Two regions of which the second begins inside the first."""

    first: Region
    second: Region

    @property
    def path(self) -> Path:
        """The value of `Disk` to change: that of the later one, where it has one."""
        return self.second.path or self.first.path or ("partitions",)

    def __str__(self) -> str:
        """Who overlaps whom, with both ranges."""
        moved, kept = self.second, self.first
        if moved.path is None:
            moved, kept = kept, moved
        return f"{moved} overlaps {kept}"


def overlaps(regions: Iterable[Region]) -> Iterator[Overlap]:
    """Every region that begins inside the one that reaches furthest of those before it."""
    reaching: Region | None = None
    for region in sorted(regions, key=lambda one: (one.start, one.end, one.name)):
        if reaching is not None and region.start < reaching.end:
            yield Overlap(reaching, region)
        if reaching is None or region.end > reaching.end:
            reaching = region
