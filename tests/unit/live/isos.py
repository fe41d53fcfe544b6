"""Plans of small ISOs, with the real boot loader of BIOS machines."""

from __future__ import annotations

import random
from pathlib import Path

from voidimg.identity import Identity
from voidimg.live.iso_plan import BiosBoot, IsoFile, IsoPlan, iso_identifiers

EPOCH = 1710374400
VOLUME_ID = "VOID_LIVE_20240314_X86_64"
ISOLINUX = Path("/usr/lib/ISOLINUX")
BIOS = BiosBoot(
    loader="/boot/isolinux/isolinux.bin",
    mbr_code=(ISOLINUX / "isohdpfx.bin").read_bytes(),
    catalog="/boot/isolinux/boot.cat",
)
EFI = "/boot/grub/efiboot.img"
IDENTIFIERS = iso_identifiers(Identity("test"))
CONTENT: dict[str, tuple[bytes, int]] = {
    "/LiveOS/squashfs.img": (random.Random(1).randbytes(3_000_001), 0o444),
    "/boot/vmlinuz": (b"Linux" * 4001, 0o644),
    "/boot/initrd": (b"cpio" * 777, 0o600),
    "/boot/isolinux/isolinux.cfg": (b"DEFAULT linux\n", 0o644),
    "/boot/isolinux/isolinux.bin": ((ISOLINUX / "isolinux.bin").read_bytes(), 0o644),
    "/boot/dtbs/qcom/sc8280xp-lenovo-thinkpad-x13s.dtb": (b"\xd0\x0d\xfe\xed" * 9, 0o644),
    "/boot/dtbs/qcom/sc8280xp+lenovo+thinkpad+x13s.dtb": (b"other", 0o644),
    "/boot/empty": (b"", 0o644),
    "/README \xfcber Void.txt": (b"Hello", 0o644),
    EFI: (random.Random(2).randbytes(2**20), 0o644),
}


def planned(
    scratch: Path, *, bios: BiosBoot | None = BIOS, efi: str | None = EFI, seed: int = 0
) -> IsoPlan:
    """The ISO of CONTENT: some files from `scratch`, others from memory, in the order of `seed`."""
    paths = list(CONTENT)
    random.Random(seed).shuffle(paths)
    files = []
    for number, path in enumerate(paths):
        content, mode = CONTENT[path]
        host = scratch / str(number)
        if len(content) > 10_000:
            host.write_bytes(content)
        files.append(IsoFile(path, host if host.exists() else content, mode))
    return IsoPlan(VOLUME_ID, tuple(files), IDENTIFIERS, bios, efi)
