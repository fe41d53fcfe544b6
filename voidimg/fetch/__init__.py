"""Downloads: repositories over HTTP or from a directory, and the content-addressed cache."""

from voidimg.fetch.cache import Cache, require_room
from voidimg.fetch.fetcher import Fetcher, Wanted
from voidimg.fetch.location import Location
from voidimg.fetch.mirrored import mirrored, parse_mirrors
from voidimg.fetch.repodata import RepodataFile, require_directory

__all__ = [
    "Cache",
    "Fetcher",
    "Location",
    "RepodataFile",
    "Wanted",
    "mirrored",
    "parse_mirrors",
    "require_directory",
    "require_room",
]
