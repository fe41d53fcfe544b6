"""Whole small live ISOs, made by the product's own writers, any part of which can be spoiled."""

from __future__ import annotations

import atexit
import lzma
import shutil
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import voidimg
from voidimg.identity import Identity
from voidimg.inspection.medium import MEDIA_MODULES
from voidimg.live.efi import make_esp
from voidimg.live.iso import write_iso
from voidimg.live.iso_plan import IsoFile
from voidimg.live.media import MediaParts, plan_media
from voidimg.live.menus import Menu
from voidimg.live.squashfs import SquashfsOptions, write_squashfs
from voidimg.rootfs.accounts import crypt_password
from voidimg.spec.templates import Templates
from voidimg.xbps.plist import PlistDict, encode

EPOCH = 1710374400
VOLUME_ID = "VOID_TEST"
RELEASE = "6.6.21_1"
TEMPLATES = Templates.read([Path(voidimg.__file__).parent / "templates"])
PUBLIC_HASH = crypt_password("voidlinux", "saltsaltsaltsalt")
OWN_HASH = crypt_password("something else", "saltsaltsaltsalt")

MENU = Menu("Void Linux", RELEASE, "x86_64", VOLUME_ID)
PKGDB: PlistDict = {
    name: {"pkgver": f"{name}-1_1", "architecture": "x86_64", "state": "installed"}
    for name in ("base-files", "lightdm", "openssh")
}
TREE: Mapping[str, bytes | str | None] = {
    "/bin": "usr/bin",
    "/dev": None,
    "/etc/default/live.conf": b"USERNAME=anon\n",
    "/etc/lightdm/.session": b"xfce\n",
    "/etc/lightdm/lightdm-gtk-greeter.conf": b"[greeter]\nindicators = ~host;~layout;~power\n",
    "/etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n",
    "/etc/runit/runsvdir/current": "default",
    "/etc/runit/runsvdir/default/lightdm": "/etc/sv/lightdm",
    "/etc/runit/runsvdir/default/sshd": "/etc/sv/sshd",
    "/etc/shadow": f"root:{PUBLIC_HASH}:19796:0:99999:7:::\n".encode(),
    "/etc/ssh/sshd_config": b"#PermitRootLogin no\n",
    "/etc/sv/lightdm/run": b"#!/bin/sh\n",
    "/etc/sv/sshd/run": b"#!/bin/sh\n",
    "/etc/sv/sshd/supervise": "/run/runit/supervise.sshd",
    "/proc": None,
    "/sys": None,
    "/usr/bin/true": b"\x7fELF",
    f"/usr/lib/modules/{RELEASE}/modules.builtin": b"kernel/drivers/scsi/sd_mod.ko\n",
    "/usr/share/xsessions/xfce.desktop": b"[Desktop Entry]\n",
    "/var/db/xbps/pkgdb-0.38.plist": encode(PKGDB),
}
"""The live system: bytes for a file, text for the target of a link, None for a directory."""

_HOOKS = ("user", "display-manager", "serial", "locale", "accessibility", "nomodeset")
INITRAMFS: Mapping[str, bytes | str | None] = {
    "/init": b"#!/bin/sh\n",
    "/lib": "usr/lib",
    "/usr/bin/dmsquash-live-root": b"#!/bin/sh\n",
    **{
        f"/usr/lib/dracut/hooks/pre-pivot/{number}-live-{name}.sh": b"#!/bin/sh\n"
        for number, name in enumerate(_HOOKS, start=31)
    },
    "/usr/lib/void-live/live.conf": (
        f"LIVE_USER='anon'\nLIVE_PASSWORD='{OWN_HASH}'\nLIVE_GROUPS='audio wheel'\n"
        "LIVE_SUDO='passwordless'\nLIVE_AUTOLOGIN='1'\nLIVE_SESSION='xfce'\n"
    ).encode(),
    "/usr/lib/void-live/lib.sh": b"# hooks\n",
    **{
        f"/usr/lib/modules/{RELEASE}/kernel/drivers/{name}.ko": (
            b"\x7fELF\0vermagic=%b SMP mod_unload \0" % RELEASE.encode()
        )
        for name in MEDIA_MODULES
    },
}
"""The initramfs, in the same way."""


def kernel_image(release: str = RELEASE) -> bytes:
    """The head of an x86 kernel that says its release."""
    image = bytearray(4096)
    image[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", image, 0x20E, 0x400)
    text = f"{release} (void@builder) #1 SMP".encode() + b"\0"
    image[0x600 : 0x600 + len(text)] = text
    return bytes(image)


def cpio_archive(files: Mapping[str, bytes | str | None]) -> bytes:
    """An archive of the form "newc"; values as in `TREE`."""
    pieces = []
    for path, content in {**files, "TRAILER!!!": b""}.items():
        mode = stat.S_IFREG | 0o644
        if content is None:
            mode = stat.S_IFDIR | 0o755
        elif isinstance(content, str):
            mode = stat.S_IFLNK | 0o777
        raw = (content or b"") if not isinstance(content, str) else content.encode()
        name = path.removeprefix("/").encode() + b"\0"
        fields = (1, mode, 0, 0, 1, 0, len(raw), 0, 0, 0, 0, len(name), 0)
        header = b"070701" + b"".join(b"%08x" % number for number in fields)
        pieces += [header, name, bytes(-(len(header) + len(name)) % 4), raw, bytes(-len(raw) % 4)]
    return b"".join(pieces)


def initramfs(files: Mapping[str, bytes | str | None]) -> bytes:
    """An initramfs as dracut makes it: microcode for the kernel, then the packed files."""
    early = cpio_archive({"/kernel/x86/microcode/GenuineIntel.bin": b"microcode"})
    return early + bytes(-len(early) % 512) + lzma.compress(cpio_archive(files), preset=0)


def write_tree(top: Path, files: Mapping[str, bytes | str | None]) -> Path:
    """The tree of `files` at `top`; values as in `TREE`. Files named ``run`` and
    those in ``/usr/bin`` can be started."""
    for path, content in files.items():
        target = top / path[1:]
        if content is None:
            target.mkdir(parents=True, exist_ok=True)
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            target.symlink_to(content)
        else:
            target.write_bytes(content)
            is_program = target.name == "run" or path.startswith("/usr/bin/")
            target.chmod(0o755 if is_program else 0o644)
    return top


@dataclass(frozen=True)
class Spoiled:
    """What differs from a sound ISO."""

    tree: Mapping[str, bytes | str | None] = field(default_factory=dict)
    initramfs: Mapping[str, bytes | str | None] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    edits: Mapping[str, tuple[bytes, bytes]] = field(default_factory=dict)
    """Path on the ISO -> what is replaced in it, and by what."""
    gone: tuple[str, ...] = ()
    """Paths of the tree, of the initramfs and of the ISO that are not there."""
    volume_id: str = VOLUME_ID
    bios: bool = True
    efi: tuple[str, ...] = ("i386-efi", "x86_64-efi")
    efi_label: str = VOLUME_ID
    arch: str = "x86_64"


def _kept(name: str) -> Path:
    """A directory that is there until the interpreter ends."""
    path = Path(mkdtemp(prefix=f"voidimg-test-{name}."))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@cache
def _esp(platforms: tuple[str, ...], label: str) -> Path:
    path = _kept("esp") / "esp.img"
    make_esp(
        Path("/"), path, platforms, volume_id=label, serial=1, epoch=EPOCH, templates=TEMPLATES
    )
    return path


@cache
def _syslinux() -> Path:
    tree = _kept("syslinux")
    place = tree / "usr/lib/syslinux"
    place.mkdir(parents=True)
    modules = Path("/usr/lib/syslinux/modules/bios")
    for path in (*modules.glob("*.c32"), *Path("/usr/lib/ISOLINUX").glob("*.bin")):
        shutil.copy(path, place)
    return tree


def make_medium(place: Path, spoiled: Spoiled | None = None) -> Path:
    """The live ISO in the new directory `place`, sound but for what is `spoiled`."""
    how = spoiled or Spoiled()
    place.mkdir(parents=True, exist_ok=True)
    tree = write_tree(place / "tree", _without({**TREE, **how.tree}, how.gone))
    squashfs = place / "squashfs.img"
    write_squashfs(tree, squashfs, SquashfsOptions("gzip"), epoch=EPOCH, jobs=1)
    kernel, initrd = place / "kernel", place / "initrd"
    kernel.write_bytes(kernel_image())
    initrd.write_bytes(initramfs(_without({**INITRAMFS, **how.initramfs}, how.gone)))
    tools = _syslinux() if how.bios else None
    esp = _esp(how.efi, how.efi_label) if how.efi else None
    menu = replace(MENU, arch=how.arch)
    parts = MediaParts(squashfs, kernel, initrd, tools, esp)
    plan = plan_media(menu, parts, Identity("medium"), TEMPLATES)
    files = [
        IsoFile(file.path, _source(file, how), file.mode)
        for file in plan.files
        if file.path not in how.gone
    ]
    iso = place / f"void-live-{how.arch}-20240314-base.iso"
    write_iso(replace(plan, volume_id=how.volume_id, files=tuple(files)), iso, EPOCH)
    return iso


def _source(file: IsoFile, how: Spoiled) -> Path | bytes:
    if file.path in how.edits:
        assert isinstance(file.source, bytes)
        before, after = how.edits[file.path]
        assert before in file.source
        return file.source.replace(before, after)
    return how.files.get(file.path, file.source)


def _without(
    files: Mapping[str, bytes | str | None], gone: tuple[str, ...]
) -> Mapping[str, bytes | str | None]:
    return {path: content for path, content in files.items() if path not in gone}
