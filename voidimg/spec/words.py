"""The small words of platform and profile files: sizes, modes, paths, names, with their grammar.

Each type refuses a wrong word with an error of a type of its own, which becomes the code of the
`SpecError`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from voidimg.units import format_mode, parse_mode, parse_size

PASSWORD_BYTES = 256
"""`openssl passwd` cuts off what is longer."""
SIZE_PATTERN = r"^\d+\s*(B|KiB|MiB|GiB|TiB|sectors)$"


def _refuse(kind: str, what: str) -> PydanticCustomError:
    """An error of pydantic whose `kind` becomes the code; `what` may hold any character."""
    # The template is constant because pydantic would take braces in `what` for placeholders.
    return PydanticCustomError(kind, "{what}", {"what": what})


def _in_document(info: ValidationInfo) -> bool:
    """Whether a TOML file is read, where a bare number is refused for want of its unit."""
    return isinstance(info.context, dict) and info.context.get("document") is True


def _size(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str):
        try:
            return parse_size(value)
        except ValueError as error:
            raise _refuse("size", str(error)) from None
    if isinstance(value, int) and not isinstance(value, bool) and _in_document(info):
        raise _refuse("size", f"{value} lacks a unit; write it as a string, like '256MiB'")
    return value


def _partition_size(value: object, info: ValidationInfo) -> object:
    return value if value == "rest" else _size(value, info)


def _mode(value: object, info: ValidationInfo) -> object:
    if isinstance(value, str):
        try:
            return parse_mode(value)
        except ValueError as error:
            raise _refuse("mode", str(error)) from None
    if isinstance(value, int) and not isinstance(value, bool) and _in_document(info):
        raise _refuse("mode", f"{value} is a number; write a mode as a string, like '0644'")
    return value


def _password(value: object) -> object:
    if value is False:
        return None
    if value == "":
        raise _refuse(
            "password",
            "an empty password would let everybody in; leave it out, or write false, to lock the"
            " account",
        )
    if isinstance(value, str) and not _can_be_typed(value):
        raise _refuse(
            "password",
            f"a password is one line without control characters, of at most {PASSWORD_BYTES} bytes",
        )
    return value


def _can_be_typed(password: str) -> bool:
    """Whether it is a password that openssl takes whole, and that a console can show and read."""
    controls = any(ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0 for letter in password)
    return not controls and len(password.encode("utf-8", "replace")) <= PASSWORD_BYTES


def _regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise _refuse("regex", f"{value!r} is not a regular expression: {error}") from None
    return value


def _image_path(value: str) -> str:
    parts = value.split("/")[1:]
    if value != "/" and ("" in parts or "." in parts or ".." in parts):
        raise _refuse("path", f"{value!r} is not in its plain form: no '//', '.', '..' or last '/'")
    return value


def _source_name(value: str) -> str:
    # A first '/' is told by the grammar.
    if any(part in ("", ".", "..") for part in value.removeprefix("/").split("/")):
        raise _refuse("path", f"{value!r} is not in its plain form: no '//', '.' or '..'")
    return value


def _like(kind: str, pattern: str, meaning: str) -> Callable[[str], str]:
    """A check that the whole word looks like `pattern`."""
    compiled = re.compile(pattern)

    def check(value: str) -> str:
        if compiled.fullmatch(value) is None:
            raise _refuse(kind, f"{value!r} is not {meaning}")
        return value

    return check


def _text(kind: str, pattern: str, meaning: str) -> tuple[AfterValidator, WithJsonSchema]:
    return (
        AfterValidator(_like(kind, pattern, meaning)),
        WithJsonSchema({"type": "string", "pattern": f"^(?:{pattern})$"}),
    )


Bytes = Annotated[
    int, BeforeValidator(_size), WithJsonSchema({"type": "string", "pattern": SIZE_PATTERN})
]
"""A size in bytes; in TOML a whole number with a unit: ``"256MiB"``, ``"2048sectors"``."""

PartitionSize = Annotated[
    int | Literal["rest"],
    BeforeValidator(_partition_size),
    WithJsonSchema({"type": "string", "pattern": rf"^rest$|{SIZE_PATTERN}"}),
]
"""As `Bytes`, or ``"rest"``."""

Mode = Annotated[
    int,
    BeforeValidator(_mode),
    PlainSerializer(format_mode, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": "^0[0-7]{3,4}$"}),
]
"""Permission bits; in TOML four or five octal digits in a string: ``"0644"``."""

Regex = Annotated[str, AfterValidator(_regex)]
"""A Python regular expression."""

_ABSOLUTE = r"/[^\x00\n]*"
ImagePath = Annotated[
    str,
    AfterValidator(_image_path),
    *_text("path", _ABSOLUTE, "an absolute path of the image; it begins with '/'"),
]
"""An absolute path inside the image in its plain form; never joined with a path of the host."""

PackageRequest = Annotated[
    str,
    *_text("package", r"[A-Za-z0-9][A-Za-z0-9._+-]*(?:[<>=]=?[^\s]+)?", "a package or pattern"),
]
"""A pkgname, or a pattern such as ``foo>=1.2``."""

PackageName = Annotated[
    str, *_text("package", r"[A-Za-z0-9][A-Za-z0-9._+-]*", "the name of a package")
]
ServiceName = Annotated[
    str, *_text("service", r"[A-Za-z0-9][A-Za-z0-9._@+-]*", "the name of a directory in /etc/sv")
]
ProfileName = Annotated[
    str, *_text("profile", r"[A-Za-z0-9_][A-Za-z0-9_.+-]*", "the name of a profile")
]
AlternativeGroup = Annotated[
    str,
    *_text("alternative", r"[A-Za-z0-9][A-Za-z0-9._+-]*", "a group of alternatives"),
]
"""What several packages offer and one of them has: ``sh``, ``vi`` (xbps-alternatives(1))."""
AccountName = Annotated[
    str, *_text("account", r"[a-z_][a-z0-9_-]{0,31}", "a name that useradd accepts")
]
AccountDescription = Annotated[
    str, *_text("account_description", r"[^:\x00-\x1f\x7f]*", "one line without ':'")
]
"""The fifth field of passwd(5); a colon or a line feed would be the end of it."""
Password = Annotated[
    str | None,
    BeforeValidator(_password),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "minLength": 1}, {"const": False, "type": "boolean"}]}
    ),
]
"""As it is typed; ``false``, and None, lock the account. There is no empty one."""
LinkTarget = Annotated[
    str, *_text("link", r"[^\x00]{1,4095}", "the text of a symbolic link; it is empty or has a NUL")
]
Reason = Annotated[
    str, *_text("reason", r"[^\x00-\x1f\x7f-\x9f]{1,1000}", "a reason: one line of text")
]
"""One line for people that says why."""

RowName = Annotated[
    str, *_text("row", r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,63}", "a name: letters, digits, _ . + -")
]

Fingerprint = Annotated[
    str,
    *_text("fingerprint", r"[0-9a-f]{2}(?::[0-9a-f]{2}){15}", "a fingerprint like '60:ae:0c:...'"),
]
"""MD5 of the SSH wire form of a repository's RSA key, as XBPS names its key files."""

SourceName = Annotated[
    str,
    AfterValidator(_source_name),
    *_text("source", r"[^/\x00\n][^\x00\n]*", "a path below files/, without a first '/'"),
]
"""A file or directory below ``files/`` of a directory on the search path."""

Sha256 = Annotated[str, *_text("sha256", r"[0-9a-f]{64}", "a SHA-256 in 64 hexadecimal digits")]
RepositoryLocation = Annotated[
    str,
    *_text("repository", r"https?://[^\s/]+(?:/\S*)?|/\S*", "an http(s) URL or absolute directory"),
]
HttpUrl = Annotated[
    str, *_text("url", r"https?://[^\s/'\"]+/[^\s'\"]+", "an http(s) URL of a file")
]
LocaleName = Annotated[
    str,
    *_text("locale", r"(?:C|[a-z]{2,3}(?:_[A-Z]{2})?)(?:\.[A-Za-z0-9-]+)?(?:@\w+)?",
           "a locale like 'en_US.UTF-8'"),
]  # fmt: skip
TimeZone = Annotated[
    str,
    *_text("timezone", r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*", "a time zone like 'Europe/Madrid'"),
]
_HOST_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
HostName = Annotated[
    str,
    *_text(
        "hostname",
        rf"(?=.{{1,64}}$){_HOST_LABEL}(?:\.{_HOST_LABEL})*",
        "a host name (RFC 1123) of at most 64 characters",
    ),
]
KeymapName = Annotated[
    str,
    *_text("keymap", r"[A-Za-z0-9][A-Za-z0-9._+-]*", "a keymap of the console like 'de-latin1'"),
]
KeyboardLayout = Annotated[
    str,
    *_text("layout", r"[a-z]{2,}(?:\([A-Za-z0-9_-]+\))?", "a layout of X like 'de' or 'us(intl)'"),
]
SerialPort = Annotated[
    str, *_text("serial", r"tty[A-Z]+\d+,\d+", "a serial port with its speed like 'ttyS0,115200'")
]
PartitionType = Annotated[
    str,
    *_text(
        "partition_type",
        r"0x[0-9a-fA-F]{2}|[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}"
        r"-[0-9A-Fa-f]{12}",
        "an MBR type byte like '0x83' or a GPT type GUID",
    ),
]

QemuProgram = Annotated[
    str,
    *_text("qemu", r"qemu-system-[a-z0-9_]+", "a system emulator of QEMU, like qemu-system-x86_64"),
]
"""The name of one of QEMU's system emulators; never a path."""

QemuMachine = Annotated[
    str,
    *_text("machine", r"[a-z0-9][a-z0-9._-]*", "the name of a machine of QEMU, like virt or q35"),
]
"""A machine of QEMU, without options: some of them write files of the host."""

QemuCpu = Annotated[
    str,
    *_text(
        "cpu",
        r"[A-Za-z0-9][A-Za-z0-9._-]*(?:,(?:[+-][a-z0-9._-]+|[a-z0-9][a-z0-9._-]*=(?:on|off)))*",
        "a processor of QEMU with features, like cortex-a53 or qemu64,+ssse3",
    ),
]
"""A model of a processor, and features of it that are on or off."""

DtbNode = Annotated[
    str,
    *_text("node", r"/(?:[A-Za-z0-9,._+@-]+(?:/[A-Za-z0-9,._+@-]+)*)?", "the path of a node"),
]
"""The path of a node in a device tree."""

DtbProperty = Annotated[
    str, *_text("property", r"[A-Za-z0-9#?,._+][A-Za-z0-9#?,._+-]{0,30}", "a name of a property")
]
"""The name of a property of a device tree."""

DtbValue = Annotated[str, *_text("value", r"[\x20-\x7e]{0,1024}", "a line of ASCII")]
"""The text of a property of a device tree."""
