"""Checks of live ISOs: each fails on what it is for, and on nothing sound."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.generated_script import install_script
from tests.live_medium import PKGDB, RELEASE, Spoiled, make_medium
from tests.unit.lint.subjects import defects, patch
from voidimg.formats.iso9660 import open_iso
from voidimg.inspection.medium import LIVE_CONF
from voidimg.lint.lint import lint_artifact
from voidimg.xbps.plist import PlistDict, encode

GRUB, ISOLINUX = "/boot/grub/grub.cfg", "/boot/isolinux/isolinux.cfg"
INITRD = "/boot/initrd"
OVERLAY = b" rd.live.overlay.overlayfs=1 rd.overlay=1"
MODULES = f"/usr/lib/modules/{RELEASE}"
DRIVERS = f"{MODULES}/kernel/drivers"
GREETER = "/etc/lightdm/lightdm-gtk-greeter.conf"

POLKIT = "/etc/polkit-1/rules.d"
PUBLIC = "$5$abc$rLs714UXhnYYhmmfXmwCIV5kvxN/lZzgeZUWJwpXjgB"
"""A hash of Void's public password."""
RULE = b"""polkit.addRule(function (action, subject) {
    if (subject.isInGroup("wheel")) { return polkit.Result.YES; }
});
"""


def promised(variables: Mapping[str, str]) -> dict[str, bytes | str | None]:
    """The package database when a package's INSTALL script promises something."""
    entry: PlistDict = {"pkgver": "x-1_1", "architecture": "x86_64", "state": "installed",
                        "install-script": install_script(variables)}  # fmt: skip
    return {"/var/db/xbps/pkgdb-0.38.plist": encode({**PKGDB, "x": entry})}


FAILING: list[tuple[str, Spoiled, str]] = [
    ("iso-el-torito", Spoiled(bios=False), "no entry for bios"),
    ("iso-el-torito", Spoiled(efi=()), "no entry for efi"),
    ("iso-efi-files", Spoiled(efi=("x86_64-efi",)), "BOOTIA32.EFI"),
    ("iso-efi-label", Spoiled(efi_label="OTHER"), "looks for the volume OTHER"),
    (
        "iso-grub-version",
        Spoiled(
            tree={
                "/var/db/xbps/pkgdb-0.38.plist": encode(
                    {**PKGDB, "grub": {"pkgver": "grub-2.12_1", "architecture": "x86_64"}}
                )
            }
        ),
        "but the package is 2.12",
    ),
    ("iso-menus", Spoiled(files={GRUB: b"# nothing\n"}), "no menu of grub"),
    ("iso-menus", Spoiled(gone=(ISOLINUX,)), "no menu of isolinux"),
    ("iso-menu-file", Spoiled(gone=("/boot/isolinux/chain.c32",)), "names /boot/isolinux/chain"),
    ("iso-menu-file", Spoiled(gone=("/boot/isolinux/libutil.c32",)), "isolinux itself names"),
    ("iso-menu-file", Spoiled(gone=("/boot/vmlinuz",)), "the entry linux names /boot/vmlinuz"),
    ("iso-cdlabel", Spoiled(volume_id="OTHER"), "looks for VOID_TEST, but this is OTHER"),
    (
        "iso-cdlabel",
        Spoiled(edits={GRUB: (b"live:CDLABEL=VOID_TEST", b"/dev/sr0")}),
        "names no volume",
    ),
    ("iso-menus-agree", Spoiled(edits={GRUB: (b" rd.live.ram", b"")}), "differs in rd.live.ram"),
    ("iso-menus-agree", Spoiled(edits={GRUB: (b'"linuxram"', b'"ram"')}), "has not the entry"),
    ("iso-overlay", Spoiled(edits={ISOLINUX: (OVERLAY, b"")}), "does not ask for overlayfs"),
    ("iso-squashfs", Spoiled(gone=("/LiveOS/squashfs.img",)), "no such file"),
    ("iso-squashfs", Spoiled(files={"/LiveOS/squashfs.img": b"hsqs"}), "not a sound squashfs"),
    ("iso-squashfs", Spoiled(tree={"/LiveOS/ext3fs.img": b""}), "ext3 image"),
    ("iso-kernel-release", Spoiled(tree={"/usr/lib/modules/6.1.0_1": None}), "6.1.0_1"),
    ("iso-kernel-release", Spoiled(files={"/boot/vmlinuz": b"hello"}), "is it a kernel"),
    ("iso-kernel-release", Spoiled(gone=("/boot/vmlinuz",)), "no menu names a kernel"),
    ("iso-initramfs-live", Spoiled(gone=("/usr/bin/dmsquash-live-root",)), "dmsquash-live"),
    ("iso-initramfs-live", Spoiled(gone=("/usr/lib/void-live/live.conf",)), "live.conf"),
    (
        "iso-initramfs-live",
        Spoiled(gone=("/usr/lib/dracut/hooks/pre-pivot/34-live-locale.sh",)),
        "the hook live-locale",
    ),
    ("iso-initramfs-live", Spoiled(gone=(INITRD,)), "there is no initramfs"),
    ("iso-initramfs-live", Spoiled(files={INITRD: b"hello"}), "not sound"),
    ("iso-initramfs-modules", Spoiled(gone=(f"{DRIVERS}/overlay.ko",)), "the module overlay"),
    (
        "iso-initramfs-modules",
        Spoiled(gone=(f"{DRIVERS}/ahci.ko",), tree={f"{DRIVERS}/ahci.ko.zst": b"x"}),
        "the module ahci",
    ),
    (
        "iso-initramfs-modules",
        Spoiled(initramfs={f"{DRIVERS}/loop.ko": b"\0vermagic=6.1.0_1 SMP \0"}),
        "loop.ko is of the kernel 6.1.0_1",
    ),
    (
        "iso-initramfs-modules",
        Spoiled(
            gone=(f"{DRIVERS}/loop.ko",),
            initramfs={"/usr/lib/modules/6.1.0_1/kernel/loop.ko": b"vermagic=6.6.21_1 SMP"},
        ),
        "is of the kernel 6.1.0_1",
    ),
    ("live-user", Spoiled(tree={"/etc/passwd": b"root:x:0:0::/:/x\nanon:x:1000::/:/x\n"}), "anon"),
    ("live-user", Spoiled(tree={"/etc/sudoers.d/99-void-live": b"%wheel"}), "rule for wheel"),
    ("live-user", Spoiled(tree={f"{POLKIT}/void-live.rules": b"//"}), "rule for wheel"),
    ("live-user", Spoiled(initramfs={LIVE_CONF: b"LIVE_PASSWORD='<NULL>'\n"}), "is no hash"),
    (
        "live-public-password",
        Spoiled(
            initramfs={LIVE_CONF: f"LIVE_USER=anon\nLIVE_PASSWORD='{PUBLIC}'\n".encode()},
            tree={
                "/etc/ssh/sshd_config": b"",
                "/etc/sv/sshd/run": b"#!/bin/sh\n",
                "/etc/runit/runsvdir/default/sshd": "/etc/sv/sshd",
            },
        ),
        "anon gets in over the network",
    ),
    (
        "empty-password",
        Spoiled(
            tree={
                "/etc/passwd": b"root:x:0:0::/:/bin/sh\nguest:x:1001:1001::/:/bin/sh\n",
                "/etc/shadow": b"root:!:1::::::\nguest::1::::::\n",
                "/etc/sudoers.d/guest": b"guest ALL=(ALL) NOPASSWD: ALL\n",
            }
        ),
        "guest has no password at all, and can become root: sudo without a password (guest)",
    ),
    (
        "empty-password",
        Spoiled(tree={"/etc/passwd": b"root:x:0:0::/:/bin/sh\ntoor::0:0::/:/bin/sh\n"}),
        "toor has no password at all, and can become root: uid 0",
    ),
    (
        "unasked-root",
        Spoiled(tree={f"{POLKIT}/50-mine.rules": RULE}),
        "%wheel may do everything as root: polkit",
    ),
    ("unasked-root", Spoiled(tree={"/etc/doas.conf": b"permit nopass :wheel\n"}), "%wheel may do"),
    ("greeter-layout", Spoiled(tree={GREETER: b"[greeter]\nindicators=~host\n"}), "no menu of"),
    ("greeter-layout", Spoiled(tree={GREETER: b"[x]\nindicators=~layout\n"}), "are not set"),
    ("greeter-session", Spoiled(tree={"/etc/lightdm/.session": b"mate\n"}), "no session mate"),
    ("greeter-session", Spoiled(gone=("/etc/lightdm/.session",)), "names no session"),
    ("script-promises", Spoiled(tree=promised({"system_accounts": "_x"})), "the account _x"),
    ("script-ownership", Spoiled(tree=promised({"make_dirs": "/etc 0700 0 0"})), "mode 0755"),
    ("service-exists", Spoiled(gone=("/etc/sv/lightdm/run",)), "/etc/sv/lightdm"),
    ("host-key", Spoiled(tree={"/etc/ssh/ssh_host_rsa_key": b"key"}), "share this host key"),
    ("machine-identity", Spoiled(tree={"/etc/machine-id": b"0123\n"}), "makes its own"),
    ("resolv-conf", Spoiled(tree={"/etc/resolv.conf": b"nameserver ::1\n"}), "name servers"),
    ("leftover", Spoiled(tree={"/var/cache/ldconfig/aux-cache": b"x"}), "caches"),
]
"""Check, what is spoiled, words of what is told."""


@pytest.mark.parametrize(("check", "spoiled", "words"), FAILING)
def test_a_spoiled_iso_is_told(check: str, spoiled: Spoiled, words: str, tmp_path: Path) -> None:
    """Each defect says what to do about it."""
    found = defects(make_medium(tmp_path, spoiled), check)
    assert any(words in f"{one.object}: {one.what}" for one in found), found
    assert all(one.hint for one in found)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound ISO."""
    return make_medium(tmp_path_factory.mktemp("sound"))


def test_a_live_system_has_no_initramfs_of_its_own(tmp_path: Path) -> None:
    """Dracut is held back while it is made: the kernel's hook has promised nothing."""
    hook = "/etc/kernel.d/post-install/run"
    tree = {**promised({"kernel_hooks_version": RELEASE}), hook: b"", "/usr/bin/run": b""}
    links = {"/usr/bin/dracut": "run", "/etc/kernel.d/post-install/20-initramfs": "run"}
    report = lint_artifact(make_medium(tmp_path, Spoiled(tree={**tree, **links})))
    assert report.defects == ()


def test_a_sound_iso_is_clean(sound: Path) -> None:
    """And is asked everything that any spoiled one is."""
    report = lint_artifact(sound)
    assert report.defects == ()
    assert {check for check, *_ in FAILING} <= set(report.checks)


SPOILED_TABLES: list[tuple[str, int, bytes, str]] = [
    ("iso-hybrid", 0, bytes(2 * 512), "there is none, or it is damaged"),
    ("iso-hybrid", 432, bytes(8), "does not start isolinux"),
    ("iso-hybrid", 2 * 512 + 56, b"x", "the table's checksum is wrong"),
    ("iso-hybrid", 512 + 72, b"x", "the header's checksum is wrong"),
    ("iso-hybrid", 470, (300).to_bytes(4, "little"), "no partition is the EFI system partition"),
]
"""Check, place in the ISO (470: the start of the second partition), bytes, words."""


@pytest.mark.parametrize(("check", "at", "content", "words"), SPOILED_TABLES)
def test_spoiled_tables_are_told(
    sound: Path, tmp_path: Path, check: str, at: int, content: bytes, words: str
) -> None:
    """As a USB stick it would not start."""
    copy = tmp_path / "x.iso"
    copy.write_bytes(sound.read_bytes())
    found = defects(patch(copy, at, content), check)
    assert any(words in one.what for one in found), found


def test_an_entry_of_the_catalog_that_leads_nowhere(sound: Path, tmp_path: Path) -> None:
    """Firmware would start whatever is there."""
    copy = tmp_path / "x.iso"
    copy.write_bytes(sound.read_bytes())
    with open_iso(sound) as iso:
        catalog = iso.offset_bytes("/boot/isolinux/boot.cat") or 0
    found = defects(patch(copy, catalog + 32 + 8, (1).to_bytes(4, "little")), "iso-el-torito")
    assert "block 1, where no file begins" in found[0].what


def test_modules_in_the_kernel_itself_are_fine(tmp_path: Path) -> None:
    """They need not be in the initramfs."""
    builtin = b"kernel/fs/overlayfs/overlay.ko\nkernel/drivers/usb/storage/usb_storage.ko\n"
    spoiled = Spoiled(
        gone=(f"{DRIVERS}/overlay.ko", f"{DRIVERS}/usb-storage.ko", f"{DRIVERS}/ahci.ko"),
        tree={f"{MODULES}/modules.builtin": builtin},
    )
    assert lint_artifact(make_medium(tmp_path, spoiled)).defects == ()


def test_arm_is_asked_for_its_own_loaders(tmp_path: Path) -> None:
    """It needs no BIOS, and the loader of its own firmware."""
    database = encode(PKGDB).replace(b"x86_64", b"aarch64-musl")
    spoiled = Spoiled(bios=False, tree={"/var/db/xbps/pkgdb-0.38.plist": database})
    report = lint_artifact(make_medium(tmp_path, spoiled))
    assert [(one.check, one.object) for one in report.defects] == [
        ("iso-efi-files", "ESP:/EFI/BOOT/BOOTAA64.EFI")
    ]


def test_a_truncated_iso_is_a_defect(sound: Path, tmp_path: Path) -> None:
    """It is not looked into any further."""
    half = tmp_path / "x.iso"
    half.write_bytes(sound.read_bytes()[: sound.stat().st_size // 2])
    assert [one.check for one in lint_artifact(half).defects] == ["readable"]
