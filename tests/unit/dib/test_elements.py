"""The element for diskimage-builder, without building: scripts, refusals, the resolver."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from tests.command import PROJECT, voidimg
from voidimg.dib.elements import ELEMENT, check_dib_elements, dib_elements
from voidimg.errors import LayoutError, ToolError, UsageError
from voidimg.identity import ReleaseDate
from voidimg.signing.keys import create_release_key
from voidimg.signing.signing import sign_set

DATE = "20260301"
NAME = f"void-x86_64-ROOTFS-{DATE}.tar.xz"
VOID = dib_elements() / ELEMENT
SCRIPTS = sorted(
    path.relative_to(VOID)
    for path in VOID.rglob("*")
    if path.is_file() and path.parent != VOID and path.parent.name != "environment.d"
)


def test_there_are_scripts() -> None:
    assert {str(path) for path in SCRIPTS} == {
        "bin/install-packages",
        "pre-install.d/01-void-python",
        "root.d/10-void-rootfs",
    }


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_scripts_have_the_form_that_dib_asks_for(script: Path) -> None:
    """As its own dib-lint: a mode, an interpreter, errors end a script, and it can be traced."""
    path = VOID / script
    text = path.read_text()
    assert path.stat().st_mode & 0o111 == 0o111
    assert text.startswith("#!/bin/bash\n")
    assert "set -eu\nset -o pipefail\n" in text
    assert 'if [ "${DIB_DEBUG_TRACE:-0}" -gt 0 ]' in text
    assert "\t" not in text
    subprocess.run(["bash", "-n", path], check=True)


def test_environment_is_sourced_and_sets_nothing_else() -> None:
    (path,) = (VOID / "environment.d").iterdir()
    assert path.suffix == ".bash"
    assert "set -" not in path.read_text()
    done = subprocess.run(
        ["bash", "-euc", f"source {path}; echo $DISTRO_NAME $DIB_RELEASE"],
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "void current\n"


def test_the_resolver_takes_it() -> None:
    found = dict(check_dib_elements().elements)
    assert found["void"] == str(VOID)
    assert set(found) == {"void", "install-bin"}
    with_more = check_dib_elements(["vm", "block-device-gpt"])
    assert {"vm", "bootloader", "void"} <= dict(with_more.elements).keys()
    assert with_more.warnings == ()
    assert any("Python" in one for one in check_dib_elements(["package-installs"]).warnings)
    assert any("runit" in one for one in check_dib_elements(["base"]).warnings)


@pytest.mark.parametrize("names", [["no-such-element"], ["debian"], ["void", "fedora"]])
def test_what_the_resolver_refuses_is_told(names: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        check_dib_elements(names)
    assert caught.value.code == "E-USAGE-DIB-ELEMENTS"


def test_without_diskimage_builder_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "diskimage_builder", None)
    with pytest.raises(ToolError) as caught:
        check_dib_elements()
    assert "voidimg[dib]" in (caught.value.hint or "")


def test_a_lost_mode_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy by something that keeps none."""
    shutil.copytree(dib_elements(), tmp_path / "elements")
    (tmp_path / "elements" / ELEMENT / "bin" / "install-packages").chmod(0o644)
    monkeypatch.setattr("voidimg.dib.elements.dib_elements", lambda: tmp_path / "elements")
    with pytest.raises(LayoutError, match="mode was lost"):
        check_dib_elements()


def test_the_verb_prints_the_path() -> None:
    ended = voidimg("dib-elements")
    assert Path(ended.stdout.strip()) == dib_elements()
    told = json.loads(voidimg("dib-elements", "--check", "--json").stdout)
    assert told["path"] == str(dib_elements())
    assert "void" in told["elements"]
    assert voidimg("dib-elements", "vm").returncode == 2


def test_a_wheel_brings_the_scripts_with_their_modes(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(PROJECT / name, source)
    shutil.copytree(
        PROJECT / "voidimg", source / "voidimg", ignore=shutil.ignore_patterns("__pycache__")
    )
    words = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([sys.executable, *words, "-w", tmp_path, source], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        modes = {one.filename: one.external_attr >> 16 for one in archive.infolist()}
    for script in SCRIPTS:
        assert modes[f"voidimg/dib/elements/void/{script}"] & stat.S_IXUSR
    assert "voidimg/dib/elements/void/element-provides" in modes
    assert "voidimg/dib/elements/void/environment.d/10-void.bash" in modes


# --- the ROOTFS ---


def programs(place: Path, *names: str, own: bool = False) -> dict[str, str]:
    """An environment whose PATH has `names`, a sudo that does nothing, and our command if `own`."""
    place.mkdir()
    for name in ("bash", "readlink", "grep", "sha256sum", "cut", "tar", "xz", "mkdir", *names):
        (place / name).symlink_to(shutil.which(name) or f"/missing/{name}")
    (place / "sudo").write_text('#!/bin/bash\nexec "$@"\n')
    if own:
        python = f'exec "{sys.executable}" -m voidimg.cli "$@"\n'
        (place / "voidimg").write_text(f"#!/bin/bash\nexport PYTHONPATH={PROJECT}\n{python}")
        (place / "voidimg").chmod(0o755)
    (place / "sudo").chmod(0o755)
    return {"PATH": str(place), "ARCH": "amd64", "HOME": str(place)}


def rootfs(path: Path, *, bash: bool = True) -> None:
    with tarfile.open(path, "w:xz") as archive:
        for name in ("./etc/os-release", *(["./usr/bin/bash"] if bash else [])):
            member = tarfile.TarInfo(name)
            member.mode, member.size, member.uid = 0o755, 4, os.geteuid()
            member.gid = os.getegid()
            archive.addfile(member, BytesIO(b"text"))


@pytest.fixture
def signed(tmp_path: Path) -> Path:
    """A signed set with a ROOTFS; its key lies beside it."""
    place = tmp_path / DATE
    place.mkdir()
    rootfs(place / NAME)
    key = create_release_key(ReleaseDate.parse(DATE), tmp_path, passphrase=None)
    sign_set(place, key.secret_path, passphrase=None)
    return place


def unpack(
    path: Path, tmp_path: Path, environment: dict[str, str], **more: str
) -> tuple[int, str, bool]:
    """Exit status, output, and whether anything was unpacked."""
    target = tmp_path / "target"
    target.mkdir()
    done = subprocess.run(
        ["bash", VOID / "root.d" / "10-void-rootfs"],
        env={**environment, "TARGET_ROOT": str(target), "DIB_VOIDIMG_ROOTFS": str(path), **more},
        cwd=tmp_path.parent,
        capture_output=True,
        text=True,
    )
    there = any(target.iterdir())
    shutil.rmtree(target)
    return done.returncode, done.stdout + done.stderr, there


@pytest.mark.parametrize("own", [True, False], ids=["voidimg", "minisign"])
def test_a_signed_rootfs_is_unpacked(own: bool, signed: Path, tmp_path: Path) -> None:
    environment = programs(tmp_path / "bin", "minisign", own=own)
    key = tmp_path / f"void-release-{DATE}.pub"
    for words in (str(key), key.read_text().splitlines()[1]):
        status, said, there = unpack(signed / NAME, tmp_path, environment, DIB_VOIDIMG_KEY=words)
        assert (status, there) == (0, True), said


@pytest.mark.parametrize("own", [True, False], ids=["voidimg", "minisign"])
@pytest.mark.parametrize("name", [NAME, "sha256sum.txt", "sha256sum.sig"])
@pytest.mark.parametrize("change", ["flip", "remove"])
def test_what_was_changed_is_not_unpacked(
    own: bool, name: str, change: str, signed: Path, tmp_path: Path
) -> None:
    environment = programs(tmp_path / "bin", "minisign", own=own)
    content = bytearray((signed / name).read_bytes())
    content[len(content) // 2] ^= 1
    (signed / name).unlink()
    if change == "flip":
        (signed / name).write_bytes(content)
    key = str(tmp_path / f"void-release-{DATE}.pub")
    status, said, there = unpack(signed / NAME, tmp_path, environment, DIB_VOIDIMG_KEY=key)
    assert status != 0
    assert not there, said


@pytest.mark.parametrize("own", [True, False], ids=["voidimg", "minisign"])
def test_another_key_is_not_enough(own: bool, signed: Path, tmp_path: Path) -> None:
    environment = programs(tmp_path / "bin", "minisign", own=own)
    (tmp_path / "other").mkdir()
    other = create_release_key(ReleaseDate.parse(DATE), tmp_path / "other", passphrase=None)
    status, _, there = unpack(
        signed / NAME, tmp_path, environment, DIB_VOIDIMG_KEY=str(other.public_path)
    )
    assert status != 0
    assert not there


def test_a_name_that_is_listed_for_other_bytes_is_not_enough(signed: Path, tmp_path: Path) -> None:
    """A signed file under the name of another."""
    environment = programs(tmp_path / "bin", "minisign")
    renamed = signed / NAME.replace("x86_64", "x86_64-musl")
    shutil.copy(signed / NAME, renamed)
    key = str(tmp_path / f"void-release-{DATE}.pub")
    status, said, there = unpack(renamed, tmp_path, environment, DIB_VOIDIMG_KEY=key)
    assert (status, there) == (1, False)
    assert "is not the file that was signed" in said


def test_refusals_say_what_to_do(signed: Path, tmp_path: Path) -> None:
    environment = programs(tmp_path / "bin")
    nothing = unpack(signed / NAME, tmp_path, environment)
    assert (nothing[0], nothing[2]) == (1, False)
    assert "neither voidimg nor minisign" in nothing[1]
    (tmp_path / "bin" / "minisign").symlink_to("/bin/true")
    assert "DIB_VOIDIMG_KEY" in unpack(signed / NAME, tmp_path, environment)[1]
    assert "DIB_VOIDIMG_ROOTFS" in unpack(tmp_path / "missing", tmp_path, environment)[1]
    assert (
        "DIB_VOIDIMG_ROOTFS"
        in unpack(signed / NAME, tmp_path, environment, DIB_VOIDIMG_ROOTFS="")[1]
    )
    other = unpack(signed / NAME, tmp_path, {**environment, "ARCH": "arm64"})
    assert "architecture" in other[1]
    assert not other[2]


def test_unverified_is_said_and_a_bash_is_needed(signed: Path, tmp_path: Path) -> None:
    environment = {**programs(tmp_path / "bin"), "DIB_VOIDIMG_UNVERIFIED": "1"}
    status, said, there = unpack(signed / NAME, tmp_path, environment)
    assert (status, there) == (0, True), said
    assert "UNVERIFIED" in said
    rootfs(signed / NAME, bash=False)
    status, said, _ = unpack(signed / NAME, tmp_path, environment)
    assert status == 1
    assert "holds no bash" in said


# --- packages ---


def install(
    tmp_path: Path, *words: str, mapped: str = "", failing: str = ""
) -> tuple[int, str, list[str]]:
    """Exit status and output of install-packages, and how it called the programs of xbps."""
    place = tmp_path / "bin"
    place.mkdir()
    for name in ("xbps-install", "xbps-remove", "xbps-query"):
        status = "[ $1 != absent ]" if name == "xbps-query" else f'[ "{failing}" != {name} ]'
        (place / name).write_text(f'#!/bin/bash\necho "{name} $*" >> {tmp_path}/calls\n{status}\n')
    (place / "pkg-map").write_text(
        f'#!/bin/bash\n[ "$1 $2" = "--element foreign" ] && echo "{mapped}"\n'
    )
    for path in place.iterdir():
        path.chmod(0o755)
    for name in ("bash", "cat"):
        (place / name).symlink_to(shutil.which(name) or "/bin/bash")
    done = subprocess.run(
        ["bash", VOID / "bin" / "install-packages", *words],
        env={"PATH": str(place)},
        capture_output=True,
        text=True,
    )
    calls = (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []
    return done.returncode, done.stdout + done.stderr, calls


@pytest.mark.parametrize(
    ("words", "calls"),
    [
        (["vim", "git"], ["xbps-install -Sy vim git"]),
        (["-u"], ["xbps-install -Syu xbps", "xbps-install -Syu"]),
        (["-e", "vim"], ["xbps-query vim", "xbps-remove -Ry vim"]),
        (["-e", "absent"], ["xbps-query absent"]),
        (["grub-pc", "grub-efi-amd64"], ["xbps-install -Sy grub grub-x86_64-efi"]),
        (["grub-efi-arm64"], ["xbps-install -Sy grub-arm64-efi"]),
        (["-m", "foreign", "x"], ["xbps-install -Sy one two"]),
        (
            ["-e", "-m", "foreign", "x"],
            ["xbps-query one", "xbps-query two", "xbps-remove -Ry one two"],
        ),
        ([], []),
        (["-e"], []),
        (["-h"], []),
    ],
)
def test_packages_are_those_of_xbps(words: list[str], calls: list[str], tmp_path: Path) -> None:
    status, said, called = install(tmp_path, *words, mapped="one\ntwo")
    assert status == 0, said
    assert called == calls


@pytest.mark.parametrize("words", [["-x"], ["-m"]])
def test_what_it_does_not_know_is_refused(words: list[str], tmp_path: Path) -> None:
    status, said, called = install(tmp_path, *words)
    assert status == 1
    assert "Usage" in said
    assert called == []


@pytest.mark.parametrize(
    ("words", "failing"),
    [(["vim"], "xbps-install"), (["-u"], "xbps-install"), (["-e", "vim"], "xbps-remove")],
)
def test_a_failure_of_xbps_is_one(words: list[str], failing: str, tmp_path: Path) -> None:
    assert install(tmp_path, *words, failing=failing)[0] != 0
