"""The converted repository is what a Void repository is: signed, consistent, complete."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from tests.testrepo import RepositoryFixture, provide, provide_tiny
from tests.testrepo.apt import Apt
from tests.testrepo.convert import Conversion
from tests.testrepo.provision import DEFAULT_CACHE, read_selection
from tests.testrepo.writing import write_repository
from voidimg.xbps.keys import PublicKey
from voidimg.xbps.names import file_name
from voidimg.xbps.package.reader import BinaryPackage
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.repository.local import packages_of, read_repodata
from voidimg.xbps.resolve.pool import Repository
from voidimg.xbps.resolve.resolver import resolve

RASPBERRY = ["base-container-full", "base-system", "rpi-base", "cloud-guest-utils"]
MIB = 2**20


@pytest.fixture(scope="module")
def whole() -> RepositoryFixture:
    """The whole repository."""
    return provide()


@pytest.mark.parametrize(
    ("make", "requests"),
    [
        (provide, [*RASPBERRY, "wsl-base"]),
        (provide_tiny, ["tiny-base", "tiny-platform", "tiny-service"]),
        (partial(provide_tiny, musl=True), ["tiny-base", "tiny-platform", "tiny-service"]),
    ],
    ids=["whole", "tiny", "tiny-musl"],
)
def test_the_package_sets_resolve(make: object, requests: list[str]) -> None:
    """Nothing is missing, no shared library, no virtual package; no package is left over."""
    assert callable(make)
    found: RepositoryFixture = make()
    repodata = read_repodata(found.path, found.arch)
    steps = resolve(requests, [Repository(str(found.path), repodata.index)]).steps
    assert {step.pkgname for step in steps} == set(repodata.index)


def test_every_package_is_signed_by_the_trusted_key(whole: RepositoryFixture) -> None:
    """The key beside the repository is the one of the index, and its signatures hold."""
    key = PublicKey.from_plist(whole.key_plist.read_bytes(), where=str(whole.key_plist))
    meta = read_repodata(whole.path, whole.arch).meta
    assert meta is not None
    assert meta.key.fingerprint == key.fingerprint
    for path in packages_of(whole.path):
        key.verify(path, path.with_name(f"{path.name}.sig2").read_bytes())


def test_the_packages_are_as_unkind_as_voids(whole: RepositoryFixture) -> None:
    """Each shape that packages of a distribution have after 17 years is in this repository."""
    index = read_repodata(whole.path, whole.arch).index
    assert {name for name, entry in index.items() if "build-date" in entry} == {
        "traceroute",
        "wifi-firmware",
    }
    for name in ("traceroute", "wifi-firmware"):
        assert "build-date" not in _props(whole, name)
    assert "libpcre2-8-0>=10.22_1" in _texts(index["libselinux"], "run_depends")
    assert {"libpcre2-8-0", "libstdc++"} <= index.keys()
    assert _props(whole, "rpi-kernel")["preserve"] is True
    assert "xbps-triggers>=0" in _texts(index["base-files"], "run_depends")
    assert _links(whole, "xbps-triggers") == {"/var/db/xbps/triggers": "/usr/libexec/xbps-triggers"}
    services = _links(whole, "runit-void")
    assert services["/etc/sv/agetty-ttyS0/run"] == "/etc/sv/agetty-generic/run"
    assert services["/etc/sv/agetty-ttyS0/supervise"] == "/run/runit/supervise.agetty-ttyS0"


def test_every_package_with_triggers_has_both_scripts(whole: RepositoryFixture) -> None:
    """In the form of the build system, with the test whose status is that of the test."""
    index = read_repodata(whole.path, whole.arch).index
    scripts = {}
    for name in index:
        with BinaryPackage.open(_path(whole, name)) as package:
            scripts[name] = (package.install_script, package.remove_script)
    asked = {
        name
        for name, pair in scripts.items()
        if b"TRIGGERSDIR}/" in b"".join(script or b"" for script in pair)
    }
    assert {"bash", "chrony", "dhcpcd", "openssh", "rpi-kernel"} <= asked
    for name in asked:
        for script in scripts[name]:
            assert script is not None, name
            assert script.startswith(b"#!/bin/sh\n")
            assert script.endswith(b"\nexit 0\n")
            assert script.count(b" run p") == script.count(b"\t[ $? -ne 0 ] && exit $?\n")


def _path(repository: RepositoryFixture, name: str) -> Path:
    entry = read_repodata(repository.path, repository.arch).index[name]
    return repository.path / file_name(str(entry["pkgver"]), str(entry["architecture"]))


def _props(repository: RepositoryFixture, name: str) -> PlistDict:
    with BinaryPackage.open(_path(repository, name)) as package:
        return package.props


def _links(repository: RepositoryFixture, name: str) -> dict[str, str]:
    with BinaryPackage.open(_path(repository, name)) as package:
        entries = package.files["links"]
    assert isinstance(entries, list)
    return {
        str(entry["file"]): str(entry["target"]) for entry in entries if isinstance(entry, dict)
    }


def _texts(entry: PlistDict, key: str) -> list[str]:
    found = entry[key]
    assert isinstance(found, list)
    return [str(one) for one in found]


def test_the_set_stays_small(whole: RepositoryFixture) -> None:
    """Builds and compression of every test depend on it."""
    index = read_repodata(whole.path, whole.arch).index
    sizes = [entry["installed_size"] for entry in index.values()]
    assert sum(size for size in sizes if isinstance(size, int)) < 250 * MIB


def test_the_kernel_has_the_modules_that_lead_to_a_root(whole: RepositoryFixture) -> None:
    """depmod's list names them, and every file it names is there."""
    path = next(whole.path.glob("rpi-kernel-*.xbps"))
    listing = b""
    with BinaryPackage.open(path) as package:
        names = {str(entry["file"]) for entry in _files(package)}
        for member in package.members():
            if member.name.endswith("/modules.dep"):
                listing = b"".join(package.chunks())
    top = next(name for name in names if name.endswith("/modules.dep")).rpartition("/")[0]
    words = listing.decode().replace(":", " ").split()
    assert {f"{top}/{word}" for word in words} <= names
    for module in ("nvme", "usb-storage", "ext4", "dwc2", "virtio_blk", "sdhci-iproc"):
        assert any(word.endswith(f"/{module}.ko") for word in words)


def test_two_conversions_give_the_same_bytes(whole: RepositoryFixture, tmp_path: Path) -> None:
    """Of an index, a package with scripts, one with hard links and the computed initramfs."""
    selection = read_selection(DEFAULT_CACHE)
    apt = Apt(DEFAULT_CACHE / "apt")
    debs = apt.download(list(selection.debs.values()), DEFAULT_CACHE / "debs")
    names = ["base-files", "chrony", "nvi", "rpi-initramfs"]
    for run in ("one", "two"):
        packages = Conversion(selection, debs).packages(names)
        write_repository(packages, tmp_path / run, whole.arch)
    written = [
        {path.name: path.read_bytes() for path in (tmp_path / run).iterdir()}
        for run in ("one", "two")
    ]
    assert written[0] == written[1]
    for path in packages_of(tmp_path / "one"):
        assert path.read_bytes() == (whole.path / path.name).read_bytes()


def test_a_second_call_does_nothing(whole: RepositoryFixture) -> None:
    """The stamp fits, so the files stay as they are."""
    before = whole.path.stat().st_mtime_ns
    assert provide() == whole
    assert whole.path.stat().st_mtime_ns == before
    assert json.loads((DEFAULT_CACHE / "selection.json").read_text())["debs"]


def _files(package: BinaryPackage) -> list[PlistDict]:
    entries = package.files["files"]
    assert isinstance(entries, list)
    return [entry for entry in entries if isinstance(entry, dict)]
