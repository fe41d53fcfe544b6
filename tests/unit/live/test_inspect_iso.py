"""What `inspect` finds in live ISOs, in text and JSON, and what it says of damaged ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.live_medium import OWN_HASH, PUBLIC_HASH, RELEASE, Spoiled, make_medium
from voidimg.cli.iso_text import iso_lines
from voidimg.cli.main import cli
from voidimg.errors import LayoutError
from voidimg.inspection.access import find_access
from voidimg.inspection.iso import IsoInspection, inspect
from voidimg.inspection.medium import LIVE_CONF, open_medium
from voidimg.inspection.opened import open_artifact, raw_image


@pytest.fixture(scope="module")
def iso(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sound ISO."""
    return make_medium(tmp_path_factory.mktemp("sound"))


@pytest.fixture(scope="module")
def found(iso: Path) -> IsoInspection:
    """What it is."""
    inspection = inspect(iso)
    assert isinstance(inspection, IsoInspection)
    return inspection


def test_how_it_starts(found: IsoInspection) -> None:
    """Volume, boot catalog, both partition tables, the ESP with its loaders."""
    assert (found.volume_id, found.created) == ("VOID_TEST", "2024-03-14T00:00:00+00:00")
    assert [entry.platform for entry in found.boot_entries] == ["bios", "efi"]
    assert [table.label for table in found.tables] == ["mbr", "gpt"]
    assert found.esp is not None
    assert (found.esp.type, found.esp.label, found.esp.serial) == (
        "FAT12",
        "GRUB_UEFI",
        "0000-0001",
    )
    assert found.esp.files == ("/EFI/BOOT/BOOTIA32.EFI", "/EFI/BOOT/BOOTX64.EFI")


def test_the_menus_are_those_of_the_loaders(found: IsoInspection) -> None:
    """Titles, files and command lines of isolinux and of GRUB."""
    menus = {menu.loader: menu for menu in found.menus}
    assert menus["grub"].entries[0].title == f"Void Linux {RELEASE} (x86_64)"
    for menu in menus.values():
        ids = [entry.id for entry in menu.live_entries]
        assert ids[:3] == ["linux", "linuxram", "linuxnogfx"]
        for entry in menu.live_entries:
            assert entry.label == "VOID_TEST"
            assert entry.files == ("/boot/vmlinuz", "/boot/initrd")
    chain = next(entry for entry in menus["isolinux"].entries if entry.id == "disk")
    assert chain.files == ("/boot/isolinux/chain.c32",)
    assert menus["isolinux"].files == ("/boot/isolinux/vesamenu.c32",)
    assert "add_efi_memmap" in menus["grub"].entries[0].cmdline


def test_kernel_and_initramfs(found: IsoInspection) -> None:
    """The release, and what the initramfs holds behind its microcode."""
    assert found.kernel is not None
    assert (found.kernel.path, found.kernel.release) == ("/boot/vmlinuz", RELEASE)
    assert found.initramfs is not None
    assert found.initramfs.compression == "xz"
    assert found.initramfs.early == ("/kernel/x86/microcode/GenuineIntel.bin",)
    assert found.initramfs.live_media
    assert found.initramfs.live_module
    assert found.initramfs.releases == (RELEASE,)
    assert {"overlay", "squashfs", "sr-mod"} <= set(found.initramfs.modules)


def test_the_live_system(found: IsoInspection) -> None:
    """The squashfs, its packages, and who may do what."""
    assert found.squashfs is not None
    assert (found.squashfs.compression, found.squashfs.block_bytes) == ("gzip", 2**20)
    assert found.squashfs.made == "2024-03-14T00:00:00+00:00"
    assert found.architecture == "x86_64"
    assert [package.pkgver for package in found.packages] == [
        "base-files-1_1",
        "lightdm-1_1",
        "openssh-1_1",
    ]
    assert found.services == ("lightdm", "sshd")
    access = found.access
    assert (access.user, access.groups, access.sudo) == ("anon", ("audio", "wheel"), "passwordless")
    assert (access.user_password, access.root_password) == ("set", "public")
    assert (access.autologin, access.sshd, access.ssh_passwords) == (True, True, True)
    assert access.ssh_root == "prohibit-password"


def test_text_and_json(iso: Path) -> None:
    """The same in words, with the public password said plainly, and for programs."""
    ended = CliRunner().invoke(cli, ["-q", "inspect", "--packages", str(iso)])
    assert ended.exit_code == 0, ended.output
    for words in (
        "ISO image",
        "volume id     VOID_TEST",
        "GPT ",
        "BOOTX64.EFI",
        "menu of isolinux, /boot/isolinux/isolinux.cfg",
        "  every entry of the live system: /boot/vmlinuz /boot/initrd root=live:CDLABEL=VOID_TEST",
        f"  linuxnogfx      Void Linux {RELEASE} (x86_64) (graphics disabled)\n    and nomodeset\n",
        f"kernel        /boot/vmlinuz, {RELEASE}",
        "before it, for the kernel itself: /kernel/x86/microcode/GenuineIntel.bin",
        "the module of Void's live systems: yes",
        "gzip in blocks of 1 MiB",
        "  openssh-1_1 x86_64",
        "live user   anon, groups audio, wheel",
        "a password of its own",
        "wheel may do everything, without a password",
        "root        Void's public password (voidlinux)",
        "sshd        is started and lets in also by password; as root: prohibit-password",
    ):
        assert words in ended.output, words
    told = json.loads(CliRunner().invoke(cli, ["-q", "inspect", "--json", str(iso)]).output)
    assert told["kind"] == "ISO image"
    assert told["squashfs"]["compression"] == "gzip"
    assert told["access"]["user"] == "anon"


def test_names_cannot_command_the_terminal(tmp_path: Path) -> None:
    """What an ISO says is written out, not obeyed."""
    menu = (
        b'menuentry "\x1b[2Jhello" {\n\tlinux /boot/vmlinuz root=live:x\n\tinitrd /boot/initrd\n}\n'
    )
    spoiled = Spoiled(files={"/boot/grub/grub.cfg": menu})
    ended = CliRunner().invoke(cli, ["-q", "inspect", str(make_medium(tmp_path, spoiled))])
    assert "\\x1b[2Jhello" in ended.output
    assert "\x1b" not in ended.output


def test_what_is_missing_is_none(tmp_path: Path) -> None:
    """An ISO without a system is still told about."""
    gone = ("/LiveOS/squashfs.img", "/boot/initrd", "/boot/vmlinuz")
    seen = inspect(make_medium(tmp_path, Spoiled(gone=gone)))
    assert isinstance(seen, IsoInspection)
    assert (seen.kernel, seen.initramfs, seen.squashfs, seen.packages) == (None, None, None, ())
    assert seen.access.user is None
    ended = CliRunner().invoke(cli, ["-q", "inspect", seen.path])
    assert "none is made by the initramfs" in ended.output


@pytest.mark.parametrize("part", ["/boot/initrd", "/LiveOS/squashfs.img"])
def test_damaged_parts_are_errors(tmp_path: Path, part: str) -> None:
    """They are named, and nothing is made up."""
    with pytest.raises(LayoutError) as caught:
        inspect(make_medium(tmp_path, Spoiled(files={part: b"hsqs" + bytes(200)})))
    assert caught.value.code in ("E-LAYOUT-INITRAMFS", "E-LAYOUT-SQUASHFS-DAMAGED")


def test_an_iso_is_no_disk_image(iso: Path, tmp_path: Path) -> None:
    """Who asks for a disk image is told what it is."""
    with pytest.raises(LayoutError, match="an ISO image"), raw_image(open_artifact(iso), tmp_path):
        pass


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        (PUBLIC_HASH, "public"),
        (OWN_HASH, "set"),
        ("!", "locked"),
        ("", "empty"),
        ("x", "locked"),
        ("<NULL>", "locked"),
    ],
)
def test_passwords_of_root(iso: Path, secret: str, expected: str) -> None:
    """Void's public password is known by its hash, whatever the salt."""

    class Files:
        def read(self, path: str) -> bytes | None:
            kept = {"/etc/shadow": f"root:{secret}:1::::::\n", "/etc/passwd": "root:x:0:0::/:/sh\n"}
            return kept[path].encode() if path in kept else None

        def names(self, directory: str) -> tuple[str, ...]:
            return ()

        def entries(self) -> dict[str, object]:
            return {}

    with open_medium(iso) as medium:
        conf = {**medium.live_conf, "LIVE_PASSWORD": "", "LIVE_SUDO": "other"}
    access = find_access(Files(), conf)  # type: ignore[arg-type]
    assert access.root_password == expected
    assert (access.user_password, access.sudo) == ("locked", "none")
    assert (access.sshd, access.ssh_root) == (False, None)


def test_damaged_names_end_in_words(iso: Path, tmp_path: Path) -> None:
    """What pycdlib meets late, when it is asked for the files, is no traceback either."""
    damaged = tmp_path / "x.iso"
    content = iso.read_bytes()
    name = b"VMLINUZ.;1"
    assert name in content
    damaged.write_bytes(content.replace(name, b"VMLIN\xecZ.;1"))
    with pytest.raises(LayoutError) as caught:
        inspect(damaged)
    assert caught.value.code == "E-LAYOUT-ISO-DAMAGED"


def test_a_file_that_lies_beyond_the_iso_is_damage(iso: Path, tmp_path: Path) -> None:
    """Its content could not be read whole."""
    damaged = tmp_path / "x.iso"
    content = bytearray(iso.read_bytes())
    record = content.index(b"SQUASHFS.IMG;1") - 33
    content[record + 2 : record + 6] = (2**24).to_bytes(4, "little")
    content[record + 6 : record + 10] = (2**24).to_bytes(4, "big")
    damaged.write_bytes(content)
    with pytest.raises(LayoutError, match="lies beyond the end"):
        inspect(damaged)


def test_accounts_that_can_become_root_are_said(tmp_path: Path) -> None:
    """With their passwords, and by what; and the version of GRUB beside each loader."""
    spoiled = Spoiled(
        tree={
            "/etc/passwd": b"root:x:0:0::/:/bin/sh\nguest:x:1001:1001::/:/bin/sh\n",
            "/etc/shadow": b"root:!:1::::::\nguest::1::::::\n",
            "/etc/sudoers.d/guest": b"guest ALL=(ALL) NOPASSWD: ALL\n",
        },
        initramfs={LIVE_CONF: b"LIVE_USER='anon'\nLIVE_PASSWORD='<NULL>'\n"},
    )
    found = inspect(make_medium(tmp_path, spoiled))
    assert isinstance(found, IsoInspection)
    (guest,) = found.access.accounts
    assert (guest.name, guest.password) == ("guest", "empty")
    assert found.access.user_password == "locked"
    assert found.esp is not None
    assert set(found.esp.grub) == set(found.esp.files)
    text = "\n".join(iso_lines(found, packages=False))
    by = "sudo without a password (guest)"
    assert f"  guest       NO PASSWORD AT ALL; becomes root by {by}\n" in text
    version = found.esp.grub["/EFI/BOOT/BOOTX64.EFI"]
    assert version
    assert f"  /EFI/BOOT/BOOTX64.EFI, GRUB {version}\n" in text
