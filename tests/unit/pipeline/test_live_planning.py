"""What a live ISO asks for: its stages, its packages before any is fetched, its names."""

from __future__ import annotations

from pathlib import Path

import pytest

from voidimg.artifacts.registry import artifact_name, check_kinds, kinds_of, lock_name, stages_of
from voidimg.catalog.catalog import Catalog
from voidimg.disk.compress import parse_compression
from voidimg.errors import CollectedError, LayoutError, ResolveError, SpecError, UsageError
from voidimg.fetch import Location
from voidimg.identity import ReleaseDate
from voidimg.live.recipe_menu import machine_menus
from voidimg.pipeline.build import build
from voidimg.pipeline.options import BuildOptions
from voidimg.spec.live_model import Netboot
from voidimg.spec.model import Recipe
from voidimg.spec.stage_model import File
from voidimg.supply.lock import Lock, LockedRepository
from voidimg.supply.opened import OpenRepository
from voidimg.supply.resolve import make_lock, plan_stages
from voidimg.supply.supply import lock_for
from voidimg.xbps.keys import PrivateKey, create_repository_key
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.resolve.resolver import Repository

DATE = ReleaseDate.parse("20240314")
XZ = parse_compression("xz")
BASE = Catalog().recipe("x86_64", "base").recipe
SERVICES = ("acpid", "openssh", "eudev", "dhcpcd", "wpa_supplicant", "linux", "linux-base")


def entry(name: str, *depends: str, arch: str = "x86_64") -> PlistDict:
    return {
        "pkgver": f"{name}-1.0_1",
        "architecture": arch,
        "run_depends": [f"{one}>=0" for one in depends],
        "installed_size": 1,
        "filename-size": 1,
        "filename-sha256": "0" * 64,
    }


def repository(tmp_path: Path, *left_out: str, arch: str = "x86_64") -> OpenRepository:
    """All that the base profile asks for, but for `left_out`."""
    live = BASE.live
    assert live is not None
    asked = {*live.packages, *live.build_packages, live.initramfs, "linux-mainline", *SERVICES}
    asked |= {*live.netboot.build_packages} if live.netboot else set()
    index = {name: entry(name, arch=arch) for name in sorted(asked - set(left_out))}
    services = [name for name in SERVICES if name in index and name != "linux-base"]
    index["base-system"] = entry("base-system", *services, arch=arch)
    path = tmp_path / "key.pem"
    if not path.exists():
        create_repository_key(path, 2048)
    key = PrivateKey.read(path).public("test")
    return OpenRepository(
        location=Location.parse(str(tmp_path)),
        locked=LockedRepository("r", arch, "0" * 64, key.fingerprint),
        key=key,
        repository=Repository("r", index, {}, remote=False),
        modified_epoch=None,
        content=b"",
    )


def with_live(**changes: object) -> Recipe:
    assert BASE.live is not None
    return BASE.model_copy(update={"live": BASE.live.model_copy(update=changes)})


def test_stages_follow_from_the_artifacts() -> None:
    """An ISO has a tree of its own, and needs no package of the others."""
    assert stages_of(["iso"]) == ("live", "live-build")
    assert stages_of(["image"]) == stages_of(["rootfs"]) == ("rootfs", "platformfs")
    assert stages_of(["rootfs", "iso"]) == ("rootfs", "platformfs", "live", "live-build")
    assert stages_of(["netboot", "iso"]) == ("live", "live-build", "netboot-build")
    assert stages_of(["wsl"]) == ("wsl",)


def test_names_are_those_of_void() -> None:
    """The profile is part of an ISO's name; its lock stands beside it."""
    musl = Catalog().recipe("x86_64-musl", "xfce").recipe
    assert artifact_name("iso", musl, DATE, ".xz") == "void-live-x86_64-musl-20240314-xfce.iso"
    assert lock_name(musl, DATE, ["iso"]) == "void-live-x86_64-musl-20240314-xfce.lock.json"
    assert lock_name(musl, DATE, ["iso", "rootfs"]) == "void-x86_64-musl-20240314-xfce.lock.json"
    own = Catalog().recipe("x86_64-musl").recipe
    assert artifact_name("netboot", own, DATE, ".xz") == "void-x86_64-musl-NETBOOT-20240314.tar.gz"
    assert artifact_name("wsl", own, DATE, ".xz") == "void-x86_64-musl-20240314.wsl"
    assert lock_name(own, DATE, ["wsl"]) == "void-x86_64-musl-20240314.wsl.lock.json"
    assert lock_name(own, DATE, ["netboot"]) == "void-x86_64-musl-NETBOOT-20240314.lock.json"


def test_what_is_made_without_being_asked_for() -> None:
    """Netboot and WSL are no part of a set by default, and not every platform has them."""
    assert kinds_of(BASE) == ("rootfs", "iso")
    assert kinds_of(BASE, ("wsl", "netboot")) == ("wsl", "netboot")
    arm = Catalog().recipe("aarch64", "base").recipe
    with pytest.raises(
        UsageError, match=r"has no netboot: the platform file has no \[live\.netboot"
    ):
        kinds_of(arm, ("netboot",))
    assert kinds_of(arm, ("wsl",)) == ("wsl",)
    with pytest.raises(UsageError, match="has no wsl: WSL is for x86_64 and aarch64"):
        kinds_of(Catalog().recipe("i686", "base").recipe, ("wsl",))
    bare = BASE.model_copy(update={"wsl": None})
    with pytest.raises(UsageError, match=r"has no wsl: the profile file has no \[wsl\]"):
        kinds_of(bare, ("wsl",))


def test_wsl_reads_no_zstd() -> None:
    """WSL 1 does not, and WSL 2 by accident."""
    with pytest.raises(UsageError, match="WSL does not read") as caught:
        check_kinds(("rootfs", "wsl"), BASE, DATE, parse_compression("zstd:3"))
    assert caught.value.code == "E-USAGE-COMPRESSION"
    for fitting in ("xz", "none"):
        check_kinds(("rootfs", "wsl"), BASE, DATE, parse_compression(fitting))
    check_kinds(("rootfs",), BASE, DATE, parse_compression("zstd"))


def test_musl_is_planned_from_packages_of_its_own(tmp_path: Path) -> None:
    """The same names, and none that were built for glibc."""
    recipe = Catalog().recipe("x86_64-musl", "base").recipe
    stages = stages_of(["iso", "netboot"])
    musl = plan_stages(recipe, [repository(tmp_path, arch="x86_64-musl")], stages)
    glibc = plan_stages(BASE, [repository(tmp_path)], stages)
    steps = [step for plan in musl for step in plan.transaction.steps]
    assert {step.entry["architecture"] for step in steps} == {"x86_64-musl"}
    names = [step.pkgname for step in steps]
    assert names == [step.pkgname for plan in glibc for step in plan.transaction.steps]
    assert {"linux", "syslinux", "dracut", "grub-x86_64-efi"} <= set(names)
    with pytest.raises((ResolveError, CollectedError), match="x86_64"):
        plan_stages(recipe, [repository(tmp_path)], stages)


def test_network_packages_leave_with_the_others(tmp_path: Path) -> None:
    """They come after those that every medium needs, and are none of the system's own."""
    plans = plan_stages(BASE, [repository(tmp_path)], stages_of(["netboot"]))
    assert [plan.stage for plan in plans] == ["live", "live-build", "netboot-build"]
    names = {step.pkgname for step in plans[2].transaction.steps}
    assert names == {"dracut-network", "dhclient", "curl"}


def test_a_pinned_file_is_in_the_lock(tmp_path: Path) -> None:
    """A set says which installer it has, and a lock of another is refused."""

    def pinned(digest: str) -> Recipe:
        file = File(path="/usr/bin/void-installer", source="installer", sha256=digest * 64)
        return with_live(files=(file,))

    repositories, stages = [repository(tmp_path)], stages_of(["iso"])
    recipe = pinned("1")
    lock = make_lock(recipe, repositories, plan_stages(recipe, repositories, stages))
    read = Lock.decode(lock.encode(), where="x.lock.json")
    assert read == lock
    assert read.platforms[0].files == (("/usr/bin/void-installer", "1" * 64),)
    assert lock_for(recipe, read, tmp_path, stages).platforms[0].files == read.platforms[0].files
    for other in (pinned("2"), BASE):
        with pytest.raises(ResolveError, match="made with another /usr/bin/void-installer") as told:
            lock_for(other, read, tmp_path, stages)
        assert told.value.code == "E-RESOLVE-LOCK-FILES"
    assert read.of_stages(["live-build"]).platforms[0].files == ()


def test_build_packages_come_after_the_system(tmp_path: Path) -> None:
    """They leave the tree again, so they are none of the live system's own."""
    system, tools = plan_stages(BASE, [repository(tmp_path)], stages_of(["iso"]))
    assert (system.stage, tools.stage) == ("live", "live-build")
    names = {step.pkgname for step in tools.transaction.steps}
    assert {"dracut", "syslinux", "memtest86+", "zstd"} <= names
    assert not names & {step.pkgname for step in system.transaction.steps}


def test_another_kernel_takes_the_place_of_the_default(tmp_path: Path) -> None:
    """base-system asks for linux, which would be a second kernel."""
    recipe = with_live(kernel="linux-mainline")
    system, _ = plan_stages(recipe, [repository(tmp_path)], stages_of(["iso"]))
    names = {step.pkgname for step in system.transaction.steps}
    assert {"linux-mainline", "linux-base"} <= names
    assert "linux" not in names


def test_a_kernel_that_no_repository_has(tmp_path: Path) -> None:
    """Named before anything is fetched."""
    recipe = with_live(kernel="linux9.9")
    with pytest.raises((ResolveError, CollectedError), match=r"linux9\.9"):
        plan_stages(recipe, [repository(tmp_path)], stages_of(["iso"]))


def test_services_without_their_packages(tmp_path: Path) -> None:
    """All at once, before anything is fetched."""
    assert BASE.live is not None
    recipe = with_live(services=(*BASE.live.services, "lightdm"))
    with pytest.raises(SpecError, match="lightdm is enabled without its package") as caught:
        plan_stages(recipe, [repository(tmp_path)], stages_of(["iso"]))
    assert caught.value.code == "E-SPEC-SERVICE-PACKAGE"
    with pytest.raises(CollectedError) as both:
        plan_stages(recipe, [repository(tmp_path, "acpid")], stages_of(["iso"]))
    assert len(both.value.errors) == 2


def test_a_platform_without_live_systems_has_no_iso(tmp_path: Path) -> None:
    """Said before anything is read."""
    options = BuildOptions(cache=tmp_path / "c", out=tmp_path / "o", artifacts=("iso",))
    with pytest.raises(UsageError, match="rpi-aarch64 with base has no iso") as caught:
        build(Catalog().recipe("rpi-aarch64"), DATE, options)
    assert caught.value.code == "E-USAGE-ARTIFACT"


def test_a_volume_id_of_the_date() -> None:
    """Also that of a release candidate fits, and one that does not is told before work starts."""
    candidate = ReleaseDate.parse("20240314rc1")
    check_kinds(["iso"], with_live(volume_id="VOID_LIVE_{date}"), candidate, XZ)
    longest = with_live(volume_id="VOID_OF_THE_DEPARTMENT__{date}")
    check_kinds(["iso"], longest, DATE, XZ)
    with pytest.raises(LayoutError, match="'VOID_OF_THE_DEPARTMENT__20240314RC1' is not") as caught:
        check_kinds(["iso"], longest, candidate, XZ)
    assert caught.value.code == "E-LAYOUT-VOLUME-ID"


def test_an_address_of_netboot_that_a_loader_would_change() -> None:
    """Told before minutes of work; an ISO does not name it."""
    recipe = with_live(netboot=Netboot(url="http://SERVER/squashfs.img?a&b"))
    check_kinds(["iso"], recipe, DATE, XZ)
    with pytest.raises(LayoutError, match="a loader would change it"):
        check_kinds(["iso", "netboot"], recipe, DATE, XZ)


def test_a_lock_for_the_iso_only(tmp_path: Path) -> None:
    """It has the live stages and no others, is read back as it was, and refused for a ROOTFS."""
    stages = stages_of(["iso"])
    repositories = [repository(tmp_path)]
    made = make_lock(BASE, repositories, plan_stages(BASE, repositories, stages))
    lock = Lock.decode(made.encode(), "lock")
    assert lock == made == Lock.joined([made])
    assert tuple(lock.platforms[0].stages) == stages
    assert lock_for(BASE, lock, tmp_path, stages) == lock
    with pytest.raises(ResolveError, match=r"no packages of x86_64 \(base\) for rootfs") as caught:
        lock_for(BASE, lock, tmp_path, stages_of(["rootfs"]))
    assert caught.value.code == "E-RESOLVE-LOCK-STAGE"


def test_a_lock_for_all_serves_the_iso_alone(tmp_path: Path) -> None:
    """Only the packages of the live stages are taken from it."""
    recipe = BASE.model_copy(
        update={
            "rootfs": BASE.rootfs.model_copy(update={"packages": ("base-system",)}),
            "platformfs": BASE.platformfs.model_copy(update={"packages": ()}),
        }
    )
    repositories = [repository(tmp_path)]
    whole = make_lock(
        recipe, repositories, plan_stages(recipe, repositories, stages_of(["rootfs", "iso"]))
    )
    assert {package.stage for package in whole.packages} == {"rootfs", "live", "live-build"}
    own = lock_for(recipe, whole, tmp_path, stages_of(["iso"]))
    assert {package.stage for package in own.packages} == {"live", "live-build"}
    assert tuple(own.platforms[0].stages) == ("live", "live-build")
    assert {one.group for one in own.packages} == {0, 1}


def test_a_lock_of_another_kernel_is_refused(tmp_path: Path) -> None:
    """The kernel is one of the requests."""
    stages = stages_of(["iso"])
    repositories = [repository(tmp_path)]
    lock = make_lock(BASE, repositories, plan_stages(BASE, repositories, stages))
    with pytest.raises(ResolveError, match=r"\+linux-mainline") as caught:
        lock_for(with_live(kernel="linux-mainline"), lock, tmp_path, stages)
    assert caught.value.code == "E-RESOLVE-LOCK-REQUESTS"


def test_machines_get_their_words_and_their_device_tree() -> None:
    """Each where it belongs: the one on the command line, the other as a file of the ISO."""
    live = Catalog().recipe("aarch64", "base").recipe.live
    assert live is not None
    pinebook = machine_menus(live)[0]
    assert pinebook.cmdline == "console=ttyS2,115200 video=eDP-1:1920x1080x60"
    assert pinebook.devicetree == "/boot/dtbs/rockchip/rk3399-pinebook-pro.dtb"
