"""What the records do not show: workers, hard links, setgid directories, scripts, odd indexes."""

from __future__ import annotations

import fcntl
import os
import resource
import stat
from collections.abc import Sequence
from pathlib import Path

import pytest

from voidimg.errors import (
    PackageError,
    ResolveError,
    ScriptError,
    StoreError,
    UsageError,
    VoidimgError,
)
from voidimg.events import Event, Message, Progress
from voidimg.tree.tree import Tree
from voidimg.xbps.install import forking, install, preserve
from voidimg.xbps.install.install import InstallReport, VerifiedPackage
from voidimg.xbps.install.pkgdb import Pkgdb, locked
from voidimg.xbps.install.scripts import ScriptOutcome
from voidimg.xbps.package.writer import PackageMember, PackageMeta, write_package
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.repository.local import entry_of
from voidimg.xbps.resolve.resolver import Step

ARCH = "x86_64"
EPOCH = 1_600_000_000
AS_ROOT = os.geteuid() == 0


class Shop:
    """Makes packages and installs them into a tree."""

    def __init__(self, directory: Path):
        self.directory = directory
        self.root = directory / "root"
        self.events: list[Event] = []

    def package(
        self, name: str, *members: PackageMember, version: str = "1_1", **meta: object
    ) -> VerifiedPackage:
        path = write_package(
            self.directory / "packages",
            PackageMeta(name, version, ARCH, "test package", **meta),  # type: ignore[arg-type]
            members,
        )
        _, _, entry = entry_of(path)
        return VerifiedPackage(path, self.step(name, version, entry))

    def step(self, name: str, version: str, entry: PlistDict, action: str = "install") -> Step:
        return Step(f"{name}-{version}", name, action, None, entry, automatic=False)  # type: ignore[arg-type]

    def install(self, *packages: VerifiedPackage, **options: object) -> InstallReport:
        options = {"runner": None, "listener": self.events.append} | options
        return install.install(self.root, packages, arch=ARCH, **options)  # type: ignore[arg-type]

    def paths(self) -> list[str]:
        with Tree(self.root) as tree:
            return [e.path for e in tree.walk() if not e.path.startswith("/var")]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def file(
    path: str, content: bytes = b"x", mode: int = 0o644, uid: int = 0, gid: int = 0
) -> PackageMember:
    return PackageMember(path, "file", mode, uid, gid, EPOCH, content)


class Scripts:
    """A runner that notes calls and gives the outcomes it was told to."""

    def __init__(self, *outcomes: ScriptOutcome | None):
        self.outcomes = list(outcomes)
        self.calls: list[tuple[str, ...]] = []

    def __call__(self, script: bytes, arguments: Sequence[str]) -> ScriptOutcome | None:
        self.calls.append(tuple(arguments))
        return self.outcomes.pop(0) if self.outcomes else ScriptOutcome(0)


def hard_linked(shop: Shop) -> VerifiedPackage:
    return shop.package(
        "p",
        file("/usr/bin/a", b"content"),
        PackageMember("/usr/bin/b", "hardlink", mtime=EPOCH, target="/usr/bin/a"),
        PackageMember("/usr/lib/c", "hardlink", mtime=EPOCH, target="/usr/bin/a"),
    )


def test_hard_links_share_one_file(shop: Shop) -> None:
    """All names of a set are one inode."""
    shop.install(hard_linked(shop))
    inodes = {(shop.root / path).stat().st_ino for path in ("usr/bin/a", "usr/bin/b", "usr/lib/c")}
    assert len(inodes) == 1


@pytest.mark.parametrize("left_out", ["/usr/bin/a", "/usr/bin/b", "/usr/lib/c", "/usr/bin/*"])
def test_noextract_of_some_names_of_a_hard_link_set(shop: Shop, left_out: str) -> None:
    """The others are there with their content, whichever name carries it in the archive."""
    shop.install(hard_linked(shop), noextract=[left_out])
    wanted = {"/usr/bin/a", "/usr/bin/b", "/usr/lib/c"} - {left_out}
    wanted -= {"/usr/bin/a", "/usr/bin/b"} if left_out == "/usr/bin/*" else set()
    files = {path for path in shop.paths() if (shop.root / path[1:]).is_file()}
    assert files == wanted
    assert all((shop.root / path[1:]).read_bytes() == b"content" for path in files)


def test_preserve_takes_globs(shop: Shop) -> None:
    """A glob is expanded by what exists; what does not exist is installed."""
    shop.root.joinpath("etc").mkdir(parents=True)
    shop.root.joinpath("etc/one").write_text("mine")
    shop.root.joinpath("etc/.dot").write_text("mine")
    shop.install(
        shop.package("p", file("/etc/one"), file("/etc/.dot"), file("/etc/two")),
        preserve=["/etc/*", "/none/*"],
    )
    assert [(shop.root / "etc" / name).read_text() for name in ("one", ".dot", "two")] == [
        "mine",
        "x",
        "x",
    ]
    with Tree(shop.root) as tree:
        assert preserve.expand_preserved(tree, ["/etc/o?e"]) == {"/etc/one"}


def test_many_directories(shop: Shop) -> None:
    """More directories than descriptors may be held open."""
    members = [file(f"/opt/{i:03}/f") for i in range(300)]
    members.append(PackageMember("/opt/zz/l", "hardlink", mtime=EPOCH, target="/opt/000/f"))
    shop.install(shop.package("p", *members))
    assert len([path for path in shop.paths() if path.endswith("/f")]) == 300
    assert shop.root.joinpath("opt/zz/l").stat().st_nlink == 2


def test_owner_in_a_directory_that_gives_its_group(shop: Shop) -> None:
    """A setgid directory of the tree does not change the owner of what is unpacked into it."""
    shop.root.joinpath("srv").mkdir(parents=True)
    if AS_ROOT:
        os.chown(shop.root / "srv", 0, 7)
    os.chmod(shop.root / "srv", 0o2775)
    link = PackageMember("/srv/l", "symlink", 0o777, mtime=EPOCH, target="f")
    shop.install(shop.package("p", file("/srv/f"), link, file("/srv/g", uid=3, gid=4)))
    owners = [(shop.root / "srv" / name).lstat() for name in ("f", "l", "g")]
    # An ordinary user keeps everything.
    wanted = [(0, 0), (0, 0), (3, 4)] if AS_ROOT else [(os.getuid(), os.getgid())] * 3
    assert [(one.st_uid, one.st_gid) for one in owners] == wanted


@pytest.mark.parametrize("jobs", [1, 2])
def test_the_umask_does_not_matter(shop: Shop, jobs: int) -> None:
    """Modes are those of the archive, directories 0755, and the umask is as before."""
    before = os.umask(0o077)
    try:
        packages = [shop.package(name, file(f"/{name}/f", mode=0o666)) for name in ("a", "b")]
        shop.install(*packages, jobs=jobs)
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    modes = [stat.S_IMODE((shop.root / path).stat().st_mode) for path in ("a", "a/f", "b/f")]
    assert modes == [0o755, 0o666, 0o666]


def test_order_where_it_matters(shop: Shop) -> None:
    """A link of alternatives where a later package has a file: the later one wins, as in xbps."""
    first = shop.package("a", file("/usr/bin/a"), alternatives={"g": ["/usr/bin/x:/usr/bin/a"]})
    second = shop.package("b", file("/usr/bin/x", b"file"))
    shop.install(first, second, jobs=2)
    assert shop.root.joinpath("usr/bin/x").read_bytes() == b"file"
    assert not shop.root.joinpath("usr/bin/x").is_symlink()


def test_an_error_in_a_worker_comes_back_as_itself(shop: Shop) -> None:
    """With its code, and nothing is registered."""
    shop.root.joinpath("a/f/full").mkdir(parents=True)
    packages = [shop.package(name, file(f"/{name}/f")) for name in ("a", "b", "c")]
    with pytest.raises(PackageError) as caught:
        shop.install(*packages, jobs=2)
    assert caught.value.code == "E-PACKAGE-DIRECTORY-IN-PLACE"
    assert Pkgdb.read(shop.root).packages == {}


def test_a_full_disk_is_told_as_such(shop: Shop) -> None:
    """A file that cannot be written names the package and the reason."""
    package = shop.package("p", file("/big", bytes(200_000)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Tree(shop.root, create=True):
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
        try:
            with pytest.raises(StoreError) as caught:
                shop.install(package)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (caught.value.code, caught.value.where) == ("E-STORE-UNPACK", "p-1_1")


def test_workers_report_crashes() -> None:
    """A worker that dies or breaks is an error; the others end."""
    with pytest.raises(StoreError) as caught:
        list(forking.run_forked(lambda _: os._exit(3), [1, 2], jobs=2))
    assert caught.value.code == "E-STORE-WORKER"
    with pytest.raises(StoreError, match="ZeroDivisionError"):
        list(forking.run_forked(lambda n: 1 // n, [1, 0, 1], jobs=2))
    assert dict(forking.run_forked(lambda n: n * n, [1, 2, 3], jobs=2)) == {0: 1, 1: 4, 2: 9}


def test_a_script_that_cannot_be_run_leaves_its_package_unpacked(shop: Shop) -> None:
    """The report says so, and reconfiguring with a shell ends the work."""
    package = shop.package("p", file("/f"), install_script=b"#!/bin/sh\n")
    other = shop.package("q", file("/g"))
    report = shop.install(package, other, runner=Scripts(ScriptOutcome(0), None))
    assert (report.configured, report.unconfigured) == (("q-1_1",), ("p-1_1",))
    assert any(isinstance(event, Message) and "p-1_1" in event.text for event in shop.events)
    scripts = Scripts()
    report = install.reconfigure(shop.root, arch=ARCH, runner=scripts)
    assert report.configured == ("p-1_1",)
    assert scripts.calls == [("post", "p", "1_1", "no", "no", ARCH)]
    assert install.reconfigure(shop.root, arch=ARCH, runner=scripts) == InstallReport()


def test_a_script_that_fails(shop: Shop) -> None:
    """Status or signal, action, package and output are told."""
    package = shop.package("p", file("/f"), install_script=b"#!/bin/sh\n")
    with pytest.raises(ScriptError) as caught:
        shop.install(package, runner=Scripts(ScriptOutcome(0), ScriptOutcome(-9, "out of luck\n")))
    assert str(caught.value.what) == (
        "the INSTALL script of p-1_1 was killed by signal 9 in its post part: out of luck"
    )
    assert caught.value.output == "out of luck"
    assert Pkgdb.read(shop.root).state("p") == "unpacked"


def test_messages_and_progress(shop: Shop) -> None:
    """INSTALL.msg is shown; each package counts once."""
    shop.install(
        shop.package("p", file("/f"), install_msg=b"Read the manual.\n"),
        shop.package("q", file("/g")),
        jobs=2,
    )
    assert Message("note", "p-1_1: Read the manual.") in shop.events
    done = [e.done for e in shop.events if isinstance(e, Progress) and e.step == "unpack"]
    assert done == [1, 2]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"installed_size": 7}, "INDEX-DIFFERS"),
        ({"short_desc": "other"}, "INDEX-DIFFERS"),
        ({"run_depends": ["evil>=0"]}, "INDEX-DIFFERS"),
        ({"preserve": True}, "INDEX-DIFFERS"),
        ({"install-script": b"#!/bin/sh\n"}, "INDEX-SCRIPT"),
        ({"remove-script": b"#!/bin/sh\n"}, "INDEX-SCRIPT"),
        ({"pkgver": "other-1_1"}, "PKGVER"),
    ],
)
def test_an_index_that_says_something_else(shop: Shop, change: PlistDict, code: str) -> None:
    """Any key that differs is refused by name before anything is unpacked."""
    package = shop.package("p", file("/f"))
    step = shop.step("p", "1_1", package.step.entry | change)
    with pytest.raises(PackageError) as caught:
        shop.install(VerifiedPackage(package.path, step))
    assert caught.value.code == f"E-PACKAGE-{code}"
    assert shop.paths() == []


def test_a_package_that_keys_may_come_with(shop: Shop) -> None:
    """Keys are ordinary files of a package; the rest of the database directory is not."""
    shop.install(shop.package("xbps", file("/var/db/xbps/keys/aa.plist")))
    for path in ("/var/db/xbps/.p-files.plist", "/var/db/xbps/lock", "/var/db/xbps"):
        with pytest.raises(PackageError) as caught:
            shop.install(shop.package("p", file(path)))
        assert caught.value.code == "E-PACKAGE-DATABASE"


def test_update_and_removal_leave_what_others_need(shop: Shop) -> None:
    """Removal refuses while needed; with its dependents, and orphans along, it works."""
    lib = shop.package("lib", file("/usr/lib/lib"))
    app = shop.package("app", file("/usr/bin/app"), run_depends=["lib>=0"])
    automatic = Step("lib-1_1", "lib", "install", None, lib.step.entry, automatic=True)
    shop.install(VerifiedPackage(lib.path, automatic), app)
    for names, code in ((["lib"], "NEEDED"), (["none"], "NOT-INSTALLED")):
        with pytest.raises(ResolveError) as caught:
            install.remove(shop.root, names, arch=ARCH, runner=None)
        assert caught.value.code == f"E-RESOLVE-{code}"
    report = install.remove(shop.root, ["app"], arch=ARCH, runner=None, recursive=True)
    assert report.removed == ("app-1_1", "lib-1_1")
    assert shop.paths() == []


def test_a_directory_that_holds_more_is_not_replaced(shop: Shop) -> None:
    """An update that makes a file of a directory names what is in the way; nothing is touched."""
    shop.install(shop.package("p", file("/d/mine")))
    shop.root.joinpath("d/foreign").write_text("")
    new = shop.package("p", file("/d"), version="2_1")
    step = Step("p-2_1", "p", "update", None, new.step.entry, automatic=False)
    with pytest.raises(PackageError) as caught:
        shop.install(VerifiedPackage(new.path, step))
    assert caught.value.code == "E-PACKAGE-DIRECTORY-KEPT"
    assert shop.paths() == ["/d", "/d/foreign", "/d/mine"]


def test_wrong_calls(shop: Shop) -> None:
    """A step that unpacks needs a file; configuring and choosing need an installed package."""
    with pytest.raises(UsageError):
        shop.install(VerifiedPackage(None, shop.step("p", "1_1", {})))
    calls = (
        lambda: install.reconfigure(shop.root, ["none"], arch=ARCH, runner=None),
        lambda: install.choose_alternative(shop.root, "none"),
    )
    for call in calls:
        with pytest.raises(VoidimgError):
            call()


def test_the_lock_is_held(shop: Shop) -> None:
    """A second run waits for the first: here one that holds the lock makes it visible."""
    with Tree(shop.root, create=True) as tree, locked(tree):
        fd = os.open(shop.root / "var/db/xbps/lock", os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(fd)
