"""Stages installed in the sandbox: scripts before there is a shell, their order, and no shell."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from voidimg.errors import ScriptError
from voidimg.events import Listener, ignore
from voidimg.identity import Identity, ReleaseDate
from voidimg.rootfs import steps
from voidimg.rootfs.bootstrap import bootstrap_packages
from voidimg.rootfs.ownership import owned_paths, package_paths
from voidimg.sandbox.namespace import call
from voidimg.spec.model import User
from voidimg.spec.stage_model import File, Stage
from voidimg.tree.tree import Tree
from voidimg.xbps.install.install import InstallReport, VerifiedPackage, install
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.repository.local import PackageMember, PackageMeta, entry_of, write_package

ARCH = os.uname().machine
DATE = ReleaseDate.parse("20240314")
SAY = b'echo "$1 $2 $3 $4 $5 $6 $(pwd) $SOURCE_DATE_EPOCH" >> log\n'


@dataclass(frozen=True, slots=True)
class Planned:
    """A step of the transaction."""

    pkgver: str
    pkgname: str
    entry: PlistDict
    action: str = "install"
    automatic: bool = False


def package(
    directory: Path,
    name: str,
    members: list[PackageMember],
    script: bytes = b"",
    *,
    depends: tuple[str, ...] = (),
    remove: bytes = b"",
) -> VerifiedPackage:
    meta = PackageMeta(
        pkgname=name,
        version="1.0_1",
        architecture=ARCH,
        short_desc=name,
        install_script=script,
        remove_script=remove,
        run_depends=depends,
    )
    path = write_package(directory, meta, members, level=1)
    return VerifiedPackage(path, Planned(f"{name}-1.0_1", name, entry_of(path)[2]))


def shell_members() -> list[PackageMember]:
    """This host's dash with its libraries, as files of a package."""
    program = shutil.which("dash")
    assert program is not None
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    libraries = sorted({word for word in listed.split() if word.startswith("/")})
    return [
        PackageMember("/bin/dash", mode=0o755, content=Path(program)),
        PackageMember("/bin/sh", "symlink", target="dash"),
        *(PackageMember(path, mode=0o755, content=Path(path).resolve()) for path in libraries),
    ]


def conf(name: str) -> list[PackageMember]:
    return [PackageMember(f"/etc/{name}.conf", content=name.encode(), mtime=1_000_000_000)]


def with_shell(directory: Path) -> list[VerifiedPackage]:
    """A transaction in which base-files is not the first."""
    return [
        package(directory, "zlib", conf("zlib"), SAY),
        package(directory, "dash", shell_members(), depends=("zlib>=0",)),
        package(directory, "base-files", conf("base"), SAY),
        package(directory, "app", conf("app"), SAY, depends=("dash-1.0_1",)),
    ]


# --- functions that run inside -----------------------------------------------------------------


def build(
    root: str,
    packages: list[VerifiedPackage],
    without: tuple[str, ...] = (),
    listener: Listener = ignore,
) -> tuple[InstallReport, str, list[str]]:
    """Install and finish; the report, what scripts logged, what a package owns."""
    tree = Path(root)
    steps.install_keys(tree, {"aa:bb": b"key"}, epoch=DATE.epoch)
    report = steps.install_stage(
        tree,
        packages,
        arch=ARCH,
        epoch=DATE.epoch,
        scratch=tree.with_name("scratch"),
        without=without,
        listener=listener,
    )
    assert not tree.with_name("scratch").exists()
    log = tree / "log"
    steps.finish(tree, epoch=DATE.epoch)
    with Tree(tree) as opened:
        owned = sorted(owned_paths(opened))
        assert package_paths(opened, ["dash"])[0][0].endswith(".dash-files.plist")
    return report, log.read_text() if log.exists() else "", owned


def unpack_and_finish(root: str, packages: list[VerifiedPackage]) -> None:
    install(Path(root), packages, arch=ARCH, runner=None)
    steps.finish(Path(root), epoch=DATE.epoch)


def set_up(root: str) -> tuple[str, dict[str, float]]:
    tree = Path(root)
    (tree / "etc/sv/sshd").mkdir(parents=True)
    (tree / "etc/sv/sshd/run").write_text("#!/bin/sh\n")
    (tree / "etc/sv/sshd/run").chmod(0o755)
    (tree / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    steps.set_up_system(
        tree,
        users=(User(name="root", password="secret"),),
        hostname="void",
        timezone="UTC",
        identity=Identity("x"),
        date=DATE,
    )
    stage = Stage(services=("sshd",), files=(File(path="/etc/release", template="a.j2"),))
    steps.apply_stage(
        tree, stage, render=str.upper, own=lambda _: (), arch="x86_64", epoch=DATE.epoch
    )
    steps.finish(tree, epoch=DATE.epoch)
    times = {path.name: os.lstat(path).st_mtime for path in (tree / "etc").iterdir()}
    return (tree / "etc/release").read_text(), times


@pytest.fixture
def root(tmp_path: Path) -> str:
    return str(tmp_path / "tree")


# --- what they show ----------------------------------------------------------------------------


def test_a_stage_is_installed_with_its_scripts(tmp_path: Path, root: str) -> None:
    """All `pre` before the tree has anything, base-files first of all `post`, fixed arguments."""
    report, log, owned = call(build, root, with_shell(tmp_path))
    assert report.unpacked == ("zlib-1.0_1", "dash-1.0_1", "base-files-1.0_1", "app-1.0_1")
    assert report.configured == ("base-files-1.0_1", "zlib-1.0_1", "dash-1.0_1", "app-1.0_1")
    said = [line.split() for line in log.splitlines()]
    assert [(words[0], words[1]) for words in said] == [
        ("pre", "zlib"),
        ("pre", "base-files"),
        ("pre", "app"),
        ("post", "base-files"),
        ("post", "zlib"),
        ("post", "app"),
    ]
    assert {tuple(words[2:6]) for words in said} == {("1.0_1", "no", "no", ARCH)}
    assert {(words[0], words[6]) for words in said} == {("pre", "/dev/target"), ("post", "/")}
    assert {words[7] for words in said} == {str(DATE.epoch)}
    assert "/etc/app.conf" in owned
    assert "/log" not in owned
    assert Path(root, "etc/app.conf").stat().st_mtime == 1_000_000_000
    assert Path(root, "log").stat().st_mtime == DATE.epoch
    assert Path(root, "var/db/xbps/keys/aa:bb.plist").read_bytes() == b"key"
    assert not Path(root, "var/db/xbps/lock").exists()


def test_programs_that_scripts_shall_not_run(tmp_path: Path, root: str) -> None:
    """They look as if they were not there, and are whole afterwards."""
    hook = b'[ "$1" = pre ] || [ ! -x usr/bin/dracut ] || usr/bin/dracut\n'
    packages = [
        package(tmp_path, "dash", shell_members()),
        package(
            tmp_path,
            "dracut",
            [
                PackageMember(
                    "/usr/bin/dracut", mode=0o4751, content=b"#!/bin/sh\necho ran > log\n"
                ),
                PackageMember("/usr/sbin", "symlink", target="bin"),
            ],
        ),
        package(tmp_path, "linux", conf("linux"), hook),
    ]
    programs = ("/usr/bin/dracut", "/usr/sbin/dracut", "/usr/bin/missing")
    assert call(build, root, packages, without=programs)[1] == ""
    assert Path(root, "usr/bin/dracut").stat().st_mode & 0o7777 == 0o4751
    assert call(build, f"{root}2", packages)[1] == "ran\n"


def test_without_a_shell_nothing_is_left_unconfigured(tmp_path: Path, root: str) -> None:
    """A tree whose packages are only unpacked is never taken for a finished one."""
    packages = [package(tmp_path, "app", conf("app"), SAY), package(tmp_path, "dash", [])]
    with pytest.raises(ScriptError, match=r"not configured.*app-1\.0_1") as caught:
        call(build, root, packages)
    assert caught.value.code == "E-SCRIPT-UNCONFIGURED"


def test_a_tree_with_an_unpacked_package_is_never_finished(tmp_path: Path, root: str) -> None:
    """Whatever left it so: this is asked again before a tree is packed."""
    with pytest.raises(ScriptError, match=r"not configured.*app-1\.0_1"):
        call(unpack_and_finish, root, [package(tmp_path, "app", conf("app"), SAY)])


def test_a_failing_script_is_told_with_its_words(tmp_path: Path, root: str) -> None:
    """The class, the package and the output; nothing of the sandbox is in the tree."""
    packages = [
        package(tmp_path, "dash", shell_members()),
        package(tmp_path, "bad", conf("bad"), b'[ $1 = post ] && { echo "no luck"; exit 4; }\n:\n'),
    ]
    with pytest.raises(ScriptError, match=r"bad-1\.0_1 failed with status 4 .*no luck"):
        call(build, root, packages)
    assert sorted(path.name for path in Path(root, "dev").iterdir()) == []


def test_the_bootstrap_is_the_shell_and_what_it_needs(tmp_path: Path) -> None:
    """In the order of the transaction; nothing without a shell."""
    packages = with_shell(tmp_path)
    names = [item.step.pkgname for item in bootstrap_packages(packages)]
    assert names == ["zlib", "dash", "base-files"]
    assert bootstrap_packages([packages[0], packages[3]]) == ()


def test_a_system_is_set_up(root: str) -> None:
    """Accounts, files and services, all with the date of the release."""
    Path(root).mkdir()
    text, times = call(set_up, root)
    assert text == "A.J2"
    assert {"shadow", "hostname", "release", "runit"} <= set(times)
    assert set(times.values()) == {DATE.epoch}
