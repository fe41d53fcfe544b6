"""What the kernel says of a block device, and why it must not be written to.

``/sys/dev/block/<major>:<minor>`` leads to the directory of a device (Linux,
Documentation/ABI/stable/sysfs-block): ``size`` in sectors of 512 bytes, ``partition`` of a
partition, ``ro``, ``removable``, ``holders`` and ``slaves`` (LVM, RAID, dm-crypt, bcache), and
directories of its partitions. ``/proc/self/mountinfo`` and ``/proc/swaps`` say what is used of it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from voidimg.errors import UsageError
from voidimg.foreign import read_regular
from voidimg.units import format_size

SYS = Path("/sys")
PROC = Path("/proc")
_SECTOR_BYTES = 512
_MAX_BYTES = 4 * 2**20
_ESCAPE = re.compile(r"\\([0-7]{3})")
_SYSTEM = ("/", "/boot", "/boot/efi", "/efi", "/etc", "/home", "/nix", "/opt", "/usr", "/var")
"""Where a running system has its own files."""
_MODEL_FILES = (("device/vendor", "device/model"), ("device/name",), ("loop/backing_file",))
"""Of SCSI, USB, SATA and NVMe; of SD cards; of loop devices."""


@dataclass(frozen=True, slots=True)
class BlockDevice:
    """A block device, as the kernel knows it.

    Attributes:
        name: as in ``/dev``.
        model: what its maker calls it; empty when it does not say.
        size_bytes: 0 when there is no medium in it.
        parent: the disk that a partition is of, else empty.
        read_only: whether it refuses to be written to.
        removable: whether its medium can be taken out.
        partitions: the names of its partitions.
        mounts: where it or a partition of it is mounted, with the name of that.
        swaps: what of it is used for swapping.
        holders: what is made of it or a partition: volumes of LVM, RAID, encryption.
        slaves: what it is made of itself.
    """

    name: str
    model: str
    size_bytes: int
    parent: str
    read_only: bool
    removable: bool
    partitions: tuple[str, ...]
    mounts: tuple[tuple[str, str], ...]
    swaps: tuple[str, ...]
    holders: tuple[str, ...]
    slaves: tuple[str, ...]

    @property
    def described(self) -> str:
        """The device in words for a person who is asked about it."""
        words = [self.model or "no model known", format_size(self.size_bytes)]
        words += ["removable"] if self.removable else []
        words += [f"partitions {', '.join(self.partitions)}"] if self.partitions else []
        return ", ".join(words)


def look_at_device(number: int, *, sys: Path = SYS, proc: Path = PROC) -> BlockDevice:
    """The block device with the device `number` (``st_rdev``).

    Raises:
        UsageError: the kernel says nothing of it.
    """
    major, minor = os.major(number), os.minor(number)
    try:
        place = (sys / "dev" / "block" / f"{major}:{minor}").resolve(strict=True)
    except OSError as error:
        raise _refused(
            "UNKNOWN",
            f"the kernel knows no block device {major}:{minor}",
            "is it still plugged in?",
            "",
        ) from error
    partitions = sorted(
        (one for one in place.iterdir() if one.is_dir() and (one / "partition").exists()),
        key=lambda one: (len(one.name), one.name),
    )
    parts = [place, *partitions]
    numbers = {found: one.name for one in parts if (found := _line(one / "dev"))}
    names = {one.name for one in parts}
    return BlockDevice(
        name=place.name,
        model=_model(place),
        size_bytes=_number(place / "size") * _SECTOR_BYTES,
        parent=place.parent.name if (place / "partition").exists() else "",
        read_only=_number(place / "ro") != 0,
        removable=_number(place / "removable") != 0,
        partitions=tuple(one.name for one in partitions),
        mounts=tuple(_mounts(proc, numbers, names)),
        swaps=tuple(name for name in _swaps(proc) if name in names),
        holders=tuple(name for one in parts for name in _names(one / "holders")),
        slaves=tuple(_names(place / "slaves")),
    )


def require_unused(device: BlockDevice, where: str) -> None:
    """Raise for what must not be overwritten: a part of the system, what is in use, no whole disk.

    Raises:
        UsageError: why not, and what to do.
    """
    for problem in _problems(device, where):
        raise problem


def _problems(device: BlockDevice, where: str) -> Iterator[UsageError]:
    system = [one for one in device.mounts if one[1] in _SYSTEM]
    if system:
        name, point = system[0]
        yield _refused(
            "SYSTEM",
            f"{where} holds the running system: {point} is mounted from {name}",
            "name another device; lsblk shows all of them",
            where,
        )
    if device.parent:
        yield _refused(
            "PARTITION",
            f"{where} is a partition, and an image is a whole disk with partitions of its own",
            f"name the disk, /dev/{device.parent}, if all of it may be overwritten",
            where,
        )
    if device.mounts:
        name, point = device.mounts[0]
        yield _refused(
            "MOUNTED", f"{name} is mounted at {point}", f"unmount it first: umount {point}", where
        )
    if device.swaps:
        yield _refused(
            "IN-USE",
            f"the system swaps to {device.swaps[0]}",
            f"name another device, or swapoff /dev/{device.swaps[0]} first",
            where,
        )
    if device.holders:
        yield _refused(
            "IN-USE",
            f"{', '.join(device.holders)} is made of {where} or of partitions of it",
            "it is used for LVM, RAID or encryption: stop that first, or name another device",
            where,
        )
    if device.slaves:
        yield _refused(
            "PARTITION",
            f"{where} is made of {', '.join(device.slaves)}, and is no whole disk",
            "name a disk",
            where,
        )
    if device.read_only:
        yield _refused(
            "READ-ONLY", f"{where} can only be read", "is its write protection on?", where
        )
    if not device.size_bytes:
        yield _refused("EMPTY", f"there is no medium in {where}", "put a card into it", where)


def why_file_in_use(path: Path, *, sys: Path = SYS, proc: Path = PROC) -> str | None:
    """What the kernel uses the file `path` for, in words; None when for nothing that it tells."""
    real = os.path.realpath(path)
    for place in sorted((sys / "block").glob("loop*/loop/backing_file")):
        if _line(place) == real:
            return f"it is the loop device {place.parent.parent.name}"
    if real in _swap_paths(proc):
        return "the system swaps to it"
    return None


def _refused(code: str, what: str, hint: str, where: str) -> UsageError:
    return UsageError(what, code=f"MEDIUM-{code}", where=where, hint=hint)


def _mounts(proc: Path, numbers: dict[str, str], names: set[str]) -> Iterator[tuple[str, str]]:
    """Name and place of each mount of these devices, by number (``8:1``) or by name.

    Some filesystems, such as btrfs, show a number that is not that of their device.
    """
    for line in _lines(proc / "self" / "mountinfo"):
        words, _, more = line.partition(" - ")
        fields, behind = words.split(" "), more.split(" ")
        if len(fields) < 5:
            continue
        source = _unescaped(behind[1]) if len(behind) > 1 else ""
        name = numbers.get(fields[2])
        if name is None and source.startswith("/dev/"):
            name = _device_name(source) if _device_name(source) in names else None
        if name is not None:
            yield name, _unescaped(fields[4])


def _swaps(proc: Path) -> Iterator[str]:
    """The names of the devices that are swapped to."""
    return (_device_name(path) for path in _swap_paths(proc) if path.startswith("/dev/"))


def _swap_paths(proc: Path) -> list[str]:
    words = (line.split() for line in _lines(proc / "swaps")[1:])
    return [_unescaped(one[0]) for one in words if one]


def _device_name(path: str) -> str:
    """The kernel's name of the device at `path`, which may be a link such as ``/dev/root``."""
    return os.path.basename(os.path.realpath(path))


def _unescaped(word: str) -> str:
    return _ESCAPE.sub(lambda match: chr(int(match[1], 8)), word)


def _model(place: Path) -> str:
    for files in _MODEL_FILES:
        words = [word for file in files if (word := _line(place / file))]
        if words:
            return " ".join(words)
    return ""


def _names(place: Path) -> Sequence[str]:
    try:
        return sorted(one.name for one in place.iterdir())
    except OSError:
        return ()


def _number(place: Path) -> int:
    text = _line(place)
    return int(text) if text.isdecimal() else 0


def _line(place: Path) -> str:
    return next(iter(_lines(place)), "").strip()


def _lines(place: Path) -> list[str]:
    """The lines of a file of the kernel; none when it cannot be read."""
    with suppress(OSError):
        return read_regular(place, _MAX_BYTES).decode("utf-8", "replace").splitlines()
    return []
