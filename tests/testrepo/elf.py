"""Reads what the conversion needs of little-endian ELF files: sonames and module notes.

Layout (System V ABI): EI_CLASS at 4 is 1 for 32 bits and 2 for 64. ELF-64 has e_shoff at 40, then
e_shentsize at 58, e_shnum at 60, e_shstrndx at 62; ELF-32 has them at 32, 46, 48, 50. A section
header is name u32, type u32, flags, addr, offset, size (u64 or u32 each), link u32 ...
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_MAGICS = (b"\x7fELF\x01\x01", b"\x7fELF\x02\x01")
_DYNAMIC = 6
_DT_NEEDED = 1
_DT_SONAME = 14


@dataclass(frozen=True, slots=True)
class SharedNames:
    """The soname of a shared library (empty for programs) and the sonames it needs."""

    soname: str
    needed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the header has e_shoff and e_shentsize, and the forms of what is read by them."""

    offset_at: int
    sizes_at: int
    offset: str
    section: str
    dynamic: str


_LAYOUTS = {
    1: _Layout(32, 46, "<I", "<IIIIIII", "<iI"),
    2: _Layout(40, 58, "<Q", "<IIQQQQI", "<qQ"),
}


@dataclass(frozen=True, slots=True)
class _Section:
    name: int
    kind: int
    offset: int
    size: int
    link: int


def is_elf(content: bytes) -> bool:
    """Whether `content` begins like a little-endian ELF file."""
    return content.startswith(_MAGICS)


def shared_names(content: bytes) -> SharedNames:
    """The dynamic section's names; nothing for a static program or an object."""
    sections = _sections(content)
    for section in sections:
        if section.kind != _DYNAMIC:
            continue
        strings = sections[section.link].offset
        form = _LAYOUTS[content[4]].dynamic
        size = section.size // struct.calcsize(form) * struct.calcsize(form)
        entries = struct.iter_unpack(form, content[section.offset : section.offset + size])
        names = [(tag, strings + value) for tag, value in entries if tag in (1, 14)]
        return SharedNames(
            next((_text(content, at) for tag, at in names if tag == _DT_SONAME), ""),
            tuple(_text(content, at) for tag, at in names if tag == _DT_NEEDED),
        )
    return SharedNames("", ())


def module_fields(content: bytes) -> list[tuple[str, str]]:
    """The `key=value` strings of a kernel module's `.modinfo` section, in order."""
    sections = _sections(content)
    at = _LAYOUTS[content[4]].sizes_at + 4
    names = sections[struct.unpack_from("<H", content, at)[0]].offset
    for section in sections:
        if _text(content, names + section.name) == ".modinfo":
            blob = content[section.offset : section.offset + section.size]
            pairs = (item.decode("utf-8", "replace").partition("=") for item in blob.split(b"\0"))
            return [(key, value) for key, equals, value in pairs if equals]
    return []


def _sections(content: bytes) -> list[_Section]:
    layout = _LAYOUTS[content[4]]
    offset, size, count = (
        struct.unpack_from(layout.offset, content, layout.offset_at)[0],
        *struct.unpack_from("<HH", content, layout.sizes_at),
    )
    sections = []
    for number in range(count):
        name, kind, _, _, at, length, link = struct.unpack_from(
            layout.section, content, offset + number * size
        )
        sections.append(_Section(name, kind, at, length, link))
    return sections


def _text(content: bytes, at: int) -> str:
    return content[at : content.index(b"\0", at)].decode("utf-8", "replace")
