"""Every refusal of the package engine, beside the nearest shape that it accepts.

A refusal is as narrow as safety allows: what looks almost like the refused shape, and is what
packages of a distribution look like, must pass.
"""

from __future__ import annotations

import ast
import gzip
import io
import os
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests import documents
from tests.command import PROJECT
from tests.unit.xbps.shop import ARCH, Shop, file, link
from tests.unit.xbps.test_binpkg import PROPS, File, package, read_all
from tests.unit.xbps.test_binpkg import file as member
from voidimg.errors import VoidimgError
from voidimg.supply.trust import Trust
from voidimg.tree.tree import Tree
from voidimg.xbps import config, plist
from voidimg.xbps.install import install
from voidimg.xbps.install.alternatives import parse_link
from voidimg.xbps.install.incoming import read_incoming
from voidimg.xbps.install.install import VerifiedPackage
from voidimg.xbps.install.payload import Rules
from voidimg.xbps.install.pkgdb import Pkgdb
from voidimg.xbps.install.workers import Unpacking, unpack_one
from voidimg.xbps.keys import PrivateKey, PublicKey, create_repository_key
from voidimg.xbps.package.directory import read_package_directory
from voidimg.xbps.package.file_list import decode_list
from voidimg.xbps.package.writer import PackageMeta, write_package
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.repository.local import entry_of
from voidimg.xbps.repository.repodata import Repodata
from voidimg.xbps.resolve.resolver import Repository, resolve
from voidimg.xbps.resolve.transaction import why

KEYS = PROJECT / "tests" / "vectors" / "xbps" / "keys"
KEY = PrivateKey.read(KEYS / "second.private.pem")
PUBLIC = KEY.public("Me")
EMPTY_SUM = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
Shown = Callable[["Bench"], object]


class Bench(Shop):
    """A tree, a place for files, and short ways to what the cases need."""

    def put(self, name: str, *members: Any, change: PlistDict | None = None, **meta: Any) -> object:
        """Install the package `name`, whose index entry was changed."""
        made = self.package(name, *members, **meta)
        return self.install(self.changed(made, change or {}))

    def changed(self, made: VerifiedPackage, change: PlistDict) -> VerifiedPackage:
        one = made.step
        version = one.pkgver.rpartition("-")[2]
        return VerifiedPackage(made.path, self.step(one.pkgname, version, one.entry | change))

    def update(self, name: str, *members: Any) -> object:
        return self.install(self.as_update(self.package(name, *members, version="2_1")))

    def raw(self, files: PlistDict, *payload: File) -> object:
        """Install an archive that no writer of ours would make."""
        meta = [member("./props.plist", plist.encode(PROPS)),
                member("./files.plist", plist.encode(files))]  # fmt: skip
        path = package(self.directory, payload, meta=meta)
        entry = {key: PROPS[key] for key in ("architecture", "installed_size", "pkgver")}
        return self.install(VerifiedPackage(path, self.step("p", "1_1", entry)))

    def archive(self, *payload: File) -> object:
        return read_all(package(self.directory, payload))

    def stream(self, data: bytes, **options: Any) -> object:
        """Read `data` as the archive of a package."""
        from voidimg.xbps.package.reader import BinaryPackage

        path = self.directory / "x.xbps"
        path.write_bytes(data)
        with BinaryPackage.open(path, **options) as opened:
            return list(opened.members())

    def described(self, toml: str) -> object:
        made = self.directory / "described"
        (made / "files/usr/bin").mkdir(parents=True, exist_ok=True)
        (made / "files/usr/bin/a").write_text("a")
        if not (made / "files/usr/bin/b").exists():
            os.link(made / "files/usr/bin/a", made / "files/usr/bin/b")
        (made / "package.toml").write_text(
            'pkgname = "p"\nversion = "1_1"\narchitecture = "noarch"\nshort_desc = "x"\n' + toml
        )
        return read_package_directory(made)

    def unpacked(self, second: Sequence[Any]) -> object:
        """Unpack a package whose file was written again after it was looked at."""
        self.put("base")
        made = self.package("p", file("/a"))
        assert made.path is not None
        known = read_incoming(made.path, "p-1_1", made.step.entry, ARCH)
        self.package("p", *second)
        with Tree(self.root, create=True) as tree:
            return unpack_one(tree, Unpacking(known), Rules())

    def choose(self, name: str) -> object:
        install.choose_alternative(self.root, name)
        return self.root

    def touch(self, path: str) -> object:
        """Make the file `path`, or the directory if a slash ends it."""
        made = self.root / path[1:]
        if path.endswith("/"):
            made.mkdir()
        else:
            made.touch()
        return made

    def state(self, state: str) -> object:
        self.put("p", file("/a"))
        with Tree(self.root) as tree:
            db = Pkgdb.read_from(tree)
            db.packages["p"]["state"] = state
            db.write(tree)
        return install.reconfigure(self.root, ["p"], arch=ARCH, runner=None)


def tar(*members: File, form: int = tarfile.USTAR_FORMAT) -> bytes:
    """An archive with proper metadata before `members`, not compressed."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=form) as archive:
        for one, content in (
            member("./props.plist", plist.encode(PROPS)),
            member("./files.plist", plist.encode({})),
            *members,
        ):
            archive.addfile(one, io.BytesIO(content))
    return packed.getvalue()


def twice(data: bytes) -> bytes:
    """`data` in two gzip members, as some compressors write."""
    return gzip.compress(data[:1000]) + gzip.compress(data[1000:])


def index(name: str, entry: PlistDict) -> bytes:
    return Repodata({name: entry}, {}, None).encode()


def entry(pkgver: str, *needs: str, **arrays: Sequence[str]) -> PlistDict:
    made: PlistDict = {"pkgver": pkgver, "architecture": "noarch", "run_depends": list(needs)}
    return made | {key.replace("_", "-"): list(values) for key, values in arrays.items()}


def solved(
    requests: Sequence[str], *entries: PlistDict, installed: Sequence[PlistDict] = ()
) -> Any:
    def by_name(found: Sequence[PlistDict]) -> dict[str, PlistDict]:
        return {str(one["pkgver"]).rpartition("-")[0]: one for one in found}

    return resolve(requests, [Repository("r", by_name(entries))], by_name(installed))


def two_versions(demand: str) -> Any:
    """Resolve p, which demands this of l, and q, which wants l-2_1; l-1_1 is there too."""
    first = {"p": entry("p-1_1", demand), "q": entry("q-1_1", "l>=2"), "l": entry("l-1_1")}
    return resolve(["p", "q"], [Repository("r", first), Repository("s", {"l": entry("l-2_1")})])


def tool(name: str) -> dict[str, list[str]]:
    return {"g": [f"/usr/bin/tool:/usr/bin/{name}"]}


class Case(NamedTuple):
    """A refusal: its code, what is refused, what is accepted beside it, and in words."""

    code: str
    refused: Shown
    accepted: Shown
    neighbour: str


LIB = entry("libpcre2-8-0-10.42_1")
CASES = [
    Case(
        "E-PACKAGE-ARCH",
        lambda b: b.put("p", file("/a"), arch="aarch64"),
        lambda b: b.put("p", file("/a"), arch="noarch"),
        "noarch in the index of an architecture",
    ),
    Case(
        "E-PACKAGE-INDEX-DIFFERS",
        lambda b: b.put("p", file("/a"), change={"run_depends": ["x>=0"]}),
        lambda b: b.put("p", file("/a"), change={"build-date": "2018-01-01 00:00 UTC"}),
        "build-date of an old index entry",
    ),
    Case(
        "E-PACKAGE-INDEX-SCRIPT",
        lambda b: b.put("p", file("/a"), change={"install-script": b"x"}),
        lambda b: b.put("p", file("/a"), install_script=b"#!/bin/sh\n", remove_script=b"x"),
        "scripts in the package itself",
    ),
    Case(
        "E-PACKAGE-PKGVER",
        lambda b: b.put("p", file("/a"), change={"pkgver": "q-1_1"}),
        lambda b: b.put("gtk+3.0-x", file("/a"), version="1.17rc1+git2_01_1"),
        "names and versions with plus, dots, dashes and several underscores",
    ),
    Case(
        "E-PACKAGE-ALTERNATIVE",
        lambda _: parse_link("sh", where="x"),
        lambda _: parse_link("sh.1:/usr/share/man/man1/dash.1:more", where="x"),
        "a relative link, and what follows a second colon",
    ),
    Case(
        "E-PACKAGE-ALTERNATIVE-DIRECTORY",
        lambda b: (b.put("q", file("/usr/bin/tool/x")), b.put("p", alternatives=tool("p"))),
        lambda b: (b.put("q", file("/usr/bin/tool")), b.put("p", alternatives=tool("p"))),
        "a file in the place of the link",
    ),
    Case(
        "E-PACKAGE-ALTERNATIVE-ESCAPE",
        lambda _: parse_link("/../x:/usr/bin/x", where="x"),
        lambda _: parse_link("/usr/lib/../bin/x:/usr/bin/../lib/x", where="x"),
        "dots that stay inside",
    ),
    Case(
        "E-PACKAGE-ALTERNATIVE-UNKNOWN",
        lambda b: (b.put("p", file("/a")), b.choose("p")),
        lambda b: (b.put("p", alternatives=tool("p")), b.choose("p")),
        "a package that has the group already",
    ),
    Case(
        "E-PACKAGE-ARCHIVE-FORMAT",
        lambda b: b.stream(b"PK\3\4" + bytes(2000)),
        lambda b: b.stream(tar()),
        "a tar that is not compressed",
    ),
    Case(
        "E-PACKAGE-ARCHIVE-MALFORMED",
        lambda b: b.stream(tar(member("./a", type=tarfile.CONTTYPE))),
        lambda b: b.stream(tar(member("./" + "x/" * 90 + "y"), form=tarfile.GNU_FORMAT)),
        "long names in the form of GNU tar",
    ),
    Case(
        "E-PACKAGE-ARCHIVE-SIZE",
        lambda b: b.stream(tar(), max_bytes=len(tar()) - 1),
        lambda b: b.stream(tar(), max_bytes=len(tar())),
        "exactly the bytes that are allowed",
    ),
    Case(
        "E-PACKAGE-ARCHIVE-TRUNCATED",
        lambda b: b.stream(tar().rstrip(b"\0")),
        lambda b: b.stream(tar() + bytes(10240)),
        "more zeros at the end, as blocks of tapes have",
    ),
    Case(
        "E-PACKAGE-ARCHIVE-DAMAGED",
        lambda b: b.stream(gzip.compress(tar())[:-8] + bytes(8)),
        lambda b: b.stream(twice(tar())),
        "several gzip members",
    ),
    Case(
        "E-PACKAGE-BINPKG",
        lambda b: read_all(package(b.directory, [], meta=[member("./files.plist")])),
        lambda b: read_all(
            package(
                b.directory,
                [],
                meta=[
                    member("./INSTALL", b"x", mode=0o644),
                    member("./REMOVE", b""),
                    member("./props.plist", plist.encode(PROPS)),
                    member("./files.plist", plist.encode({})),
                ],
            )
        ),
        "scripts in either order, empty or not executable; a meta package without files",
    ),
    Case(
        "E-PACKAGE-BINPKG-DUPLICATE",
        lambda b: b.archive(member("./a"), member("./a")),
        lambda b: b.archive(*[member("./d/", type=tarfile.DIRTYPE)] * 2, member("./d/a")),
        "a directory that is there twice",
    ),
    Case(
        "E-PACKAGE-BINPKG-LINK",
        lambda b: b.archive(member("./a", type=tarfile.LNKTYPE, linkname="./b")),
        lambda b: b.archive(
            member("./b", type=tarfile.SYMTYPE, linkname="/run/runit/supervise.b"),
            member("./a", type=tarfile.LNKTYPE, linkname="./b"),
        ),
        "a hard link to a symlink that dangles",
    ),
    Case(
        "E-PACKAGE-BINPKG-NAME",
        lambda b: b.archive(member("./a\tb")),
        lambda b: b.archive(*(member(f"./{name}") for name in ("a b", "é", "-x", "...", "'\"\\"))),
        "blanks, quotes, dashes, dots and other alphabets",
    ),
    Case(
        "E-PACKAGE-BINPKG-SIZE",
        lambda b: (
            b.put("p", file("/a", bytes(2**21)), change={})
            and b.archive(member("./a", bytes(2**21)))
        ),
        lambda b: b.archive(member("./a", bytes(2**20))),
        "an installed_size that is off by what a package may round",
    ),
    Case(
        "E-PACKAGE-BINPKG-TYPE",
        lambda b: b.archive(member("./a", type=tarfile.FIFOTYPE)),
        lambda b: b.archive(member("./a", type=tarfile.AREGTYPE)),
        "a file in the form of the oldest tars",
    ),
    Case(
        "E-PACKAGE-CHANGED",
        lambda b: b.unpacked([file("/b")]),
        lambda b: b.unpacked([file("/a")]),
        "the same package written again",
    ),
    Case(
        "E-PACKAGE-DATABASE",
        lambda b: b.put("p", link("/var/db/xbps/triggers", "../../../usr/libexec/xbps-triggers")),
        lambda b: b.put(
            "xbps-triggers",
            file("/usr/libexec/xbps-triggers/mkdirs", mode=0o754),
            link("/var/db/xbps/triggers", "../../../usr/libexec/xbps-triggers"),
        ),
        "the link of xbps-triggers, and files below keys/",
    ),
    Case(
        "E-PACKAGE-DESCRIPTION",
        lambda b: b.described('[modes]\n"/usr/bin" = "0700"'),
        lambda b: b.described('[modes]\n"/usr/bin/b" = "04754"'),
        "a mode given under the second name of a hard link",
    ),
    Case(
        "E-PACKAGE-DIRECTORY-IN-PLACE",
        lambda b: (b.put("q", file("/a/x")), b.put("p", file("/a"))),
        lambda b: (b.put("q"), b.touch("/a/"), b.put("p", file("/a"))),
        "an empty directory in the place of a file",
    ),
    Case(
        "E-PACKAGE-DIRECTORY-KEPT",
        lambda b: (
            b.put("p", file("/d/x")),
            b.touch("/d/foreign"),
            b.update("p", file("/d")),
        ),
        lambda b: (b.put("p", file("/d/x")), b.update("p", link("/d", "usr/d"), file("/usr/d/x"))),
        "a directory that becomes a link, all of whose files go",
    ),
    Case(
        "E-PACKAGE-FILE-CONFLICT",
        lambda b: b.install(b.package("p", file("/d/x")), b.package("q", link("/d/x", "y"))),
        lambda b: b.install(b.package("p", file("/d/x")), b.package("q", file("/d/y"))),
        "a directory that both list",
    ),
    Case(
        "E-PACKAGE-FILE-NAME",
        lambda b: entry_of(renamed(b, "q-1_1.x86_64.xbps")),
        lambda b: entry_of(renamed(b, "libstdc++-p-1_1.x86_64.xbps")),
        "the name of a package with plus and dashes",
    ),
    Case(
        "E-PACKAGE-INDEX",
        lambda _: solved(["p"], entry("p-1_1") | {"run_depends": "x>=0"}),
        lambda _: solved(["p"], {"pkgver": "p-1_1", "architecture": "noarch"}),
        "an entry without any array",
    ),
    Case(
        "E-PACKAGE-LIST",
        lambda _: decode_list({"files": [{"file": "/a"}]}, where="x"),
        lambda _: decode_list(
            {"files": [{"file": "/a", "sha256": EMPTY_SUM, "mtime": 1, "mutable": True}]}, where="x"
        ),
        "an empty file, which has no size, with the time that lists had until 2021",
    ),
    Case(
        "E-PACKAGE-LIST-PATH",
        lambda _: decode_list({"dirs": [{"file": "/usr/../etc"}]}, where="x"),
        lambda _: decode_list({"dirs": [{"file": "/usr/.../..x"}]}, where="x"),
        "names that begin with dots",
    ),
    Case(
        "E-PACKAGE-LIST-TWICE",
        lambda _: decode_list({"links": [{"file": "/a", "target": "/b"}] * 2}, where="x"),
        lambda _: decode_list({"dirs": [{"file": "/a"}] * 2}, where="x"),
        "a directory that is listed twice",
    ),
    Case(
        "E-PACKAGE-MEMBER-KIND",
        lambda b: b.raw({"links": [{"file": "/a", "target": "/b"}]}, member("./a")),
        lambda b: b.raw(
            {"links": [{"file": "/a", "target": "/etc/x"}, {"file": "/b", "target": "garbage"}]},
            member("./a", type=tarfile.SYMTYPE, linkname="y"),
            member("./b", type=tarfile.LNKTYPE, linkname="./a"),
        ),
        "a link whose listed target is not its text",
    ),
    Case(
        "E-PACKAGE-META",
        lambda b: write_package(b.directory, meta("libpcre2"), []),
        lambda b: write_package(b.directory, meta("libpcre2-8-0>=10.22_1"), []),
        "a dependency with a dash and a revision",
    ),
    Case(
        "E-PACKAGE-MISSING-PAYLOAD",
        lambda b: b.raw({"files": [{"file": "/a", "sha256": EMPTY_SUM}]}),
        lambda b: b.raw({"dirs": [{"file": "/var/empty"}]}),
        "an empty directory, which is listed and never packed",
    ),
    Case(
        "E-PACKAGE-NOT-INSTALLED",
        lambda b: (b.put("p"), install.reconfigure(b.root, ["q"], arch=ARCH, runner=None)),
        lambda b: (b.put("p"), install.reconfigure(b.root, ["p"], arch=ARCH, runner=None)),
        "a package that is configured already",
    ),
    Case(
        "E-PACKAGE-PARENT-FILE",
        lambda b: (b.put("q", file("/a")), b.put("p", file("/a/b"))),
        lambda b: (b.put("q", file("/a/x")), b.put("p", file("/a/b"))),
        "a directory of another package",
    ),
    Case(
        "E-PACKAGE-PARENT-LINK",
        lambda b: (b.put("q", link("/lib", "/usr/lib")), b.put("p", file("/lib/x"))),
        lambda b: (
            b.put("q", link("/lib", "usr/lib"), link("/usr/lib64", "lib"), file("/usr/lib/q")),
            b.put("p", file("/lib/x"), file("/usr/lib64/y")),
        ),
        "the relative links of the merged /usr",
    ),
    Case(
        "E-PACKAGE-PAYLOAD-HASH",
        lambda b: b.raw({"files": [{"file": "/a", "sha256": EMPTY_SUM}]}, member("./a", b"x")),
        lambda b: b.raw({"files": [{"file": "/a", "sha256": EMPTY_SUM}]}, member("./a")),
        "an empty file",
    ),
    Case(
        "E-PACKAGE-PKGDB",
        lambda _: Pkgdb({"_XBPS_ALTERNATIVES_": {"sh": []}}),
        lambda _: Pkgdb({"_XBPS_ALTERNATIVES_": {}, "_XBPS_LATER_": "x", "p": {}}),
        "keys that a later xbps may add",
    ),
    Case(
        "E-PACKAGE-PLIST",
        lambda _: plist.decode(b"<plist><dict><key>a</key><real>1</real></dict></plist>", where=""),
        lambda _: plist.decode(
            b"<plist>\r\n<!-- x --><dict><key>a</key><string>&apos;\xff\xe7</string>\r\n</dict>"
            b"</plist>\nmore",
            where="",
        ),
        "comments, CR LF, and text that is no UTF-8",
    ),
    Case(
        "E-PACKAGE-PLIST-SIZE",
        lambda _: plist.decode(plist.encode({}), where="", max_bytes=len(plist.encode({})) - 1),
        lambda _: plist.decode(plist.encode({}), where="", max_bytes=len(plist.encode({}))),
        "exactly the bytes that are allowed",
    ),
    Case(
        "E-PACKAGE-PLIST-VALUE",
        lambda _: plist.encode({"a": 1.5}),  # type: ignore[dict-item]
        lambda _: plist.encode({"a": [{"b": -1}, True, b"", ""]}),
        "what lists and dictionaries of packages hold",
    ),
    Case(
        "E-PACKAGE-REPODATA",
        lambda _: Repodata.decode(index("p", entry("q-1_1")), "x"),
        lambda _: Repodata.decode(
            index("font-x+y.z", entry("font-x+y.z-1_1") | {"build-date": "x", "later": 1}), "x"
        ),
        "keys that are not known",
    ),
    Case(
        "E-PACKAGE-REPOSITORY-URL",
        lambda _: config.remote_directory("https://[x/current"),
        lambda _: config.remote_directory("https://u:p@[::1]:8080/current/musl/"),
        "an IPv6 address with port, user and a slash at the end",
    ),
    Case(
        "E-PACKAGE-STATE",
        lambda b: b.state("broken"),
        lambda b: b.state("unpacked"),
        "a package that is unpacked only",
    ),
    Case(
        "E-PACKAGE-THROUGH-LINK",
        lambda b: b.raw(
            {
                "links": [{"file": "/a", "target": "/usr"}],
                "files": [{"file": "/a/b", "sha256": EMPTY_SUM}],
            }
        ),
        lambda b: b.put("p", link("/a", "usr"), link("/c", "a/b"), file("/usr/b")),
        "links to links, and what they lead to",
    ),
    Case(
        "E-PACKAGE-UNLISTED",
        lambda b: b.raw({}, member("./a")),
        lambda b: b.raw({}, member("./a", type=tarfile.DIRTYPE)),
        "the entry of a directory",
    ),
    Case(
        "E-RESOLVE-BAD-DEPENDENCY",
        lambda _: solved(["p"], entry("p-1_1", "libpcre2-8-0"), LIB),
        lambda _: solved(["p"], entry("p-1_1", "libpcre2-8-0>=10.22_1"), LIB),
        "a pattern with a dash and a revision",
    ),
    Case(
        "E-RESOLVE-BREAKS-INSTALLED",
        lambda _: solved(
            ["p"],
            entry("p-1_1", "l>=2"),
            entry("l-2_1"),
            installed=[entry("l-1_1"), entry("o-1_1", "l<2")],
        ),
        lambda _: solved(
            ["p"],
            entry("p-1_1", "l>=2"),
            entry("l-2_1"),
            installed=[entry("l-1_1"), entry("o-1_1", "l>=1_1")],
        ),
        "an update that an installed package allows",
    ),
    Case(
        "E-RESOLVE-CONFLICT",
        lambda _: solved(["p", "q"], entry("p-1_1", conflicts=["q>=0"]), entry("q-1_1")),
        lambda _: solved(["p", "q"], entry("p-1_1", conflicts=["q<1_1"]), entry("q-1_1")),
        "a conflict with older versions only",
    ),
    Case(
        "E-RESOLVE-CONTRADICTION",
        lambda _: two_versions("l<2"),
        lambda _: two_versions("l<2_2"),
        "demands that one revision meets",
    ),
    Case(
        "E-RESOLVE-EXCLUSIVE",
        lambda _: solved(["p", "q"], entry("p-1_1", replaces=["q>=0"]), entry("q-1_1")),
        lambda _: solved(["p", "q"], entry("p-1_1", replaces=["q<1_1", "p>=0"]), entry("q-1_1")),
        "a package that replaces older versions, and itself",
    ),
    Case(
        "E-RESOLVE-MISSING",
        lambda _: solved(["p"], entry("p-1_1", "libpcre2-8-0>=10.43_1"), LIB),
        lambda _: solved(["p"], entry("p-1_1", "libpcre2-8-0-10.42_1"), LIB),
        "exactly the version that is there",
    ),
    Case(
        "E-RESOLVE-NEEDED",
        lambda b: (b.put("l"), b.put("p", run_depends=["l>=0"]), b.remove("l")),
        lambda b: (b.put("l"), b.put("p", run_depends=["l>=0"]), b.remove("l", "p")),
        "both at once",
    ),
    Case(
        "E-RESOLVE-NOT-AMONG",
        lambda _: why(solved(["p"], entry("p-1_1")), "q"),
        lambda _: why(solved(["v"], entry("p-1_1", provides=["v-1_1"])), "p"),
        "a package that provides what was asked for",
    ),
    Case(
        "E-RESOLVE-NOT-INSTALLED",
        lambda b: (b.put("p"), b.remove("q")),
        lambda b: (b.put("p"), b.remove("p", "p")),
        "a package that is named twice",
    ),
    Case(
        "E-RESOLVE-NOT-NEEDED",
        lambda _: why(unasked(), "p"),
        lambda _: why(solved(["p>=0"], entry("p-1_1")), "p"),
        "a package that was asked for by a pattern",
    ),
    Case(
        "E-RESOLVE-SHLIB",
        lambda _: solved(["p"], entry("p-1_1", shlib_requires=["l.so.1"])),
        lambda _: solved(
            ["p"], entry("p-1_1", shlib_requires=["l.so.1"], shlib_provides=["l.so.1"])
        ),
        "a library that the package brings itself",
    ),
    Case(
        "E-VERIFY-KEY",
        lambda _: PublicKey.from_pem(b"no key", signed_by="", where="x"),
        lambda _: PublicKey.from_pem(b"\n" + PUBLIC.pem + b"\n\n", signed_by="", where="x"),
        "empty lines around the key",
    ),
    Case(
        "E-VERIFY-KEY-FILE",
        lambda _: PublicKey.from_plist(plist.encode({"public-key": PUBLIC.pem}), where="x"),
        lambda _: PublicKey.from_plist(
            gzip.compress(plist.encode(PUBLIC.values() | {"signature-type": "rsa"})), where="x"
        ),
        "a compressed key file with the keys of index-meta",
    ),
    Case(
        "E-VERIFY-KEY-PASSPHRASE",
        lambda b: PrivateKey.read(made_key(b), None),
        lambda b: PrivateKey.read(made_key(b), "secret"),
        "the passphrase",
    ),
    Case(
        "E-VERIFY-KEY-SIZE",
        lambda _: PublicKey.from_values(PUBLIC.values() | {"public-key-size": 1024}, where="x"),
        lambda _: PublicKey.from_values(PUBLIC.values(), where="x"),
        "the size that the key has",
    ),
    Case(
        "E-VERIFY-SIGNATURE",
        lambda b: PUBLIC.verify(some(b), KEY.sign_file(some(b))[:-1] + b"x"),
        lambda b: PUBLIC.verify(some(b), KEY.sign_file(some(b))),
        "the signature of the file",
    ),
    Case(
        "E-VERIFY-UNREADABLE",
        lambda b: PUBLIC.verify(b.directory / "none", b""),
        lambda b: PUBLIC.verify(some(b, b""), KEY.sign_file(some(b, b""))),
        "an empty file",
    ),
    Case(
        "E-VERIFY-UNSIGNED",
        lambda _: Trust.of([], [PUBLIC.fingerprint]).require(None, "x"),
        lambda _: Trust.of([], [PUBLIC.fingerprint]).require(PUBLIC, "x"),
        "a repository that is signed",
    ),
    Case(
        "E-VERIFY-UNTRUSTED-KEY",
        lambda _: Trust.of([], ["aa:bb"]).require(PUBLIC, "x"),
        lambda _: Trust.of([], ["aa:bb", PUBLIC.fingerprint]).require(PUBLIC, "x"),
        "the second of two trusted keys",
    ),
]

ELSEWHERE = {
    "E-PACKAGE-LIST-SIZE": (
        "tests/fuzz/test_findings.py",
        "test_deep_directories_of_file_lists_are_not_all_remembered",
    ),
    "E-RESOLVE-LOCK-PLATFORM": ("tests/unit/xbps/test_lock.py", "E-RESOLVE-LOCK-PLATFORM"),
    "E-VERIFY-KEY-MODE": ("tests/unit/test_foreign.py", "test_a_secret_is_for_its_owner_alone"),
    "E-RESOLVE-TOO-HARD": ("tests/unit/xbps/test_offers.py", "E-RESOLVE-TOO-HARD"),
}
"""Refusals whose neighbour needs more than a line: where it is."""


def renamed(bench: Bench, name: str) -> Path:
    """The file of a package of that name, under the name `name`."""
    made = bench.package("libstdc++-p", file("/a")).path
    assert made is not None
    return made.rename(made.with_name(name))


def meta(dependency: str) -> PackageMeta:
    return PackageMeta("p", "1_1", "noarch", "x", run_depends=[dependency])


def unasked() -> Any:
    from dataclasses import replace

    return replace(solved(["p"], entry("p-1_1")), requests=())


def made_key(bench: Bench) -> Path:
    path = bench.directory / "key.pem"
    create_repository_key(path, 2048, "secret")
    return path


def some(bench: Bench, content: bytes = b"x") -> Path:
    path = bench.directory / "some"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.code)
def test_a_refusal_and_its_neighbour(case: Case, tmp_path: Path) -> None:
    """The one is refused with its code and a hint or a place, the other passes."""
    for name in ("refused", "accepted"):
        (tmp_path / name).mkdir()
    case.accepted(Bench(tmp_path / "accepted"))
    with pytest.raises(VoidimgError) as caught:
        case.refused(Bench(tmp_path / "refused"))
    assert caught.value.code == case.code
    assert case.neighbour


def test_no_refusal_of_the_engine_is_left_out() -> None:
    """Whoever adds a code says what it does not refuse."""
    raised: set[str] = set()
    for path in (PROJECT / "voidimg" / "xbps").rglob("*.py"):
        module = ast.parse(path.read_text())
        makers = dict(documents._makers_of(module))
        found = [*documents._errors_of(module), *documents._made_errors_of(module, makers)]
        raised |= {code for code, _, _ in [*found, *documents._chosen_errors_of(module)]}
    families = ("E-PACKAGE-", "E-RESOLVE-", "E-VERIFY-")
    known = {case.code for case in CASES} | ELSEWHERE.keys()
    assert {code for code in raised if code.startswith(families)} <= known
    assert len(CASES) == len({case.code for case in CASES})
    for where, words in ELSEWHERE.values():
        assert words in (PROJECT / where).read_text()
