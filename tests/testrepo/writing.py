"""Writes packages as a signed XBPS repository, with the product's own writer."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from voidimg.xbps.keys import PrivateKey, PublicKey
from voidimg.xbps.repository.local import (
    PackageMember,
    PackageMeta,
    index_packages,
    read_repodata,
    sign_packages,
    sign_repository,
    write_package,
)
from voidimg.xbps.repository.repodata import Repodata

from .model import Package

SIGNED_BY = "voidimg test repository"
KEYS = Path(__file__).parent.parent / "vectors" / "xbps" / "keys"
KEY = KEYS / "second.private.pem"
"""A key everybody has: its signatures are the same bytes everywhere and prove nothing."""

OTHER_KEY = KEYS / "main.private.pem"
"""Its owner has two keys and signs with one of them, as Void does."""

_LEVEL = 6


def write_repository(packages: Iterable[Package], directory: Path, architecture: str) -> PublicKey:
    """Write, sign and index `packages` in `directory`; the key to trust."""
    directory.mkdir(parents=True, exist_ok=True)
    packages = list(packages)
    key = PrivateKey.read(KEY)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        paths = list(pool.map(lambda package: write_one(package, directory), packages))
        list(pool.map(lambda path: sign_packages([path], key), paths))
    index_packages(directory, architecture, paths)
    _leave_build_dates(directory, architecture, packages)
    sign_repository(directory, architecture, key, SIGNED_BY)
    return key.public(SIGNED_BY)


def _leave_build_dates(directory: Path, architecture: str, packages: Iterable[Package]) -> None:
    found = read_repodata(directory, architecture)
    index = dict(found.index)
    for package in packages:
        if package.build_date:
            index[package.name] = {**index[package.name], "build-date": package.build_date}
    (directory / f"{architecture}-repodata").write_bytes(
        Repodata(index, found.stage, found.meta).encode()
    )


def write_one(package: Package, directory: Path) -> Path:
    """Write one package file; its path."""
    meta = PackageMeta(
        pkgname=package.name,
        version=package.version,
        architecture=package.architecture,
        short_desc=package.short_desc,
        run_depends=package.depends,
        conflicts=package.conflicts,
        replaces=package.replaces,
        provides=package.provides,
        shlib_provides=package.shlib_provides,
        shlib_requires=package.shlib_requires,
        conf_files=package.conf_files,
        alternatives=package.alternatives,
        preserve=package.preserve,
        install_script=package.install or b"",
        remove_script=package.remove or b"",
    )
    members = [
        PackageMember(
            path=member.path,
            kind=member.kind,
            mode=member.mode,
            uid=member.uid,
            gid=member.gid,
            mtime=member.mtime,
            content=member.content if member.kind == "file" else None,
            target=member.target,
        )
        for member in package.members
    ]
    return write_package(directory, meta, members, level=_LEVEL)
