"""The x86_64 repository has what live systems are made of; it installs and makes an initramfs."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration import pc_tree
from tests.testrepo import RepositoryFixture, provide
from voidimg.run import run
from voidimg.xbps.package.reader import BinaryPackage
from voidimg.xbps.repository.local import read_repodata
from voidimg.xbps.resolve.pool import Repository
from voidimg.xbps.resolve.resolver import resolve

# Minutes, and 200 MB to fetch at first: not part of every run.
pytestmark = pytest.mark.smoke

CONSOLE = (
    *("base-container-full", "base-system", "linux", "dialog", "cryptsetup", "lvm2", "mdadm"),
    *("void-docs-browse", "xtools-minimal", "xmirror", "chrony", "tmux", "espeakup"),
    *("void-live-audio", "brltty", "grub-i386-efi", "grub-x86_64-efi", "syslinux", "memtest86+"),
    *("dracut", "dracut-network", "device-mapper", "xz", "zstd", "dhclient", "openresolv", "jq"),
)
GRAPHICAL = (
    *("font-misc-misc", "terminus-font", "dejavu-fonts-ttf", "xorg-minimal", "setxkbmap", "xauth"),
    *("xorg-input-drivers", "xorg-video-drivers", "xf86-video-intel", "orca", "lightdm"),
    *("lightdm-gtk-greeter", "xfce4", "gnome-themes-standard", "gnome-keyring", "udisks2"),
    *("network-manager-applet", "NetworkManager", "polkit", "gvfs-afc", "gvfs-mtp", "gvfs-smb"),
    *("firefox", "xfce4-pulseaudio-plugin", "pipewire", "alsa-pipewire"),
)
OTHERS = ("cloud-guest-utils", "curl", "wsl-base")
MB = 10**6


@pytest.fixture(scope="module")
def whole() -> RepositoryFixture:
    """The whole repository."""
    return provide(arch="x86_64")


def test_the_package_sets_resolve(whole: RepositoryFixture) -> None:
    """Nothing is missing, and no package is left over."""
    index = read_repodata(whole.path, whole.arch).index
    pool = [Repository(str(whole.path), index)]
    steps = resolve([*CONSOLE, *GRAPHICAL, *OTHERS], pool).steps
    assert {step.pkgname for step in steps} == set(index)


def test_the_sets_stay_small(whole: RepositoryFixture) -> None:
    """Builds, squashfs and boots of every test depend on it."""
    for requests, most in ((CONSOLE, 220 * MB), ((*CONSOLE, *GRAPHICAL), 370 * MB)):
        sizes = [one.step.entry["installed_size"] for one in pc_tree.planned(whole, requests)]
        assert sum(size for size in sizes if isinstance(size, int)) < most


@pytest.mark.parametrize(
    ("name", "paths"),
    [
        (
            "syslinux",
            [
                f"/usr/lib/syslinux/{file}"
                for file in (
                    *("isolinux.bin", "isohdpfx.bin", "ldlinux.c32", "libcom32.c32"),
                    *("vesamenu.c32", "libutil.c32", "chain.c32", "reboot.c32", "poweroff.c32"),
                )
            ],
        ),
        ("grub-x86_64-efi", ["/usr/lib/grub/x86_64-efi/iso9660.mod"]),
        ("grub-i386-efi", ["/usr/lib/grub/i386-efi/iso9660.mod"]),
        ("grub", ["/usr/bin/grub-mkimage", "/usr/share/grub/unicode.pf2"]),
        ("memtest86+", ["/boot/memtest86+/memtest.bin", "/boot/memtest86+/memtest.efi"]),
        ("lightdm", ["/etc/sv/lightdm/run"]),
        ("polkit", ["/etc/sv/polkitd/run"]),
    ],
)
def test_files_are_where_void_has_them(
    whole: RepositoryFixture, name: str, paths: list[str]
) -> None:
    """The maker of an ISO copies them from there."""
    package = next(one for one in pc_tree.planned(whole, [name]) if one.step.pkgname == name)
    assert package.path is not None
    with BinaryPackage.open(package.path) as opened:
        entries = opened.files["files"]
        assert isinstance(entries, list)
        found = {entry["file"] for entry in entries if isinstance(entry, dict)}
    assert set(paths) <= found


def test_the_console_system_installs_and_makes_a_live_initramfs(
    whole: RepositoryFixture, tmp_path: Path
) -> None:
    """Natively and without a device node: every package configured, dracut with overlayfs."""
    root = tmp_path / "root"
    packages = pc_tree.planned(whole, CONSOLE)
    report = pc_tree.install(root, packages, arch=whole.arch)
    assert set(report.configured) == {one.step.pkgver for one in packages}
    (release,) = (path.name for path in (root / "usr/lib/modules").iterdir())
    assert (root / f"boot/initramfs-{release}.img").stat().st_size > MB
    status, said = pc_tree.initramfs(root, release, arch=whole.arch)
    assert status == 0, said
    found = run(["bsdtar", "-tf", root / "boot/initrd"]).stdout.decode().splitlines()
    for name in ("ahci", "sr_mod", "isofs", "squashfs", "overlay", "loop", "virtio_blk", "uas"):
        assert any(path.endswith(f"/{name}.ko") for path in found), name
    for name in ("dmsquash-live-root", "01-mount-overlayfs.sh"):
        assert any(path.endswith(f"/{name}") for path in found), name
