"""The netboot tarball: what PXELINUX will ask for, the same bytes, and what is missing."""

from __future__ import annotations

import gzip
import hashlib
import tarfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

import voidimg
from voidimg.errors import CollectedError, LayoutError, StoreError
from voidimg.formats.boot_menus import read_isolinux
from voidimg.live.menus import (
    NO_DIGEST,
    Menu,
    entries_of,
    files_of,
    netboot_menu,
    render_pxelinux,
)
from voidimg.live.netboot import CONFIG, NetbootParts, plan_netboot, write_netboot
from voidimg.spec.templates import Templates

TEMPLATES = Templates.read([Path(voidimg.__file__).parent / "templates"])
EPOCH = 1710374400
URL = "http://SERVER/void/squashfs.img"
ISO_MENU = Menu(
    "Void Linux", "6.6.21_1", "x86_64", "VOID_LIVE", serial="ttyS0,115200",
    memtest_bios="/boot/memtest.bin", splash="/boot/isolinux/splash.png",
)  # fmt: skip
MENU = netboot_menu(ISO_MENU, URL)
MODULES = ("chain", "ldlinux", "libcom32", "libutil", "poweroff", "reboot", "vesamenu")
NAMES = {
    *("README", "initrd", "memtest.bin", "pxelinux.0", "splash.png", "squashfs.img", "vmlinuz"),
    *(f"{name}.c32" for name in MODULES),
    *("pxelinux.cfg", "pxelinux.cfg/default"),
}


@pytest.fixture
def parts(tmp_path: Path) -> NetbootParts:
    """The parts, with stand-ins for the files of syslinux."""
    for name in ("squashfs", "kernel", "initrd", "memtest", "splash"):
        (tmp_path / name).write_bytes(name.encode() * 50_001)
    tools = tmp_path / "tree/usr/lib/syslinux"
    tools.mkdir(parents=True)
    for name in ("pxelinux.0", *(f"{module}.c32" for module in MODULES), "unused.c32"):
        (tools / name).write_text(name)
    others = {"memtest.bin": tmp_path / "memtest", "splash.png": tmp_path / "splash"}
    return NetbootParts(
        tmp_path / "squashfs", tmp_path / "kernel", tmp_path / "initrd", tmp_path / "tree", others
    )


def written(parts: NetbootParts, out: Path) -> bytes:
    write_netboot(plan_netboot(MENU, parts, TEMPLATES), out, EPOCH)
    return out.read_bytes()


def test_the_menu_is_that_of_the_iso_but_for_what_a_network_changes() -> None:
    """The disk goes first, the root comes from the server, and memory is where it is anyway."""
    text = render_pxelinux(MENU, TEMPLATES)
    assert "\nTIMEOUT 100\nONTIMEOUT disk\nDEFAULT disk\n" in text
    assert "\nSYSAPPEND 2\n" in text
    assert "\nPATH " not in text
    assert f"APPEND root=live:{URL} ro init=/sbin/init" in text
    assert "CDLABEL" not in text
    ids = [entry.id for entry in entries_of(ISO_MENU)]
    assert [entry.id for entry in entries_of(MENU)] == [
        identifier for identifier in ids if identifier not in ("linuxram", "linuxa11yram")
    ]
    assert "\tLINUX vmlinuz\n\tINITRD initrd\n" in text
    assert not [path for path in files_of(MENU, "bios") if path.startswith("/")]


def test_the_menu_says_what_the_root_is(parts: NetbootParts) -> None:
    """Every entry that starts it; before there is a root, the rest can be planned."""
    digest = hashlib.sha256(parts.squashfs.read_bytes()).hexdigest()
    for expected in (digest, NO_DIGEST):
        config = plan_netboot(MENU, parts, TEMPLATES)[CONFIG]
        assert isinstance(config, bytes)
        menu = read_isolinux(config.decode(), "/pxelinux.0")
        words = [entry.cmdline.split()[-1] for entry in menu.live_entries if "a11y" not in entry.id]
        assert f"live.sha256={expected}" in words
        assert all(f" live.sha256={expected}" in entry.cmdline for entry in menu.live_entries)
        parts.squashfs.unlink(missing_ok=True)


def test_everything_that_the_menu_names_is_there(parts: NetbootParts, tmp_path: Path) -> None:
    """Root's, readable by the server, of the set's date; and nothing else of syslinux."""
    content = written(parts, tmp_path / "netboot.tar.gz")
    with tarfile.open(fileobj=BytesIO(gzip.decompress(content))) as tar:
        found = {member.name: member for member in tar}
        assert set(found) == NAMES
        assert list(found) == sorted(found)
        assert {member.mode for member in found.values() if member.isfile()} == {0o644}
        assert found["pxelinux.cfg"].mode == 0o755
        assert {(one.uid, one.gid, one.mtime) for one in found.values()} == {(0, 0, EPOCH)}
        config = tar.extractfile(CONFIG)
        readme = tar.extractfile("README")
        squashfs = tar.extractfile("squashfs.img")
        assert config is not None
        assert readme is not None
        assert squashfs is not None
        digest = hashlib.sha256(parts.squashfs.read_bytes()).hexdigest()
        menu = replace(MENU, root_sha256=digest)
        assert config.read().decode() == render_pxelinux(menu, TEMPLATES)
        assert URL in readme.read().decode()
        assert squashfs.read() == b"squashfs" * 50_001


def test_the_same_bytes(parts: NetbootParts, tmp_path: Path) -> None:
    """Whatever the order and the times of files; no compressor has a hand in it."""
    first = written(parts, tmp_path / "first")
    (tmp_path / "kernel").chmod(0o600)
    turned = dict(sorted(plan_netboot(MENU, parts, TEMPLATES).items(), reverse=True))
    write_netboot(turned, tmp_path / "second", EPOCH)
    assert (tmp_path / "second").read_bytes() == first
    assert len(first) > len(gzip.decompress(first))


def test_what_the_menu_names_and_is_not_there(parts: NetbootParts) -> None:
    """One file, several, and one of syslinux."""
    with pytest.raises(LayoutError, match=r"names splash\.png, which is not in the tarball"):
        plan_netboot(MENU, replace(parts, others={"memtest.bin": parts.kernel}), TEMPLATES)
    with pytest.raises(CollectedError) as both:
        plan_netboot(MENU, replace(parts, others={}), TEMPLATES)
    assert len(both.value.errors) == 2
    (parts.tools / "usr/lib/syslinux/pxelinux.0").unlink()
    with pytest.raises(LayoutError, match=r"no /usr/lib/syslinux/pxelinux\.0") as caught:
        plan_netboot(MENU, parts, TEMPLATES)
    assert caught.value.code == "E-LAYOUT-NO-SYSLINUX"


def test_a_part_that_cannot_be_read(parts: NetbootParts, tmp_path: Path) -> None:
    """Named, as every failure of the store."""
    plan = plan_netboot(MENU, parts, TEMPLATES)
    parts.initrd.unlink()
    with pytest.raises(StoreError):
        write_netboot(plan, tmp_path / "out", EPOCH)


def test_an_address_that_a_loader_would_change() -> None:
    """As every other word of the command line."""
    with pytest.raises(LayoutError, match="a loader would change it"):
        render_pxelinux(netboot_menu(ISO_MENU, "http://SERVER/squashfs.img?a&b"), TEMPLATES)
