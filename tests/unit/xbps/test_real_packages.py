"""Shapes of packages that Void has carried for years, and what only looks like them."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.unit.xbps.shop import EPOCH, Shop, file, link
from voidimg.errors import PackageError
from voidimg.rootfs.clean import clean
from voidimg.rootfs.normalise import normalise_times
from voidimg.rootfs.ownership import owned_paths
from voidimg.tree.tree import Tree
from voidimg.xbps.install.install import VerifiedPackage
from voidimg.xbps.install.pkgdb import Pkgdb
from voidimg.xbps.install.scripts import ScriptOutcome
from voidimg.xbps.package.writer import PackageMember

TRIGGERS = "/var/db/xbps/triggers"
TEXT = "../../../usr/libexec/xbps-triggers"


class Scripts:
    """A runner that notes each call, and which of some paths were there then."""

    def __init__(self, shop: Shop, *paths: str):
        self.shop = shop
        self.paths = paths
        self.calls: list[tuple[str, ...]] = []

    def __call__(self, script: bytes, arguments: Sequence[str]) -> ScriptOutcome:
        there = tuple(path for path in self.paths if self.shop.there(path))
        self.calls.append((arguments[1], arguments[0], *there))
        return ScriptOutcome(0)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def triggers(*more: PackageMember) -> tuple[PackageMember, ...]:
    """What xbps-triggers consists of."""
    program = file("/usr/libexec/xbps-triggers/system-accounts", b"#!/bin/sh\n", 0o754)
    return (program, link(TRIGGERS, TEXT), *more)


# --- the link of xbps-triggers ---


def test_the_link_of_xbps_triggers_is_its_own(shop: Shop) -> None:
    """Installed with the text as it is, kept by cleaning, updated, and removed with the package."""
    shop.install(shop.package("xbps-triggers", *triggers()))
    assert os.readlink(shop.root / TRIGGERS[1:]) == TEXT
    program = shop.root / "usr/libexec/xbps-triggers/system-accounts"
    assert stat.S_IMODE(program.stat().st_mode) == 0o754
    assert (shop.root / TRIGGERS[1:] / "system-accounts").samefile(program)
    with Tree(shop.root) as tree:
        assert TRIGGERS not in {one.path for one in clean(tree, owned_paths(tree))}
        assert TRIGGERS not in {one.path for one in clean(tree, ())}
    normalise_times(shop.root, EPOCH)
    assert (shop.root / TRIGGERS[1:]).lstat().st_mtime == EPOCH
    newer = shop.package("xbps-triggers", *triggers(file("/usr/share/more")), version="2_1")
    shop.install(shop.as_update(newer))
    assert os.readlink(shop.root / TRIGGERS[1:]) == TEXT
    assert "xbps-triggers" in Pkgdb.read(shop.root).packages
    shop.remove("xbps-triggers")
    assert not shop.there(TRIGGERS)
    assert shop.there("/var/db/xbps/pkgdb-0.38.plist")


@pytest.mark.parametrize(
    ("name", "members", "words"),
    [
        ("evil", [link(TRIGGERS, TEXT)], "the link of xbps-triggers"),
        ("xbps-triggers-extra", [link(TRIGGERS, TEXT)], "the link of xbps-triggers"),
        ("xbps-triggers", [link(TRIGGERS, "/usr/libexec/xbps-triggers")], "as a link to"),
        ("xbps-triggers", [link(TRIGGERS, TEXT + "/")], "as a link to"),
        ("xbps-triggers", [link(TRIGGERS, "../../../../usr/libexec/xbps-triggers")], "as a link"),
        ("xbps-triggers", [link(TRIGGERS, ".")], "as a link to"),
        ("xbps-triggers", [file(TRIGGERS)], "as a file"),
        ("xbps-triggers", [file(f"{TRIGGERS}/mkdirs")], "brings /var/db/xbps/triggers/mkdirs"),
        ("xbps-triggers", [link("/var/db/xbps/triggers2", TEXT)], "brings"),
        ("xbps-triggers", [link("/var/db/xbps/lock", TEXT)], "brings"),
        ("xbps-triggers", [link("/var/db/xbps", "../x")], "brings"),
        ("xbps-triggers", [link("/var/db/xbps/keys", "../x")], "brings"),
        ("xbps", [link("/var/db/xbps/pkgdb-0.38.plist", "/x")], "brings"),
        ("xbps", [file("/var/db/xbps/.xbps-files.plist")], "brings"),
    ],
)
def test_nothing_else_of_the_database_is_a_packages(
    shop: Shop, name: str, members: list[PackageMember], words: str
) -> None:
    """Another package, another text, another kind, another path: each is refused by name."""
    with pytest.raises(PackageError, match=words) as caught:
        shop.install(shop.package(name, *members))
    assert caught.value.code == "E-PACKAGE-DATABASE"
    assert caught.value.where == f"{name}-1_1"
    assert name not in Pkgdb.read(shop.root).packages
    assert not shop.there(TRIGGERS)


@pytest.mark.parametrize(
    "place", ["/var/db/xbps/pkgdb-0.38.plist", "/var/db/xbps/keys/aa.plist", "/var/db/xbps/lock"]
)
def test_no_alternative_lies_in_the_database(shop: Shop, place: str) -> None:
    """A link of alternatives replaces what is there, so it would replace the database."""
    shop.install(shop.package("good", file("/usr/bin/good")))
    before = Pkgdb.read(shop.root).packages
    bad = shop.package("bad", file("/usr/bin/x"), alternatives={"g": [f"{place}:/usr/bin/x"]})
    with pytest.raises(PackageError, match="alternatives put a link") as caught:
        shop.install(bad)
    assert caught.value.code == "E-PACKAGE-DATABASE"
    assert Pkgdb.read(shop.root).packages == before


@pytest.mark.parametrize("target", ["../var/db/xbps", "../var/db"])
def test_no_link_leads_files_into_the_database(shop: Shop, target: str) -> None:
    """A link of an earlier transaction inside the tree is followed, but not there."""
    shop.install(shop.package("way", link("/usr/way", target)))
    inner = "" if target.endswith("xbps") else "/xbps"
    bad = shop.package("bad", file(f"/usr/way{inner}/pkgdb-0.38.plist"))
    with pytest.raises(PackageError) as caught:
        shop.install(bad)
    assert caught.value.code == "E-PACKAGE-DATABASE"
    assert list(Pkgdb.read(shop.root).packages) == ["way"]


def test_a_link_to_another_directory_of_the_tree_is_followed(shop: Shop) -> None:
    """What is refused of the database is as usual as a merged /usr elsewhere."""
    shop.install(shop.package("way", link("/usr/way", "../var/db")))
    shop.install(shop.package("good", file("/usr/way/other/file")))
    assert shop.there("/var/db/other/file")


# --- removal ---


def test_preserved_files_stay_when_the_package_goes(shop: Shop) -> None:
    """A kernel that is removed leaves its files, whether it goes alone or with others."""
    kernel = ("/boot/vmlinuz-6.12", "/usr/lib/modules/6.12/x.ko")
    shop.install(
        shop.package("linux6.12", *map(file, kernel), preserve=True),
        shop.package("other", file("/usr/lib/modules/other.ko")),
    )
    shop.remove("linux6.12", "other")
    assert [path for path in kernel if not shop.there(path)] == []
    assert not shop.there("/usr/lib/modules/other.ko")
    assert Pkgdb.read(shop.root).packages == {}
    assert not shop.there("/var/db/xbps/.linux6.12-files.plist")


SERVICES = (
    file("/etc/sv/agetty-generic/run"),
    link("/etc/sv/agetty-serial/run", "../agetty-generic/run"),
    link("/etc/sv/agetty-ttyS0/run", "../agetty-serial/run"),
    link("/etc/sv/agetty-ttyS0/finish", "../agetty-serial/run"),
    link("/etc/sv/agetty-tty1", "agetty-ttyS0"),
    link("/etc/sv/agetty-ttyS0/supervise", "/run/runit/supervise.agetty-ttyS0"),
    link("/etc/sv/agetty-ttyS0/log", "../../none/at-all"),
    link("/etc/runit/runsvdir/current", "default"),
)
"""Links to links of one package, links into /run, dangling and to directories."""


def test_links_of_the_package_itself_go_with_it(shop: Shop) -> None:
    """files.plist says where a chain of links ends; each link of it goes all the same."""
    shop.install(shop.package("runit-void", *SERVICES))
    shop.remove("runit-void")
    assert [one.path for one in SERVICES if shop.there(one.path)] == []
    assert not shop.there("/etc")


def test_a_link_that_was_changed_stays(shop: Shop) -> None:
    """And only that one: a link whose way led through it was not changed itself."""
    shop.install(shop.package("runit-void", *SERVICES))
    changed = shop.root / "etc/runit/runsvdir/current"
    changed.unlink()
    changed.symlink_to("mine")
    shop.remove("runit-void")
    assert os.readlink(changed) == "mine"
    assert not shop.there("/etc/sv")


def test_all_pre_scripts_run_before_the_first_file_goes(shop: Shop) -> None:
    """REMOVE pre of every package, then the files of every package, then post and purge."""
    script = b"#!/bin/sh\nexit 0\n"
    shop.install(
        *(shop.package(name, file(f"/{name}"), remove_script=script) for name in ("a", "b"))
    )
    runner = Scripts(shop, "/a", "/b")
    report = shop.remove("a", "b", runner=runner)
    assert report.removed == ("a-1_1", "b-1_1")
    assert runner.calls == [
        ("a", "pre", "/a", "/b"),
        ("b", "pre", "/a", "/b"),
        ("a", "post"),
        ("a", "purge"),
        ("b", "post"),
        ("b", "purge"),
    ]


def test_directories_of_several_removed_packages_go(shop: Shop) -> None:
    """The last of them takes the directory that all had; one with something foreign stays."""
    shop.install(
        shop.package("a", file("/usr/share/both/a"), file("/usr/keep/a")),
        shop.package("b", file("/usr/share/both/b"), file("/usr/keep/b")),
    )
    (shop.root / "usr/keep/foreign").write_text("")
    shop.remove("a", "b")
    assert not shop.there("/usr/share")
    assert os.listdir(shop.root / "usr/keep") == ["foreign"]


def test_a_file_that_moved_to_the_replacement_stays(shop: Shop) -> None:
    """A package is removed because another replaces it; what both bring is the other's."""
    shop.install(shop.package("old", file("/usr/bin/tool"), file("/usr/bin/old")))
    new = shop.package("new", file("/usr/bin/tool"), replaces=["old>=0"])
    entry = Pkgdb.read(shop.root).packages["old"]
    leaving = VerifiedPackage(None, shop.step("old", "1_1", entry, action="remove"))
    for order in ([leaving, new], [new, leaving]):
        shop.install(*order)
        assert shop.there("/usr/bin/tool")
        assert not shop.there("/usr/bin/old")
        assert list(Pkgdb.read(shop.root).packages) == ["new"]
        shop.remove("new")
        shop.install(shop.package("old", file("/usr/bin/tool"), file("/usr/bin/old")))


def test_what_somebody_put_in_the_place_of_an_alternative_stays(shop: Shop) -> None:
    """Only a link is taken away with its provider."""
    shop.install(
        shop.package("a", file("/usr/bin/a"), alternatives={"g": ["/usr/bin/tool:/usr/bin/a"]})
    )
    tool = shop.root / "usr/bin/tool"
    tool.unlink()
    tool.write_text("mine")
    shop.remove("a")
    assert tool.read_text() == "mine"


# --- names, modes, links ---


@pytest.mark.parametrize(
    "name",
    ["gtk+3", "libstdc++", "libpcre2-8-0", "python3.12-tk", "0ad", "R", "font_x", "a" * 63],
)
def test_every_name_that_void_has(shop: Shop, name: str) -> None:
    """Plus, dots, dashes, digits first: each is installed, found again and removed."""
    shop.install(shop.package(name, file("/usr/share/x"), version="1.2.3rc1+git2_10"))
    assert list(Pkgdb.read(shop.root).packages) == [name]
    assert shop.there(f"/var/db/xbps/.{name}-files.plist")
    assert shop.remove(name).removed == (f"{name}-1.2.3rc1+git2_10",)


@pytest.mark.parametrize("mode", [0o754, 0o4755, 0o2755, 0o6755, 0o1777, 0o0, 0o440, 0o666, 0o4711])
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: others keep no suid")
def test_every_mode_is_kept(shop: Shop, mode: int) -> None:
    """The twelve bits of the archive, whatever the umask."""
    shop.install(shop.package("p", file("/usr/bin/p", mode=mode)))
    assert stat.S_IMODE((shop.root / "usr/bin/p").stat().st_mode) == mode


@pytest.mark.parametrize(
    "path",
    ["/usr/share/a b", "/usr/share/é", "/usr/share/[", "/usr/share/a\\b", "/usr/share/-x",
     "/usr/share/it's", '/usr/share/"q"', "/usr/share/a:b", "/usr/share/.hidden", "/usr/share/..."],
)  # fmt: skip
def test_odd_names_of_files(shop: Shop, path: str) -> None:
    """Blanks, brackets, quotes and the rest are no reason to refuse a file."""
    shop.install(shop.package("p", file(path), link(f"{path}.l", path.rpartition("/")[2])))
    assert shop.there(path)
    shop.remove("p")
    assert not shop.there("/usr")


def test_build_date_stands_in_old_index_entries_alone(shop: Shop) -> None:
    """xbps-rindex put it there until 2020; it gets no further than the index."""
    package = shop.package("iodine", file("/usr/bin/iodine"))
    old = package.step.entry | {"build-date": "2018-03-04 05:06 UTC"}
    shop.install(VerifiedPackage(package.path, shop.step("iodine", "1_1", old)))
    new = Shop(shop.directory / "new")
    new.install(package)
    assert Pkgdb.read(shop.root).packages == Pkgdb.read(new.root).packages


@pytest.mark.parametrize("key", ["build_date", "Build-Date", "build-dates", "build-options"])
def test_no_other_key_of_an_index_is_forgiven(shop: Shop, key: str) -> None:
    """What looks like it is refused by name."""
    package = shop.package("p", file("/f"))
    step = shop.step("p", "1_1", package.step.entry | {key: "2018-03-04 05:06 UTC"})
    with pytest.raises(PackageError, match=key) as caught:
        shop.install(VerifiedPackage(package.path, step))
    assert caught.value.code == "E-PACKAGE-INDEX-DIFFERS"
