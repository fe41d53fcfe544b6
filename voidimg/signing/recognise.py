"""Tells what a file really is that was given as a key, a signature or an image: people mix them up.

minisign and signify files look alike: a comment line, then base64 of ``Ed`` or ``ED``, 8 bytes of
key id and the rest. Keys: 42 bytes (public), 158 (minisign, secret), 104 (signify, secret).
Signatures: 74 bytes, followed by two more lines with minisign and by none with signify.
"""

from __future__ import annotations

import base64
import binascii
import enum
import os
import re
from collections import deque
from pathlib import Path
from typing import BinaryIO

from voidimg.foreign import open_regular
from voidimg.formats.zstd_frames import begins_like_zstd, frames

_PREFIX = b"untrusted comment: "
_BARE_KEY = re.compile(rb"RW[A-Za-z0-9+/]{54}\s*")
_SIGNIFY_COMMENT = re.compile(rb"untrusted comment: (?!minisign ).*public key\s*")


class Kind(enum.Enum):
    """A kind of file; the value completes the sentence "it is ..."."""

    EMPTY = "empty"
    HTML = "a web page (HTML)"
    PUBLIC_KEY = "a minisign public key"
    BARE_KEY = "the bare line of a minisign public key"
    PRIVATE_KEY = "a minisign secret key"
    SIGNATURE = "a minisign signature"
    CUT_SIGNATURE = "a minisign signature that is cut off"
    SIGNIFY_SIGNATURE = "a signify signature"
    SIGNIFY_PRIVATE_KEY = "a signify secret key"
    SUMS = "a checksum file"
    REPOSITORY_KEY = "the key of an XBPS repository"
    PGP = "an OpenPGP file"
    SSH = "an SSH or PEM key"
    BINARY = "a binary file"
    TEXT = "some other text"

    @property
    def description(self) -> str:
        """The kind in words that follow "it is"."""
        return self.value


def kind_of(content: bytes) -> Kind:
    """What `content` is, by its first bytes and its form; never raises."""
    head = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head:
        return Kind.EMPTY
    if head[:1] == b"<":
        return Kind.REPOSITORY_KEY if b"<plist" in head else Kind.HTML
    if head.startswith(b"-----BEGIN PGP"):
        return Kind.PGP
    if head.startswith((b"-----BEGIN ", b"ssh-")):
        return Kind.SSH
    if head.startswith(_PREFIX):
        return _commented(head.splitlines())
    if _BARE_KEY.fullmatch(head):
        return Kind.BARE_KEY
    if head.startswith(b"SHA256 ("):
        return Kind.SUMS
    return Kind.BINARY if b"\0" in head or not _is_text(head) else Kind.TEXT


def _is_text(head: bytes) -> bool:
    try:
        head[:1024].decode("utf-8")
    except UnicodeDecodeError as error:
        return error.reason == "unexpected end of data"
    return True


def _commented(lines: list[bytes]) -> Kind:
    try:
        raw = base64.b64decode(lines[1], validate=True) if len(lines) > 1 else b""
    except binascii.Error:
        return Kind.TEXT
    if len(raw) == 74:
        if len(lines) >= 4:
            return Kind.SIGNATURE
        has_trusted = len(lines) > 2 and lines[2].startswith(b"trusted comment: ")
        return Kind.CUT_SIGNATURE if has_trusted or raw[:2] == b"ED" else Kind.SIGNIFY_SIGNATURE
    lengths = {42: Kind.PUBLIC_KEY, 158: Kind.PRIVATE_KEY, 104: Kind.SIGNIFY_PRIVATE_KEY}
    return lengths.get(len(raw), Kind.TEXT)


def looks_like_signify(public_key: bytes) -> bool:
    """Whether the comment of a public key file is signify's; the key itself has the same form."""
    return _SIGNIFY_COMMENT.fullmatch(public_key.partition(b"\n")[0]) is not None


def why_damaged(path: Path) -> str | None:
    """Why the file at `path` cannot be the artifact that its name says; None when it could be.

    Sees web pages saved as images, empty files, and downloads that ended early: the end of an
    ``.xz`` file is marked, and the frames of a ``.zst`` file say how long they are.
    """
    try:
        with open_regular(path) as file:
            head = file.read(4096)
            size_bytes = os.fstat(file.fileno()).st_size
            if kind_of(head) in (Kind.EMPTY, Kind.HTML):
                return f"it is {kind_of(head).description}"
            if path.name.endswith((".xz", ".wsl")) and head.startswith(b"\xfd7zXZ\0"):
                file.seek(max(0, size_bytes - 2))
                return None if file.read() == b"YZ" else "it is cut off"
            if path.name.endswith(".zst") and begins_like_zstd(head):
                return None if _zstd_is_whole(file) else "it is cut off"
    except OSError:
        return None
    return None


def _zstd_is_whole(file: BinaryIO) -> bool:
    """Whether the frames of a Zstandard file end where the file ends."""
    try:
        deque(frames(file), maxlen=0)
    except (EOFError, ValueError):
        return False
    return True
