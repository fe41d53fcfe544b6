"""The models of the TOML files themselves: platforms, profiles and sets, whole and in parts.

`Platform`, `Profile` and `Set` are what a file says once its parents are merged in. A single file
may leave anything out and may change the lists of its parent; `DOCUMENTS` are derived from the
whole models for that, so that a key is written down once.
"""

from __future__ import annotations

import functools
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BeforeValidator, Discriminator, Field, Tag, create_model

from voidimg.arch import LIBCS, Arch, Libc
from voidimg.spec.base import Model
from voidimg.spec.disk_model import Disk
from voidimg.spec.live_model import LiveContent, LiveHardware
from voidimg.spec.model import Boot, User
from voidimg.spec.set_model import Set
from voidimg.spec.smoke_model import Smoke, Statement
from voidimg.spec.stage_model import Stage
from voidimg.spec.words import Fingerprint, HostName, LocaleName, RepositoryLocation, TimeZone

Kind = Literal["platform", "profile", "set"]
FILE_KINDS: tuple[Kind, ...] = get_args(Kind)
"""What a TOML file can be, as its key ``kind`` says."""


class Platform(Model):
    """Hardware and boot: a platform file with its parents merged in."""

    summary: str
    """One line for people, as `voidimg list` shows it."""
    arch: Arch
    """Void's name of the architecture, without libc."""
    libc: tuple[Libc, ...] = Field(min_length=1)
    """The C libraries it is offered with; ``musl`` makes the name ``<platform>-musl`` too."""
    boards: tuple[str, ...] = ()
    """The boards or models it is for."""
    profile: str = "base"
    """The profile that is built when none is asked for."""
    repositories: dict[str, tuple[RepositoryLocation, ...]]
    """XBPS architecture (``aarch64``, ``aarch64-musl``) -> its repositories, best first."""
    keys: tuple[Fingerprint, ...]
    """The repository keys that are trusted, by fingerprint."""
    platformfs: Stage = Stage()
    """What the platform adds to the PLATFORMFS, such as kernel and firmware."""
    image: Stage = Stage()
    """What is set in the tree of the image: files that know its partitions."""
    live: LiveHardware | None = None
    """Absent: the platform has no live ISO."""
    disk: Disk | None = None
    """Absent: the platform has no disk image."""
    no_disk: str = ""
    """Why there is no disk image, in a clause for whoever asks for one."""
    boot: Boot = Boot()
    smoke: Smoke = Smoke()


class ProfileSmoke(Model):
    """What must be true of any booted image with this profile."""

    statements: tuple[Statement, ...] = ()


class Profile(Model):
    """Content: a profile file with its parents merged in."""

    summary: str
    """One line for people, as `voidimg list` shows it."""
    locale: LocaleName | None = None
    """Generated and made the system's; only glibc has locales, so write it in ``[glibc]``."""
    timezone: TimeZone = "UTC"
    hostname: HostName = "void"
    users: tuple[User, ...] = ()
    """Accounts; ``root`` is there already."""
    rootfs: Stage = Stage()
    """What the ROOTFS is made of."""
    platformfs: Stage = Stage()
    """What every PLATFORMFS with it has."""
    image: Stage = Stage()
    """What every image with it has."""
    live: LiveContent | None = None
    """Absent: there is no live ISO with it."""
    wsl: Stage | None = None
    """A tree of its own for WSL, instead of the ROOTFS. Absent: there is none."""
    smoke: ProfileSmoke = ProfileSmoke()


def _change_model(element: Any, name: str) -> type[Model]:
    """The table that changes the parent's list of `element`s."""
    fields: dict[str, Any] = {
        "add": (
            tuple[element, ...],
            Field(default=(), description="Goes to the end, or in the place of one of its name."),
        ),
        "remove": (
            tuple[str, ...],
            Field(default=(), description="Words, or the name, path or medium of tables."),
        ),
    }
    doc = "Changes the list of the parent instead of replacing it; `remove` comes first."
    return create_model(name, __base__=Model, __doc__=doc, __module__=__name__, **fields)


def _list_or_change(value: object) -> str | None:
    if isinstance(value, tuple | list):
        return "<list>"
    return "<change>" if isinstance(value, dict) else None


def _changeable(element: Any, change: type[Model]) -> Any:
    """A list of `element`, or a change of the parent's list."""
    return Annotated[
        Annotated[tuple[element, ...], Tag("<list>")] | Annotated[change, Tag("<change>")],
        Discriminator(_list_or_change),
    ]


@functools.cache
def _partial(model: type[Model], *, without: frozenset[str] = frozenset()) -> type[Model]:
    """`model` with every key optional and every list changeable, tables within included.

    The defaults are never read: the file is validated with it, its values come from the text.
    """
    fields: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if name in without:
            continue
        annotation: Any = field.annotation
        inner = [part for part in get_args(annotation) if part is not NoneType]
        # A word of its own, as false for no password, may become None.
        makes_none = any(isinstance(one, BeforeValidator) for one in field.metadata)
        if NoneType in get_args(annotation) and len(inner) == 1 and not makes_none:
            annotation = inner[0]
        if isinstance(annotation, type) and issubclass(annotation, Model):
            annotation = _partial(annotation)
        elif get_origin(annotation) is tuple:
            element = get_args(annotation)[0]
            change = _change_model(element, f"{model.__name__}{name.capitalize()}Change")
            annotation = _changeable(element, change)
        elif field.metadata:
            annotation = Annotated[(annotation, *field.metadata)]
        fields[name] = (annotation, Field(default=None, description=field.description))
    return create_model(
        f"{model.__name__}Part",
        __base__=Model,
        __doc__=model.__doc__,
        __module__=__name__,
        **fields,
    )


def _document(kind: Kind, model: type[Model], *, head_only: frozenset[str]) -> type[Model]:
    """The model of one file of `kind`; `head_only` keys cannot depend on the libc."""
    overlay = _partial(model, without=head_only)
    fields: dict[str, Any] = {
        # `schema` would hide a method of pydantic, hence the alias.
        "schema_": (
            Literal[1],
            Field(alias="schema", description="The version of this format: 1."),
        ),
        "kind": (Literal[kind], Field(description=f"This file is a {kind}.")),
        "extends": (
            str,
            Field(default=None, description=f"The one parent: a {kind}'s name, or a path."),
        ),
        "include": (
            tuple[str, ...],
            Field(default=(), description=f"Abstract {kind}s laid over the parent, in this order."),
        ),
        "abstract": (
            bool,
            Field(default=None, description="Only a part of others: cannot be built itself."),
        ),
    }
    for libc in LIBCS if kind != "set" else ():
        fields[libc] = (overlay, Field(default=None, description=f"What {libc} has different."))
    return create_model(
        f"{kind.capitalize()}Document",
        __base__=_partial(model),
        __doc__=f"A {kind} file as it is written.",
        __module__=__name__,
        **fields,
    )


HEAD = ("schema", "kind", "extends", "include", "abstract", *LIBCS)
"""Keys of a file that are about the file; they are not inherited."""

PLATFORM_DOCUMENT = _document(
    "platform",
    Platform,
    head_only=frozenset({"summary", "arch", "libc", "profile"}),
)
PROFILE_DOCUMENT = _document("profile", Profile, head_only=frozenset({"summary"}))
SET_DOCUMENT = _document("set", Set, head_only=frozenset())
DOCUMENTS: dict[Kind, type[Model]] = {
    "platform": PLATFORM_DOCUMENT,
    "profile": PROFILE_DOCUMENT,
    "set": SET_DOCUMENT,
}
WHOLE: dict[Kind, type[Model]] = {"platform": Platform, "profile": Profile, "set": Set}
