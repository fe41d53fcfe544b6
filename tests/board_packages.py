"""Packages of single boards with the names and paths of Void's, and nothing in them that runs.

Beside the tiny repository they make the shipped platforms of boards build in seconds. The hooks of
their kernels do what Void's do in a builder: they write what is right for no board.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.command import voidimg_json
from tests.generated_script import install_script
from tests.testrepo import RepositoryFixture
from voidimg import (
    PackageMember,
    PackageMeta,
    create_repository_key,
    index_packages,
    sign_packages,
    sign_repository,
    write_key_file,
    write_package,
)

DATE = "20240314"
RELEASE = "6.6.22_1"
PROFILE = """schema = 1
kind = "profile"
summary = "What a board starts with"
hostname = "board"
timezone = "UTC"
users = [{ name = "root", password = "voidlinux" }]
[rootfs]
packages = ["tiny-base", "tiny-sshd", "board-services"]
"""
HOOK = """#!/bin/sh
mkdir -p boot/extlinux
echo 'APPEND root=/dev/builder' >boot/extlinux/extlinux.conf
"""
SCRIPT_HOOK = """#!/bin/sh
echo 'setenv bootargs root=PARTUUID=' >boot/boot.txt
echo 'of the builder' >boot/boot.scr
"""
DRACUT = '#!/bin/sh\nfor last; do :; done\necho "initramfs: $*" >"$last"\n'
TREES = (
    "rockchip/rk3328-rock64.dtb",
    "rockchip/rk3399-rockpro64.dtb",
    "rockchip/rk3399-pinebook-pro.dtb",
    "allwinner/sun50i-a64-pinephone-1.2.dtb",
)
Files = Mapping[str, bytes]


def arm64_kernel(release: str, *, page_bits: int = 1) -> bytes:
    """The header of an arm64 Image with its banner; `page_bits` 1 says 4 KiB, 2 says 16 KiB."""
    head = bytearray(64)
    struct.pack_into("<Q", head, 24, page_bits << 1)
    head[56:60] = b"ARM\x64"
    return bytes(head) + b"\0Linux version " + release.encode() + b" (void) #1\0" + bytes(4096)


def kernel_files(release: str = RELEASE) -> dict[str, bytes]:
    """A kernel as Void's for aarch64, with its modules and device trees."""
    return {
        f"/boot/vmlinux-{release}": arm64_kernel(release),
        f"/usr/lib/modules/{release}/modules.order": b"",
        **{f"/boot/dtbs/dtbs-{release}/{tree}": b"\xd0\x0d\xfe\xed" for tree in TREES},
    }


@dataclass(frozen=True, slots=True)
class Sold:
    """A package: its `files`, programs among them by their place, `links`, and what it needs."""

    files: Files = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    needs: Sequence[str] = ()
    provides: Sequence[str] = ()
    replaces: Sequence[str] = ()
    conf_files: Sequence[str] = ()
    kernel: str = ""
    """The release that its script tells the kernel hooks."""
    remove: str = ""
    """Its REMOVE script."""
    version: str = "1.0_1"
    preserve: bool = False


def blobs(directory: str, loader: int = 4000, u_boot: int = 9000) -> dict[str, bytes]:
    """The two files of U-Boot for Rockchip's chips, of these sizes."""
    return {
        f"/usr/lib/{directory}/idbloader.img": b"L" * loader,
        f"/usr/lib/{directory}/u-boot.itb": b"U" * u_boot,
    }


DEFAULTS_OF_PHONE = {"/etc/default/pinephone-uboot-config": b'CMDLINE="console=tty0"\n'}
HOOKS = {
    name: {f"/etc/kernel.d/post-install/60-{name}": text.encode()}
    for name, text in (("extlinux", HOOK), ("uboot", SCRIPT_HOOK))
}
PACKAGES: dict[str, Sold] = {
    "board-services": Sold({f"/etc/sv/{name}/run": b"#!/bin/sh\n" for name in ("sshd", "dhcpcd")}),
    "chrony": Sold(
        {"/etc/sv/chronyd/run": b"#!/bin/sh\n"}, links={"/etc/sv/ntpd": "chronyd"},
        provides=["ntp-daemon-0_1"],
    ),
    "cloud-guest-utils": Sold(
        {"/etc/default/growpart": b"#ENABLE_ROOT_GROWPART=yes\n"},
        conf_files=["/etc/default/growpart"],
    ),
    "dracut": Sold({"/usr/bin/dracut": DRACUT.encode()}),
    "u-boot-menu": Sold(
        {**HOOKS["extlinux"], "/etc/default/extlinux": b'CMDLINE=""\n'},
        conf_files=["/etc/default/extlinux"],
    ),
    "linux": Sold(kernel_files(), kernel=RELEASE, preserve=True),
    "linux5.10": Sold(kernel_files("5.10.200_1"), kernel="5.10.200_1", preserve=True),
    "linux-lts": Sold(kernel_files("6.1.60_1"), kernel="6.1.60_1", preserve=True),
    "pinephone-kernel": Sold(kernel_files("5.17.6_1"), kernel="5.17.6_1", preserve=True),
    "rock64-uboot": Sold(blobs("rock64-uboot")),
    "rockpro64-uboot": Sold(blobs("rockpro64-uboot")),
    "pinebookpro-uboot": Sold({**blobs("pinebookpro-uboot"), **HOOKS["uboot"]}),
    "pinephone-uboot": Sold(
        {
            "/boot/u-boot-sunxi-with-spl.bin": b"S" * 600_000,
            **DEFAULTS_OF_PHONE,
            **HOOKS["uboot"],
        },
        conf_files=[*DEFAULTS_OF_PHONE],
    ),
    "rock64-base": Sold(needs=["rock64-uboot>=0", "u-boot-menu>=0", "linux5.10>=0", "dracut>=0"]),
    "rockpro64-base": Sold(
        needs=["linux-lts>=0", "rockpro64-uboot>=0", "u-boot-menu>=0", "dracut>=0"]
    ),
    "pinebookpro-base": Sold(needs=["linux>=0", "dracut>=0", "pinebookpro-uboot>=0"]),
    "pinephone-base": Sold(needs=["pinephone-kernel>=0", "pinephone-uboot>=0"]),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class BoardRepository:
    """The packages of boards, beside the `tiny` repository; `spec` has a profile for them."""

    place: Path
    tiny: RepositoryFixture

    @classmethod
    def make(
        cls, place: Path, tiny: RepositoryFixture, changes: Mapping[str, Sold] | None = None
    ) -> BoardRepository:
        """In the directory `place`; `changes` come in the place of packages, or beside them."""
        made = cls(place, tiny)
        made.repository.mkdir(parents=True)
        for name, sold in {**PACKAGES, **(changes or {})}.items():
            _write(made.repository, name, sold)
        key = create_repository_key(place / "own.pem", 2048)
        index_packages(made.repository, "aarch64")
        sign_packages(sorted(made.repository.glob("*.xbps")), key)
        sign_repository(made.repository, "aarch64", key, "the tests")
        write_key_file(made.repository, key.public("the tests"))
        (made.spec / "profiles").mkdir(parents=True)
        (made.spec / "profiles" / "board.toml").write_text(PROFILE)
        return made

    @property
    def repository(self) -> Path:
        """The directory of the packages."""
        return self.place / "repository"

    @property
    def spec(self) -> Path:
        """A directory of platforms and profiles."""
        return self.place / "spec"

    def words(
        self, platform: str | Path, place: Path, *more: str | Path, profile: str = "board"
    ) -> list[str | Path]:
        """What follows `voidimg` to build the image of `platform` with all below `place`."""
        (key,) = self.repository.glob("*.plist")
        words: list[str | Path] = ["--quiet", "--cache", place / "cache", "--out", place / "out"]
        words += ["build", platform, "--platforms-and-profiles", self.spec, "--profile", profile]
        words += ["--date", DATE, "--compression", "none", "--replace"]
        words += ["-r", self.repository, "--repo-key", key]
        words += ["-r", self.tiny.path, "--repo-key", self.tiny.key_plist]
        return [*words, *more]

    def image(self, platform: str | Path, place: Path, *more: str | Path) -> Path:
        """The raw image of `platform`, built."""
        words = self.words(platform, place, "--artifact", "image", "--json", *more)
        paths = [Path(one["path"]) for one in voidimg_json(*words)]
        (image,) = [path for path in paths if path.suffix == ".img"]
        return image


def _write(repository: Path, name: str, sold: Sold) -> None:
    members = [
        PackageMember(path, mode=0o755 if content.startswith(b"#!") else 0o644, content=content)
        for path, content in sold.files.items()
    ]
    members += [PackageMember(path, kind="symlink", target=to) for path, to in sold.links.items()]
    members.append(PackageMember(f"/usr/share/doc/{name}", content=b"x"))
    script = install_script({"kernel_hooks_version": sold.kernel}) if sold.kernel else b""
    meta = PackageMeta(
        pkgname=name,
        version=sold.version,
        architecture="noarch",
        short_desc=name,
        run_depends=sold.needs,
        provides=sold.provides,
        replaces=sold.replaces,
        conf_files=sold.conf_files,
        install_script=script,
        remove_script=sold.remove.encode(),
        preserve=sold.preserve,
    )
    write_package(repository, meta, members, level=1)
