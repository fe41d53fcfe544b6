"""Sets locale, time zone and host name the way Void's own files expect it."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from voidimg.errors import SpecError, StoreError
from voidimg.rootfs.files import apply_edits
from voidimg.spec.stage_model import Edit
from voidimg.suggest import did_you_mean
from voidimg.tree.tree import Tree

LIBC_LOCALES = "/etc/default/libc-locales"
"""The locales that glibc-locales' INSTALL script generates, one a line, ``#`` before the others."""

LOCALE_PACKAGE = "glibc-locales"
_KEYMAPS = "/usr/share/kbd/keymaps"
"""Where Void's package kbd has them, by kind of keyboard."""
_XKB = "/usr/share/X11/xkb"
_LAYOUTS = f"{_XKB}/rules/evdev.lst"
"""Where xkeyboard-config lists layouts (``de  German``) and variants (``neo  de: German``)."""
_ZONES = "/usr/share/zoneinfo"
SESSIONS = ("/usr/share/xsessions", "/usr/share/wayland-sessions")
"""Where desktops say how a display manager starts them."""


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
            raise SpecError(
                f"glibc has no locale {locale}",
                code="LOCALE",
                where=locale,
                hint=_near(locale, known, LIBC_LOCALES),
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
        raise SpecError(
            f"the console has no keymap {keymap}",
            code="KEYMAP-UNKNOWN",
            where=keymap,
            hint=_near(keymap, known, _KEYMAPS),
        )


def check_generated(tree: Tree, locale: str) -> None:
    """Raise when `tree` generates locales, but not `locale`: a language that nobody would get.

    Raises:
        SpecError: it is not generated; the hint names those that are.
    """
    if locale in ("C.UTF-8", "C", "POSIX") or not tree.exists(LIBC_LOCALES):
        return
    lines = tree.read(LIBC_LOCALES).decode("utf-8", "surrogateescape").split("\n")
    chosen = {
        line.split()[0] for line in lines if line.strip() and not line.lstrip().startswith("#")
    }
    if locale not in chosen:
        there = ", ".join(sorted(chosen)) or "none"
        raise SpecError(
            f"the locale {locale} is not generated",
            code="LOCALE",
            where=locale,
            hint=f"choose it with locale, or leave the word out; generated: {there}",
        )


def check_session(tree: Tree, session: str) -> None:
    """Raise when `tree` has no session for display managers that is called `session`.

    Raises:
        SpecError: there is no such session; the hint names similar ones.
    """
    places = [place for place in SESSIONS if tree.is_directory(place)]
    known = {
        name.removesuffix(".desktop")
        for place in places
        for name in tree.listdir(place)
        if name.endswith(".desktop")
    }
    if session not in known:
        raise SpecError(
            f"there is no session {session} in {' or '.join(SESSIONS)}",
            code="SESSION-UNKNOWN",
            where=session,
            hint=_near(session, known, SESSIONS[0]),
        )


def check_layouts(tree: Tree, layouts: Sequence[str]) -> None:
    """Raise when `tree` has layouts of X, but not all of `layouts`, such as ``us(intl)``.

    One with a file of its own that is not listed is there, whatever its variants are.

    Raises:
        SpecError: there is no such layout or variant; the hint names similar ones.
    """
    if not tree.exists(_LAYOUTS):
        return
    known = _listed_layouts(tree.read(_LAYOUTS).decode("utf-8", "replace"))
    for layout in layouts:
        name = layout.partition("(")[0]
        is_own = name not in known and tree.exists(f"{_XKB}/symbols/{name}")
        if layout not in known and not is_own:
            raise SpecError(
                f"X has no keyboard layout {layout}",
                code="LAYOUT-UNKNOWN",
                where=layout,
                hint=_near(layout, known, _LAYOUTS),
            )


def _listed_layouts(text: str) -> frozenset[str]:
    """Layouts and layouts with a variant, ``de`` and ``de(neo)``, of a list of xkeyboard-config."""
    found = set()
    section = ""
    for line in text.splitlines():
        name, _, rest = line.strip().partition(" ")
        if name == "!":
            section = rest.strip()
        elif section == "layout":
            found.add(name)
        elif section == "variant":
            found.add(f"{rest.strip().partition(':')[0]}({name})")
    return frozenset(found)


def _near(name: str, known: Collection[str], place: str) -> str:
    return did_you_mean(name, known, most=3) or f"see {place} of the tree"


def set_timezone(tree: Tree, timezone: str, *, epoch: int) -> None:
    """Link /etc/localtime to `timezone`; UTC needs no link, it is what everything assumes.

    Raises:
        SpecError: tzdata has no such zone: there is nothing, a directory of zones, or another file.
    """
    if timezone == "UTC":
        return
    if not _is_zone(tree, f"{_ZONES}/{timezone}"):
        raise SpecError(
            f"there is no time zone {timezone}",
            code="TIMEZONE",
            where=timezone,
            hint=f"zones are named as below {_ZONES}, such as Europe/Madrid; tzdata brings them",
        )
    tree.symlink("/etc/localtime", f"{_ZONES}/{timezone}", mtime=epoch, parents=True)


def _is_zone(tree: Tree, path: str) -> bool:
    """Whether `path` is a file of time zone data, which begins with ``TZif`` (RFC 8536)."""
    try:
        return tree.exists(path) and tree.read(path).startswith(b"TZif")
    except (IsADirectoryError, StoreError):
        return False


def set_hostname(tree: Tree, hostname: str, *, epoch: int) -> None:
    """Write /etc/hostname, which runit's stage 1 reads."""
    tree.write("/etc/hostname", f"{hostname}\n".encode(), mtime=epoch, parents=True)
