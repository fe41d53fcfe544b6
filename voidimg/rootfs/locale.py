"""Sets locale, time zone and host name the way Void's own files expect it."""

from __future__ import annotations

import re
from difflib import get_close_matches

from voidimg.errors import SpecError
from voidimg.rootfs.files import apply_edits
from voidimg.spec.model import Edit
from voidimg.xbps.tree import Tree

LIBC_LOCALES = "/etc/default/libc-locales"
"""The locales that glibc-locales' INSTALL script generates, one a line, ``#`` before the others."""

LOCALE_PACKAGE = "glibc-locales"
_KEYMAPS = "/usr/share/kbd/keymaps"
"""Where Void's package kbd has them, by kind of keyboard."""
_ZONES = "/usr/share/zoneinfo"


def set_locale(tree: Tree, locale: str, *, epoch: int) -> None:
    """Choose `locale`, such as ``en_US.UTF-8``, for generation and as the system's language.

    To be called after unpacking and before configuring: glibc-locales generates it then. Without
    `LIBC_LOCALES` (musl) only the language is set.

    Raises:
        SpecError: glibc has no such locale; the hint names similar ones.
    """
    if tree.exists(LIBC_LOCALES):
        lines = tree.read(LIBC_LOCALES).decode("utf-8", "surrogateescape").split("\n")
        known = {
            words[0]: " ".join(words)
            for words in (line.lstrip("# \t").split() for line in lines)
            if len(words) == 2
        }
        if locale not in known:
            near = get_close_matches(locale, known, n=3)
            raise SpecError(
                f"glibc has no locale {locale}",
                code="LOCALE",
                where=locale,
                hint=f"did you mean {', '.join(near)}?" if near else f"see {LIBC_LOCALES}",
            )
        match = rf"^[#\s]*{re.escape(locale)}\s"
        edit = Edit(path=LIBC_LOCALES, match=match, line=known[locale], required=True)
        apply_edits(tree, (edit,), epoch=epoch)
    language = Edit(path="/etc/locale.conf", match=r"^LANG=", line=f"LANG={locale}")
    apply_edits(tree, (language,), epoch=epoch)


def check_keymap(tree: Tree, keymap: str) -> None:
    """Raise when `tree` has keymaps of the console, but none is called `keymap`.

    A tree without any (kbd is not there) has no console that could use one.

    Raises:
        SpecError: there is no such keymap; the hint names similar ones.
    """
    if not tree.exists(_KEYMAPS):
        return
    names = (entry.path.rpartition("/")[2] for entry in tree.walk(_KEYMAPS))
    known = {name.partition(".map")[0] for name in names if ".map" in name}
    if known and keymap not in known:
        near = get_close_matches(keymap, known, n=3)
        raise SpecError(
            f"the console has no keymap {keymap}",
            code="KEYMAP-UNKNOWN",
            where=keymap,
            hint=f"did you mean {', '.join(near)}?" if near else f"see {_KEYMAPS} of the tree",
        )


def set_timezone(tree: Tree, timezone: str, *, epoch: int) -> None:
    """Link /etc/localtime to `timezone`; UTC needs no link, it is what everything assumes.

    Raises:
        SpecError: tzdata has no such zone.
    """
    if timezone == "UTC":
        return
    if not tree.exists(f"{_ZONES}/{timezone}"):
        raise SpecError(
            f"there is no time zone {timezone}",
            code="TIMEZONE",
            where=timezone,
            hint=f"zones are named as below {_ZONES}, such as Europe/Madrid; tzdata brings them",
        )
    tree.symlink("/etc/localtime", f"{_ZONES}/{timezone}", mtime=epoch, parents=True)


def set_hostname(tree: Tree, hostname: str, *, epoch: int) -> None:
    """Write /etc/hostname, which runit's stage 1 reads."""
    tree.write("/etc/hostname", f"{hostname}\n".encode(), mtime=epoch, parents=True)
