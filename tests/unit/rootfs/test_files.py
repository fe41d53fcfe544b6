"""Files, edits, services and locale of a recipe, applied to a tree."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from voidimg.errors import CollectedError, SpecError, StoreError
from voidimg.rootfs.files import apply_edits, apply_files, edited, final_path
from voidimg.rootfs.locale import (
    check_generated,
    check_keymap,
    check_layouts,
    check_session,
    set_hostname,
    set_locale,
    set_timezone,
)
from voidimg.rootfs.services import enable_services
from voidimg.spec.sources import Placed
from voidimg.spec.stage_model import Edit, File
from voidimg.tree.tree import Tree

EPOCH = 1_700_000_000


def no_template(name: str) -> str:
    raise AssertionError(name)


def no_own(file: File) -> Iterable[tuple[Placed, bytes]]:
    raise AssertionError(file)


def test_files_are_written_with_owner_mode_and_time(tmp_path: Path) -> None:
    """Content, templates and links; what was there is replaced, a link not followed."""
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/motd").symlink_to("/outside")
    files = (
        File(path="/etc/motd", content="hello\n", mode=0o600),
        File(path="/usr/local/bin/x", template="x.j2", mode=0o4755, uid=0, gid=0),
        File(path="/etc/link", link="../usr"),
    )
    with Tree(tmp_path) as tree:
        apply_files(
            tree, files, render=lambda name: f"<{name}>", own=no_own, arch="aarch64", epoch=EPOCH
        )
    motd = tmp_path / "etc/motd"
    assert not motd.is_symlink()
    assert (motd.read_text(), motd.stat().st_mode & 0o7777) == ("hello\n", 0o600)
    assert motd.stat().st_mtime == EPOCH
    assert (tmp_path / "usr/local/bin/x").read_text() == "<x.j2>"
    assert (tmp_path / "usr/local/bin/x").stat().st_mode & 0o7777 == 0o4755
    assert os.readlink(tmp_path / "etc/link") == "../usr"


def test_a_file_cannot_replace_a_directory(tmp_path: Path) -> None:
    """The error names the path."""
    (tmp_path / "etc").mkdir()
    with Tree(tmp_path) as tree, pytest.raises(StoreError, match="/etc"):
        apply_files(
            tree,
            (File(path="/etc", content=""),),
            render=no_template,
            own=no_own,
            arch="aarch64",
            epoch=EPOCH,
        )


@pytest.mark.parametrize(
    ("text", "match", "expected"),
    [
        ("a\n#b no\nb\n", "^#?b", "a\nNEW\nb\n"),
        ("a\n", "^b", "a\nNEW\n"),
        ("a", "^b", "a\nNEW\n"),
        ("", "^b", "NEW\n"),
        ("a\n", "^$", "a\nNEW\n"),
        ("a\n\nc\n", "^$", "a\nNEW\nc\n"),
        ("last", "last", "NEW"),
    ],
)
def test_an_edit_sets_one_line(text: str, match: str, expected: str) -> None:
    """The first line that matches, else a new one at the end."""
    assert edited(text, Edit(path="/x", match=match, line="NEW")) == expected


def test_edits_keep_owner_and_mode_and_follow_links_inside(tmp_path: Path) -> None:
    """An absolute link means the tree's own file."""
    (tmp_path / "usr").mkdir()
    file = tmp_path / "usr/conf"
    file.write_text("a=1\nb=2\n")
    file.chmod(0o640)
    (tmp_path / "conf").symlink_to("/usr/conf")
    with Tree(tmp_path) as tree:
        apply_edits(tree, (Edit(path="/conf", match="^b=", line="b=3"),), epoch=EPOCH)
        assert final_path(tree, "/conf") == "/usr/conf"
    assert file.read_text() == "a=1\nb=3\n"
    assert file.stat().st_mode & 0o7777 == 0o640
    assert (tmp_path / "conf").is_symlink()


def test_a_required_line_must_exist(tmp_path: Path) -> None:
    """So must its file; the error names both."""
    edit = Edit(path="/conf", match="^Permit", line="PermitRootLogin yes", required=True)
    with Tree(tmp_path) as tree:
        with pytest.raises(SpecError, match="/conf cannot be made: the file does not exist"):
            apply_edits(tree, (edit,), epoch=EPOCH)
        (tmp_path / "conf").write_text("other\n")
        with pytest.raises(SpecError, match="no line matches"):
            apply_edits(tree, (edit,), epoch=EPOCH)


def test_links_in_a_circle_end(tmp_path: Path) -> None:
    """Never an endless loop."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with Tree(tmp_path) as tree, pytest.raises(SpecError, match="link to itself"):
        final_path(tree, "/a")


def put_program(path: Path) -> None:
    """A file that may be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)


def test_services_are_linked(tmp_path: Path) -> None:
    """Into the default run level, once, whoever did it first."""
    for name in ("sshd", "chronyd"):
        put_program(tmp_path / "etc/sv" / name / "run")
    (tmp_path / "etc/sv/ntpd").symlink_to("chronyd")
    with Tree(tmp_path) as tree:
        enable_services(tree, ("sshd", "ntpd"), epoch=EPOCH)
        enable_services(tree, ("sshd",), epoch=EPOCH)
    level = tmp_path / "etc/runit/runsvdir/default"
    assert {path.name: os.readlink(path) for path in level.iterdir()} == {
        "sshd": "/etc/sv/sshd",
        "ntpd": "/etc/sv/ntpd",
    }


@pytest.mark.parametrize("kind", ["absent", "not to be run", "directory", "dangling", "circle"])
def test_a_service_that_cannot_be_started_is_refused(tmp_path: Path, kind: str) -> None:
    """runsv would try it for ever; a link to a program of another service is well."""
    sv = tmp_path / "etc/sv"
    put_program(sv / "serial/run")
    (sv / "tty").mkdir()
    (sv / "tty/run").symlink_to("../serial/run")
    (sv / "lame").mkdir()
    run = sv / "lame/run"
    match kind:
        case "not to be run":
            run.write_text("#!/bin/sh\n")
            run.chmod(0o644)
        case "directory":
            run.mkdir()
        case "dangling" | "circle":
            run.symlink_to("gone" if kind == "dangling" else "run")
    with Tree(tmp_path) as tree:
        enable_services(tree, ("tty",), epoch=EPOCH)
        with pytest.raises((SpecError, StoreError)) as caught:
            enable_services(tree, ("tty", "lame"), epoch=EPOCH)
    assert "lame" in str(caught.value)


SESSIONS = ("usr/share/xsessions/xfce", "usr/share/wayland-sessions/sway")


@pytest.mark.parametrize(
    ("session", "hint"),
    [("xfce", None), ("sway", None), ("xfce4", "did you mean 'xfce'?"), ("", "")],
)
def test_sessions_are_looked_for(tmp_path: Path, session: str, hint: str | None) -> None:
    """Of X and of Wayland, by the names of their files."""
    for name in SESSIONS:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / f"{name}.desktop").write_text("[Desktop Entry]\n")
    with Tree(tmp_path) as tree:
        if hint is None:
            check_session(tree, session)
            return
        with pytest.raises(SpecError) as caught:
            check_session(tree, session)
    assert caught.value.code == "E-SPEC-SESSION-UNKNOWN"
    assert hint in (caught.value.hint or "")


def test_a_language_must_be_generated(tmp_path: Path) -> None:
    """A word of the menu that asks for another would fall back; musl generates none."""
    with Tree(tmp_path) as tree:
        check_generated(tree, "de_DE.UTF-8")
    (tmp_path / "etc/default").mkdir(parents=True)
    locales = "# locales\nen_US.UTF-8 UTF-8\n#de_DE.UTF-8 UTF-8\n"
    (tmp_path / "etc/default/libc-locales").write_text(locales)
    with Tree(tmp_path) as tree:
        for there in ("en_US.UTF-8", "C.UTF-8"):
            check_generated(tree, there)
        with pytest.raises(SpecError, match=r"de_DE\.UTF-8 is not generated") as caught:
            check_generated(tree, "de_DE.UTF-8")
    assert "en_US.UTF-8" in (caught.value.hint or "")


def test_missing_services_are_told_all_at_once(tmp_path: Path) -> None:
    """With what was probably meant; a link to nothing is no service."""
    put_program(tmp_path / "etc/sv/chronyd/run")
    (tmp_path / "etc/sv/ntpd").symlink_to("openntpd")
    (tmp_path / "etc/sv/note").write_text("a file is no service")
    with Tree(tmp_path) as tree:
        with pytest.raises(SpecError, match="the service chrony does not exist") as one:
            enable_services(tree, ("chrony",), epoch=EPOCH)
        assert one.value.hint == "did you mean 'chronyd'?"
        with pytest.raises(SpecError, match="the service note does not exist"):
            enable_services(tree, ("note",), epoch=EPOCH)
        with pytest.raises(CollectedError) as both:
            enable_services(tree, ("ntpd", "sshd", "chronyd"), epoch=EPOCH)
    assert [error.where for error in both.value.errors] == ["ntpd", "sshd"]
    assert not (tmp_path / "etc/runit").exists()


def test_the_locale_is_uncommented(tmp_path: Path) -> None:
    """As Void does it, and made the system's language."""
    (tmp_path / "etc/default").mkdir(parents=True)
    (tmp_path / "etc/locale.conf").write_text("LANG=en_US.UTF-8\nLC_COLLATE=C\n")
    locales = tmp_path / "etc/default/libc-locales"
    locales.write_text("# List\n#de_DE.UTF-8 UTF-8  \n#de_DE ISO-8859-1  \nen_US.UTF-8 UTF-8\n")
    with Tree(tmp_path) as tree:
        set_locale(tree, "de_DE.UTF-8", epoch=EPOCH)
        assert locales.read_text() == (
            "# List\nde_DE.UTF-8 UTF-8\n#de_DE ISO-8859-1  \nen_US.UTF-8 UTF-8\n"
        )
        set_locale(tree, "de_DE", epoch=EPOCH)
        assert "\nde_DE ISO-8859-1\n" in locales.read_text()
        with pytest.raises(SpecError, match=r"glibc has no locale de_DE\.UTF8") as caught:
            set_locale(tree, "de_DE.UTF8", epoch=EPOCH)
    assert "de_DE.UTF-8" in str(caught.value.hint)
    assert (tmp_path / "etc/locale.conf").read_text() == "LANG=de_DE\nLC_COLLATE=C\n"


def test_time_zone_and_host_name(tmp_path: Path) -> None:
    """UTC needs nothing; other zones must exist."""
    (tmp_path / "usr/share/zoneinfo/Europe").mkdir(parents=True)
    (tmp_path / "usr/share/zoneinfo/Europe/Madrid").write_bytes(b"TZif2")
    (tmp_path / "usr/share/zoneinfo/zone.tab").write_bytes(b"# a list of zones\n")
    with Tree(tmp_path) as tree:
        set_timezone(tree, "UTC", epoch=EPOCH)
        assert not (tmp_path / "etc").exists()
        set_timezone(tree, "Europe/Madrid", epoch=EPOCH)
        set_hostname(tree, "void", epoch=EPOCH)
        for wrong in ("Europe/Toledo", "Europe", "zone.tab"):
            with pytest.raises(SpecError, match=f"no time zone {wrong}"):
                set_timezone(tree, wrong, epoch=EPOCH)
    assert os.readlink(tmp_path / "etc/localtime") == "/usr/share/zoneinfo/Europe/Madrid"
    assert (tmp_path / "etc/hostname").read_text() == "void\n"


def test_keymaps_are_those_of_the_tree(tmp_path: Path) -> None:
    """A typing error is told with what was meant; without kbd nothing is known of keymaps."""
    with Tree(tmp_path / "tree", create=True) as tree:
        check_keymap(tree, "de-latin1")
        for name in ("i386/qwertz/de-latin1.map.gz", "i386/qwerty/us.map.gz", "i386/include/x.inc"):
            path = f"/usr/share/kbd/keymaps/{name}"
            tree.write(path, b"", mtime=EPOCH, parents=True)
        check_keymap(tree, "de-latin1")
        check_keymap(tree, "us")
        with pytest.raises(SpecError, match="no keymap de-latin") as caught:
            check_keymap(tree, "de-latin")
        assert caught.value.code == "E-SPEC-KEYMAP-UNKNOWN"
        assert caught.value.hint == "did you mean 'de-latin1'?"


LAYOUTS = """! model
  pc104           Generic 104-key PC

! layout
  us              English (US)
  de              German

! variant
  intl            us: English (US, intl., with dead keys)
  nodeadkeys      de: German (no dead keys)

! option
  grp             Switching to another layout
"""


def test_layouts_are_those_of_the_tree(tmp_path: Path) -> None:
    """X would take `us` for what it does not know, and passwords be typed on other keys."""
    with Tree(tmp_path) as tree:
        check_layouts(tree, ["of", "any(kind)"])
        tree.write("/usr/share/X11/xkb/rules/evdev.lst", LAYOUTS.encode(), parents=True)
        tree.write("/usr/share/X11/xkb/symbols/own", b"", parents=True)
        tree.write("/usr/share/X11/xkb/symbols/de", b"")
        check_layouts(tree, ["us", "de", "us(intl)", "de(nodeadkeys)", "own(variant)"])
        for wrong in ("gr", "grp", "us(nodeadkeys)", "de(intl)", "pc104"):
            with pytest.raises(SpecError, match=f"no keyboard layout {re.escape(wrong)}") as caught:
                check_layouts(tree, ["us", wrong])
            assert caught.value.code == "E-SPEC-LAYOUT-UNKNOWN"
        assert caught.value.hint == "see /usr/share/X11/xkb/rules/evdev.lst of the tree"
        with pytest.raises(SpecError, match=r"did you mean \'de\(nodeadkeys\)\'\?"):
            check_layouts(tree, ["de(nodeadkey)"])
