"""A signed XBPS repository with Void's package names, converted from Debian's packages.

It lets the tests build, boot and compare real images without a Void mirror. Debian's archives are
downloaded once through apt; everything that Void writes itself (service scripts, triggers, base
files) is written anew in `packages/`.

    repository = provide()                  # aarch64
    repository = provide(arch="x86_64")
    repository.path, repository.key_plist, repository.arch
"""

from .provision import RepositoryFixture, provide, provide_tiny

__all__ = ["RepositoryFixture", "provide", "provide_tiny"]
