"""A job: one platform to be made, as plain data that means the same on any machine.

It holds no path of a host. A worker turns its digests into files through a cache of its own, so a
thread, a process, a shard of a CI matrix and a cluster can all run the same job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from voidimg.artifacts.kind import KindName
from voidimg.disk.compress import Compression
from voidimg.identity import ReleaseDate
from voidimg.spec.model import Recipe
from voidimg.spec.sources import OwnFiles
from voidimg.spec.templates import Templates
from voidimg.xbps.resolve.transaction import Step


@dataclass(frozen=True, slots=True)
class JobPackage:
    """A package to install: the SHA-256 of its file, and what the installer does with it."""

    sha256: str
    step: Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One platform to be made.

    Attributes:
        recipe: what to make.
        date: fixes every time stamp and identifier.
        templates: what files and menus are rendered from.
        own: the files that the recipe brings itself; their bytes are objects of the cache.
        keys: fingerprint -> key plist, to be trusted by the system made.
        packages: stage -> its packages, a transaction in its order.
        targets: artifact kind -> key in the store under which it is kept.
        compression: of every artifact that is compressed as a whole.
        shared: part -> a digest of all that it is made from, where other jobs of the run need the
            very same: it is made once.
    """

    recipe: Recipe
    date: ReleaseDate
    templates: Templates
    own: OwnFiles
    keys: Mapping[str, bytes]
    packages: Mapping[str, tuple[JobPackage, ...]]
    targets: Mapping[KindName, str]
    compression: Compression
    shared: Mapping[str, str] = field(default_factory=dict)
