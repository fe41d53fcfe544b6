"""Checks of systems and of Raspberry Pis: each fails on what it is for, and on nothing sound."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.generated_script import install_script
from tests.live_medium import initramfs, kernel_image, write_tree
from tests.unit.lint.subjects import (
    BOOT,
    MIB,
    PKGDB,
    RELEASE,
    ROOT,
    SERVICES,
    Files,
    defects,
    kernel8,
    make_image,
    make_tar,
    patch,
    pkgdb,
)
from voidimg.formats.partition_table import read_table
from voidimg.lint.lint import lint_artifact
from voidimg.run import run
from voidimg.xbps.plist import PlistDict


def promised(variables: Mapping[str, str], more: Files | None = None, own: str = "") -> Files:
    """A package whose INSTALL script promises something, and what else is in the tree."""
    script = install_script(variables, own)
    properties: PlistDict = {"install-script": script}
    return {PKGDB: pkgdb("rpi-base", properties=properties), **(more or {})}


PROGRAM: Files = {"/usr/bin/run": b"", "/usr/bin/update-ca-certificates": "run"}

PUBLIC = (
    "$6$abc$Ucx3A9y3mAewSUsHLKN1ADdgJRTojAne2vgfjUOPdDa/SFmqRhgMj/EaQHMC0X0athp/zp/D3Cx8Ht2/cSWFi1",
    (
        "$6$rounds=6000$abc$0XPxdjmrmvF1yB73EDSHj3CMTFqvLH.VwVlG7DmRYnhz068aBDw2a9/T2U3W0rXgnZOG9ql6"
        "uclkq1AYYiaq1/"
    ),
    "$5$abc$rLs714UXhnYYhmmfXmwCIV5kvxN/lZzgeZUWJwpXjgB",
    "$1$abc$iwGQNFY6cdsmjn3pzt7rJ/",
)
"""Hashes of Void's public password, as mkpasswd makes them."""
OWN = PUBLIC[0][:-1] + "0"


def login(
    sshd: str = "PermitRootLogin yes\n", more: Files | None = None, *, hashed: int = 0
) -> Files:
    """A system with sshd, whose root has the public password; `hashed` 4: a member of wheel has."""
    root, eve = (PUBLIC[hashed], "!") if hashed < len(PUBLIC) else (OWN, PUBLIC[0])
    return {
        "/etc/ssh/sshd_config": sshd.encode(),
        "/etc/passwd": b"root:x:0:0::/root:/bin/sh\neve:x:1000:1000::/h:/bin/sh\n",
        "/etc/group": b"wheel:x:4:eve\n",
        "/etc/sudoers": b"%wheel ALL=(ALL) ALL\n",
        "/etc/shadow": f"root:{root}:1::::::\neve:{eve}:1::::::\n".encode(),
        **(more or {}),
    }


FAILING: list[tuple[str, Files, tuple[str, ...], str]] = [
    ("root-tree", {}, ("/usr/bin/true",), "/usr/bin"),
    ("packages-configured", {PKGDB: pkgdb("rpi-base", state="unpacked")}, (), "is unpacked"),
    ("packages-configured", {}, (PKGDB,), "no package is in"),
    (
        "script-promises",
        promised({"system_accounts": "_x"}, {"/etc/group": b"_x:x:9:\n"}),
        (),
        "the account _x (system_accounts) is not there: /etc/passwd has no line",
    ),
    ("script-promises", promised({"system_groups": "kvm:24"}), (), "the group kvm"),
    ("script-promises", promised({"make_dirs": "/var/lib/x 0750 0 0"}), (), "nothing is there"),
    (
        "script-promises",
        promised({}, PROGRAM, "usr/bin/update-ca-certificates\n"),
        (),
        "the bundle",
    ),
    ("script-ownership", promised({"make_dirs": "/etc 0700 0 0"}), (), "it has mode 0755 of 0:0"),
    ("script-ownership", promised({"register_shell": "/bin/x"}), (), "the login shell /bin/x"),
    ("service-exists", {f"{SERVICES}/cupsd": "/etc/sv/cupsd"}, (), "leads to /etc/sv/cupsd"),
    ("service-exists", {"/etc/sv/sshd/note": b""}, ("/etc/sv/sshd/run",), "no program"),
    ("root-password", {"/etc/shadow": b"root::1::::::\n"}, (), "no password at all"),
    ("root-password", {"/etc/passwd": b"root::0:0::/root:/bin/sh\n"}, (), "no password at all"),
    ("public-password", login(), (), "sshd lets in root, by Void's public password"),
    ("public-password", login(hashed=4), (), "sshd lets in eve, who can become root, by"),
    (
        "public-password",
        login("Match User x\nPermitRootLogin no\nMatch all\nPermitRootLogin yes\n"),
        (),
        "lets in root",
    ),
    (
        "public-password",
        login(
            "Include sshd_config.d/*.conf\nPermitRootLogin no\n",
            {"/etc/ssh/sshd_config.d/10-x.conf": b"PermitRootLogin yes\n"},
        ),
        (),
        "lets in root",
    ),
    (
        "public-password",
        login("PasswordAuthentication no\nUsePAM yes\nPermitRootLogin yes\n"),
        (),
        "lets in root",
    ),
    (
        "public-password",
        login(
            "PermitRootLogin no\n",
            {f"{SERVICES}/dropbear": "/etc/sv/dropbear", "/etc/sv/dropbear/run": b"#!/bin/sh\n"},
        ),
        (),
        "dropbear lets in root",
    ),
    ("root-password", {"/etc/passwd": b"bin:x:1:1::/:/bin/false\n"}, (), "no user root"),
    ("host-key", {"/etc/ssh/ssh_host_ed25519_key": b"key"}, (), "share this host key"),
    ("machine-identity", {"/etc/machine-id": b"0123\n"}, (), "each machine makes its own"),
    ("machine-identity", {"/var/lib/random-seed": b"seed"}, (), "is no seed"),
    ("host-key", {"/etc/dropbear/dropbear_rsa_host_key": b"key"}, (), "host key of Dropbear"),
    ("machine-identity", {"/etc/iscsi/initiatorname.iscsi": b"iqn"}, (), "identity of iSCSI"),
    ("shared-secret", {"/etc/wireguard/wg0.conf": b"key"}, (), "secret of WireGuard"),
    ("resolv-conf", {"/etc/resolv.conf": b"nameserver 10.0.0.1\n"}, (), "name servers"),
    ("builder-path", {PKGDB: pkgdb("x", repository="/home/me/repo")}, (), "/home/me/repo"),
    ("leftover", {"/var/cache/xbps/x.xbps": b"x"}, (), "caches"),
    ("leftover", {"/etc/.pwd.lock": b""}, (), "lock file"),
    ("leftover", {"/var/log/build.log": b"x"}, (), "logs of the build"),
    ("pi-cmdline-line", {}, ("/boot/cmdline.txt",), "no such file"),
    ("pi-cmdline-line", {"/boot/cmdline.txt": b"rootwait\nquiet\n"}, (), "2 lines"),
    ("pi-rootwait", {"/boot/cmdline.txt": b"root=/dev/mmcblk0p2 rw\n"}, (), "no rootwait"),
    ("pi-config", {}, ("/boot/config.txt",), "no such file"),
    ("pi-kernel", {}, ("/boot/kernel8.img",), "starts it on aarch64"),
    ("pi-kernel", {"/boot/kernel8.img": b"hello"}, (), "is it a kernel"),
    ("pi-kernel-modules", {"/boot/kernel8.img": kernel8(release="6.6.30_1")}, (), RELEASE),
    ("pi-kernel-modules", {}, (f"/usr/lib/modules/{RELEASE}",), "modules for none"),
    ("pi-page-size", {"/boot/kernel8.img": kernel8(2)}, (), "pages of 16384 bytes"),
    ("pi-page-size", {PKGDB: pkgdb("rpi5-kernel")}, (), "rpi5-kernel 16384"),
    ("pi-firmware", {}, ("/boot/start4.elf",), "/boot/start4.elf"),
    ("pi-firmware", {}, ("/boot/bootcode.bin",), "/boot/bootcode.bin"),
    ("pi-device-trees", {}, ("/boot/bcm2712-rpi.dtb",), "Pi 5 cannot start"),
    ("pi-overlays", {}, ("/boot/overlays/vc4-kms-v3d.dtbo",), "there are none"),
    ("pi-services", {}, (f"{SERVICES}/ntpd",), "ntpd or chronyd is not enabled"),
]
"""Check, what is changed and what is gone, words of what is told."""

IN_IMAGES: list[tuple[str, Files, tuple[str, ...], str]] = [
    ("pi-cmdline-root", {"/boot/cmdline.txt": b"rw rootwait\n"}, (), "no root="),
    ("pi-cmdline-root", {"/boot/cmdline.txt": b"root=PARTUUID=1-02 x\n"}, (), "1-02 is not"),
    ("pi-growpart", {"/etc/default/growpart": b"ENABLE_ROOT_GROWPART=no\n"}, (), "stays as small"),
    ("fat-free", {"/boot/kernel8.img": bytes(30 * MIB)}, (), "the kernel has 31457280"),
    ("script-promises", promised({"make_dirs": "/var/lib/x 0750 0 0"}), (), "nothing is there"),
    ("script-ownership", promised({"make_dirs": "/bin 1777 0 0"}), (), "it has mode 0755 of 0:0"),
    ("fat-serial-fstab", {"/etc/fstab": b"UUID=AAAA-BBBB /boot vfat x 0 2\n"}, (), BOOT.uuid),
    ("ext4-uuid-fstab", {"/etc/fstab": b"PARTUUID=1-02 / ext4 x 0 1\n"}, (), ROOT.partuuid),
]
"""The same for what is only asked of images."""


@pytest.mark.parametrize(("check", "changes", "gone", "words"), FAILING)
def test_a_spoiled_system_is_told(
    check: str, changes: Files, gone: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    """Exactly one defect of the check, with what to do about it."""
    (found,) = defects(make_tar(tmp_path, changes, gone), check)
    assert words in f"{found.object}: {found.what}"
    assert found.hint


@pytest.mark.parametrize("hashed", range(len(PUBLIC)))
def test_every_hash_of_the_public_password_is_known(hashed: int, tmp_path: Path) -> None:
    """Whatever program made it."""
    (found,) = defects(make_tar(tmp_path, login(hashed=hashed)), "public-password")
    assert "root" in found.what


@pytest.mark.parametrize(
    "changes",
    [
        login("PermitRootLogin prohibit-password\n"),
        login(""),
        login("PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n"),
        login("PermitRootLogin yes\nPasswordAuthentication no\n"),
        login("Include sshd_config.d/*.conf\n",
              {"/etc/ssh/sshd_config.d/x": b"PermitRootLogin yes\n"}),
        {**login(), "/etc/shadow": f"root:{OWN}:1::::::\n".encode()},
        {**login(), "/etc/shadow": b"root:$6$rounds=999999999$abc$x:1::::::\n"},
        {**login(hashed=4), "/etc/passwd": b"root:x:0:0::/:/bin/sh\neve:x:1:1::/:/bin/nologin\n"},
    ],
)  # fmt: skip
def test_who_is_not_let_in_by_the_public_password(changes: Files, tmp_path: Path) -> None:
    """By the configuration of sshd, for want of a shell, or since it is another password."""
    assert defects(make_tar(tmp_path, changes), "public-password") == []


def test_a_public_password_without_a_server_is_not_told(tmp_path: Path) -> None:
    """Who sits at the machine may know it: it is Void's own."""
    tar = make_tar(tmp_path, login(), gone=(f"{SERVICES}/sshd",))
    assert defects(tar, "public-password") == []


KEPT: Files = promised(
    {
        "system_accounts": "_x",
        "_x_homedir": "/var/lib/x",
        "_x_shell": "/sbin/nologin",
        "make_dirs": "/var/lib/x 0755 0 0\n/run/x 0755 _x _x",
        "register_shell": "/bin/sh",
    },
    {
        "/etc/passwd": b"root:x:0:0:root:/root:/bin/sh\n_x:x:9:9::/home/x:/bin/bash\n",
        "/etc/shadow": b"root:$6$salt$hash:19796:0:99999:7:::\n_x:!:19796::::::\n",
        "/etc/group": b"root:x:0:\n_x:x:9:\n",
        "/etc/shells": b"/bin/sh\n",
        "/var/lib/x": None,
    },
)
"""Promises that were kept; a profile has then given the account another shell and home."""


@pytest.mark.parametrize("make", [make_tar, make_image])
def test_promises_that_were_kept(make: Callable[[Path, Files], Path], tmp_path: Path) -> None:
    """What a profile changes in plain words is no defect, nor is what was cleaned from /run."""
    path = make(tmp_path, KEPT)
    assert defects(path, "script-promises") == defects(path, "script-ownership") == []


@pytest.mark.parametrize(("check", "changes", "gone", "words"), IN_IMAGES)
def test_a_spoiled_image_is_told(
    check: str, changes: Files, gone: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    """As above."""
    (found,) = defects(make_image(tmp_path, changes, gone), check)
    assert words in f"{found.object}: {found.what} {found.hint}"


def test_sound_ones_are_clean(tmp_path: Path) -> None:
    """The same system as tar and image; the image is asked more."""
    tar, image = lint_artifact(make_tar(tmp_path / "a")), lint_artifact(make_image(tmp_path / "b"))
    assert (tar.defects, image.defects) == ((), ())
    assert set(tar.checks) < set(image.checks)
    asked = {check for check, *_ in (*FAILING, *IN_IMAGES)}
    assert asked <= set(image.checks)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A sound image, to be spoiled."""
    return make_image(tmp_path)


def entry(number: int) -> int:
    """Where the entry of a partition is in the MBR."""
    return 446 + 16 * (number - 1)


SPOILED_BYTES: list[tuple[str, int, bytes, str]] = [
    ("disk-table", 440, bytes(4), "identifier is zero"),
    ("disk-table", entry(2) + 8, (4096).to_bytes(4, "little"), "begins inside partition 1"),
    ("disk-table", entry(1), bytes(64), "no partition"),
    ("disk-alignment", entry(1) + 8, (2049).to_bytes(4, "little"), "sector 2049"),
    ("root-filesystem", -2, b"", "no partition holds an ext4"),
    ("pi-boot-partition", entry(1) + 4, b"\xef", "its type is 0xef"),
    ("pi-boot-partition", entry(1), bytes(16), "it is no FAT"),
    ("fat-type", entry(1) + 4, b"\x06", "type 0x06 does not fit"),
    ("fat-type", MIB + 32, (30000).to_bytes(4, "little"), "laid out as FAT32"),
]
"""Check, place in the image (below 0: the magic of the root), bytes, words of what is told."""


@pytest.mark.parametrize(("check", "at", "content", "words"), SPOILED_BYTES)
def test_spoiled_bytes_of_a_disk_are_told(
    image: Path, check: str, at: int, content: bytes, words: str
) -> None:
    """Of the table, and of what filesystems say of themselves."""
    if at < 0:
        at = read_table(image).partition(2).offset_bytes + 1024 + 0x38
        content = bytes(2)
    found = defects(patch(image, at, content), check)
    assert any(words in f"{one.object}: {one.what}" for one in found), found


SUPERBLOCKS: list[tuple[str, str, str]] = [
    ("ext4-clean", "ssv state 0", "not unmounted cleanly"),
    ("ext4-growth", "ssv reserved_gdt_blocks 0", "while it is mounted"),
    ("pi-journal", "feature has_journal", "it has a journal"),
]
"""Check, command of debugfs, words of what is told."""


@pytest.mark.parametrize(("check", "command", "words"), SUPERBLOCKS)
def test_spoiled_superblocks_are_told(image: Path, check: str, command: str, words: str) -> None:
    """With their checksums right."""
    offset = read_table(image).partition(2).offset_bytes
    run(["debugfs", "-w", "-R", command, f"{image}?offset={offset}"])
    (found,) = defects(image, check)
    assert words in found.what


def test_other_systems_are_not_asked_about_the_pi(tmp_path: Path) -> None:
    """Nothing of a Pi is in a ROOTFS."""
    gone = tuple(path for path in ("/boot/bootcode.bin",))
    report = lint_artifact(make_tar(tmp_path, {PKGDB: pkgdb("base-files")}, gone))
    assert not [check for check in report.checks if check.startswith("pi-")]


def small_squashfs() -> bytes:
    """A squashfs with a file in it."""
    with TemporaryDirectory() as place:
        tree = write_tree(Path(place) / "tree", {"/etc/hostname": b"void\n" * 1000})
        run(["mksquashfs", tree, Path(place) / "root", "-quiet", "-no-progress", "-all-root"])
        return (Path(place) / "root").read_bytes()


ROOT_SQUASHFS = small_squashfs()
NETBOOT: Files = {
    "/pxelinux.0": b"loader",
    "/pxelinux.cfg/default": b"UI vesamenu.c32\nLABEL linux\n\tLINUX vmlinuz\n\tINITRD initrd\n"
    b"\tAPPEND root=live:http://SERVER/squashfs.img live.sha256=%b\n"
    b"LABEL disk\n\tCOM32 chain.c32\n" % sha256(ROOT_SQUASHFS).hexdigest().encode(),
    "/vmlinuz": kernel_image(),
    "/initrd": initramfs({"/init": b"#!/bin/sh\n"}),
    "/squashfs.img": ROOT_SQUASHFS,
    **{f"/{name}.c32": b"x" for name in ("vesamenu", "chain", "ldlinux", "libcom32", "libutil")},
}


def spoiled_squashfs() -> bytes:
    """Its first block is zeros."""
    return ROOT_SQUASHFS[:96] + bytes(16) + ROOT_SQUASHFS[112:]


NETBOOT_FAILING: list[tuple[str, Files, str, str]] = [
    ("netboot-menu-file", {}, "/initrd", "the entry linux names initrd"),
    ("netboot-menu-file", {}, "/chain.c32", "the entry disk names chain.c32"),
    ("netboot-menu-file", {}, "/pxelinux.0", "the menu names pxelinux.0"),
    ("netboot-menu-file", {}, "/libutil.c32", "PXELINUX itself names libutil.c32"),
    ("netboot-menu-file", {"/pxelinux.cfg/default": b""}, "", "no entry starts"),
    ("netboot-parts", {"/vmlinuz": b""}, "", "damaged or no kernel"),
    ("netboot-parts", {"/initrd": b"hello"}, "", "neither an archive nor"),
    ("netboot-parts", {"/squashfs.img": ROOT_SQUASHFS[:200]}, "", "bytes of"),
    ("netboot-parts", {"/squashfs.img": spoiled_squashfs()}, "", "squashfs is not sound"),
    ("netboot-root-digest", {"/squashfs.img": b"y"}, "", "has another SHA-256"),
    (
        "netboot-root-digest",
        {"/pxelinux.cfg/default": b"LABEL a\n\tLINUX vmlinuz\n\tAPPEND root=live:http://S/x\n"},
        "",
        "started whatever it is",
    ),
]
"""Check, what is changed and what is gone, words of what is told."""


def make_netboot(place: Path, changes: Files | None = None, gone: str = "") -> Path:
    """A netboot tarball."""
    files = {path: what for path, what in {**NETBOOT, **(changes or {})}.items() if path != gone}
    path = place / "void-x86_64-NETBOOT-20240314.tar.gz"
    run(["tar", "-c", "-z", "--format=posix", "-f", path, "."],
        cwd=write_tree(place / "tree", files))  # fmt: skip
    return path


def test_a_sound_netboot_tarball_is_clean(tmp_path: Path) -> None:
    """It is not asked for a system, which is in its squashfs."""
    report = lint_artifact(make_netboot(tmp_path))
    assert report.defects == ()
    expected = ("readable", "netboot-parts", "netboot-menu-file", "netboot-root-digest")
    assert report.checks == expected


@pytest.mark.parametrize(("check", "changes", "gone", "words"), NETBOOT_FAILING)
def test_a_spoiled_netboot_tarball_is_told(
    check: str, changes: Files, gone: str, words: str, tmp_path: Path
) -> None:
    """What the loader would not find on the server."""
    found = defects(make_netboot(tmp_path, changes, gone), check)
    assert any(words in one.what for one in found), found


@pytest.mark.parametrize("content", [b"", b"hello", b"\xfd7zXZ\0rubbish"])
def test_what_is_no_artifact_is_a_defect(tmp_path: Path, content: bytes) -> None:
    """So that the others of a set are still looked at."""
    path = tmp_path / "void-aarch64-ROOTFS-20240314.tar.xz"
    path.write_bytes(content)
    report = lint_artifact(path)
    assert [defect.check for defect in report.defects] == ["readable"]
