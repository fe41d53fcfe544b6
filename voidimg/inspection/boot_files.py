"""Reads files out of a FAT partition of a raw image, without mounting it (mtools)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from voidimg.arguments import Argument, Inside
from voidimg.disk.mtools import MTOOLS_ENVIRONMENT, literal
from voidimg.errors import LayoutError, ToolError
from voidimg.foreign import open_regular
from voidimg.formats.fat import read_fat
from voidimg.formats.partition_table import PartitionEntry, read_table
from voidimg.sandbox.confined import run_bounded
from voidimg.units import format_size

MAX_BOOT_FILE_BYTES = 2**28
"""Most that is read of a file that firmware loads: a kernel or an initramfs."""


_NO_FILE = "E-LAYOUT-NO-FILE"


@dataclass(frozen=True, slots=True)
class BootFiles:
    """The files of the FAT filesystem at `offset_bytes` of `image`.

    Paths are absolute inside that filesystem, as in ``/overlays/vc4-kms-v3d.dtbo``; FAT does not
    tell upper from lower case.
    """

    image: Path
    offset_bytes: int

    def list(self, directory: str = "/") -> tuple[str, ...]:
        """The paths of all files below `directory`, sorted; directories are not named.

        Raises:
            LayoutError: there is no such directory.
        """
        try:
            listing = self._mtools("mdir", "-/", "-b", directory)
        except LayoutError as error:
            if directory == "/" and error.code == _NO_FILE:
                return ()  # what mdir says of an empty filesystem
            raise
        names = listing.decode("utf-8", "replace").split("\n")
        return tuple(sorted(name[2:] for name in names if name and not name.endswith("/")))

    def read(self, path: str) -> bytes:
        """The content of the file at `path`.

        Raises:
            LayoutError: there is no such file.
        """
        return self._mtools("mtype", path)

    def has(self, path: str) -> bool:
        """Whether there is a file or directory at `path`."""
        try:
            self._mtools("mdir", "-b", path)
        except LayoutError:
            return False
        return True

    def copy_all(self, target: Path) -> None:
        """Copy every file into the directory `target`, keeping times."""
        self._mtools("mcopy", "-s", "-m", "-n", "-Q", "/*", target=target)

    def _mtools(self, program: str, *arguments: str, target: Path | None = None) -> bytes:
        *options, path = arguments
        drive = Inside(self.image, f"@@{self.offset_bytes}")
        # mtools takes patterns; only our own "/*" is meant as one.
        if path != "/*" and any(character in path for character in "*?\\"):
            raise _missing(self.image, path)
        words: list[Argument] = [
            program,
            *options,
            "-i",
            drive,
            f"::{path if path == '/*' else literal(path)}",
        ]
        if target is not None:
            words.append(target)
        try:
            ended = run_bounded(
                words,
                max_bytes=MAX_BOOT_FILE_BYTES,
                env=MTOOLS_ENVIRONMENT,
                reads=[self.image],
                writes=[] if target is None else [target],
            )
            return ended.stdout
        except ToolError as error:
            if error.code.endswith("TOO-MUCH"):
                raise LayoutError(
                    f"{path} on the boot partition is larger than"
                    f" {format_size(MAX_BOOT_FILE_BYTES)}, the most that is read",
                    code="TOO-LARGE",
                    where=str(self.image),
                    hint="no firmware could start it",
                ) from error
            if error.code.endswith("MISSING") or "not found" not in error.what:
                raise
            raise _missing(self.image, path) from error


def open_boot_files(image: Path, number: int | None = None) -> BootFiles:
    """The files of partition `number` of the raw `image`, or else of its first FAT partition.

    Raises:
        LayoutError: there is no such partition, or no FAT filesystem in it.
    """
    table = read_table(image)
    candidates = table.partitions if number is None else (table.partition(number),)
    for entry in candidates:
        if _holds_fat(image, entry):
            return BootFiles(image, entry.offset_bytes)
    which = "no partition" if number is None else f"partition {number}"
    verb = "holds" if number is None else "does not hold"
    raise LayoutError(f"{which} {verb} a FAT filesystem", code="NO-FAT", where=str(image))


def _holds_fat(image: Path, entry: PartitionEntry) -> bool:
    with open_regular(image, block_device=True) as file:
        return read_fat(file, entry.offset_bytes, entry.size_bytes) is not None


def _missing(image: Path, path: str) -> LayoutError:
    return LayoutError(
        f"there is no {path} on the boot partition", code="NO-FILE", where=str(image)
    )
