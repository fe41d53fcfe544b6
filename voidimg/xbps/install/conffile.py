"""What becomes of a configuration file that is already there: xbps's three-way rule."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Verdict(enum.Enum):
    """What unpacking does with a configuration file of a package."""

    INSTALL = "install"
    """Written in its place, over whatever file is there."""
    KEEP = "keep"
    """The file there stays; only its mode and owner are corrected."""
    BESIDE = "beside"
    """Written beside it as ``<path>.new-<version>``, which belongs to no package."""


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known of one configuration file before it is unpacked.

    Attributes:
        new: SHA256 that the new package lists.
        present: SHA256 of the file on disk; None when nothing is there.
        is_link: a symbolic link is there (`present` is then not looked at).
        is_update: some version of the package is installed.
        recorded: SHA256 the installed version lists; None when the path was no configuration
            file of it.
    """

    new: str
    present: str | None
    is_link: bool
    is_update: bool
    recorded: str | None


def decide(situation: Situation, *, keep: bool = False, overwrite: bool = False) -> Verdict:
    """What to do, as xbps 0.60.7 (``lib/package_config_files.c``).

    Args:
        situation: the facts.
        keep: ``keepconf=true``: never overwrite, not even an unmodified file.
        overwrite: always overwrite (``xbps-install -ff``).
    """
    one = situation
    if one.present is None and not one.is_link:
        return Verdict.INSTALL
    if overwrite:
        return Verdict.INSTALL
    if not one.is_update or one.is_link:
        return Verdict.BESIDE
    if one.recorded is None:
        return Verdict.INSTALL
    if one.recorded == one.present:
        if one.new == one.present:
            return Verdict.KEEP
        return Verdict.BESIDE if keep else Verdict.INSTALL
    return Verdict.KEEP if one.new in (one.recorded, one.present) else Verdict.BESIDE
