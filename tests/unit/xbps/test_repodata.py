"""Repository indexes: those of the real tool are read, odd ones refused, ours come out equal."""

from __future__ import annotations

from pathlib import Path

import pytest

from voidimg.errors import PackageError
from voidimg.xbps import plist, tarwriter
from voidimg.xbps.keys import PublicKey
from voidimg.xbps.repository.repodata import KeyMeta, Repodata

VECTORS = Path(__file__).parents[2] / "vectors/xbps"
REPOS = VECTORS / "repos"
UNUSABLE = {
    "evil-index/dotslash": "E-PACKAGE-REPODATA",
    "evil-index/garbage": "E-PACKAGE-ARCHIVE-FORMAT",
    "evil-index/incomplete-meta": "E-PACKAGE-REPODATA",
    "evil-index/index-only": "E-PACKAGE-REPODATA",
    "evil-index/key-mismatch": "E-PACKAGE-REPODATA",
    "evil-index/wrong-order": "E-PACKAGE-REPODATA",
}
INDEXES = sorted(path.relative_to(REPOS).as_posix() for path in REPOS.rglob("*-repodata"))


def read(name: str) -> Repodata:
    return Repodata.decode((REPOS / name).read_bytes(), name)


def index_of(*members: tuple[str, bytes]) -> bytes:
    return (
        b"".join(tarwriter.file_header(name, len(c)) + tarwriter.padded(c) for name, c in members)
        + tarwriter.END
    )


@pytest.mark.parametrize("name", INDEXES)
def test_every_recorded_index_is_read_or_refused(name: str) -> None:
    """A usable one survives being written by us; of the odd ones each is refused by name."""
    code = UNUSABLE.get(name.rpartition("/")[0])
    if code is None:
        repodata = read(name)
        again = Repodata.decode(repodata.encode(), "again")
        assert again == repodata
        assert repodata.encode() == again.encode()
    else:
        with pytest.raises(PackageError) as caught:
            read(name)
        assert caught.value.code == code
        assert caught.value.where is not None
        assert caught.value.where.startswith(name)


def test_entries_stage_and_key() -> None:
    """The staged repository has both dictionaries and a signer."""
    repodata = read("staged/x86_64-repodata")
    assert repodata.index["libbar"]["pkgver"] == "libbar-1.0_1"
    assert repodata.stage["libbar"]["pkgver"] == "libbar-2.0_1"
    assert repodata.meta is not None
    assert repodata.meta.fingerprint == "c3:86:44:75:83:6f:a5:02:61:3d:2a:a8:f6:57:97:05"


@pytest.mark.parametrize("name", ["unsigned", "evil-index/deadbeef"])
def test_unsigned_indexes_have_no_key(name: str) -> None:
    """An empty member and the eight bytes DEADBEEF both mean: not signed."""
    assert read(f"{name}/x86_64-repodata").meta is None


def test_an_old_index_without_a_stage_is_read() -> None:
    """The third member may be missing."""
    repodata = read("evil-index/two-entries/x86_64-repodata")
    assert (len(repodata.index), repodata.stage) == (1, {})


def test_an_empty_index_has_empty_members() -> None:
    """Size 0 means empty, as xbps-rindex writes it."""
    data = Repodata({}, {}, None).encode()
    assert Repodata.decode(data, "x") == Repodata({}, {}, None)


def test_the_key_of_an_index_survives() -> None:
    """index-meta is written as XBPS writes it."""
    pem = (VECTORS / "keys/main.public.pem").read_bytes()
    meta = KeyMeta(PublicKey.from_pem(pem, signed_by="Me <me@example.invalid>"))
    assert Repodata.decode(Repodata({}, {}, meta).encode(), "x").meta == meta


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 1024,
        index_of(("index.plist", b""), ("index-meta.plist", b""))[:-1025],
        index_of(("index.plist", b"<plist>"), ("index-meta.plist", b"")),
        index_of(("index.plist", b""), ("index-meta.plist", b""), ("stage.plist", b""), ("x", b"")),
        index_of(("index.plist", plist.encode({"a": "x"})), ("index-meta.plist", b"")),
        index_of(("index.plist", plist.encode({"a": {}})), ("index-meta.plist", b"")),
        index_of(
            ("index.plist", plist.encode({"a": {"pkgver": "b-1_1"}})), ("index-meta.plist", b"")
        ),
        index_of(("index.plist", b""), ("index-meta.plist", plist.encode({"public-key": b"x"}))),
    ],
)
def test_impossible_indexes_are_refused(data: bytes) -> None:
    """Nothing but a PackageError, whatever is wrong."""
    with pytest.raises(PackageError):
        Repodata.decode(data, "index")


def test_every_truncated_index_is_refused() -> None:
    """No prefix of an index passes for an index, in any compression."""
    for kind in ("zstd", "gzip", "bzip2", "xz", "lz4", "none"):
        data = (REPOS / f"compression-index/{kind}/x86_64-repodata").read_bytes()
        whole = len(data) if kind != "none" else len(data.rstrip(b"\0")) + 1
        for size in range(0, whole, 7):
            with pytest.raises(PackageError):
                Repodata.decode(data[:size], kind)
