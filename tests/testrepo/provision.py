"""Provides the finished repositories: made once, kept in a cache, made again when inputs change."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from voidimg import xbps
from voidimg.errors import FetchError
from voidimg.xbps.keys import PrivateKey

from .apt import Apt, DebEntry
from .checks import check
from .convert import Conversion
from .model import Package
from .selection import Selection, read_names
from .target import DEFAULT, TARGETS, TINY_MUSL, Arch, Target
from .tinyset import tiny_packages, tiny_selection
from .writing import OTHER_KEY, SIGNED_BY, write_repository

HERE = Path(__file__).parent
DEFAULT_CACHE = HERE.parent.parent / "build" / "testrepo"
_WRITERS = (
    "keys.py",
    "package/writer.py",
    "plist.py",
    "repository/repodata.py",
    "repository/local.py",
    "tarwriter.py",
)
_Make = Callable[[Selection, dict[str, Path]], Iterable[Package]]


@dataclass(frozen=True, slots=True)
class RepositoryFixture:
    """A signed repository: its directory, the plist of the key to trust, its architecture.

    Its owner has two keys, of which he signs with one; `other_key_plist` is that of the other.
    """

    path: Path
    key_plist: Path
    arch: str

    @property
    def other_key_plist(self) -> Path:
        """The key that nothing here is signed with, and that a tree trusts all the same."""
        return next(path for path in self.key_plist.parent.iterdir() if path != self.key_plist)


def provide(
    cache: Path | None = None, *, arch: Arch = "aarch64", live: bool = False
) -> RepositoryFixture:
    """The whole repository: base-container-full, base-system, and what the images of `arch` need.

    That is rpi-base and cloud-guest-utils for aarch64; kernel, boot loaders, dracut and what live
    systems hold for PCs, and for aarch64 when `live` is asked: it has a repository for each.

    Args:
        cache: where downloads and repositories are kept; `build/testrepo` by default.
        arch: XBPS architecture.
        live: what live systems need, where that is a repository of its own.

    Raises:
        FetchError: Debian's packages are not in the cache and cannot be downloaded.
        PackageError: the converted packages do not fit together.
    """

    target = TARGETS.get(f"{arch}-live", TARGETS[arch]) if live else TARGETS[arch]

    def make(selection: Selection, deb_files: dict[str, Path]) -> Iterable[Package]:
        return Conversion(selection, deb_files, target).packages()

    return _provide("whole", target, cache or DEFAULT_CACHE, lambda selection: selection, make)


def provide_tiny(cache: Path | None = None, *, musl: bool = False) -> RepositoryFixture:
    """The tiny repository (`tiny-base`, `tiny-platform`, `tiny-service`), of a few megabytes.

    With `musl` it is for aarch64-musl, and has that C library beside the static busybox.

    Raises:
        FetchError: the Debian packages it needs, one or two, cannot be downloaded.
    """
    target = TINY_MUSL if musl else DEFAULT

    def make(selection: Selection, deb_files: dict[str, Path]) -> Iterable[Package]:
        return tiny_packages(selection, deb_files, target)

    return _provide("tiny", target, cache or DEFAULT_CACHE, tiny_selection, make)


def read_selection(cache: Path, target: Target = DEFAULT, *, refresh: bool = False) -> Selection:
    """The chosen Debian packages; remembered until their names change or `refresh` is asked."""
    names = read_names(target)
    key = _names_key(target)
    memory = _place(cache, target) / "selection.json"
    if memory.is_file() and not refresh:
        table = json.loads(memory.read_text("utf-8"))
        if table["names"] == key:
            debs = [DebEntry(**entry) for entry in table["debs"]]
            return Selection(names, {deb.name: deb for deb in debs})
    apt = Apt(_downloads(cache, target) / "apt", target.debian)
    if refresh:
        apt.update()
    selection = Selection.closure(apt.index(), names)
    debs_json = [asdict(deb) for deb in selection.debs.values()]
    memory.parent.mkdir(parents=True, exist_ok=True)
    memory.write_text(json.dumps({"names": key, "debs": debs_json}, indent=1) + "\n", "utf-8")
    return selection


def _names_key(target: Target) -> str:
    digest = hashlib.sha256()
    for path in target.names:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _place(cache: Path, target: Target) -> Path:
    return cache if target == DEFAULT else cache / target.name


def _downloads(cache: Path, target: Target) -> Path:
    # Repositories of one architecture share what they have fetched.
    return _place(cache, next(one for one in TARGETS.values() if one.debian == target.debian))


def _provide(
    kind: str,
    target: Target,
    cache: Path,
    reduce: Callable[[Selection], Selection],
    make: _Make,
) -> RepositoryFixture:
    downloads, directory = _downloads(cache, target), _place(cache, target) / kind
    downloads.mkdir(parents=True, exist_ok=True)
    directory.parent.mkdir(exist_ok=True)
    with _locked(downloads / "lock"):
        selection = read_selection(cache, target)
        fixture = _finished(directory, target, _stamp(target, reduce(selection)))
        if fixture is not None:
            return fixture
        selection, files = _download(cache, target, selection, reduce)
        packages = list(make(selection, files))
        check(packages)
        return _write(directory, target, _stamp(target, reduce(selection)), packages)


def _download(
    cache: Path, target: Target, selection: Selection, reduce: Callable[[Selection], Selection]
) -> tuple[Selection, dict[str, Path]]:
    downloads = _downloads(cache, target)
    apt = Apt(downloads / "apt", target.debian)
    try:
        return selection, apt.download(list(reduce(selection).debs.values()), downloads / "debs")
    except FetchError:
        # The mirror has moved on to newer versions than those remembered.
        selection = read_selection(cache, target, refresh=True)
        return selection, apt.download(list(reduce(selection).debs.values()), downloads / "debs")


def _write(
    directory: Path, target: Target, stamp: str, packages: Iterable[Package]
) -> RepositoryFixture:
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".new-") as work:
        new = Path(work) / "made"
        key = write_repository(packages, new / "repository", target.arch)
        (new / "keys").mkdir()
        for one in (key, PrivateKey.read(OTHER_KEY).public(SIGNED_BY)):
            (new / "keys" / f"{one.fingerprint}.plist").write_bytes(one.plist())
        (new / "key").write_text(f"{key.fingerprint}.plist", "utf-8")
        (new / "stamp").write_text(stamp, "utf-8")
        if directory.exists():
            shutil.rmtree(directory)
        new.rename(directory)
    return _fixture(directory, target)


def _finished(directory: Path, target: Target, stamp: str) -> RepositoryFixture | None:
    memory = directory / "stamp"
    if not memory.is_file() or memory.read_text("utf-8") != stamp:
        return None
    return _fixture(directory, target)


def _fixture(directory: Path, target: Target) -> RepositoryFixture:
    name = (directory / "key").read_text("utf-8")
    return RepositoryFixture(directory / "repository", directory / "keys" / name, target.arch)


def _stamp(target: Target, selection: Selection) -> str:
    """Changes whenever the bytes of the repository may change."""
    digest = hashlib.sha256()
    for name, deb in selection.debs.items():
        digest.update(f"{name} {deb.version}\n".encode())
    writers = Path(xbps.__file__).parent
    for path in [*sorted(target.inputs()), *(writers / name for name in _WRITERS)]:
        mode = path.stat().st_mode & 0o100
        digest.update(f"{path.name} {mode} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    # Parallel test runs share the cache: one of them makes the repository, the others wait.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
