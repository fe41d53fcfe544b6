"""The volume id of a live ISO, by which kernel and boot loaders find the medium among others. Pure.

Two media in one machine must not have the same one: the kernel would come from the one and the root
from the other. So it says of itself what date, platform and profile the medium is of.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from voidimg.spec.model import Recipe

VOLUME_ID_CHARACTERS = 32
"""Bytes that the primary volume descriptor has for it (ECMA-119, 8.4.6)."""
PLACEHOLDERS = ("date", "platform", "arch", "profile")
SAMPLE_DATE = "20240314"

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_FOREIGN = re.compile(r"[^A-Z0-9_]")
_PLAIN = re.compile(r"[A-Z0-9_]*")
_DIGEST_DIGITS = 4


def volume_id_of(recipe: Recipe, date: str) -> str:
    """The volume id of the ISO of `recipe` and `date`; ``20240314rc1`` in capitals.

    >>> plain_name("xfce-wayland")
    'XFCE_WAYLAND'
    """
    template = None if recipe.live is None else recipe.live.volume_id
    if template is None:
        return _default(recipe.platform, recipe.profile, date)
    names = {
        "date": date,
        "platform": recipe.platform,
        "arch": recipe.arch,
        "profile": recipe.profile,
    }
    return fill(template, names)


def is_volume_id(text: str) -> bool:
    """Whether an ISO can have the volume id `text` in every descriptor and menu."""
    return 0 < len(text) <= VOLUME_ID_CHARACTERS and _PLAIN.fullmatch(text) is not None


def planned_volume_id(recipe: Recipe) -> str:
    """The same for people, before the date is known: ``{date}`` stands for it."""
    unknown = "0" * len(SAMPLE_DATE)
    return volume_id_of(recipe, unknown).replace(unknown, "{date}", 1)


def fill(template: str, names: Mapping[str, str]) -> str:
    """`template` with the `names` of its placeholders, as a volume id can hold them.

    Raises:
        KeyError: it has another placeholder.
    """
    return _PLACEHOLDER.sub(lambda match: plain_name(names[match[1]]), template)


def unknown_placeholders(template: str) -> tuple[str, ...]:
    """The placeholders of `template` that stand for nothing."""
    return tuple(name for name in _PLACEHOLDER.findall(template) if name not in PLACEHOLDERS)


def is_plain(template: str) -> bool:
    """Whether what `template` says itself can stand in a volume id."""
    return _PLAIN.fullmatch(_PLACEHOLDER.sub("", template)) is not None


def has_fixed_length(template: str) -> bool:
    """Whether its length follows from the template alone, but for release candidates."""
    return set(_PLACEHOLDER.findall(template)) <= {"date"}


def plain_name(name: str) -> str:
    """`name` in the letters of a volume id: A to Z, 0 to 9 and _."""
    return _FOREIGN.sub("_", name.upper())


def _default(platform: str, profile: str, date: str) -> str:
    """``VOID_20240314_X86_64_XFCE_`` and four digits of a digest of the names.

    Names are cut where room ends, and some are told apart by what a volume id cannot hold.
    """
    digest = hashlib.sha256(f"{platform}\n{profile}".encode()).hexdigest()[:_DIGEST_DIGITS]
    names = f"VOID_{plain_name(date)}_{plain_name(platform)}_{plain_name(profile)}"
    return f"{names[: VOLUME_ID_CHARACTERS - _DIGEST_DIGITS - 1]}_{digest.upper()}"
