"""What `check` accepts, the planners accept: for any disk, command line and name.

`check` asks the planners, so most of this holds by construction; the tests keep it so. They write
files as users do, and compare what is said of them with what the planners do.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from voidimg.artifact_names import ArtifactName
from voidimg.artifacts.registry import KINDS, artifact_name, read_name
from voidimg.catalog.catalog import Catalog
from voidimg.disk.plan import DiskPlan, plan_disk
from voidimg.errors import CollectedError, LayoutError, SpecError, every_error
from voidimg.formats import fat
from voidimg.identity import Identity, ReleaseDate
from voidimg.live.menus import check_menu_words, netboot_menu
from voidimg.live.recipe_menu import menu_before_build
from voidimg.spec.disk_model import Disk
from voidimg.spec.model import Recipe

MIB = 2**20
LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"
BOARD = 'schema = 1\nkind = "platform"\nextends = "rpi-aarch64"\n'
PLAIN = BOARD + '[boot]\nfirmware = "none"\n'

in_one_directory = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def toml(value: object) -> str:
    """`value` as TOML in one line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(toml(one) for one in value) + "]"
    return json.dumps(value, ensure_ascii=False)


def checked(directory: Path, kind: str, text: str) -> list[SpecError]:
    """What `check` says of a file with `text`."""
    path = directory / f"{kind}s" / "tried.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return Catalog([directory]).check_files([path])


def disk_text(disk: dict[str, Any]) -> str:
    """A platform without firmware that has this disk, and nothing of its parent's."""
    disk = {"label": "mbr", "blobs": [], **disk}
    lines = [f"{key} = {toml(value)}" for key, value in disk.items()]
    return PLAIN + "[disk]\n" + "\n".join(lines) + "\n"


def disk_of(directory: Path) -> Disk:
    """The disk of the file that was checked last."""
    found = Catalog([directory]).recipe("tried").recipe.disk
    assert found is not None
    return found


def empty_plan(disk: Disk) -> DiskPlan:
    """The plan of `disk` with nothing on it, and with blobs of a byte."""
    blobs = {blob.source: 1 for blob in disk.blobs}
    return plan_disk(disk, contents={}, identity=Identity("test"), blob_bytes=blobs)


# --- disks ---

odd_bytes = st.builds(lambda mib, odd: f"{mib * MIB + odd}B", st.integers(0, 700),
                      st.sampled_from([0, 0, 0, 512, 1024, 2**19, 1, 511]))  # fmt: skip
sizes = st.one_of(
    st.integers(0, 700).map(lambda mib: f"{mib}MiB"),
    odd_bytes,
    st.sampled_from(["2TiB", "15TiB", "17TiB", "999999TiB", "33554432sectors", "1sectors", "9GiB"]),
)
labels = st.one_of(
    st.sampled_from(["", "BOOT", "void", " A", "a label too long for it", "é" * 9, "A\u0007"]),
    st.text(max_size=18).filter(str.isprintable),
)
types = st.sampled_from(["0x83", "0x0c", "0x0e", "0x00", "0x05", "0xee", "0xEA", LINUX,
                         LINUX.upper(), "00000000-0000-0000-0000-000000000000"])  # fmt: skip


@st.composite
def partitions(draw: st.DrawFn) -> list[dict[str, object]]:
    """One to six partitions, of which most are as users write them."""
    count = draw(st.integers(1, 6))
    found: list[dict[str, object]] = []
    for number in range(count):
        entry: dict[str, object] = {
            "name": draw(st.sampled_from([f"p{number}", "p0", f"p{'x' * 36}{number}"])),
            "size": draw(st.one_of(sizes, st.just("rest")) if number == count - 1 else sizes),
            "type": draw(types),
            "filesystem": draw(st.sampled_from(["ext4", "vfat", "ext4", "vfat", "swap", "none"])),
            "mount": "/" if number == 0 else f"/{number}",
            "label": draw(labels),
        }
        if entry["filesystem"] == "vfat":
            entry["fat"] = {"bits": draw(st.sampled_from([12, 16, 32]))} | draw(
                st.one_of(
                    st.just({}),
                    st.sampled_from([1, 4, 16, 128]).map(lambda one: {"sectors_per_cluster": one}),
                )
            )
        elif entry["filesystem"] == "ext4":
            entry["ext4"] = {"journal": draw(st.booleans())}
        elif draw(st.booleans()):
            del entry["mount"]
        if draw(st.integers(0, 7)) == 0:
            entry["start"] = draw(
                st.one_of(sizes, st.sampled_from(["34sectors", "64sectors", "0B", "100B", "1MiB"]))
            )
        found.append(entry)
    return found


disks = st.fixed_dictionaries(
    {"label": st.sampled_from(["mbr", "gpt"]), "partitions": partitions()},
    optional={
        "size": sizes,
        "headroom": sizes,
        "first_partition": st.one_of(
            sizes, st.sampled_from(["1MiB", "16MiB", "34sectors", "0B", "100B"])
        ),
        "blobs": st.lists(
            st.one_of(
                st.fixed_dictionaries(
                    {
                        "source": st.sampled_from(["/a", "/b"]),
                        "offset": st.sampled_from(
                            ["0B", "512B", "32KiB", "17408B", "8MiB", "900GiB"]
                        ),
                    }
                ),
                st.fixed_dictionaries(
                    {
                        "source": st.sampled_from(["/a", "/b"]),
                        "partition": st.sampled_from(["p0", "p1", "p2", "nowhere"]),
                    }
                ),
            ),
            max_size=3,
        ),
    },
)


@in_one_directory
@given(disk=disks)
@example(disk={"label": "gpt", "size": "601MiB",
               "partitions": [{"name": "p0", "size": "600MiB", "type": LINUX,
                               "filesystem": "ext4", "mount": "/"}]})  # fmt: skip
@example(disk={"label": "gpt", "blobs": [{"source": "/a", "partition": "p0"}],
               "partitions": [{"name": "p0", "size": "1MiB", "start": "64sectors", "type": LINUX,
                               "filesystem": "none"},
                              {"name": "p1", "size": "64MiB", "type": LINUX, "filesystem": "swap"},
                              {"name": "p2", "size": "rest", "type": LINUX, "filesystem": "ext4",
                               "mount": "/"}]})  # fmt: skip
def test_a_disk_that_is_accepted_can_be_planned(tmp_path: Path, disk: dict[str, Any]) -> None:
    """No disk passes `check` and is refused by the planner."""
    if checked(tmp_path, "platform", disk_text(disk)) == []:
        empty_plan(disk_of(tmp_path))


@in_one_directory
@given(
    size=st.one_of(
        st.integers(1, 140),
        st.sampled_from([15, 16, 17, 31, 32, 33, 34, 127, 128, 255, 256, 511, 512, 1023, 1024]),
        st.integers(140, 70_000),
    ).flatmap(lambda mib: st.integers(-2, 40).map(lambda more: mib * MIB + more * 512)),
    bits=st.sampled_from([12, 16, 32]),
    per_cluster=st.sampled_from([None, 1, 2, 4, 8, 16, 32, 64, 128]),
)
@example(size=33 * MIB, bits=32, per_cluster=None)
@example(size=256 * MIB, bits=32, per_cluster=8)
def test_check_and_planner_agree_on_every_fat(
    tmp_path: Path, size: int, bits: int, per_cluster: int | None
) -> None:
    """A FAT is accepted exactly where the one rule finds a geometry for it."""
    geometry: dict[str, object] = {"bits": bits}
    if per_cluster is not None:
        geometry["sectors_per_cluster"] = per_cluster
    boot = {"name": "boot", "size": f"{size}B", "type": LINUX, "filesystem": "vfat",
            "mount": "/boot", "fat": geometry}  # fmt: skip
    root = {"name": "root", "size": "rest", "type": LINUX, "filesystem": "ext4", "mount": "/"}
    errors = checked(tmp_path, "platform", disk_text({"label": "gpt", "partitions": [boot, root]}))
    assert [(one.code, one.what) for one in errors] == fat_refusal(size, bits, per_cluster)


def fat_refusal(size: int, bits: int, per_cluster: int | None) -> list[tuple[str, str]]:
    """What the one rule says against a FAT of `size` bytes."""
    try:
        fat.choose_geometry(size // 512, bits, per_cluster, "boot")  # type: ignore[arg-type]
    except LayoutError as error:
        return [("E-SPEC-FAT-BITS", error.what)]
    return []


def one_root(**changes: object) -> dict[str, Any]:
    """A disk of one partition."""
    root = {"name": "root", "size": "rest", "type": "0x83", "filesystem": "ext4", "mount": "/"}
    return {"partitions": [root | changes]}


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    (one_root(size="1MiB"), "SIZE", "room for"),
    (one_root(size="999999TiB"), "SIZE", "16384 GiB"),
    (one_root(size="3TiB"), "SIZE", "beyond 2 TiB"),
    (one_root() | {"headroom": "999999TiB"}, "SIZE", "16384 GiB"),
    (one_root() | {"size": "999999TiB"}, "SIZE", "16384 GiB"),
    (one_root() | {"size": "0B"}, "SIZE", "whole sectors"),
    (one_root(size="0B"), "SIZE", "whole sectors"),
    (one_root(type="0x05"), "TYPE-LABEL", "other partitions"),
    (one_root(type="0x0F"), "TYPE-LABEL", "other partitions"),
    (one_root(type="0xEE"), "TYPE-LABEL", "a GPT"),
    (one_root(type="00000000-0000-0000-0000-000000000000") | {"label": "gpt"}, "TYPE-LABEL",
     "empty entry"),
    (one_root(type=LINUX, name="n" * 37) | {"label": "gpt"}, "NAME", "longer than the 36"),
    (one_root(type=LINUX, size="600MiB") | {"label": "gpt", "size": "601MiB"}, "SIZE",
     "with the backup table"),
    (one_root(label="a\u0007b"), "LABEL", "not an ext4 label"),
    (one_root(filesystem="vfat", type="0x0c", size="64MiB"), "NO-ROOT", "FAT cannot hold"),
    (one_root() | {"blobs": [{"source": "/a", "offset": "32KiB"},
                             {"source": "/b", "offset": "32KiB"}]}, "BLOB", "overlaps /a"),
    (one_root(type=LINUX) | {"label": "gpt", "blobs": [{"source": "/a", "offset": "512B"}]},
     "BLOB", "overlaps the partition table"),
]  # fmt: skip


@pytest.mark.parametrize(("disk", "code", "what"), REFUSED)
def test_disks_that_no_build_could_make(
    tmp_path: Path, disk: dict[str, Any], code: str, what: str
) -> None:
    """They are refused with a place in the file, in no time, whatever their sizes."""
    (error,) = checked(tmp_path, "platform", disk_text(disk))
    assert (error.code, what in error.what) == (f"E-SPEC-{code}", True), str(error)
    assert error.where is not None
    assert error.where.startswith(f"{tmp_path}/platforms/tried.toml:")


def test_a_gpt_has_room_for_128_partitions(tmp_path: Path) -> None:
    """The table that is written has no more entries."""
    many = [
        {"name": f"p{n}", "size": "8MiB", "type": LINUX, "filesystem": "ext4",
         "mount": "/" if n == 0 else f"/{n}"}
        for n in range(129)
    ]  # fmt: skip
    (error,) = checked(tmp_path, "platform", disk_text({"label": "gpt", "partitions": many}))
    assert (error.code, "128" in error.what) == ("E-SPEC-PARTITIONS", True)
    assert checked(tmp_path, "platform", disk_text({"label": "gpt", "partitions": many[:-1]})) == []


# --- command lines ---

words = st.one_of(
    st.sampled_from(["quiet", "console=ttyS0,115200", "a$b", '"a b"', "a;b", "root=/dev/sda1",
                     "é", "*", "[a]", "a|b", "{x}", "`x`", "#", "\\", "a'b", '"', "\u200b"]),
    st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12),
    st.integers(100, 3000).map(lambda length: "x" * length),
)  # fmt: skip
cmdlines = st.lists(words, max_size=4).map(" ".join)


def menu_refusal(recipe: Recipe) -> str | None:
    """What the builds of ISO and netboot tarball say of the words of their menus."""
    menu = menu_before_build(recipe, "20240314rc1")
    live = recipe.live
    assert live is not None
    menus = [menu] + ([netboot_menu(menu, live.netboot.url)] if live.netboot else [])
    for one in menus:
        try:
            check_menu_words(one)
        except (LayoutError, CollectedError) as error:
            return str(error)
    return None


@in_one_directory
@given(content=cmdlines, hardware=cmdlines, url=st.sampled_from(["", "&a=b", "$x", ";y", "?a=b"]))
def test_a_live_command_line_that_is_accepted_can_be_written(
    tmp_path: Path, content: str, hardware: str, url: str
) -> None:
    """Whatever a profile and a platform say, the menus can say it, or `check` refuses it."""
    profile = 'schema = 1\nkind = "profile"\nextends = "live"\n[live]\n'
    path = tmp_path / "profiles" / "content.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(profile + f"cmdline = {toml(content)}\n")
    machine = {"name": "pc", "title": "PC", "cmdline": hardware, "devicetree": "a/b.dtb"}
    text = (
        'schema = 1\nkind = "platform"\nextends = "aarch64"\nprofile = "content"\n'
        f"[live]\nmachines = [{toml(machine)}]\n"
        f"[live.netboot]\nurl = {toml('http://server/root.img' + url)}\n"
    )
    if checked(tmp_path, "platform", text) == []:
        resolved = Catalog([tmp_path]).recipe("tried").recipe
        assert menu_refusal(resolved) is None


@pytest.mark.parametrize(
    "word", ["a$b", '"a b"', "a;b", "a'b", "é", "{a}", "`a`", "a&b", "x" * 3000]
)
@pytest.mark.parametrize("place", ["profile", "machine"])
def test_words_that_the_build_refuses(tmp_path: Path, word: str, place: str) -> None:
    """`check` refuses them where they are written."""
    machine = {"name": "pc", "title": "PC", "cmdline": "", "devicetree": "a/b.dtb"}
    profile = 'schema = 1\nkind = "profile"\nextends = "live"\n[live]\ncmdline = '
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "content.toml").write_text(
        profile + toml(word if place == "profile" else "") + "\n"
    )
    machine["cmdline"] = word if place == "machine" else ""
    text = (
        'schema = 1\nkind = "platform"\nextends = "aarch64"\nprofile = "content"\n'
        f"[live]\nmachines = [{toml(machine)}]\n"
    )
    errors = checked(tmp_path, "platform", text)
    assert {error.code for error in errors} == {"E-SPEC-CMDLINE"}, [str(one) for one in errors]
    file = "profiles/content.toml" if place == "profile" else "platforms/tried.toml"
    assert all((error.where or "").startswith(f"{tmp_path}/{file}:") for error in errors)


@pytest.mark.parametrize(
    ("cmdline", "code"),
    [
        ("x" * 3000, "CMDLINE"),
        ("console=é", "CMDLINE"),
        ('dyndbg="file a.c', "CMDLINE"),
        ("a\u001bb", "CMDLINE"),
        ("quiet root=/dev/sda1", "CMDLINE-ROOT"),
        ("\troot=/dev/sda1", "CMDLINE-ROOT"),
        ('dyndbg="file a.c +p" a$b;c', None),
        ("x" * 1900, None),
    ],
)
def test_the_command_line_of_a_disk(tmp_path: Path, cmdline: str, code: str | None) -> None:
    """No loader stands between the file and the kernel: only what it cannot read is wrong."""
    errors = checked(tmp_path, "platform", BOARD + f"[boot]\ncmdline = {toml(cmdline)}\n")
    assert [error.code for error in errors] == ([] if code is None else [f"E-SPEC-{code}"])


# --- names ---

file_names = st.one_of(
    st.sampled_from(["my board", "x-20240314", "20240314rc1", "a--b", "-x", "ü", "A.b", "live-x",
                     "x-ROOTFS", "ROOTFS", "b.img", "a" * 65, "PLATFORMFS-x", "x+y", "aarch64"]),
    st.from_regex(r"[A-Za-z0-9_. +-]{1,12}", fullmatch=True),
)  # fmt: skip


@in_one_directory
@given(platform=file_names, profile=file_names)
def test_artifacts_of_accepted_names_are_told_by_them(
    tmp_path: Path, platform: str, profile: str
) -> None:
    """Every artifact of a platform and profile that pass says by its name what it is."""
    named(tmp_path, "platform", platform, BOARD + 'libc = ["glibc"]\n')
    named(tmp_path, "profile", profile, 'schema = 1\nkind = "profile"\nextends = "base"\n')
    try:
        recipe = Catalog([tmp_path]).recipe(platform, profile).recipe
    except (SpecError, CollectedError):
        return
    date = ReleaseDate.parse("20240314")
    for name, kind in KINDS.items():
        if kind.why_not(recipe) is None:
            found = read_name(Path(artifact_name(name, recipe, date, "")))
            assert found is not None, name
            assert found[0].name == name
            assert found[1] == ArtifactName(kind.subject(recipe), "20240314", profile), name


def named(directory: Path, kind: str, name: str, text: str) -> None:
    """Write the only file of its kind."""
    folder = directory / f"{kind}s"
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    (folder / f"{name}.toml").write_text(text)


@pytest.mark.parametrize(
    ("kind", "name", "words"),
    [
        ("platform", "my board", "may follow"),
        ("platform", "-x", "begins with"),
        ("platform", "ü", "ASCII"),
        ("platform", "x-20240314", "date"),
        ("platform", "20240314r2-x", "date"),
        ("platform", "x" * 65, "65 characters"),
        ("profile", "my profile", "may follow"),
        ("profile", "x-20240314", None),
    ],
)
def test_names_that_no_artifact_can_have(
    tmp_path: Path, kind: str, name: str, words: str | None
) -> None:
    """They are refused with their file, before anything is built of them."""
    parent = "rpi-aarch64" if kind == "platform" else "base"
    named(tmp_path, kind, name, f'schema = 1\nkind = "{kind}"\nextends = "{parent}"\n')
    path = tmp_path / f"{kind}s" / f"{name}.toml"
    errors = Catalog([tmp_path]).check_files([path])
    if words is None:
        assert errors == []
        return
    (error,) = errors
    assert (error.code, error.where) == ("E-SPEC-NAME", str(path))
    assert words in error.what


def test_every_error_of_one_and_of_many() -> None:
    """A collected error is taken apart, another stands for itself."""
    one = LayoutError("a", code="A")
    assert every_error(one) == (one,)
    assert every_error(CollectedError("many", [one, one])) == (one, one)
