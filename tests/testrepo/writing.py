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
    sign_packages,
    sign_repository,
    write_package,
)

from .model import Package

SIGNED_BY = "voidimg test repository"
KEY = Path(__file__).parent.parent / "vectors" / "xbps" / "keys" / "second.private.pem"
"""A key everybody has: its signatures are the same bytes everywhere and prove nothing."""
_LEVEL = 6


def write_repository(packages: Iterable[Package], directory: Path, architecture: str) -> PublicKey:
    """Write, sign and index `packages` in `directory`; the key to trust."""
    directory.mkdir(parents=True, exist_ok=True)
    key = PrivateKey.read(KEY)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        paths = list(pool.map(lambda package: write_one(package, directory), packages))
        list(pool.map(lambda path: sign_packages([path], key), paths))
    index_packages(directory, architecture, paths)
    sign_repository(directory, architecture, key, SIGNED_BY)
    return key.public(SIGNED_BY)


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
