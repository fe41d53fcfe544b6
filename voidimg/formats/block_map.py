"""Block maps (bmap, version 2.0): which blocks of a disk image have to be written to a medium.

An XML document (bmap-tools): ``ImageSize``, ``BlockSize``, ``BlocksCount``, ``MappedBlocksCount``,
``ChecksumType``, ``BmapFileChecksum``, and ``BlockMap`` with ``Range`` elements, whose text is
``first-last`` or ``first`` and whose attribute ``chksum`` is the SHA-256 of these blocks. The
checksum of the file is that of the file with 64 zeros in its place.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from xml.parsers import expat

from voidimg.errors import LayoutError
from voidimg.formats.extents import Extent

SUFFIX = ".bmap"
BLOCK_BYTES = 4096
MAX_BYTES = 16 * 2**20
"""Most of a file: a map of more pieces than this holds is none of an image that was just made."""

_VERSION = "2.0"
_ZEROS = "0" * 64
_SHA256 = re.compile(r"[0-9a-f]{64}")
_RANGE = re.compile(r"(\d{1,15})(?:\s*-\s*(\d{1,15}))?")
_NUMBER = re.compile(r"\d{1,18}")
_FIELDS = (
    "ImageSize",
    "BlockSize",
    "BlocksCount",
    "MappedBlocksCount",
    "ChecksumType",
    "BmapFileChecksum",
)
_BLOCK_SIZES = range(512, 2**20 + 1)


@dataclass(frozen=True, slots=True)
class MappedRange:
    """Blocks `first` to `last`, both included, and the SHA-256 of what is in them."""

    first: int
    last: int
    sha256: str


@dataclass(frozen=True, slots=True)
class BlockMap:
    """Which blocks of an image of `image_bytes` have to be written."""

    image_bytes: int
    block_bytes: int
    ranges: tuple[MappedRange, ...]

    @property
    def extents(self) -> tuple[Extent, ...]:
        """The ranges in bytes; the last may end with the image."""
        return tuple(self.extent(one) for one in self.ranges)

    def extent(self, one: MappedRange) -> Extent:
        """A range in bytes."""
        end = min(self.image_bytes, (one.last + 1) * self.block_bytes)
        return one.first * self.block_bytes, end

    @property
    def mapped_bytes(self) -> int:
        """How much has to be written."""
        return sum(end - start for start, end in self.extents)


def encode_block_map(found: BlockMap) -> bytes:
    """The file of `found`."""
    blocks = -(-found.image_bytes // found.block_bytes)
    mapped = sum(one.last - one.first + 1 for one in found.ranges)
    lines = [
        '<?xml version="1.0" ?>',
        f'<bmap version="{_VERSION}">',
        f"    <ImageSize> {found.image_bytes} </ImageSize>",
        f"    <BlockSize> {found.block_bytes} </BlockSize>",
        f"    <BlocksCount> {blocks} </BlocksCount>",
        f"    <MappedBlocksCount> {mapped} </MappedBlocksCount>",
        "    <ChecksumType> sha256 </ChecksumType>",
        f"    <BmapFileChecksum> {_ZEROS} </BmapFileChecksum>",
        "    <BlockMap>",
        *(f"        {_range_line(one)}" for one in found.ranges),
        "    </BlockMap>",
        "</bmap>",
    ]
    text = "\n".join(lines) + "\n"
    own = hashlib.sha256(text.encode()).hexdigest()
    # Readers replace the first occurrence of the value: no range can have had it before.
    return text.replace(_ZEROS, own, 1).encode()


def _range_line(one: MappedRange) -> str:
    blocks = f"{one.first}" if one.first == one.last else f"{one.first}-{one.last}"
    return f'<Range chksum="{one.sha256}"> {blocks} </Range>'


def decode_block_map(content: bytes, where: str) -> BlockMap:
    """The block map in the file `content`.

    Raises:
        LayoutError: it is none, of another version, damaged, or says what cannot be.
    """
    reader = _Reader(where)
    reader.read(content)
    fields = {name: reader.fields.get(name, "").strip() for name in _FIELDS}
    own = fields["BmapFileChecksum"]
    if fields["ChecksumType"] != "sha256" or _SHA256.fullmatch(own) is None:
        raise _unfit("its checksums are not SHA-256", where)
    if hashlib.sha256(content.replace(own.encode(), _ZEROS.encode(), 1)).hexdigest() != own:
        raise _unfit("its own checksum is wrong", where)
    numbers = [_parsed(fields[name], name, where) for name in _FIELDS[:4]]
    image_bytes, block_bytes, blocks, mapped = numbers
    if not image_bytes or block_bytes not in _BLOCK_SIZES or block_bytes % 512:
        raise _unfit(f"no image has {image_bytes} bytes in blocks of {block_bytes}", where)
    found = BlockMap(image_bytes, block_bytes, tuple(_ranges(reader.ranges, where)))
    _check(found, blocks, mapped, where)
    return found


def _ranges(read: Iterable[tuple[str, str]], where: str) -> Iterable[MappedRange]:
    for text, sha256 in read:
        match = _RANGE.fullmatch(text.strip())
        if match is None or _SHA256.fullmatch(sha256) is None:
            raise _unfit(f"a range of it is none: {text.strip()[:80]!r}", where)
        yield MappedRange(int(match[1]), int(match[2] or match[1]), sha256)


def _check(found: BlockMap, blocks: int, mapped: int, where: str) -> None:
    if blocks != -(-found.image_bytes // found.block_bytes):
        raise _unfit("the number of its blocks does not fit the size of the image", where)
    behind = 0
    for one in found.ranges:
        if not behind <= one.first <= one.last < blocks:
            raise _unfit("its ranges overlap, or lie outside of the image", where)
        behind = one.last + 1
    if mapped != sum(one.last - one.first + 1 for one in found.ranges):
        raise _unfit("its ranges are not as many blocks as it says", where)


def _parsed(text: str, name: str, where: str) -> int:
    if _NUMBER.fullmatch(text) is None:
        raise _unfit(f"{name} is no number", where)
    return int(text)


class _Reader:
    """Takes the values out of the document; what it does not know it refuses."""

    def __init__(self, where: str):
        self.fields: dict[str, str] = {}
        self.ranges: list[tuple[str, str]] = []
        self._where = where
        self._path: list[str] = []
        self._text = ""
        self._sha256 = ""

    def read(self, content: bytes) -> None:
        """Read the whole document.

        Raises:
            LayoutError: it is none.
        """
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        parser.StartDoctypeDeclHandler = self._doctype
        try:
            parser.Parse(content, True)
        except expat.ExpatError as error:
            raise _unfit(f"it is not XML ({error})", self._where) from error

    def _doctype(self, *_words: object) -> None:
        raise _unfit("it declares a type of document", self._where)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._path and (name != "bmap" or attributes.get("version") != _VERSION):
            told = attributes.get("version", "")[:20]
            raise _unfit(f"it is no block map of version {_VERSION} ({name} {told})", self._where)
        self._path.append(name)
        self._text = ""
        self._sha256 = attributes.get("chksum", "")

    def _end(self, _name: str) -> None:
        match self._path:
            case ["bmap", "BlockMap", "Range"]:
                self.ranges.append((self._text, self._sha256))
            case ["bmap", name] if name in _FIELDS:
                if name in self.fields:
                    raise _unfit(f"it says {name} twice", self._where)
                self.fields[name] = self._text
            case _:
                pass
        self._path.pop()

    def _characters(self, text: str) -> None:
        self._text += text


def _unfit(what: str, where: str) -> LayoutError:
    return LayoutError(
        f"this is no block map that can be used: {what}",
        code="BLOCK-MAP",
        where=where,
        hint="get it again, or write the whole image without it",
    )
