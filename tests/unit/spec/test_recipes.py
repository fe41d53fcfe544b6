"""Recipes: inheritance, merging, and where each value comes from."""

from __future__ import annotations

import json
import pickle
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.spec.conftest import Write
from voidimg.catalog.catalog import Catalog
from voidimg.errors import SpecError
from voidimg.spec.compose import leaf_paths
from voidimg.spec.merge import merge_documents
from voidimg.spec.model import Recipe
from voidimg.spec.search import SHIPPED
from voidimg.spec.tree import parse_document, path_text

BOARD = 'schema = 1\nkind = "platform"\nextends = "rpi-aarch64"\n'
NAMES = [entry.name for entry in Catalog().platforms()]


def merged(*texts: str, libc: str = "glibc") -> object:
    """The documents merged, the eldest first; every change of a list must fit."""
    errors: list[SpecError] = []
    node = merge_documents([parse_document(text, "f") for text in texts], libc, errors.append)
    assert errors == []
    return node.plain()


def written_at(place: str, line: str) -> object:
    """The TOML value that begins `line`; `place` is for the message."""
    for end in range(len(line), 0, -1):
        try:
            return tomllib.loads(f"v = {line[:end]}")["v"]
        except tomllib.TOMLDecodeError:
            continue
    raise AssertionError(f"there is no value at {place}")


@pytest.mark.parametrize("name", NAMES)
def test_every_value_has_the_origin_where_it_is_written(name: str) -> None:
    """Each value of a shipped recipe has an origin, and what stands there is the value."""
    resolved = Catalog().recipe(name)
    dumped = resolved.recipe.model_dump(mode="json")
    assert list(resolved.origins) == [path_text(path) for path in leaf_paths(dumped)]
    derived = {"arch"}
    for path, value in resolved.values():
        origin = resolved.origins[path]
        if origin.line and path not in derived and not isinstance(value, int):
            line = Path(origin.file).read_text().splitlines()[origin.line - 1]
            assert written_at(str(origin), line[origin.column - 1 :]) == value, path


def test_origins_of_inherited_and_merged_values(write: Write, tmp_path: Path) -> None:
    """A value keeps the place where it was written last, in whichever file."""
    board = write("platforms/board.toml", BOARD + '[disk]\nheadroom = "1MiB"\n')
    mine = write(
        "profiles/mine.toml",
        'schema = 1\nkind = "profile"\nextends = "base"\n[platformfs]\npackages.add = ["vim"]\n',
    )
    resolved = Catalog([tmp_path]).recipe("board", "mine")
    origins = {path: str(origin) for path, origin in resolved.origins.items()}
    parents = ("void", "single-boards", "rpi-boards", "rpi-aarch64")
    shipped = [SHIPPED / "platforms" / f"{name}.toml" for name in parents]
    assert origins["platform"] == str(board)
    assert origins["profile"] == str(mine)
    assert origins["disk.headroom"] == f"{board}:5:12"
    assert origins["disk.label"].startswith(f"{shipped[2]}:")
    assert origins["disk.first_partition"] == "default"
    assert resolved.recipe.platformfs.packages[:2] == ("base-system", "vim")
    assert origins["platformfs.packages[1]"] == f"{mine}:5:17"
    assert origins["repositories[0]"].startswith(str(SHIPPED / "platforms" / "void.toml"))
    assert resolved.files == (
        *shipped,
        board,
        *(SHIPPED / "profiles" / f"{name}.toml" for name in ("void", "live", "dhcpcd", "base")),
        mine,
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_survives_json_and_pickling(name: str) -> None:
    """JSON and back is the same recipe; workers get resolved recipes by pickling."""
    resolved = Catalog().recipe(name)
    assert Recipe.model_validate_json(resolved.recipe.model_dump_json()) == resolved.recipe
    assert pickle.loads(pickle.dumps(resolved)) == resolved


@pytest.mark.parametrize(
    ("parent", "child", "expected"),
    [
        ('l = ["a", "b"]', 'l = ["c"]', {"l": ("c",)}),
        ('l = ["a", "b"]', "l = []", {"l": ()}),
        ('l = ["a", "b"]', 'l.add = ["c"]', {"l": ("a", "b", "c")}),
        ('l = ["a", "b"]', 'l.add = ["a", "c", "c"]', {"l": ("a", "b", "c")}),
        ('l = ["a", "b", "a"]', 'l.remove = ["a"]', {"l": ("b",)}),
        ('l = ["a", "b"]', 'l = { add = ["a"], remove = ["a"] }', {"l": ("b", "a")}),
        ("x = 1", 'l.add = ["a"]', {"x": 1, "l": ("a",)}),
        ("t = { a = 1, b = 2 }", "t.b = 3\nt.c = 4", {"t": {"a": 1, "b": 3, "c": 4}}),
        ("t.u = { a = 1 }", "t.u.b = 2", {"t": {"u": {"a": 1, "b": 2}}}),
        ("x = 1", "", {"x": 1}),
        (
            'l = [{ name = "a", x = 1, y = 1 }, { name = "b" }]',
            'l.add = [{ name = "a", x = 2 }, { name = "c" }]',
            {"l": ({"name": "a", "x": 2}, {"name": "b"}, {"name": "c"})},
        ),
        (
            'l = [{ path = "/a", match = "x" }]',
            'l.add = [{ path = "/a", match = "y" }]',
            {"l": ({"path": "/a", "match": "x"}, {"path": "/a", "match": "y"})},
        ),
        (
            'l = [{ path = "/a", match = "x" }, { path = "/b" }, { path = "/a", match = "y" }]',
            'l.remove = ["/a"]',
            {"l": ({"path": "/b"},)},
        ),
        ('l = [{ medium = "sd" }]', 'l.remove = ["sd"]', {"l": ()}),
        ("x = 1\nabstract = true", "extends = 'y'\nschema = 1\nkind = 'k'", {"x": 1}),
    ],
)
def test_a_child_over_its_parent(parent: str, child: str, expected: object) -> None:
    """Tables merge, lists are replaced or changed, the rest is replaced; heads stay behind."""
    assert merged(parent, child) == expected


def test_what_a_libc_has_different() -> None:
    """The table of a libc comes over its document, and the child over both."""
    parent = 'l = ["a"]\nx = 1\n[glibc]\nx = 2\nl.add = ["g"]\n[musl]\nl.add = ["m"]\n'
    child = 'l.add = ["c"]\n'
    assert merged(parent, child) == {"l": ("a", "g", "c"), "x": 2}
    assert merged(parent, child, libc="musl") == {"l": ("a", "m", "c"), "x": 1}
    assert merged(parent, child + "x = 3\n") == {"l": ("a", "g", "c"), "x": 3}


_KEYS = st.sampled_from("abc")
_WORDS = st.lists(st.sampled_from("pqrs"), max_size=4, unique=True)
_TABLES = st.dictionaries(_KEYS, st.one_of(st.integers(0, 9), _WORDS), max_size=3)


@given(st.lists(_TABLES, min_size=1, max_size=4))
def test_plain_values_of_the_youngest_win(tables: list[dict[str, object]]) -> None:
    """Without changes of lists merging is a chain of dictionary updates."""
    texts = ["".join(f"{k} = {json.dumps(v)}\n" for k, v in table.items()) for table in tables]
    expected: dict[str, object] = {}
    for table in tables:
        expected |= {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
    assert merged(*texts) == expected


@given(_WORDS, _WORDS, st.data())
def test_a_change_of_a_list_is_what_its_words_say(
    base: list[str], add: list[str], data: st.DataObject
) -> None:
    """Removed words go, added ones follow once, the order of the rest stays."""
    remove = data.draw(st.lists(st.sampled_from(base), unique=True)) if base else []
    change = f"l = {{ add = {json.dumps(add)}, remove = {json.dumps(remove)} }}"
    left = [word for word in base if word not in remove]
    expected = (*left, *(word for word in add if word not in left))
    assert merged(f"l = {json.dumps(base)}", change) == {"l": expected}


def test_names_with_musl_are_generated() -> None:
    """A platform offered with musl has a second name, and the libc decides arch and locale."""
    catalog = Catalog()
    assert set(NAMES) >= {"rpi-aarch64", "rpi-aarch64-musl"}
    glibc, musl = (catalog.recipe(f"rpi-aarch64{suffix}").recipe for suffix in ("", "-musl"))
    assert (glibc.arch, glibc.libc, glibc.locale) == ("aarch64", "glibc", "en_US.UTF-8")
    assert (musl.arch, musl.libc, musl.locale) == ("aarch64-musl", "musl", None)


def test_an_own_file_hides_a_shipped_one_and_may_extend_it(write: Write, tmp_path: Path) -> None:
    """The same name in `extends` means the next file of that name on the search path."""
    path = write("platforms/rpi-aarch64.toml", BOARD + 'summary = "mine"\n')
    catalog = Catalog([tmp_path])
    entry = next(one for one in catalog.platforms() if one.name == "rpi-aarch64")
    assert (entry.name, entry.summary, entry.source) == ("rpi-aarch64", "mine", path)
    resolved = catalog.recipe("rpi-aarch64-musl")
    assert resolved.recipe.summary == "mine"
    assert [file.parent for file in resolved.files[3:5]] == [
        SHIPPED / "platforms",
        tmp_path / "platforms",
    ]


def test_earlier_directories_win(write: Write, tmp_path: Path) -> None:
    """Directories are searched in the order in which they are given."""
    for name in ("one", "two"):
        write(f"{name}/platforms/board.toml", BOARD + f'summary = "{name}"\n')
    catalog = Catalog([tmp_path / "two", tmp_path / "one"])
    assert catalog.recipe("board").recipe.summary == "two"


def test_a_path_stands_in_for_a_name(write: Write, tmp_path: Path) -> None:
    """A TOML file is used as it is, with the templates and parents of its own directory."""
    write("platforms/parent.toml", BOARD + 'boards = ["x"]\n')
    write("templates/own.j2", "{{ date }}\n")
    text = 'schema = 1\nkind = "platform"\nextends = "parent"\n'
    board = write("platforms/board.toml", text)
    write(
        "profiles/mine.toml",
        'schema = 1\nkind = "profile"\nextends = "../profiles/theirs.toml"\n'
        '[rootfs]\nfiles = [{ path = "/a", template = "own.j2" }]\n',
    )
    write("profiles/theirs.toml", 'schema = 1\nkind = "profile"\nextends = "base"\n')
    resolved = Catalog().recipe(str(board), str(tmp_path / "profiles" / "mine.toml"))
    assert resolved.recipe.boards == ("x",)
    assert resolved.recipe.platform == "board"
    assert resolved.templates[0] == tmp_path / "templates"
    musl = Catalog().recipe(str(board.with_name("board-musl.toml")))
    assert musl.recipe.platform == "board-musl"


def test_a_profile_given_by_its_path_brings_its_templates(write: Write, tmp_path: Path) -> None:
    """Also where the platform is a shipped one."""
    write("templates/own.j2", "{{ date }}\n")
    head = 'schema = 1\nkind = "profile"\nextends = "base"\n'
    files = '[rootfs]\nfiles = [{ path = "/a", template = "own.j2" }]\n'
    path = write("profiles/mine.toml", head + files)
    resolved = Catalog().recipe("rpi-aarch64", str(path))
    assert resolved.templates[0] == tmp_path / "templates"
    assert resolved.recipe.profile == "mine"


def test_the_rootfs_does_not_depend_on_the_platform(write: Write, tmp_path: Path) -> None:
    """Its file name has only the architecture, so no platform may add to it."""
    write("platforms/board.toml", BOARD + '[platformfs]\npackages.add = ["vim"]\n')
    catalog = Catalog([tmp_path])
    assert catalog.recipe("board").recipe.rootfs == catalog.recipe("rpi-aarch64").recipe.rootfs


def test_the_raspberry_pi_is_what_its_firmware_and_void_expect() -> None:
    """The facts that make one image start from SD, USB and NVMe on every 64-bit board."""
    recipe = Catalog().recipe("rpi-aarch64").recipe
    assert recipe.disk is not None
    boot, root = recipe.disk.partitions
    assert (boot.size, boot.type, boot.active, boot.mount) == (256 * 2**20, "0x0c", True, "/boot")
    assert (boot.fat.bits, boot.fat.sectors_per_cluster) == (32, 4)
    assert (root.size, root.type, root.filesystem, root.ext4.journal) == (
        "rest",
        "0x83",
        "ext4",
        False,
    )
    assert "rootwait" in recipe.boot.cmdline.split()
    assert [machine.medium for machine in recipe.smoke.machines] == ["sd", "usb", "nvme"]
    assert {"sshd", "ntpd", "dhcpcd", "agetty-ttyAMA0"} == set(recipe.platformfs.services)


def test_statements_do_not_hold_by_their_own_echo() -> None:
    """The console echoes what is typed: no statement may be true of its command."""
    import re

    values = {"root_partuuid": "5a1e0001-02", "boot_partuuid": "5a1e0001-01", "date": "20240314"}
    for statement in Catalog().recipe("rpi-aarch64").recipe.smoke.statements:
        expect = statement.expect
        for name, value in values.items():
            expect = expect.replace(f"{{{name}}}", value)
        assert re.search(expect, statement.command) is None, statement.name
