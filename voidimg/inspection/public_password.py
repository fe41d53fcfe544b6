"""Recognises the hash of the password that everybody knows: Void's own for live systems."""

from __future__ import annotations

import re
from functools import lru_cache

from voidimg.errors import ToolError
from voidimg.run import run
from voidimg.spec.live_model import PUBLIC_PASSWORD

_HASH = re.compile(r"\$([156])\$(?:rounds=(\d{1,9})\$)?([A-Za-z0-9./]{0,16})\$[A-Za-z0-9./]+")
"""The kinds of crypt(5) that openssl makes too: MD5, SHA-256, SHA-512."""
_MAX_ROUNDS = 200_000
"""More would take seconds, and a hash of a stranger's may ask for a thousand million."""


@lru_cache(maxsize=256)
def is_public(secret: str) -> bool:
    """Whether `secret`, a hash of crypt(5), is one of Void's public password.

    Other kinds of hashes (yescrypt, bcrypt) are not tried: they count as passwords of their own.

    Raises:
        ToolError: openssl is missing.
    """
    match = _HASH.fullmatch(secret)
    if match is None or int(match[2] or 0) > _MAX_ROUNDS:
        return False
    salt = match[3] if match[2] is None else f"rounds={match[2]}${match[3]}"
    words = ["openssl", "passwd", f"-{match[1]}", "-salt", salt, "-stdin"]
    try:
        ended = run(words, stdin=PUBLIC_PASSWORD.encode() + b"\n")
    except ToolError as error:
        if error.code.endswith("MISSING"):
            raise
        return False
    return ended.stdout.decode("ascii", "replace").strip() == secret
