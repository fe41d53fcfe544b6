"""Sets: files like platforms and profiles are, whose wrong words are told with their place."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.command import PROJECT, voidimg
from tests.unit.spec.conftest import Write, place_of_mark
from voidimg.catalog.catalog import Catalog
from voidimg.disk.compress import parse_compression
from voidimg.errors import CollectedError, ReleaseError, SpecError
from voidimg.identity import ReleaseDate
from voidimg.release.rows import check_sets, planned_artifacts

HEAD = 'schema = 1\nkind = "set"\nsummary = "A set"\n'
ROW = '[[rows]]\nname = "image"\nplatforms = ["rpi-aarch64"]\nartifacts = ["image"]\n'
DATE = ReleaseDate.parse("20240314")


def names_of(catalog: Catalog, word: str) -> list[str]:
    """The file names of the artifacts of a set."""
    whole = catalog.resolved_set(word)
    return [one.name for one in planned_artifacts(whole, DATE, parse_compression("xz"))]


def test_a_set_outside_the_tree_is_a_file(write: Write) -> None:
    """By its path, and by its name below a directory of the search path."""
    path = write("profiles/sets/mine.toml", HEAD + ROW)
    home = path.parent.parent.parent
    assert names_of(Catalog(), str(path)) == ["void-rpi-aarch64-20240314.img.xz"]
    assert names_of(Catalog([home]), "mine") == ["void-rpi-aarch64-20240314.img.xz"]
    assert "mine" in [one.name for one in Catalog([home]).sets()]
    assert path in Catalog([home]).files()


def test_rows_are_platforms_times_profiles_times_artifacts(write: Write) -> None:
    """A row without profiles has each platform's own; kinds come in the order of their making."""
    text = (
        '[[rows]]\nname = "live"\nplatforms = ["x86_64", "x86_64-musl"]\n'
        'profiles = ["base", "xfce"]\nartifacts = ["iso"]\n'
        '[[rows]]\nname = "tars"\nplatforms = ["x86_64"]\nartifacts = ["wsl", "rootfs"]\n'
    )
    path = write("set.toml", HEAD + text)
    assert names_of(Catalog(), str(path)) == [
        "void-live-x86_64-20240314-base.iso",
        "void-live-x86_64-20240314-xfce.iso",
        "void-live-x86_64-musl-20240314-base.iso",
        "void-live-x86_64-musl-20240314-xfce.iso",
        "void-x86_64-ROOTFS-20240314.tar.xz",
        "void-x86_64-20240314.wsl",
    ]


def test_a_set_extends_another(write: Write) -> None:
    """Rows are changed by their names; each keeps the place where it was written."""
    write("profiles/sets/first.toml", HEAD + ROW)
    child = write(
        "profiles/sets/second.toml",
        HEAD.replace("A set", "More")
        + 'extends = "first"\n[rows]\nremove = ["image"]\n'
        + '[[rows.add]]\nname = "tars"\nplatforms = ["rpi-aarch64"]\nartifacts = ["rootfs"]\n',
    )
    whole = Catalog().resolved_set(str(child))
    assert whole.set.summary == "More"
    assert [row.name for row in whole.set.rows] == ["tars"]
    assert whole.origins["rows[0].name"].file == str(child)
    assert [file.stem for file in whole.files] == ["first", "second"]


def test_platforms_beside_a_set_are_found(write: Write) -> None:
    """By name in the same tree, and by a path that follows from the file of the set."""
    board = 'schema = 1\nkind = "platform"\nextends = "rpi-aarch64"\nsummary = "Mine"\n'
    write("platforms/my-board.toml", board)
    row = ROW.replace('"rpi-aarch64"', '"my-board", "../../platforms/my-board-musl.toml"')
    path = write("profiles/sets/mine.toml", HEAD + row)
    assert names_of(Catalog(), str(path)) == [
        "void-my-board-20240314.img.xz",
        "void-my-board-musl-20240314.img.xz",
    ]
    assert Catalog().check_files([path]) == []


WRONG = {
    "UNKNOWN-PLATFORM": ROW.replace('"rpi-aarch64"', '▸"rpi-arch64"'),
    "UNKNOWN-PROFILE ": ROW + 'profiles = ["base", ▸"gone.toml"]\n',
    "UNKNOWN-PLATFORM ": ROW.replace('"rpi-aarch64"', '"rpi-aarch64", ▸"../gone.toml"'),
    "UNKNOWN-PROFILE": ROW + 'profiles = [▸"bas"]\n',
    "ARTIFACT": ROW.replace('"image"]', '▸"imag"]'),
    "MISSING": '[[▸rows]]\nname = "image"\nplatforms = ["rpi-aarch64"]\n',
    "UNKNOWN-KEY": ROW + '▸platform = "rpi-aarch64"\n',
    "VALUE": ROW.replace('["rpi-aarch64"]', "▸[]"),
    "TYPE": ROW.replace('["rpi-aarch64"]', '▸"rpi-aarch64"'),
    "REASON": ROW + 'optional = ▸"one\\ntwo"\n',
    "ROW": ROW.replace('name = "image"', 'name = ▸"an image"'),
    "LINT-CHECK": ROW + 'accepted = [{ check = ▸"public-pasword", reason = "x" }]\n',
    "TWICE": ROW + ROW.replace('"image"\n', '▸"image"\n'),
}


@pytest.mark.parametrize("code", WRONG)
def test_a_wrong_word_is_told_with_its_place(code: str, write: Write) -> None:
    """By `check`, as for platforms and profiles."""
    text, place = place_of_mark(HEAD + WRONG[code])
    path = write("set.toml", text)
    errors = [*Catalog().check_files([path]), *check_sets(Catalog(), [path])]
    assert f"E-SPEC-{code.strip()}" in [one.code for one in errors]
    assert f"{path}:{place}" in [one.where for one in errors]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (ROW.replace('"image"]', '▸"iso"]'), "rpi-aarch64 with base has no iso"),
        (
            ROW.replace('"image"]', '▸"image"]') + ROW.replace('name = "image"', 'name = "two"'),
            "would be in the set twice",
        ),
        (ROW.replace('"rpi-aarch64"', '▸"i686-musl"'), "not offered with musl"),
    ],
)
def test_what_recipes_have_not_is_told_before_anything_is_built(
    row: str, told: str, write: Write
) -> None:
    text, _place = place_of_mark(HEAD + row)
    path = write("set.toml", text)
    errors = [*Catalog().check_files([path]), *check_sets(Catalog(), [path])]
    assert [told in one.what for one in errors] == [True]
    with pytest.raises((SpecError, CollectedError)):
        names_of(Catalog(), str(path))


def test_a_set_that_cannot_be_made_yet_says_so(write: Write) -> None:
    """It is shown and listed, its file is sound, and nobody can release it."""
    path = write("set.toml", HEAD + 'unready = "there is no such kind"\n' + ROW)
    assert Catalog().check_files([path]) == []
    assert check_sets(Catalog(), [path]) == []
    with pytest.raises(ReleaseError, match="there is no such kind"):
        names_of(Catalog(), str(path))


def test_a_set_has_no_tables_of_a_libc(write: Write) -> None:
    """Rows name platforms, and those have one."""
    path = write("set.toml", HEAD + ROW + '[musl]\nsummary = "no"\n')
    assert [one.code for one in Catalog().check_files([path])] == ["E-SPEC-UNKNOWN-KEY"]


def test_what_is_shipped_is_sound() -> None:
    """Every shipped set resolves, and has what its rows ask for."""
    files = [entry.source for entry in Catalog().sets()]
    assert files
    assert Catalog().check_files(files) == []
    assert check_sets(Catalog(), files) == []


def test_the_command_shows_and_lists_sets(write: Write) -> None:
    """`list`, `show` with origins and as JSON, and `check` with the place."""
    path = write("profiles/sets/mine.toml", HEAD + ROW)
    own: list[str | Path] = ["--platforms-and-profiles", path.parent.parent.parent]
    listed = json.loads(voidimg("list", "--json", *own).stdout)
    assert "mine" in [one["name"] for one in listed["sets"]]
    shown = json.loads(voidimg("show", "mine", "--json", *own).stdout)
    assert shown["rows"][0]["platforms"] == ["rpi-aarch64"]
    line = f'rows[0].artifacts[0] = "image"  # {path}:7:14'
    assert line in voidimg("show", path, "--origin").stdout.splitlines()
    path.write_text(HEAD + ROW.replace("image", "imag"))
    checked = voidimg("check", path)
    assert checked.returncode == 3
    assert f"{path}:7:14" in checked.stdout
    assert "did you mean 'image'" in checked.stdout
    refused = voidimg("show", "mine", "--plan", *own)
    assert refused.returncode == 2
    assert "is a set" in refused.stderr


def test_the_example_of_the_documentation_is_right(tmp_path: Path) -> None:
    """As it stands in docs/releases.md."""
    page = (PROJECT / "docs" / "releases.md").read_text()
    (text,) = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    path = tmp_path / "halls.toml"
    path.write_text(text)
    assert Catalog().check_files([path]) == []
    assert check_sets(Catalog(), [path]) == []
    whole = Catalog().resolved_set(str(path))
    planned = planned_artifacts(whole, DATE, parse_compression("xz"))
    assert [one.name for one in planned if one.optional] == ["void-live-asahi-20240314-base.iso"]
    assert len(planned) == 7
