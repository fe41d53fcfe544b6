"""A small Raspberry Pi system as a tar and as a disk image, any part of which can be spoiled."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from pathlib import Path

from tests.live_medium import write_tree
from voidimg.disk.contents import measure_tree
from voidimg.disk.identifiers import disk_identifiers
from voidimg.disk.image import write_image
from voidimg.disk.plan import plan_disk
from voidimg.identity import Identity
from voidimg.lint.lint import lint_artifact
from voidimg.lint.model import Defect
from voidimg.run import run
from voidimg.spec.disk_model import Disk, Ext4, Fat, Partition
from voidimg.xbps.plist import PlistDict, encode

MIB = 2**20
EPOCH = 1710374400
RELEASE = "6.6.22_1"
IDENTITY = Identity("lint")
DISK = Disk(
    label="mbr",
    partitions=(
        Partition(
            name="boot", size=40 * MIB, type="0x0c", filesystem="vfat", active=True, mount="/boot",
            fat=Fat(bits=32, sectors_per_cluster=1),
        ),
        Partition(
            name="root", size="rest", type="0x83", filesystem="ext4", mount="/",
            ext4=Ext4(journal=False),
        ),
    ),
    headroom=2 * MIB,
)  # fmt: skip
BOOT, ROOT = disk_identifiers(DISK, IDENTITY).partitions

Files = Mapping[str, bytes | str | None]


def kernel8(page_bits: int = 1, release: str = RELEASE) -> bytes:
    """An arm64 kernel with pages of 4 KiB (1) or 16 KiB (2), packed as Void packs it."""
    head = bytearray(64)
    struct.pack_into("<Q", head, 24, page_bits << 1)
    head[56:60] = b"ARM\x64"
    banner = f"\0Linux version {release} (void@builder) #1\0".encode()
    return gzip.compress(bytes(head) + banner, mtime=0)


def pkgdb(
    *names: str, state: str = "installed", properties: PlistDict | None = None, **more: str
) -> bytes:
    """A package database with these packages; the rest are further properties of each."""
    entries: PlistDict = {}
    for name in names:
        entries[name] = {
            "pkgver": f"{name}-1.0_1",
            "architecture": "aarch64",
            "state": state,
            **more,
            **(properties or {}),
        }
    return encode(entries)


PKGDB = "/var/db/xbps/pkgdb-0.38.plist"
SERVICES = "/etc/runit/runsvdir/default"
SYSTEM: Files = {
    "/bin": "usr/bin",
    "/etc/default/growpart": b"ENABLE_ROOT_GROWPART=yes\n",
    "/etc/fstab": f"UUID={ROOT.uuid} / ext4 defaults 0 1\nUUID={BOOT.uuid} /boot vfat defaults 0 2"
    "\n".encode(),
    "/etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n",
    "/etc/shadow": b"root:$6$salt$hash:19796:0:99999:7:::\n",
    **{f"/etc/sv/{name}/run": b"#!/bin/sh\n" for name in ("sshd", "chronyd", "dhcpcd")},
    "/etc/sv/ntpd": "chronyd",
    **{f"{SERVICES}/{name}": f"/etc/sv/{name}" for name in ("sshd", "ntpd", "dhcpcd")},
    "/usr/bin/true": b"\x7fELF",
    f"/usr/lib/modules/{RELEASE}": None,
    PKGDB: pkgdb("rpi-base", "rpi-kernel"),
    "/boot/bootcode.bin": b"first",
    **{f"/boot/{name}": b"stage" for name in ("start.elf", "start4.elf")},
    **{f"/boot/{name}": b"fix" for name in ("fixup.dat", "fixup4.dat")},
    **{f"/boot/bcm271{n}-rpi.dtb": b"\xd0\x0d\xfe\xed" for n in (0, 1, 2)},
    "/boot/overlays/vc4-kms-v3d.dtbo": b"\xd0\x0d\xfe\xed",
    "/boot/cmdline.txt": f"root=PARTUUID={ROOT.partuuid} rw rootwait console=tty1\n".encode(),
    "/boot/config.txt": b"dtparam=audio=on\n",
    "/boot/kernel8.img": kernel8(),
}
"""A sound system: bytes for a file, text for the target of a link, None for a directory."""


def tree_of(place: Path, changes: Files, gone: tuple[str, ...]) -> Path:
    """The system with `changes`, and without what is `gone`, as a directory."""
    files = {path: what for path, what in {**SYSTEM, **changes}.items() if path not in gone}
    return write_tree(place / "tree", files)


def make_tar(place: Path, changes: Files | None = None, gone: tuple[str, ...] = ()) -> Path:
    """The system as a PLATFORMFS tar."""
    tree = tree_of(place, changes or {}, gone)
    path = place / "void-rpi-aarch64-PLATFORMFS-20240314.tar"
    run(["tar", "-c", "--format=posix", "-f", path, "."], cwd=tree)
    return path


def make_image(
    place: Path, changes: Files | None = None, gone: tuple[str, ...] = (), disk: Disk = DISK
) -> Path:
    """The system as a disk image."""
    tree = tree_of(place, changes or {}, gone)
    measured = measure_tree(tree, disk)
    plan = plan_disk(
        disk, contents=measured.contents, identity=IDENTITY, blob_bytes=measured.blob_bytes
    )
    path = place / "void-rpi-aarch64-20240314.img"
    write_image(plan, tree, path, EPOCH)
    return path


def patch(path: Path, at: int, content: bytes) -> Path:
    """`path` with other bytes at `at`."""
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)
    return path


def defects(path: Path, check: str) -> list[Defect]:
    """What `check` finds in the artifact; whatever else is found does not matter."""
    return [defect for defect in lint_artifact(path).defects if defect.check == check]
