"""What the firmware of each Raspberry Pi board loads by config.txt: is it there, does it fit?"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping

from voidimg.errors import LayoutError
from voidimg.formats.cpio import decode_initramfs
from voidimg.formats.pi_config import BOARDS, Board, PiStart, plan_start, read_config
from voidimg.lint.model import Problem
from voidimg.lint.subject import Subject
from voidimg.spec.cmdline import most_bytes

BOARDS_OF_ARCH: Mapping[str, tuple[str, ...]] = {
    "armv6l": ("1 A", "1 B", "1 A+", "1 B+", "CM1", "Zero", "Zero W"),
    "armv7l": ("2 B",),
    "aarch64": ("3 B", "3 A+", "3 B+", "Zero 2 W", "4 B", "400", "CM4", "5", "500", "CM5"),
}
"""The boards that Void's platforms for the Pi name, by architecture."""
_PI5_ONLY = "rpi5-kernel"
_DTB_MAGIC = b"\xd0\x0d\xfe\xed"
_CONFIG = "/boot/config.txt"
_HINT = "correct config.txt, or bring the file"
_MAX_NAMED = 4


def boards_of(subject: Subject) -> tuple[Board, ...]:
    """The boards that an artifact is for: those of its architecture and kernel."""
    boards = tuple(BOARDS[name] for name in BOARDS_OF_ARCH.get(subject.arch or "", ()))
    if _PI5_ONLY in subject.packages:
        return tuple(board for board in boards if "pi5" in board.filters)
    return boards


def pi_start(subject: Subject) -> Iterator[Problem]:
    """What config.txt makes each board load is there, fits the board, and is whole."""
    found: dict[tuple[str, str], list[str]] = {}
    asked: dict[str, list[str]] = {}
    present = frozenset(path[1:].casefold() for path in subject.boot)
    for board in boards_of(subject):
        text = _text(subject, "config.txt") or ""
        config = read_config(text, board, lambda name: _text(subject, name))
        start = plan_start(config, board, present)
        for place, what in _wrong(subject, board, start):
            found.setdefault((place, what), []).append(board.name)
        for name in start.initramfs:
            asked.setdefault(name, []).append(board.name)
    for name, names in asked.items():  # unpacked once, whatever the number of boards
        for place, what in _initramfs(subject, name):
            found.setdefault((place, what), []).extend(names)
    every = len(boards_of(subject))
    for (place, what), names in found.items():
        yield Problem(place, f"{_on(names, every)}: {what}", _HINT)


def _on(names: list[str], every: int) -> str:
    if len(names) == every:
        return "on every board"
    shown = ", ".join(names[:_MAX_NAMED])
    return f"on {shown}{' and others' if len(names) > _MAX_NAMED else ''}"


def _wrong(subject: Subject, board: Board, start: PiStart) -> Iterator[tuple[str, str]]:
    yield from ((_CONFIG, fault) for fault in start.faults)
    yield from _kernel(subject, board, start)
    yield from _device_tree(subject, board, start)
    yield from _cmdline(subject, start)
    for name in start.firmware:
        if not subject.read_boot_any(name):
            yield f"/boot/{name}", "the firmware is not there, or empty"
    for name in start.overlays:
        content = subject.read_boot_any(name)
        if content is None:
            yield f"/boot/{name}", "config.txt asks for this overlay, which is not there"
        elif not _is_tree(content):
            yield f"/boot/{name}", "it is no device tree overlay, or damaged"


def _kernel(subject: Subject, board: Board, start: PiStart) -> Iterator[tuple[str, str]]:
    place = f"/boot/{start.kernel}"
    content = subject.read_boot_any(start.kernel)
    if content is None:
        yield place, f"there is no such kernel, which is started in {start.bits}-bit mode"
        return
    image = subject.boot_kernel(start.kernel)
    if not content or image.release is None:
        yield place, "the file is empty, damaged or no kernel"
        return
    is_64 = image.page_bytes is not None
    if is_64 != (start.bits == 64):
        kind = "64-bit" if is_64 else "32-bit"
        yield place, f"it is a {kind} kernel, but the board is in {start.bits}-bit mode"
    elif image.page_bytes == 16384 and "pi5" not in board.filters:
        yield place, "the kernel has pages of 16 KiB, which only a Pi 5 can use"


def _device_tree(subject: Subject, board: Board, start: PiStart) -> Iterator[tuple[str, str]]:
    if start.device_tree is None:
        yield _CONFIG, "device_tree= is empty: the kernel gets no device tree and cannot start"
        return
    content = subject.read_boot_any(start.device_tree)
    place = f"/boot/{start.device_tree}"
    chip = board.device_trees[0].partition("-")[0]
    if content is None:
        if start.device_tree_asked:
            yield place, "config.txt asks for this device tree, which is not there"
        return  # `pi-device-trees` says so
    if not _is_tree(content):
        yield place, "it is no device tree, or damaged"
    elif start.device_tree_asked:
        name = start.device_tree.rpartition("/")[2]
        known = re.match(r"bcm27\d\d", name)
        if known is not None and known[0] != chip:
            yield place, f"it is the device tree of another chip ({known[0]} instead of {chip})"


def _is_tree(content: bytes) -> bool:
    """Whether `content` is a flattened device tree of the size that its header says."""
    if not content.startswith(_DTB_MAGIC):
        return False
    return len(content) == 4 or (
        len(content) >= 8 and struct.unpack_from(">I", content, 4)[0] <= len(content)
    )


def _initramfs(subject: Subject, name: str) -> Iterator[tuple[str, str]]:
    content = subject.read_boot_any(name)
    if content is None:
        yield f"/boot/{name}", "config.txt asks for this initramfs, which is not there"
        return
    try:
        decode_initramfs(content, lambda _: False, name)
    except LayoutError as error:
        yield f"/boot/{name}", error.what


def _cmdline(subject: Subject, start: PiStart) -> Iterator[tuple[str, str]]:
    place = f"/boot/{start.cmdline}"
    content = subject.read_boot_any(start.cmdline)
    if content is None:
        yield place, "there is no such file: the kernel is not told where its root is"
        return
    lines = content.decode("utf-8", "replace").splitlines()
    first = lines[0] if lines else ""
    most = most_bytes(subject.arch or "")
    if len(first.encode()) > most:
        yield place, f"its line has {len(first.encode())} bytes, and the kernel takes {most}"
    if "\0" in first:
        yield place, "there is a NUL in its line, where it ends for the kernel"
    roots = [word[5:] for word in first.split() if word.startswith("root=")]
    if subject.disk is None or subject.disk.root is None or start.cmdline == "cmdline.txt":
        return  # `pi-cmdline-root` looks at the usual file
    expected = f"PARTUUID={subject.disk.root[0].partuuid}"
    if not roots or roots[-1].lower() != expected.lower():
        yield place, f"it does not say root={expected}, the root partition of this image"


def _text(subject: Subject, name: str) -> str | None:
    content = subject.read_boot_any(name)
    return None if content is None else content.decode("utf-8", "replace")
