"""Downloads: repositories over HTTP or from a directory, and the content-addressed cache."""

from voidimg.fetch.cache import Cache, require_room
from voidimg.fetch.fetcher import Fetcher, RepodataFile, Wanted
from voidimg.fetch.location import Location

__all__ = ["Cache", "Fetcher", "Location", "RepodataFile", "Wanted", "require_room"]
