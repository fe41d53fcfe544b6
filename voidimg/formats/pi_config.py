"""config.txt as the firmware of one Raspberry Pi board reads it, and what it would load. Pure.

The rules are those of the vendor's documentation ("config.txt": what it is, conditional filters,
boot options): a line is ``name=value``, without spaces around ``=``; ``#`` begins a comment line;
the last value of a name counts; ``initramfs NAME ADDRESS`` and ``include FILE`` have no ``=``. A
filter in brackets holds until another of its type or ``[all]``; filters of several types must all
hold. What a filter asks of the surroundings (a pin, a monitor, a serial number) is taken as not so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

LINE_CHARACTERS = 98
"""What is behind this place of a line is not read."""
_MAX_INCLUDES = 8
_FILTER = re.compile(r"\[([^\]]*)\]")


@dataclass(frozen=True, slots=True)
class Board:
    """A board: the `filters` that hold on it, its type number, and the device trees that fit it.

    `kernel32` is what it starts by default in 32-bit mode. `bits64` says whether it runs 64-bit
    kernels: "no", "asked" (with ``arm_64bit=1``, or when there is no 32-bit kernel), "default", or
    "only". `stage` is the suffix of its ``start*.elf``, None when the firmware is in its EEPROM.
    """

    name: str
    filters: frozenset[str]
    type: int
    device_trees: tuple[str, ...]
    kernel32: str
    bits64: str
    stage: str | None


def _board(
    name: str, filters: str, number: int, trees: str, kernel32: str, bits64: str, stage: str | None
) -> Board:
    return Board(
        name, frozenset(filters.split()), number, tuple(trees.split()), kernel32, bits64, stage
    )


BOARDS: Mapping[str, Board] = {
    board.name: board
    for board in (
        _board("1 A", "pi1", 0x00, "bcm2708-rpi-b", "kernel.img", "no", ""),
        _board("1 B", "pi1", 0x01, "bcm2708-rpi-b bcm2708-rpi-b-rev1", "kernel.img", "no", ""),
        _board("1 A+", "pi1", 0x02, "bcm2708-rpi-b-plus", "kernel.img", "no", ""),
        _board("1 B+", "pi1", 0x03, "bcm2708-rpi-b-plus", "kernel.img", "no", ""),
        _board("CM1", "pi1 cm1", 0x06, "bcm2708-rpi-cm", "kernel.img", "no", ""),
        _board("Zero", "pi0", 0x09, "bcm2708-rpi-zero bcm2708-rpi-b-plus", "kernel.img", "no", ""),
        _board(
            "Zero W", "pi0 pi0w", 0x0C, "bcm2708-rpi-zero-w bcm2708-rpi-0-w bcm2708-rpi-b-plus",
            "kernel.img", "no", "",
        ),
        _board("2 B", "pi2", 0x04, "bcm2709-rpi-2-b", "kernel7.img", "no", ""),
        _board("3 B", "pi3", 0x08, "bcm2710-rpi-3-b", "kernel7.img", "asked", ""),
        _board("CM3", "pi3 cm3", 0x0A, "bcm2710-rpi-cm3", "kernel7.img", "asked", ""),
        _board(
            "3 B+", "pi3 pi3+", 0x0D, "bcm2710-rpi-3-b-plus bcm2710-rpi-3-b", "kernel7.img",
            "asked", "",
        ),
        _board(
            "3 A+", "pi3 pi3+", 0x0E, "bcm2710-rpi-3-b-plus bcm2710-rpi-3-b", "kernel7.img",
            "asked", "",
        ),
        _board(
            "Zero 2 W", "pi0 pi0w pi02", 0x12, "bcm2710-rpi-zero-2-w bcm2710-rpi-zero-2",
            "kernel7.img", "asked", "",
        ),
        _board("4 B", "pi4", 0x11, "bcm2711-rpi-4-b", "kernel7l.img", "default", "4"),
        _board(
            "400", "pi4 pi400", 0x13, "bcm2711-rpi-400 bcm2711-rpi-4-b", "kernel7l.img", "default",
            "4",
        ),
        _board(
            "CM4", "pi4 cm4", 0x14, "bcm2711-rpi-cm4 bcm2711-rpi-4-b", "kernel7l.img", "default",
            "4",
        ),
        _board("5", "pi5", 0x17, "bcm2712-rpi-5-b bcm2712d0-rpi-5-b", "", "only", None),
        _board("500", "pi5 pi500", 0x19, "bcm2712-rpi-500 bcm2712-rpi-5-b", "", "only", None),
        _board(
            "CM5", "pi5 cm5", 0x18,
            "bcm2712-rpi-cm5-cm5io bcm2712-rpi-cm5l-cm5io bcm2712-rpi-cm5-cm4io bcm2712-rpi-5-b",
            "", "only", None,
        ),
    )
}  # fmt: skip
"""By the name that platforms use. A board falls back to the tree of its next of kin."""


@dataclass(slots=True)
class PiConfig:
    """What is in force on one board: name -> the last value, and what adds up, in order."""

    values: dict[str, str] = field(default_factory=dict)
    initramfs: list[str] = field(default_factory=list)
    overlays: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    """What the firmware passes over without a word: lines that say something else than meant."""


@dataclass(frozen=True, slots=True)
class PiStart:
    """What a board loads, by paths from the top of the boot partition without the first slash."""

    kernel: str
    bits: int
    cmdline: str
    initramfs: tuple[str, ...]
    device_tree: str | None
    device_tree_asked: bool
    overlays: tuple[str, ...]
    firmware: tuple[str, ...]
    faults: tuple[str, ...]


def read_config(text: str, board: Board, include: Callable[[str], str | None]) -> PiConfig:
    r"""What `text` says to `board`; `include` gives the text of another file of the boot partition.

    >>> read_config("kernel=a\n[pi5]\nkernel=b\n", BOARDS["4 B"], lambda name: None).values
    {'kernel': 'a'}
    """
    config = PiConfig()
    _read(text, board, include, config, {}, 0)
    return config


def _read(
    text: str,
    board: Board,
    include: Callable[[str], str | None],
    config: PiConfig,
    filters: dict[str, bool],
    depth: int,
) -> None:
    for number, raw in enumerate(text.replace("\r", "").split("\n"), start=1):
        line = raw.strip()
        if not line or line.startswith("#"):
            continue
        if match := _FILTER.fullmatch(line):
            _filter(match[1].strip().lower(), board, filters)
        elif all(filters.values()):
            if len(line) > LINE_CHARACTERS:
                config.faults.append(
                    f"line {number} has {len(line)} characters, and is read up to"
                    f" {LINE_CHARACTERS} only"
                )
                line = line[:LINE_CHARACTERS]
            if line.split()[0] == "include":
                _include(line, board, include, config, filters, depth)
            else:
                _setting(line, number, config)


def _include(
    line: str,
    board: Board,
    include: Callable[[str], str | None],
    config: PiConfig,
    filters: dict[str, bool],
    depth: int,
) -> None:
    name = line.partition(" ")[2].strip()
    text = include(name)
    if text is None:
        config.faults.append(f"it includes {name or 'nothing'}, which is not there")
    elif depth >= _MAX_INCLUDES:
        config.faults.append(f"{name} is included again and again")
    else:
        _read(text, board, include, config, filters, depth + 1)


def _setting(line: str, number: int, config: PiConfig) -> None:
    words = line.split()
    if words[0] == "initramfs" and "=" not in words[0] and len(words) > 1:
        config.initramfs = words[1].split(",")
        return
    name, separator, value = line.partition("=")
    if not separator:
        config.faults.append(f"line {number}, {line!r}, sets nothing: there is no =")
        return
    if name != name.rstrip() or value != value.lstrip():
        config.faults.append(f"line {number}, {line!r}, sets nothing: there are spaces around =")
        return
    name = name.lower()
    if name == "ramfsfile":
        config.initramfs = value.split(",")
    elif name in ("dtoverlay", "device_tree_overlay"):
        overlay = value.partition(",")[0].partition(":")[0].strip()
        if overlay:
            config.overlays.append(overlay)
    else:
        config.values[name] = value.strip()


def _filter(name: str, board: Board, filters: dict[str, bool]) -> None:
    """Let one filter replace that of its own type."""
    kind, _, value = name.partition("=")
    if name == "all":
        filters.clear()
    elif name == "none":
        filters["none"] = False
    elif kind == "board-type":
        filters["model"] = _number(value) == board.type
    elif re.fullmatch(r"(?:pi\d+\w?\+?|cm\d\w?\+?)", name):
        filters["model"] = name in board.filters
    elif name.startswith("hdmi:"):
        return  # settings of a screen only
    else:
        filters[re.sub(r"\d.*", "", kind) or "serial"] = False


def _number(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None


def plan_start(config: PiConfig, board: Board, present: frozenset[str]) -> PiStart:
    """What `board` loads from a boot partition with the files `present`, all in lower case."""
    faults = list(config.faults)
    values = config.values
    prefix = values.get("os_prefix", "")
    kernel, bits = _kernel(values, board, present, prefix)
    tree = _device_tree(values, board, present, prefix)
    if prefix and not (_there(prefix + kernel, present) and tree and _there(tree, present)):
        faults.append(
            f"os_prefix={prefix} is ignored: there is no {kernel} or no device tree behind it"
        )
        prefix = ""
        kernel, bits = _kernel(values, board, present, prefix)
        tree = _device_tree(values, board, present, prefix)
    overlays = _overlay_prefix(values, present, prefix)
    return PiStart(
        kernel=_at(prefix, kernel),
        bits=bits,
        cmdline=_at(prefix, values.get("cmdline", "cmdline.txt")),
        initramfs=tuple(_at(prefix, name) for name in _initramfs(config, kernel)),
        device_tree=tree,
        device_tree_asked="device_tree" in values,
        overlays=tuple(f"{overlays}{name.removesuffix('.dtbo')}.dtbo" for name in config.overlays),
        firmware=_firmware(values, board),
        faults=tuple(faults),
    )


def _initramfs(config: PiConfig, kernel: str) -> list[str]:
    if config.initramfs or not _is_set(config.values, "auto_initramfs"):
        return config.initramfs
    stem = kernel.rpartition(".")[0] or kernel
    return [stem.replace("kernel", "initramfs", 1)]


def _kernel(
    values: Mapping[str, str], board: Board, present: frozenset[str], prefix: str
) -> tuple[str, int]:
    """The kernel that is started, and in how many bits."""
    named = values.get("kernel", "")
    if board.bits64 == "only":
        bits = 64  # the firmware pays no attention to arm_64bit
    elif board.bits64 == "no":
        bits = 32
    elif "arm_64bit" in values:
        bits = 64 if _is_set(values, "arm_64bit") else 32
    elif re.fullmatch(r"kernel(8|_2712)\.img", named):
        bits = 64  # a name that is known
    elif re.fullmatch(r"kernel7?l?\.img", named):
        bits = 32
    else:
        lacks = not _there(prefix + board.kernel32, present)
        bits = 64 if board.bits64 == "default" or (lacks and not named) else 32
    if named:
        return named, bits
    if bits == 32:
        return board.kernel32, bits
    own = "kernel_2712.img"
    if board.bits64 == "only" and _there(prefix + own, present):
        return own, bits
    only32 = _there(prefix + board.kernel32, present) and not _there(
        f"{prefix}kernel8.img", present
    )
    if only32 and board.bits64 == "default" and "arm_64bit" not in values:
        return board.kernel32, 32
    return "kernel8.img", bits


def _device_tree(
    values: Mapping[str, str], board: Board, present: frozenset[str], prefix: str
) -> str | None:
    """The device tree that is loaded; None when none is asked for, else one that may be missing."""
    if "device_tree" in values:
        name = values["device_tree"]
        return _at(prefix, name) if name else None
    names = [f"{prefix}{stem}.dtb" for stem in board.device_trees]
    return next((name for name in names if _there(name, present)), names[0])


def _overlay_prefix(values: Mapping[str, str], present: frozenset[str], prefix: str) -> str:
    own = values.get("overlay_prefix", "overlays/")
    return f"{prefix}{own}" if prefix and _there(f"{prefix}{own}README", present) else own


def _firmware(values: Mapping[str, str], board: Board) -> tuple[str, ...]:
    if board.stage is None:
        return ()
    variant = ""
    if _is_set(values, "start_x"):
        variant = "x"
    elif _is_set(values, "start_debug"):
        variant = "db"
    elif values.get("gpu_mem") == "16":
        variant = "cd"
    joint = "_" if variant and not board.stage else ""
    suffix = f"{board.stage}{joint}{variant}"
    return (
        values.get("start_file", f"start{suffix}.elf"),
        values.get("fixup_file", f"fixup{suffix}.dat"),
    )


def _is_set(values: Mapping[str, str], name: str) -> bool:
    return bool(_number(values.get(name, "0") or "0"))


def _at(prefix: str, name: str) -> str:
    """A name with the prefix of the system before it; a path from the top has none."""
    return name[1:] if name.startswith("/") else prefix + name


def _there(path: str, present: frozenset[str]) -> bool:
    return path.lstrip("/").casefold() in present
