"""Property lists as XBPS reads and writes them: proplib's XML dialect, tolerant of any byte.

Neither expat nor plistlib will do. proplib accepts bytes that are not UTF-8 (packages with such
bytes exist), C integers and text after the end; it refuses much that XML allows. So the grammar
is proplib's own: xbps 0.60.7, ``lib/portableproplib``, checked against recorded verdicts.

Values are plain Python: dict, list, str, int, bool and bytes. A byte of the input that is not
UTF-8 becomes a lone surrogate (``surrogateescape``) and is written back as it was.
"""

from __future__ import annotations

import base64
import binascii
import gc
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from operator import methodcaller
from typing import Any, TypeAlias

from voidimg.errors import PackageError

PlistValue: TypeAlias = "dict[str, PlistValue] | list[PlistValue] | str | int | bool | bytes"
"""One value of a property list."""
PlistDict: TypeAlias = dict[str, PlistValue]
"""The root of every property list that XBPS uses."""

MAX_BYTES = 64 * 2**20
"""Largest document read unless the caller says otherwise; Void's whole index is about 11 MiB."""
MAX_DEPTH = 32
"""Deepest nesting read; XBPS itself never goes below five levels."""
MAX_TAGS = 4_000_000
"""Most tags in one document, which bounds memory: an index of 15,000 packages has a million."""
MAX_KEY_BYTES = 128
"""proplib's PDK_MAXKEY."""

_HEADER = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b'<!DOCTYPE plist PUBLIC "-//Apple Computer//DTD PLIST 1.0//EN"'
    b' "http://www.apple.com/DTDs/PropertyList-1.0.dtd">\n'
    b'<plist version="1.0">\n'
)

# Comments may stand wherever proplib looks for a start tag. Atomic groups: a comment that was
# skipped may not be made longer to rescue a match. No possessive quantifier after a group that can
# backtrack: Python before 3.11.5 matches those wrongly (gh-106052).
_GAP = r"[ \t\r\n]*+(?>(?:<!--(?>[\s\S]*?-->)[ \t\r\n]*+)*)"
_PROLOGUE = re.compile(
    r"(?>(?:[ \t\r\n]*+<(?:\?xml |!DOCTYPE plist)[^>]*+>)*)" + _GAP + r"<plist"
    r'(?:[ \t\r\n]++version[ \t\r\n]*=?"[^"]*+")?>' + _GAP + r"<dict(/?)>"
)
_TOKEN = re.compile(
    _GAP + r"(?:(<key>[^<]*+)</key>" + _GAP + r")?"
    r"<(?:(string|integer|data)>([^<]*+)</\2>"
    r'|((?:dict|array|string|true|false)/|/?(?:dict|array)|data size="[0-9]++">[^<]*+</data)>)'
    r"|([\s\S]+)"
)
_GROUPS = methodcaller("groups", "")
_END = re.compile(r"[ \t\r\n]*</plist>")
_ENTITY = re.compile(r"&(?:(lt|gt|amp|apos|quot);)?")
_CHARACTER = {"lt": "<", "gt": ">", "amp": "&", "apos": "'", "quot": '"'}
_INTEGER = re.compile(r"[ \t-\r]*([+-]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))[ \t\r\n]*")
_BLANK = re.compile(r"[ \t\r\n]*")
_SPACES = str.maketrans("", "", " \t\r\n")


class _MalformedError(Exception):
    """Why a document is refused; becomes a PackageError at the border."""


def decode(
    data: bytes, *, where: str, max_bytes: int = MAX_BYTES, max_depth: int = MAX_DEPTH
) -> PlistDict:
    """The dictionary that the property list `data` holds, as proplib would read it.

    Of a key that stands twice the last one counts. Text after ``</plist>`` is ignored.

    Args:
        data: the document, not compressed.
        where: what the document is, for errors: a path, URL or pkgver and member.
        max_bytes: longer documents are refused unread.
        max_depth: deeper nested documents are refused.

    Raises:
        PackageError: it is not a property list that XBPS would read, or it is too large.

    >>> decode(b"<plist><dict><key>a</key><integer>0x1f</integer></dict></plist>", where="doc")
    {'a': 31}
    """
    if len(data) > max_bytes or data.count(b"<") > MAX_TAGS:
        raise PackageError(
            f"the property list is too large: {len(data)} bytes",
            code="PLIST-SIZE",
            where=where,
            hint=f"at most {max_bytes} bytes and {MAX_TAGS} tags are read",
        )
    # proplib works on a C string, so a NUL is the end.
    text = data.partition(b"\0")[0].decode("utf-8", "surrogateescape")
    try:
        with _no_garbage_collection():
            return _document(text, max_depth)
    except _MalformedError as error:
        raise PackageError(
            f"not a property list: {error}",
            code="PLIST",
            where=where,
            hint="the file is damaged or was not made by XBPS",
        ) from None


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Nothing made while decoding is garbage; looking for it would double the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class _Keys(dict[str, str]):
    """Raw key text, opening tag included, to the one string used for that key everywhere."""

    def __missing__(self, raw: str) -> str:
        key = _unescape(raw[5:])
        if len(key.encode("utf-8", "surrogateescape")) > MAX_KEY_BYTES:
            raise _MalformedError(f"a key is longer than {MAX_KEY_BYTES} bytes")
        self[raw] = key
        return key


def _document(text: str, max_depth: int) -> PlistDict:
    prologue = _PROLOGUE.match(text)
    if prologue is None:
        raise _MalformedError("it does not begin with <plist> and <dict>")
    if prologue[1]:
        root: PlistDict = {}
        rest = text[prologue.end() :]
    else:
        # Tokens are made in C, one at a time: all of them at once would take most of the memory.
        # The last one is everything from the first thing not understood.
        tokens = map(_GROUPS, _TOKEN.finditer(text, prologue.end()))
        root = _content(tokens, max_depth)
        rest = next(tokens, ("", "", "", "", ""))[4]
    if _END.match(rest) is None:
        raise _MalformedError("</plist> does not follow the closing </dict>")
    return root


def _content(tokens: Iterator[tuple[str, ...]], max_depth: int) -> PlistDict:  # noqa: C901
    """The root dictionary, whose start tag was read; leaves what follows its end tag.

    One loop, deliberately not split: a call per token would cost more than all the rest.
    """
    keys = _Keys()
    root: PlistDict = {}
    here: Any = root
    in_dict = True
    outer: list[Any] = []
    value: PlistValue
    for raw_key, kind, content, tag, rest in tokens:
        if kind == "string":
            value = _unescape(content) if "&" in content else content
        elif kind:
            value = _integer(content) if kind == "integer" else _bytes(content)
        elif rest:
            raise _MalformedError(f"unexpected {rest.strip()[:40]!r}")
        elif tag[0] == "/":
            if raw_key or (tag == "/dict") is not in_dict:
                raise _MalformedError(f"<{tag}> where it does not belong")
            if not outer:
                return root
            here = outer.pop()
            in_dict = type(here) is dict
            continue
        else:
            value = _empty_or_container(tag)
        if in_dict:
            if not raw_key:
                raise _MalformedError("a value without a key")
            here[keys[raw_key]] = value
        elif raw_key:
            raise _MalformedError("a key in an array")
        else:
            here.append(value)
        if tag == "dict" or tag == "array":
            outer.append(here)
            if len(outer) >= max_depth:
                raise _MalformedError(f"nested deeper than {max_depth} levels")
            here = value
            in_dict = tag == "dict"
    raise _MalformedError("it ends too early")


def _empty_or_container(tag: str) -> PlistValue:
    """The value of an element without simple content; containers are filled later."""
    if tag in ("dict", "dict/"):
        return {}
    if tag in ("array", "array/"):
        return []
    if tag == "string/":
        return ""
    if tag in ("true/", "false/"):
        return tag == "true/"
    size, _, content = tag.removeprefix('data size="').removesuffix("</data").partition('">')
    value = _bytes(content)
    if len(size) > 20 or int(size) < len(value):
        raise _MalformedError("data is longer than its size says")
    return value


def _unescape(text: str) -> str:
    """`text` with the five entities that proplib knows replaced; it knows no others."""
    if "&" not in text:
        return text
    return _ENTITY.sub(_character, text)


def _character(entity: re.Match[str]) -> str:
    if not entity[1]:
        raise _MalformedError("an entity that XBPS does not know, or a bare &")
    return _CHARACTER[entity[1]]


def _integer(text: str) -> int:
    """A C integer (strtoumax with base 0) from -2**63 to 2**64-1; nothing at all is 0."""
    if text.isascii() and text.isdigit() and text[0] != "0" and len(text) < 20:
        return int(text)
    match = _INTEGER.fullmatch(text)
    if match is None:
        if _BLANK.fullmatch(text):
            return 0
        raise _MalformedError(f"{text[:40]!r} is not an integer")
    sign, hexadecimal, octal, decimal = match.groups()
    digits, base = (hexadecimal, 16) if hexadecimal else (octal or decimal, 8 if octal else 10)
    # Python refuses very long decimal numbers with an error of its own.
    value = int(digits, base) if len(digits.lstrip("0")) <= 22 else 2**64
    if sign == "-":
        value = -value
    if not -(2**63) <= value < 2**64:
        raise _MalformedError(f"the integer {text[:40]!r} does not fit 64 bits")
    return value


def _bytes(text: str) -> bytes:
    """Base64 with its padding, blanks anywhere."""
    try:
        return base64.b64decode(text.translate(_SPACES), validate=True)
    except (binascii.Error, ValueError):
        raise _MalformedError("data that is not base64") from None


def encode(value: PlistDict) -> bytes:
    """`value` in the canonical form that proplib writes, final newline included.

    Keys in byte order, one tab a level, decimal integers, data on one line. proplib writes empty
    data as ``<data/>``, which it does not read back; so leave such keys out.

    Raises:
        PackageError: a value that a property list cannot hold.

    >>> encode({}).splitlines()[-2:]
    [b'<dict/>', b'</plist>']
    """
    out: list[str] = []
    with _no_garbage_collection():
        _write(value, "", out)
    try:
        body = "".join(out).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise _unwritable("a lone surrogate") from None
    if b"\0" in body:
        raise _unwritable("a NUL character")
    return _HEADER + body + b"</plist>\n"


def _write(value: PlistValue, tabs: str, out: list[str]) -> None:
    if isinstance(value, str):
        out.append(f"{tabs}<string>{_escape(value)}</string>\n" if value else f"{tabs}<string/>\n")
    elif isinstance(value, dict):
        _write_dict(value, tabs, out)
    elif isinstance(value, list):
        _write_array(value, tabs, out)
    elif isinstance(value, bool):
        out.append(f"{tabs}<{'true' if value else 'false'}/>\n")
    elif isinstance(value, int):
        if not -(2**63) <= value < 2**64:
            raise _unwritable(f"the integer {value}")
        out.append(f"{tabs}<integer>{value}</integer>\n")
    elif isinstance(value, bytes):
        text = base64.b64encode(value).decode()
        out.append(f"{tabs}<data>{text}</data>\n" if text else f"{tabs}<data/>\n")
    else:
        raise _unwritable(f"a value of type {type(value).__name__}")


def _write_array(value: list[PlistValue], tabs: str, out: list[str]) -> None:
    if not value:
        out.append(f"{tabs}<array/>\n")
        return
    out.append(f"{tabs}<array>\n")
    for item in value:
        _write(item, tabs + "\t", out)
    out.append(f"{tabs}</array>\n")


def _write_dict(value: PlistDict, tabs: str, out: list[str]) -> None:
    if not value:
        out.append(f"{tabs}<dict/>\n")
        return
    inner = tabs + "\t"
    out.append(f"{tabs}<dict>\n")
    for key in sorted(value, key=_byte_order):
        out.append(f"{inner}<key>{_escape(key)}</key>\n")
        _write(value[key], inner, out)
    out.append(f"{tabs}</dict>\n")


@lru_cache(maxsize=4096)
def _byte_order(key: str) -> bytes:
    if not isinstance(key, str):
        raise _unwritable(f"a key of type {type(key).__name__}")
    try:
        encoded = key.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise _unwritable("a lone surrogate") from None
    if len(encoded) > MAX_KEY_BYTES:
        raise _unwritable(f"a key longer than {MAX_KEY_BYTES} bytes")
    return encoded


def _escape(text: str) -> str:
    if "&" in text or "<" in text or ">" in text:
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text


def _unwritable(what: str) -> PackageError:
    return PackageError(f"a property list cannot hold {what}", code="PLIST-VALUE")
