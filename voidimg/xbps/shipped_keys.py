"""The repository keys that Void publishes, as they come with voidimg.

`voidimg/keys` holds them under the names that XBPS gives key files. They are public: whoever
wants to compare them finds the same in ``/var/db/xbps/keys`` of every installed Void system.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

from voidimg.xbps.keys import PublicKey

DIRECTORY = Path(__file__).parent.parent / "keys"


@cache
def shipped_keys() -> Mapping[str, PublicKey]:
    """The published keys, by fingerprint."""
    files = sorted(DIRECTORY.glob("*.plist"))
    keys = (PublicKey.from_plist(file.read_bytes(), where=str(file)) for file in files)
    return MappingProxyType({key.fingerprint: key for key in keys})
