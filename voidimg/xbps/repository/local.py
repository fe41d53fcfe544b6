"""Makes local XBPS repositories: indexes packages and signs them, as xbps-rindex does.

A repository is a directory with ``<arch>-repodata``, the packages and their ``.sig2`` files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from voidimg.atomic import new_file, private_directory, replacing
from voidimg.errors import PackageError, StoreError, VoidimgError, storing
from voidimg.foreign import open_regular, read_regular
from voidimg.xbps.keys import MAX_BITS, PrivateKey, PublicKey, create_repository_key
from voidimg.xbps.names import NOARCH, file_name, file_name_parts
from voidimg.xbps.package.reader import BinaryPackage
from voidimg.xbps.package.writer import PackageMember, PackageMeta, write_package
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.repository.repodata import KeyMeta, Repodata
from voidimg.xbps.version import compare

__all__ = [
    "PackageMember",
    "PackageMeta",
    "architectures",
    "create_repository_key",
    "entry_of",
    "index_packages",
    "packages_of",
    "read_repodata",
    "sign_packages",
    "sign_repository",
    "write_key_file",
    "write_package",
]

MAX_REPODATA_BYTES = 256 * 2**20
"""Most of an index that is read; Void's largest has some 2 MiB."""

_NOT_IN_INDEX = frozenset({"pkgname", "version", "packaged-with"})


def packages_of(repo_dir: Path) -> list[Path]:
    """The files of `repo_dir` that are named like packages, sorted by name.

    Raises:
        StoreError: the directory cannot be read.
    """
    try:
        names = sorted(path.name for path in repo_dir.iterdir())
    except OSError as error:
        raise StoreError(
            f"cannot read the repository {repo_dir}: {error.strerror}",
            code="IO",
            where=str(repo_dir),
        ) from error
    return [repo_dir / name for name in names if file_name_parts(name) is not None]


def architectures(repo_dir: Path) -> list[str]:
    """The architectures of the indexes and packages in `repo_dir`, noarch left out, sorted."""
    found = {path.name.removesuffix("-repodata") for path in repo_dir.glob("*-repodata")}
    for path in packages_of(repo_dir):
        parts = file_name_parts(path.name)
        if parts is not None and parts.arch != NOARCH:
            found.add(parts.arch)
    return sorted(found)


def read_repodata(repo_dir: Path, arch: str) -> Repodata:
    """The index of `arch`; an empty one if there is none yet.

    Raises:
        StoreError: it cannot be read.
        PackageError: it is not an index.
    """
    path = repo_dir / f"{arch}-repodata"
    try:
        data = read_regular(path, MAX_REPODATA_BYTES)
    except FileNotFoundError:
        return Repodata({}, {}, None)
    except OSError as error:
        raise StoreError(
            f"cannot read {path}: {error.strerror}", code="IO", where=str(path)
        ) from error
    return Repodata.decode(data, str(path))


def entry_of(path: Path) -> tuple[str, str, PlistDict]:
    """pkgname, architecture and index entry of the package file `path`.

    The entry is the package's properties without pkgname, version and packaged-with, plus
    filename-size (bytes) and filename-sha256 (of the file).

    Raises:
        StoreError: it cannot be read.
        PackageError: it is not a package, or is not named after what is in it.
    """
    with BinaryPackage.open(path) as package:
        props = package.props
    pkgver, arch = str(props["pkgver"]), str(props["architecture"])
    if path.name != file_name(pkgver, arch):
        raise PackageError(
            f"the package in this file is {pkgver} for {arch}",
            code="FILE-NAME",
            where=str(path),
            hint=f"name it {file_name(pkgver, arch)}",
        )
    try:
        with open_regular(path) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            size = file.tell()
    except OSError as error:
        raise StoreError(
            f"cannot read {path}: {error.strerror}", code="IO", where=str(path)
        ) from error
    entry = {key: value for key, value in props.items() if key not in _NOT_IN_INDEX}
    return (
        str(props["pkgname"]),
        arch,
        {**entry, "filename-sha256": digest, "filename-size": size},
    )


def index_packages(
    repo_dir: Path, arch: str, packages: Iterable[Path] | None = None, *, prune: bool = False
) -> Repodata:
    """Enter `packages` into the index of `arch` in `repo_dir`, write it and return it.

    Of a name the highest version stays, unless a package reverts it; the same version is
    entered again. A stage and who signed stay as they are.

    Args:
        repo_dir: the repository.
        arch: the architecture whose index it is; noarch packages go into every index.
        packages: files in `repo_dir`, of `arch` or noarch; by default all that fit.
        prune: drop entries whose file is gone.

    Raises:
        PackageError: a package is malformed, misnamed, elsewhere, or of another architecture.
        StoreError: something cannot be read or written.
    """
    repodata = read_repodata(repo_dir, arch)
    index = dict(repodata.index)
    if prune:
        index = {
            name: entry for name, entry in index.items() if (repo_dir / _file_of(entry)).is_file()
        }
    for path in _fitting(repo_dir, arch) if packages is None else packages:
        name, package_arch, entry = entry_of(path)
        if package_arch not in (arch, NOARCH) or path.parent.resolve() != repo_dir.resolve():
            raise PackageError(
                f"a package for {package_arch} cannot be indexed for {arch} in {repo_dir}",
                code="INDEX",
                where=str(path),
                hint="put the package into the repository and name its own architecture",
            )
        if name not in index or _succeeds(entry, index[name]):
            index[name] = entry
    return _write(repo_dir, arch, Repodata(index, repodata.stage, repodata.meta))


def sign_repository(repo_dir: Path, arch: str, key: PrivateKey, signed_by: str) -> Repodata:
    """Enter `key` as the signer of the repository into the index of `arch`, and return that.

    The packages are signed by `sign_packages`; an index itself has no signature.

    Args:
        repo_dir: the repository.
        arch: the architecture whose index it is.
        key: the private key of which the public half is entered.
        signed_by: free text that XBPS shows when it asks to trust the key.

    Raises:
        PackageError: the index is damaged.
        StoreError: it does not exist or cannot be written.
    """
    path = repo_dir / f"{arch}-repodata"
    if not path.is_file():
        raise StoreError(
            f"the repository has no index for {arch}",
            code="NO-INDEX",
            where=str(path),
            hint=f"make it first: voidimg repo index {repo_dir} --arch {arch}",
        )
    repodata = read_repodata(repo_dir, arch)
    meta = KeyMeta(key.public(signed_by))
    return _write(repo_dir, arch, Repodata(repodata.index, repodata.stage, meta))


def sign_packages(paths: Sequence[Path], key: PrivateKey) -> list[Path]:
    """Write the ``.sig2`` beside each package file of `paths`, and return those.

    Raises:
        VerifyError: a package cannot be read.
        StoreError: a signature cannot be written.
    """
    signatures = [path.with_name(f"{path.name}.sig2") for path in paths]
    for repo_dir in dict.fromkeys(path.parent for path in paths):
        # one private directory for all: to look for those of killed runs takes time
        with storing(repo_dir, "write signatures to"), private_directory(repo_dir) as private:
            for path, signature in zip(paths, signatures, strict=True):
                if path.parent == repo_dir:
                    _require_ours(signature, lambda content: len(content) <= MAX_BITS // 8)
                    content = key.sign_file(path)
                    with new_file(private, signature) as file:
                        file.write(content)
    return signatures


def write_key_file(directory: Path, key: PublicKey) -> Path:
    """Write ``<fingerprint>.plist`` of `key` into `directory`, and return its path.

    Raises:
        StoreError: it cannot be written.
    """
    path = directory / f"{key.fingerprint}.plist"
    _require_ours(path, lambda content: _fingerprint(content) == key.fingerprint)
    with replacing(path) as file:
        file.write(key.plist())
    return path


def _require_ours(path: Path, is_ours: Callable[[bytes], bool]) -> None:
    """Ensure that `path` is missing, or a file whose content is one that may be replaced.

    Raises:
        StoreError: something else is there.
    """
    try:
        if is_ours(read_regular(path, MAX_REPODATA_BYTES)):
            return
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(
            f"cannot read {path}: {error.strerror}", code="IO", where=str(path)
        ) from error
    raise StoreError(
        f"{path} is not what its name says, and is not replaced",
        code="NOT-OURS",
        where=str(path),
        hint="move it away",
    )


def _fingerprint(plist: bytes) -> str | None:
    try:
        return PublicKey.from_plist(plist, where="key").fingerprint
    except VoidimgError:
        return None


def _fitting(repo_dir: Path, arch: str) -> list[Path]:
    return [
        path
        for path in packages_of(repo_dir)
        if (parts := file_name_parts(path.name)) is not None and parts.arch in (arch, NOARCH)
    ]


def _file_of(entry: PlistDict) -> str:
    return file_name(str(entry.get("pkgver")), str(entry.get("architecture")))


def _succeeds(new: PlistDict, old: PlistDict) -> bool:
    """Whether `new` takes the place of `old`: higher, equal, or the one reverts the other."""
    new_version, old_version = _version(new), _version(old)
    if old_version in _reverts(new):
        return True
    if new_version in _reverts(old):
        return False
    return compare(new_version, old_version) >= 0


def _version(entry: PlistDict) -> str:
    return str(entry["pkgver"]).rpartition("-")[2]


def _reverts(entry: PlistDict) -> list[str]:
    versions = entry.get("reverts")
    return [str(version) for version in versions] if isinstance(versions, list) else []


def _write(repo_dir: Path, arch: str, repodata: Repodata) -> Repodata:
    with replacing(repo_dir / f"{arch}-repodata") as file:
        file.write(repodata.encode())
    return repodata
