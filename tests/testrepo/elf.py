"""Reads what the conversion needs of 64-bit little-endian ELF files: sonames and module notes.

Layout (System V ABI, ELF-64): e_shoff at 40, e_shentsize at 58, e_shnum at 60, e_shstrndx at 62;
a section header is name u32, type u32, flags u64, addr u64, offset u64, size u64, link u32 ...
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_MAGIC = b"\x7fELF\x02\x01"
_DYNAMIC = 6
_DT_NEEDED = 1
_DT_SONAME = 14


@dataclass(frozen=True, slots=True)
class SharedNames:
    """The soname of a shared library (empty for programs) and the sonames it needs."""

    soname: str
    needed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Section:
    name: int
    kind: int
    offset: int
    size: int
    link: int


def is_elf(content: bytes) -> bool:
    """Whether `content` begins like a 64-bit little-endian ELF file."""
    return content.startswith(_MAGIC)


def shared_names(content: bytes) -> SharedNames:
    """The dynamic section's names; nothing for a static program or an object."""
    sections = _sections(content)
    for section in sections:
        if section.kind != _DYNAMIC:
            continue
        strings = sections[section.link].offset
        entries = struct.iter_unpack(
            "<qQ", content[section.offset : section.offset + section.size // 16 * 16]
        )
        names = [(tag, strings + value) for tag, value in entries if tag in (1, 14)]
        return SharedNames(
            next((_text(content, at) for tag, at in names if tag == _DT_SONAME), ""),
            tuple(_text(content, at) for tag, at in names if tag == _DT_NEEDED),
        )
    return SharedNames("", ())


def module_fields(content: bytes) -> list[tuple[str, str]]:
    """The `key=value` strings of a kernel module's `.modinfo` section, in order."""
    sections = _sections(content)
    names = sections[struct.unpack_from("<H", content, 62)[0]].offset
    for section in sections:
        if _text(content, names + section.name) == ".modinfo":
            blob = content[section.offset : section.offset + section.size]
            pairs = (item.decode("utf-8", "replace").partition("=") for item in blob.split(b"\0"))
            return [(key, value) for key, equals, value in pairs if equals]
    return []


def _sections(content: bytes) -> list[_Section]:
    offset, size, count = (
        struct.unpack_from("<Q", content, 40)[0],
        *struct.unpack_from("<HH", content, 58),
    )
    sections = []
    for number in range(count):
        name, kind, _, _, at, length, link = struct.unpack_from(
            "<IIQQQQI", content, offset + number * size
        )
        sections.append(_Section(name, kind, at, length, link))
    return sections


def _text(content: bytes, at: int) -> str:
    return content[at : content.index(b"\0", at)].decode("utf-8", "replace")
