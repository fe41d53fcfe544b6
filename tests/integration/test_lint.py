"""Really built artifacts pass the offline checks; one spoiled afterwards does not."""

from __future__ import annotations

import json
from pathlib import Path

from tests.command import voidimg, voidimg_json
from tests.images import built_iso
from tests.integration.building import DATE
from voidimg.run import run

PI_5 = ("pi-device-trees", "/boot/bcm2712-*.dtb")
"""The kernel of the test repository is older than the Pi 5."""


def test_everything_for_a_raspberry_pi_is_sound(raspberry: Path) -> None:
    """ROOTFS, PLATFORMFS and image; nothing but what the test repository lacks is found."""
    directory = raspberry / "out" / DATE
    ended = voidimg("--quiet", "--cache", raspberry / "cache", "lint", "--json", directory)
    assert ended.returncode == 16, ended.stderr
    found = json.loads(ended.stdout)
    kinds = [report["kind"] for report in found]
    assert kinds == ["image set", "tar", "disk image", "tar"]
    for report in found[1:]:
        defects = {(one["check"], one["object"]) for one in report["defects"]}
        # As Void's own images: root enters over the network, by a password that everybody knows.
        public = {("public-password", "/etc/passwd")} if report["kind"] == "disk image" else set()
        assert public <= defects <= {PI_5} | public, report
    assert {one["check"] for one in found[0]["defects"]} == {"set-signed"}
    asked = set(found[2]["checks"])
    assert {"pi-cmdline-root", "ext4-clean", "fat-serial-fstab", "service-exists"} <= asked


def test_a_live_iso_is_sound(tmp_path: Path) -> None:
    """And told what it is; with another volume id no entry finds it any more."""
    iso = built_iso()
    (report,) = voidimg_json("--quiet", "lint", "--json", iso)
    # The group utmp has another number in Debian's package than in this tree, and lint is right.
    told = [(one["check"], one["severity"]) for one in report["defects"]]
    # And whoever reaches it over the network knows the password, as with Void's own live systems.
    assert told == [("package-modes", "warning"), ("live-public-password", "warning")]
    assert "libutempter" in report["defects"][0]["object"]
    assert {"iso-menus-agree", "iso-initramfs-modules", "live-user"} <= set(report["checks"])
    found = voidimg_json("--quiet", "inspect", "--json", iso)
    assert found["initramfs"]["live_module"]
    assert found["initramfs"]["releases"] == [found["kernel"]["release"]]
    assert (found["access"]["user"], found["access"]["user_password"]) == ("anon", "public")
    assert "console=ttyS0,115200" in found["menus"][0]["entries"][0]["cmdline"]
    spoiled = tmp_path / iso.name
    run(["cp", "--reflink=auto", iso, spoiled])
    with spoiled.open("r+b") as file:
        file.seek(16 * 2048 + 40)
        file.write(b"OTHER_LIVE".ljust(32))
    ended = voidimg("--quiet", "lint", "--json", spoiled)
    assert ended.returncode == 16, ended.stderr
    (report,) = json.loads(ended.stdout)
    found_checks = {one["check"] for one in report["defects"]}
    assert found_checks == {
        *("iso-cdlabel", "iso-efi-label", "package-modes", "live-public-password"),
    }
