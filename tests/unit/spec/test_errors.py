"""What is wrong with files is said at its place, all at once, with a suggestion.

The mark ▸ in a text is where the error is expected.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.spec.conftest import Write, place_of_mark
from voidimg.catalog.catalog import Catalog
from voidimg.errors import CollectedError, SpecError
from voidimg.spec.tree import parse_document

BOARD = 'schema = 1\nkind = "platform"\nextends = "rpi-aarch64"\n'
CONTENT = 'schema = 1\nkind = "profile"\nextends = "base"\n'
PLAIN = BOARD + '[boot]\nfirmware = "none"\n'


def partition(**changes: str) -> str:
    """A partition in one line of TOML; `changes` are TOML values, by key."""
    entries = {
        "name": '"root"',
        "size": '"rest"',
        "type": '"0x83"',
        "filesystem": '"ext4"',
        "mount": '"/"',
    }
    words = ", ".join(f"{key} = {value}" for key, value in (entries | changes).items())
    return f"{{ {words} }}"


def boot(**changes: str) -> str:
    """As `partition`, for a FAT /boot of 256 MiB."""
    entries = {"name": '"boot"', "size": '"256MiB"', "type": '"0x0c"', "filesystem": '"vfat"'}
    return partition(**(entries | {"mount": '"/boot"'} | changes))


def disk(*partitions: str) -> str:
    """A platform without firmware whose disk has these partitions."""
    return PLAIN + f"[disk]\npartitions = [{', '.join(partitions)}]\n"


def pi_boot(**changes: str) -> str:
    """The Raspberry Pi with another /boot."""
    return BOARD + f"[disk.partitions]\nadd = [{boot(**changes)}]\n"


FORM = [
    # the file as a whole
    ('schema = 1\nkind = "platform"\nsummary = ▸', "SYNTAX", "not TOML", ""),
    ("schema = 1\nschema = 1▸\n", "SYNTAX", "cannot overwrite a value", ""),
    ("▸schema = 1\n", "MISSING", "needs 'kind'", ""),
    ('schema = 1\nkind = ▸"plattform"\n', "VALUE", "'plattform'", "'platform'"),
    ('schema = ▸2\nkind = "platform"\n', "SCHEMA", "schema 2", "newer"),
    ('▸kind = "platform"\nextends = "rpi-aarch64"\n', "MISSING", "needs 'schema'", ""),
    # unknown keys
    (BOARD + '▸sumary = "x"\n', "UNKNOWN-KEY", "unknown key 'sumary'", "'summary'"),
    (BOARD + "[disk]\n▸labell = 1\n", "UNKNOWN-KEY", "in [disk]", "'label'"),
    (disk(partition(**{"▸nam": "1"})), "UNKNOWN-KEY", "in [disk.partitions[0]]", "'name'"),
    (BOARD + "[platformfs.packages]\n▸ad = []\n", "UNKNOWN-KEY", "'ad'", "'add'"),
    (BOARD + "[▸rootfs]\npackages = []\n", "UNKNOWN-KEY", "'rootfs'", ""),
    (BOARD + '[musl]\n▸arch = "aarch64"\n', "UNKNOWN-KEY", "in [musl]", ""),
    # types and words
    (BOARD + "summary = ▸1\n", "TYPE", "should be a string", ""),
    (BOARD + "boards = ▸true\n", "TYPE", "is true, but should be a list, or a table", ""),
    (BOARD + "▸extnds = 1\n", "UNKNOWN-KEY", "'extnds'", "'extends'"),
    (BOARD + "disk = ▸3\n", "TYPE", "should be a table", ""),
    (BOARD + "[[smoke.machines]]\nmedium = \"sd\"\nmachine = \"virt\"\n"
     'power_of_two = ▸"yes"\n', "TYPE", "should be true or false", ""),
    (BOARD + 'arch = ▸"aarch46"\n', "VALUE", "'aarch46'", "'aarch64'"),
    (BOARD + 'libc = ["glibc", ▸"muls"]\n', "VALUE", "'muls'", "'musl'"),
    (BOARD + '[disk]\nlabel = ▸"gtp"\n', "VALUE", "'gtp'", "'gpt'"),
    (BOARD + 'keys = [▸"60:ae"]\n', "FINGERPRINT", "not a fingerprint", ""),
    (BOARD + '[repositories]\naarch64 = [▸"ftp://a/b"]\n', "REPOSITORY", "http(s)", ""),
    (BOARD + '[platformfs]\nservices = { add = [▸"a/b"] }\n', "SERVICE", "/etc/sv", ""),
    (BOARD + '[platformfs]\npackages = { add = [▸"a b"] }\n', "PACKAGE", "package or", ""),
    # grammar of sizes, modes, paths, expressions
    (BOARD + '[disk]\nheadroom = ▸"64MB"\n', "SIZE", "'64MB' is not a size", ""),
    (BOARD + "[disk]\nheadroom = ▸67108864\n", "SIZE", "lacks a unit", ""),
    (BOARD + "[disk]\nheadroom = ▸1.5\n", "TYPE", "whole number", ""),
    (BOARD + '[[image.files]]\npath = "/a"\ncontent = ""\nmode = ▸"644"\n', "MODE", "'644'", ""),
    (BOARD + '[[image.files]]\npath = "/a"\ncontent = ""\nmode = ▸420\n', "MODE", "string", ""),
    (BOARD + '[[image.files]]\npath = ▸"a"\ncontent = ""\n', "PATH", "absolute", ""),
    (BOARD + '[[image.files]]\npath = ▸"/a/../b"\ncontent = ""\n', "PATH", "plain form", ""),
    (BOARD + '[[image.▸files]]\npath = "/a"\n', "FILE-SOURCE", "exactly one", ""),
    (BOARD + '[image]\nedits = [{ path = "/a", match = ▸"(", line = "b" }]\n', "REGEX",
     "not a regular expression", ""),
    (BOARD + '[boot]\ncmdline = ▸"a\\nb"\n', "VALUE", "boot.cmdline", ""),
    (disk("▸{ " + partition()[1:].replace('name = "root",', "")), "MISSING",
     "disk.partitions[0] needs 'name'", ""),
    # inheritance
    ('schema = 1\nkind = "platform"\nextends = ▸"rpi-arch64"\n', "UNKNOWN-PLATFORM",
     "'rpi-arch64'", "'rpi-aarch64'"),
    ('schema = 1\nkind = "platform"\nextends = ▸"board"\n', "UNKNOWN-PLATFORM", "'board'", ""),
    ('schema = 1\nkind = "platform"\nextends = ▸"board.toml"\n', "CYCLE", "board -> board", ""),
    (BOARD + '[platformfs.packages]\nremove = [▸"chronny"]\n', "REMOVE", "not there", "'chrony'"),
    (BOARD + '[platformfs.services]\nremove = [▸"ssh"]\n', "REMOVE", "not there", "'sshd'"),
    (BOARD + 'profile = ▸"bsae"\n', "UNKNOWN-PROFILE", "'bsae'", "'base'"),
]  # fmt: skip

CROSS = [
    (BOARD + 'libc = ["glibc"]\n[▸musl]\nboards = []\n', "LIBC", "[musl] has no effect", ""),
    (BOARD + '[repositories]\n▸aarch65 = ["/x"]\n', "UNKNOWN-KEY", "'aarch65'", "'aarch64'"),
    (BOARD + '[image]\n▸packages = ["a"]\n', "IMAGE-PACKAGES", "no packages", "[platformfs]"),
    (BOARD + '[boot]\ncmdline = ▸"quiet root=/dev/sda1"\n', "CMDLINE-ROOT", "root=", ""),
    (BOARD + '[image.files]\nadd = [{ path = "/a", template = ▸"fstab.j" }]\n', "TEMPLATE",
     "no template 'fstab.j'", "'fstab.j2'"),
    (BOARD + '[image]\nfiles = [{ path = "/a", content = "" }, { path = ▸"/a", link = "b" }]\n',
     "TWICE", "writes /a twice", ""),
    # partitions
    (disk(partition(type='▸"0FC63DAF-8483-4772-8E79-3D69D8477DE4"')), "TYPE-LABEL",
     "an mbr disk needs a type byte", ""),
    (disk(partition(type='▸"0x83"')) + 'label = "gpt"\n', "TYPE-LABEL",
     "a gpt disk needs a type GUID", ""),
    (disk(partition(type='▸"0x00"')), "TYPE-LABEL", "empty entry", ""),
    (disk(partition(type='▸"83"')), "PARTITION-TYPE", "type byte", ""),
    (disk(partition(type='▸"0x0c"')), "TYPE-FILESYSTEM", "announces FAT", ""),
    (disk(partition(size='▸"1000B"')), "SIZE", "sectors", ""),
    (disk(partition(size='▸"restt"')), "SIZE", "'restt' is not a size", ""),
    (disk(partition(size='▸"rest"'), boot()), "REST", "not the last", ""),
    (disk(boot(mount='"/"'), partition(mount='▸"/"')), "TWICE", "mounted at '/'", ""),
    (disk(boot(name='"root"'), partition(name='▸"root"')), "TWICE", "named 'root'", ""),
    (PLAIN + f"[disk]\n▸partitions = [{boot()}]\n", "NO-ROOT", "no partition is mounted", ""),
    (disk(boot(active="true"), partition(active="▸true")), "ACTIVE", "only one", ""),
    (disk(*(partition(name=f'"p{n}"', size='"8MiB"', mount=f'"/{n}"') for n in "abcd"),
          "▸" + partition()), "PARTITIONS", "four", ""),
    (disk(partition(label='▸"a label too long for it"')), "LABEL", "not an ext4 label", "16 bytes"),
    (BOARD + '[disk]\nsize = ▸"200MiB"\n', "SIZE", "nothing is left of 200 MiB", "or none"),
    (BOARD + '[disk]\nfirst_partition = ▸"0B"\n', "SIZE", "itself takes the first 512", ""),
    (BOARD + '[disk]\nheadroom = ▸"100B"\n', "SIZE", "whole sectors", ""),
    (BOARD + '[[disk.blobs]]\nsource = "/a"\noffset = ▸"8MiB"\n', "BLOB", "the partition boot", ""),
    (BOARD + '[boot.grub]\nplatforms = [▸"i386-pc"]\n', "GRUB-PLATFORM", "no machine of", "arm64"),
    # FAT: the cluster count decides
    (pi_boot(fat="{ bits = 32, sectors_per_cluster = ▸8 }"), "FAT-BITS", "65404 clusters",
     "1 or 2 or 4"),
    (pi_boot(size='"16MiB"', fat="{ bits = ▸32 }"), "FAT-BITS", "at least 65525",
     "change the size"),
    (pi_boot(type='▸"0x0c"', fat="{ bits = 16 }"), "TYPE-FILESYSTEM", "announces FAT32", ""),
    (pi_boot(label='▸"boot!"'), "LABEL", "not a FAT label", ""),
    (BOARD + f"[disk]\npartitions = [▸{partition()}]\n", "FIRMWARE", "first partition", ""),
    # boot tests
    (BOARD + '[[smoke.statements]]\nname = "a"\ncommand = "b"\nexpect = ▸"{root_partuid}"\n',
     "PLACEHOLDER", "{root_partuid}", "'root_partuuid'"),
    (BOARD + '[[smoke.statements]]\nname = "a"\ncommand = "b"\nexpect = ▸"{date}("\n', "REGEX",
     "not a regular expression", ""),
    (BOARD + '[[smoke.machines]]\nmedium = "sd"\ncontroller = ▸"xhci"\nmachine = "virt"\n',
     "MACHINE-CONTROLLER", "for usb, not for sd", ""),
    (BOARD + '[[smoke.machines]]\nmedium = ▸"cd"\nmachine = "pc"\n', "MACHINE-CD",
     "own firmware", "bios"),
    (BOARD + '[[smoke.machines]]\nmedium = "usb"\nfirmware = ▸"uefi"\nmachine = "virt"\n'
     'append = "console=ttyAMA0"\n', "MACHINE-FIRMWARE",
     "the medium itself says", ""),
    (BOARD + '[smoke]\nuser = ▸"rot"\n', "SMOKE-USER", "'rot'", "'root'"),
]  # fmt: skip

PROFILES = [
    (CONTENT + '▸locale = "de_DE.UTF-8"\n', "LOCALE-MUSL", "musl has no locales", "[glibc]"),
    (CONTENT + '[glibc]\nlocale = ▸"german"\n', "LOCALE", "not a locale", ""),
    (CONTENT + 'timezone = ▸"Europe/"\n', "TIMEZONE", "time zone", ""),
    (CONTENT + 'hostname = ▸"a_b"\n', "HOSTNAME", "host name", ""),
    (CONTENT + 'users = [{ name = ▸"Root" }]\n', "ACCOUNT", "useradd", ""),
    (CONTENT + 'users = [{ name = "a" }, { name = ▸"a" }]\n', "TWICE", "user 'a'", ""),
    (CONTENT + 'users = [{ name = "a", uid = ▸-1 }]\n', "VALUE", "greater than", ""),
    (CONTENT + 'users = [{ name = "a", description = ▸"b:c" }]\n', "ACCOUNT-DESCRIPTION",
     "one line without ':'", ""),
    (BOARD + '[image]\nfiles = [{ path = "/a", link = ▸"" }]\n', "LINK", "symbolic link", ""),
    (CONTENT + "[▸disk]\n", "UNKNOWN-KEY", "'disk'", ""),
    (CONTENT + '[rootfs.files]\nadd = [{ path = "/a", template = ▸"nothing" }]\n', "TEMPLATE",
     "no template 'nothing'", ""),
]  # fmt: skip


def the_error(errors: list[SpecError], expected: str) -> SpecError:
    """The only error, which must be at `expected`."""
    assert [error.where for error in errors] == [expected], [str(error) for error in errors]
    return errors[0]


@pytest.mark.parametrize(("marked", "code", "what", "hint"), FORM + CROSS)
def test_errors_of_platforms(write: Write, marked: str, code: str, what: str, hint: str) -> None:
    """A platform file with one error has exactly that error, at the marked place."""
    text, place = place_of_mark(marked)
    path = write("platforms/board.toml", text)
    error = the_error(Catalog().check_files([path]), f"{path}:{place}")
    assert error.code == f"E-SPEC-{code}"
    assert what in error.what
    assert hint in (error.hint or "")


@pytest.mark.parametrize(("marked", "code", "what", "hint"), PROFILES)
def test_errors_of_profiles(write: Write, marked: str, code: str, what: str, hint: str) -> None:
    """A profile file with one error has exactly that error, at the marked place."""
    text, place = place_of_mark(marked)
    path = write("profiles/mine.toml", text)
    error = the_error(Catalog().check_files([path]), f"{path}:{place}")
    assert error.code == f"E-SPEC-{code}"
    assert what in error.what
    assert hint in (error.hint or "")


def test_a_locale_of_glibc_only_is_right_with_both(write: Write) -> None:
    """The shipped way to set a locale is valid for musl as well."""
    path = write("profiles/mine.toml", CONTENT + '[glibc]\nlocale = "de_DE.UTF-8"\n')
    assert Catalog().check_files([path]) == []


def test_all_errors_of_all_files_at_once(write: Write) -> None:
    """Errors of several files, form and words, come together in the order of the text."""
    one = write("platforms/one.toml", BOARD + "sumary = 1\nboards = 2\n[disk]\nlabel = 3\n")
    two = write("profiles/two.toml", "schema = 1\nkind = \n")
    three = write("profiles/three.toml", CONTENT + "hostname = 1\n")
    found = [error.where for error in Catalog().check_files([two, three, one])]
    expected = [f"{one}:4:1", f"{one}:5:10", f"{one}:7:9", f"{three}:4:12", f"{two}:2:8"]
    assert found == expected


def test_a_recipe_raises_its_errors_together(write: Write, tmp_path: Path) -> None:
    """Several errors are one `CollectedError`, with the exit status of bad files."""
    write("platforms/board.toml", BOARD + "sumary = 1\nboards = 2\n")
    with pytest.raises(CollectedError) as caught:
        Catalog([tmp_path]).recipe("board")
    assert len(caught.value.errors) == 2
    assert caught.value.first_exit_status == SpecError.exit_status


def test_an_error_of_a_parent_is_said_in_the_parent(write: Write, tmp_path: Path) -> None:
    """The place is where the wrong value is written, not where it is inherited."""
    parent = write("platforms/parent.toml", BOARD + "boards = 1\n")
    text = 'schema = 1\nkind = "platform"\nextends = "parent"\n'
    child = write("platforms/child.toml", text)
    error = the_error(Catalog([tmp_path]).check_files([child]), f"{parent}:4:10")
    assert error.code == "E-SPEC-TYPE"


def test_a_value_is_wrong_where_it_was_written_last(write: Write, tmp_path: Path) -> None:
    """A cross check names the file whose value makes the contradiction."""
    parent = write("platforms/parent.toml", BOARD + '[disk]\nsize = "1GiB"\n')
    text = 'schema = 1\nkind = "platform"\nextends = "parent"\n[disk]\nsize = "8MiB"\n'
    child = write("platforms/child.toml", text)
    errors = Catalog([tmp_path]).check_files([child, parent])
    the_error(errors, f"{child}:5:8")


@pytest.mark.parametrize(
    ("content", "code", "place"),
    [
        (b"schema = 1\nname = '\xff'\n", "ENCODING", ":2:9"),
        (None, "READ", ""),
        (b"schema = 1\r\nkind = [\r\n", "SYNTAX", ":3:1"),
        (b"schema = 1\nx = " + b"[" * 5000 + b"]" * 5000, "LIMIT", ""),
        (b"schema = " + b"1" * 9999, "LIMIT", ""),
    ],
)
def test_files_that_are_no_toml(
    write: Write, tmp_path: Path, content: bytes | None, code: str, place: str
) -> None:
    """Unreadable files, other encodings and files that end too early are errors of their own."""
    path = tmp_path / "a.toml"
    if content is not None:
        write("a.toml", content)
    error = the_error(Catalog().check_files([path]), f"{path}{place}")
    assert error.code == f"E-SPEC-{code}"


def test_platforms_that_extend_each_other(write: Write, tmp_path: Path) -> None:
    """A circle is named with all its members."""
    for name, parent in (("a", "b"), ("b", "c"), ("c", "a")):
        text = f'schema = 1\nkind = "platform"\nextends = "{parent}"\n'
        write(f"platforms/{name}.toml", text)
    with pytest.raises(SpecError, match="circle: a -> b -> c -> a") as caught:
        Catalog([tmp_path]).recipe("a")
    assert caught.value.code == "E-SPEC-CYCLE"
    assert caught.value.where == f"{tmp_path}/platforms/c.toml:3:11"


@pytest.mark.parametrize(
    ("platform", "profile", "code", "hint"),
    [
        ("rpi-arch64", None, "UNKNOWN-PLATFORM", "'rpi-aarch64'"),
        ("rpi-aarch64-mussl", None, "UNKNOWN-PLATFORM", "'rpi-aarch64-musl'"),
        ("zzz", None, "UNKNOWN-PLATFORM", "voidimg list"),
        ("void", None, "ABSTRACT", ""),
        ("rpi-aarch64", "bas", "UNKNOWN-PROFILE", "'base'"),
        ("rpi-aarch64", "nowhere/x.toml", "READ", ""),
        ("nowhere/x.toml", None, "READ", ""),
    ],
)
def test_names_that_mean_nothing(platform: str, profile: str | None, code: str, hint: str) -> None:
    """Unknown names come with the nearest known one."""
    with pytest.raises(SpecError) as caught:
        Catalog().recipe(platform, profile)
    assert caught.value.code == f"E-SPEC-{code}"
    assert hint in (caught.value.hint or "")


def test_a_libc_that_is_not_offered(write: Write, tmp_path: Path) -> None:
    """Neither `-musl` without musl, nor the plain name without glibc."""
    write("platforms/one.toml", BOARD + 'libc = ["glibc"]\n')
    write("platforms/two.toml", BOARD + 'libc = ["musl"]\n')
    catalog = Catalog([tmp_path])
    for name, hint in (("one-musl", None), ("two", "its name is 'two-musl'")):
        with pytest.raises(SpecError, match="is not offered with") as caught:
            catalog.recipe(name)
        assert caught.value.code == "E-SPEC-LIBC"
        assert caught.value.hint == hint


def test_templates_that_are_broken_or_ask_for_too_much(write: Write, tmp_path: Path) -> None:
    """A template is read before a build: its syntax, and the names its stage has."""
    broken = write("templates/broken.j2", "a\n{% for %}\n")
    greedy = write("templates/greedy.j2", "{{ partitions.root.uuid }}{{ dat }}\n")
    files = ('{ path = "/a", template = "broken.j2" }', '{ path = "/b", template = "greedy.j2" }')
    path = write("profiles/mine.toml", CONTENT + f"[rootfs]\nfiles = [{', '.join(files)}]\n")
    found = [(error.where, error.code, error.hint) for error in Catalog().check_files([path])]
    assert found == [
        (f"{broken}:2:1", "E-SPEC-TEMPLATE-SYNTAX", None),
        (str(greedy), "E-SPEC-TEMPLATE-NAME", "did you mean 'date'?"),
        (str(greedy), "E-SPEC-TEMPLATE-NAME", None),
    ]


def test_a_platform_file_cannot_be_named_musl(write: Write) -> None:
    """The generated name would mean two things."""
    path = write("platforms/board-musl.toml", BOARD)
    assert the_error(Catalog().check_files([path]), str(path)).code == "E-SPEC-NAME"


_MARKS = ("\n", "\r\n", "\\", " = ", *"ab.='\"[]{},#1-é")
_WORDS = ('"""', "[[", "]]", "schema = 1\n", "kind", "extends", "true", "1979-05-27")
_PIECES = st.sampled_from(_MARKS + _WORDS)


@given(st.lists(_PIECES, max_size=30).map("".join))
def test_any_text_is_a_tree_or_an_error(text: str) -> None:
    """Whatever is in a file, it is read or refused in words; every place is inside the text."""
    try:
        node = parse_document(text, "f")
    except SpecError:
        return
    lines = text.split("\n")
    for _, leaf in node.leaves():
        assert 1 <= leaf.origin.line <= len(lines)
        assert 1 <= leaf.origin.column <= len(lines[leaf.origin.line - 1]) + 1


@pytest.mark.parametrize("profile", ["xfce", "gnome", "kde"])
@pytest.mark.parametrize("platform", ["rpi-aarch64", "rpi-aarch64-musl"])
def test_a_profile_of_which_nothing_would_be_built_is_refused(platform: str, profile: str) -> None:
    """A desktop for live systems is nothing to a board that has none."""
    with pytest.raises(SpecError) as caught:
        Catalog().recipe(platform, profile)
    assert caught.value.code == "E-SPEC-PROFILE-LIVE"
    assert "x86_64" in str(caught.value.hint)
    assert Catalog().recipe("x86_64", profile).only_live
    assert not Catalog().recipe(platform, "base").only_live


def test_a_profile_with_more_than_a_live_system_is_taken(tmp_path: Path) -> None:
    """What it says of other trees is built; its live system is for other platforms."""
    more = tmp_path / "profiles" / "more.toml"
    more.parent.mkdir()
    more.write_text(
        'schema = 1\nkind = "profile"\nextends = "xfce"\nsummary = "s"\n'
        '[platformfs]\npackages = { add = ["htop"] }\n'
    )
    resolved = Catalog([tmp_path]).recipe("rpi-aarch64", "more")
    assert "htop" in resolved.recipe.platformfs.packages


def test_a_byte_order_mark_is_not_part_of_a_file(tmp_path: Path) -> None:
    """Editors of Windows write one, and places stay those that an editor shows."""
    path = tmp_path / "mine.toml"
    text = 'schema = 1\nkind = "profile"\nextends = "base"\nsummary = "s"\n'
    path.write_text(text, encoding="utf-8-sig")
    assert Catalog().check_files([path]) == []
    path.write_text(text + "colour = 1\n", encoding="utf-8-sig")
    assert [error.where for error in Catalog().check_files([path])] == [f"{path}:5:1"]


def test_relative_directories_are_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build works in other directories than it was started in."""
    (tmp_path / "mine" / "profiles").mkdir(parents=True)
    file = tmp_path / "mine" / "profiles" / "own.toml"
    file.write_text('schema = 1\nkind = "profile"\nextends = "base"\nsummary = "s"\n')
    monkeypatch.chdir(tmp_path)
    by_name = Catalog([Path("mine")]).recipe("rpi-aarch64", "own")
    by_path = Catalog().recipe("rpi-aarch64", "mine/profiles/own.toml")
    for resolved in (by_name, by_path):
        for place in (*resolved.templates, *resolved.sources):
            assert place.is_absolute()
