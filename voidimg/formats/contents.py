"""What a filesystem will hold, by what decides its size."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contents:
    """The files of one filesystem, by what decides its size.

    `files` are the sizes in bytes of all regular files (hard links once) and of symbolic links too
    long to live in an inode; `others` counts inodes without content (short links, devices);
    `directories` has the names in each directory, the top one included; `attribute_blocks`
    counts inodes whose extended attributes need a block of their own.
    """

    files: tuple[int, ...] = ()
    others: int = 0
    directories: tuple[tuple[str, ...], ...] = ((),)
    attribute_blocks: int = 0

    @classmethod
    def estimated(cls, total_bytes: int, files: int) -> Contents:
        """Contents of about this size, for a plan that is shown before anything is built."""
        count = max(files, 1)
        names = tuple(f"{number:024}" for number in range(16))
        return cls(
            files=(-(-total_bytes // count),) * count,
            directories=(names,) * (count // 16 + 1),
        )

    @property
    def bytes(self) -> int:
        """The bytes of all files together."""
        return sum(self.files)

    @property
    def inodes(self) -> int:
        """Files, directories and all else, the top directory included."""
        return len(self.files) + self.others + len(self.directories)
