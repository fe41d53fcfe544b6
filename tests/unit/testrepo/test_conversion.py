"""From Debian packages and written parts to XBPS packages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.testrepo.apt import DebEntry
from tests.testrepo.checks import check
from tests.testrepo.convert import assemble
from tests.testrepo.deb import read_deb
from tests.testrepo.model import Member, Package
from tests.testrepo.scripts import render_script, triggers_of
from tests.testrepo.selection import Names, Selection, void_version
from tests.testrepo.source import Source
from tests.testrepo.writing import write_one
from voidimg.errors import PackageError
from voidimg.run import run
from voidimg.xbps.package.reader import BinaryPackage

from .debs import write_deb

NAMES = Names(
    roots=("tool",),
    drop=frozenset({"dpkg"}),
    rename={"libfoo1": "libfoo"},
    merge={"tool": ("tool", "tool-extra")},
    prune=(),
)


def _index(*entries: tuple[str, str, str, str]) -> dict[str, DebEntry]:
    return {
        name: DebEntry(name, version, "", depends, provides)
        for name, version, depends, provides in entries
    }


@pytest.mark.parametrize(
    ("debian", "void"),
    [
        ("2:4.0.2-3", "4.0.2_1"),
        ("1.3.9+really1.4.3", "1.3.9.really1.4.3_1"),
        ("1.5.4+dfsg2-5", "1.5.4.dfsg2_1"),
        ("20230311+deb12u1", "20230311.deb12u1_1"),
        ("0.0~2023.04.11-1", "0.0.2023.04.11_1"),
    ],
)
def test_versions_lose_epoch_and_debian_revision(debian: str, void: str) -> None:
    """What XBPS cannot write becomes a dot."""
    assert void_version(debian) == void


def test_the_closure_takes_the_first_alternative_there_is() -> None:
    """Dropped packages satisfy silently, a provider serves if nothing real is named."""
    index = _index(
        ("tool", "1-1", "gone | libfoo1 (>= 1.2), dpkg, virtual, tool-extra", ""),
        ("tool-extra", "1-1", "tool", ""),
        ("libfoo1", "1.4-2", "", ""),
        ("server", "1", "", "virtual"),
        ("unused", "1", "", ""),
    )
    selection = Selection.closure(index, NAMES)
    assert list(selection.debs) == ["libfoo1", "server", "tool", "tool-extra"]
    versions = {"tool": "1_1", "libfoo": "1.4_1", "server": "1_1"}
    needs = selection.run_depends("tool", ("tool", "tool-extra"), versions)
    assert needs == {"libfoo": "libfoo>=1.2_1", "server": "server>=0"}


def test_one_package_may_stand_for_another() -> None:
    """Whole names only, without the relation to a version that was not its own."""
    index = _index(
        ("tool", "1-1", "liba0 (>= 250), liba0-dev", ""),
        ("libb0", "246-1", "", ""),
        ("liba0-dev", "1-1", "", ""),
    )
    selection = Selection.closure(index, replace(NAMES, merge={}, instead={"liba0": "libb0"}))
    assert list(selection.debs) == ["liba0-dev", "libb0", "tool"]
    found = selection.run_depends("tool", ("tool",), {"libb0": "246_1", "liba0-dev": "1_1"})
    assert found == {"libb0": "libb0>=0", "liba0-dev": "liba0-dev>=0"}


def test_a_minimum_the_merged_version_cannot_meet_is_relaxed() -> None:
    """A merged package has the version of its first part only."""
    index = _index(("tool", "1-1", "libfoo1 (>= 9)", ""), ("libfoo1", "1.4-2", "", ""))
    selection = Selection(NAMES, index)
    found = selection.run_depends("tool", ("tool",), {"tool": "1_1", "libfoo": "1.4_1"})
    assert found == {"libfoo": "libfoo>=0"}


def _demo(tmp_path: Path) -> Package:
    path = write_deb(
        tmp_path / "demo.deb",
        {"Package": "demo", "Version": "1.0-1", "Architecture": "all"},
        {
            "./bin/demo.real": (0o755, b"#!/bin/sh\n"),
            "./etc/demo.conf": (0o644, b"a=1\n"),
            "./usr/share/doc/demo/x": (0o644, b""),
        },
        links={"./bin/demo": "demo.real"},
        conf_files=["/etc/demo.conf"],
    )
    source = Source(
        "demo",
        depends=("glibc>=0",),
        move={"/usr/bin/demo.real": "/usr/bin/demo-1"},
        links={"/usr/bin/demo": "demo-1"},
        alternatives={"demo": ("/usr/bin/d:/usr/bin/demo",)},
        triggers={"system_accounts": "_demo"},
        install="true\n",
        files=(Member("/etc/sv/demo/run", "file", 0o755, content=b"#!/bin/sh\n"),),
    )
    return assemble(
        source,
        [read_deb(path)],
        [],
        version="1.0_1",
        short_desc="demo",
        needs={"zlib": "zlib>=1_1"},
        prune=["/usr/share/doc/*"],
    )


def test_debian_files_and_the_written_part_make_one_package(tmp_path: Path) -> None:
    """Moves, links, pruning, conf files, dependencies of triggers, scripts."""
    package = _demo(tmp_path)
    assert [member.path for member in package.members] == [
        "/etc/demo.conf",
        "/etc/sv/demo/run",
        "/usr/bin/demo",
        "/usr/bin/demo-1",
    ]
    assert package.architecture == "noarch"
    assert package.conf_files == ("/etc/demo.conf",)
    assert package.depends == ("zlib>=1_1", "glibc>=0")
    assert package.install is not None
    assert b"system-accounts run post-install" in package.install


def test_the_same_package_is_the_same_bytes(tmp_path: Path) -> None:
    """Two conversions of the same archive, in two directories."""
    files = []
    for name in ("one", "two"):
        directory = tmp_path / name
        directory.mkdir()
        files.append(write_one(_demo(directory), directory).read_bytes())
    assert files[0] == files[1]


def test_what_is_written_is_read_back_by_the_product(tmp_path: Path) -> None:
    """The package is well-formed and says what the model says."""
    package = _demo(tmp_path)
    with BinaryPackage.open(write_one(package, tmp_path)) as written:
        assert written.props["pkgver"] == "demo-1.0_1"
        assert written.props["run_depends"] == list(package.depends)
        assert written.install_script == package.install
        assert sorted(member.name for member in written.members()) == [
            f".{member.path}" for member in package.members
        ]


def _package(name: str, *members: str, depends: tuple[str, ...] = ()) -> Package:
    files = tuple(Member(path, "file", 0o644) for path in members)
    return Package(name, "1_1", "noarch", "", files, depends)


def test_two_packages_with_one_path_are_refused() -> None:
    """xbps-install would refuse the whole set."""
    with pytest.raises(PackageError, match="/x is also in a"):
        check([_package("a", "/x"), _package("b", "/x")])


def test_dependencies_in_a_circle_are_refused() -> None:
    """An order of configuring has to exist."""
    with pytest.raises(PackageError, match="a -> b -> a"):
        check([_package("a", depends=("b>=0",)), _package("b", depends=("a>=0",))])


def test_a_script_that_would_do_nothing_is_not_written() -> None:
    """A package with triggers has both, as the build system writes them."""
    assert render_script("remove", {"kernel_hooks_version": "1"}, "") is not None
    assert render_script("remove", {}, "", ["openjdk-profile"]) is not None
    assert render_script("install", {}, "") is None


def test_accounts_come_before_the_directories_they_own() -> None:
    """mkdirs calls chown."""
    script = render_script("install", {"make_dirs": "/a 0750 _x _x", "system_accounts": "_x"}, "")
    assert script is not None
    assert script.index(b"system-accounts run") < script.index(b"mkdirs run")


def test_what_a_package_has_calls_for_triggers() -> None:
    """As the build system looks into it."""
    paths = ["/usr/share/applications/x.desktop", "/usr/share/mime/packages/x.xml", "/usr/bin/x"]
    assert triggers_of({"register_shell": "/bin/x"}, paths) == [
        "register-shell", "update-desktopdb", "mimedb",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "said"), [(0, "trigger pkg 1_1 no\nown\n"), (7, "trigger pkg 1_1 no\n")]
)
def test_a_failing_trigger_ends_the_script_with_0(status: int, said: str, tmp_path: Path) -> None:
    """And skips the package's own text: the quirk of Void's scripts."""
    trigger = tmp_path / "usr/libexec/xbps-triggers/mkdirs"
    trigger.parent.mkdir(parents=True)
    trigger.write_text(f'#!/bin/sh\necho "trigger $3 $4 $5"\nexit {status}\n')
    trigger.chmod(0o754)
    script = render_script("install", {"make_dirs": "/x 0755 root root"}, "echo own\n")
    (tmp_path / "INSTALL").write_bytes(script or b"")
    ended = run(["sh", "INSTALL", "post", "pkg", "1_1", "no", "no", "aarch64"], cwd=tmp_path)
    assert ended.stdout.decode() == said
