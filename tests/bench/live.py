"""The live ISO against xorriso, and its squashfs against mksquashfs alone, on the same files.

`python -m tests.bench.live WHAT ...` is one measured process; see `live_figures`.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.bench.fresh import Program, in_turn
from voidimg.identity import Identity
from voidimg.live.iso import write_iso
from voidimg.live.iso_plan import BiosBoot, IsoFile, IsoPlan, iso_identifiers
from voidimg.live.squashfs import SquashfsOptions, write_squashfs

EPOCH = 1710374400
VOLUME_ID = "VOID_LIVE"
_ISOLINUX = Path("/usr/lib/ISOLINUX")
_LOADER, _CATALOG, _EFI = "isolinux/isolinux.bin", "isolinux/boot.cat", "boot/grub/efiboot.img"
_MEBIBYTES = {
    "LiveOS/squashfs.img": 360,
    "boot/initrd": 40,
    "boot/vmlinuz": 12,
    _EFI: 4,
}
_FILES = 4000
_LONGEST = 32_768


def live_figures(work: Path) -> Iterator[tuple[str, ...]]:
    """Seconds and peak memory of both, and the ratio of ours to the bare tool's."""
    files, tree = work / "iso", work / "tree"
    _make_iso_files(files)
    _make_tree(tree)
    ours, bare = work / "ours", work / "bare"
    here = [sys.executable, "-m", "tests.bench.live"]
    programs: list[Program]
    programs = [(ours, [*here, "iso", files, ours]), (bare, _xorriso(files, bare))]
    yield from _rows("ISO of 416 MiB", programs, "xorriso")
    programs = [(ours, [*here, "squashfs", tree, ours]), (bare, _mksquashfs(tree, bare))]
    yield from _rows(f"squashfs of {_FILES} files", programs, "mksquashfs")


def _rows(name: str, programs: Sequence[Program], tool: str) -> Iterator[tuple[str, ...]]:
    ours, bare = in_turn(programs)
    seconds = f"{ours.seconds / bare.seconds:.2f}"
    yield f"{name}, seconds, ours", f"{ours.seconds:.2f}", f"{seconds} of {tool}"
    yield f"{name}, seconds, {tool}", f"{bare.seconds:.2f}", "1"
    memory = f"{ours.peak_bytes / bare.peak_bytes:.2f}"
    yield f"{name}, peak memory, ours", ours.mebibytes, f"{memory} of {tool}"
    yield f"{name}, peak memory, {tool}", bare.mebibytes, "1"


def _xorriso(files: Path, out: Path) -> list[str | Path]:
    """The same ISO: Rock Ridge, Joliet, both loaders, tables for USB."""
    return [
        "xorriso", "-as", "mkisofs", "-quiet", "-iso-level", "3", "-rock", "-joliet",
        "-joliet-long", "-volid", VOLUME_ID, "-isohybrid-mbr", _ISOLINUX / "isohdpfx.bin",
        "-eltorito-boot", _LOADER, "-eltorito-catalog", _CATALOG, "-no-emul-boot",
        "-boot-load-size", "4", "-boot-info-table", "-eltorito-alt-boot", "-e", _EFI,
        "-no-emul-boot", "-isohybrid-gpt-basdat", "-output", out, files,
    ]  # fmt: skip


def _mksquashfs(tree: Path, out: Path) -> list[str | Path]:
    options = SquashfsOptions()
    return [
        "env", f"SOURCE_DATE_EPOCH={EPOCH}", "mksquashfs", tree, out, "-comp", options.compressor,
        "-b", str(options.block_bytes), "-noappend", "-no-recovery", "-no-progress", "-quiet",
    ]  # fmt: skip


def _make_iso_files(directory: Path) -> None:
    noise = random.Random(1)
    for name, size in _MEBIBYTES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for _ in range(size):
                file.write(noise.randbytes(2**20))
    (directory / _LOADER).parent.mkdir(parents=True)
    (directory / _LOADER).write_bytes((_ISOLINUX / "isolinux.bin").read_bytes())


def _make_tree(tree: Path) -> None:
    """A root of files of many sizes; half of each is noise, the rest repeats itself."""
    noise = random.Random(2)
    for name in ("dev", "proc", "sys", "usr"):
        (tree / name).mkdir(parents=True)
    for number in range(_FILES):
        half = noise.randrange(1, _LONGEST) // 2
        path = tree / "usr" / str(number % 100) / str(number)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(noise.randbytes(half) + b"All work and no play. " * (half // 22))


def _plan(directory: Path) -> IsoPlan:
    paths = sorted(path for path in directory.rglob("*") if path.is_file())
    files = [IsoFile(f"/{path.relative_to(directory).as_posix()}", path) for path in paths]
    mbr_code = (_ISOLINUX / "isohdpfx.bin").read_bytes()
    bios = BiosBoot(f"/{_LOADER}", mbr_code, f"/{_CATALOG}")
    identifiers = iso_identifiers(Identity("bench"))
    return IsoPlan(VOLUME_ID, tuple(files), identifiers, bios, f"/{_EFI}")


def main(what: str, source: str, out: str) -> None:
    """Do one thing in this process, which somebody measures."""
    if what == "iso":
        write_iso(_plan(Path(source)), Path(out), EPOCH)
    else:
        write_squashfs(Path(source), Path(out), SquashfsOptions(), epoch=EPOCH)


if __name__ == "__main__":
    main(*sys.argv[1:])
