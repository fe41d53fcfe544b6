"""Own files of a recipe: where they are found, what is refused, and what pins them."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from voidimg.catalog.catalog import Catalog
from voidimg.errors import SpecError
from voidimg.spec.sources import source_entries
from voidimg.spec.stage_model import File, Hook

HEAD = 'schema = 1\nkind = "profile"\nextends = "base"\nsummary = "x"\n'


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A directory on the search path, with a file and a directory."""
    (tmp_path / "profiles").mkdir()
    (tmp_path / "files/tree/sub").mkdir(parents=True)
    (tmp_path / "files/tree/sub/plain").write_text("plain")
    (tmp_path / "files/tree/run").write_text("run")
    (tmp_path / "files/tree/run").chmod(0o700)
    (tmp_path / "files/tree/link").symlink_to("/outside")
    (tmp_path / "files/one").write_text("one")
    return tmp_path


OUTWARD = ("a file", "a template", "the directory of files", "the directory of templates")


@pytest.mark.parametrize("outward", OUTWARD)
def test_nothing_of_the_host_is_reached_by_a_link(outward: str, tmp_path: Path) -> None:
    """Neither is it placed, nor its checksum told."""
    own, host = tmp_path / "own", tmp_path / "host"
    (own / "profiles").mkdir(parents=True)
    host.mkdir()
    (host / "secret").write_text("s3cret")
    kind = "templates" if "template" in outward else "files"
    if outward.startswith("the"):
        (own / kind).symlink_to(host)
    else:
        (own / kind).mkdir()
        (own / kind / "secret").symlink_to(host / "secret")
    key = "template" if kind == "templates" else f'sha256 = "{"0" * 64}", source'
    found = checked(own, f'{{ path = "/etc/x", {key} = "secret" }}')
    digest = hashlib.sha256(b"s3cret").hexdigest()
    assert len(found) == 1
    assert "a link that leaves the directory of" in found[0].what
    assert not {"s3cret", digest} & set(str(found[0]).split())


@pytest.mark.parametrize("kind", ["files", "templates"])
def test_links_within_are_followed(kind: str, own: Path) -> None:
    """Also where the way to all of it is a link."""
    (own / kind).mkdir(exist_ok=True)
    (own / kind / "real").write_text("text")
    (own / kind / "name").symlink_to("real")
    (own / "way").symlink_to(own)
    key = "template" if kind == "templates" else "source"
    assert checked(own / "way", f'{{ path = "/etc/x", {key} = "name" }}') == []


@pytest.mark.parametrize("kind", ["files", "templates"])
def test_directories_of_any_depth_are_read(kind: str, own: Path) -> None:
    """As deep as paths can be."""
    (own / kind / "deep").mkdir(parents=True)
    (own / "templates").mkdir(exist_ok=True)
    (own / "templates/t").write_text("text")
    before = Path.cwd()
    try:
        os.chdir(own / kind / "deep")
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.chdir(before)
    word = 'directory = "deep"' if kind == "files" else 'template = "t"'
    found = checked(own, f'{{ path = "/etc/x", {word} }}')
    subprocess.run(["rm", "-rf", own / kind / "deep"], check=True)
    assert found == []


def checked(own: Path, file: str) -> list[SpecError]:
    """What is wrong with a profile that has this entry in `files`, on its line 6."""
    profile = own / "profiles/mine.toml"
    profile.write_text(f"{HEAD}[rootfs.files]\nadd = [{file}]\n")
    return Catalog([own]).check_files([profile])


def test_a_directory_is_listed_parents_first(own: Path) -> None:
    entries = source_entries([own / "none", own / "files"], File(path="/srv", directory="tree"))
    assert [(one.path, one.kind, one.mode) for one in entries] == [
        ("/srv/link", "link", 0o777),
        ("/srv/run", "file", 0o755),
        ("/srv/sub", "directory", 0o755),
        ("/srv/sub/plain", "file", 0o644),
    ]
    assert entries[0].link == "/outside"
    at_root = source_entries([own / "files"], File(path="/", directory="tree"))
    assert at_root[0].path == "/link"


def test_a_file_hides_one_of_its_name(own: Path, tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first/one").write_text("other")
    (entry,) = source_entries([tmp_path / "first", own / "files"], File(path="/a", source="one"))
    assert entry.content() == b"other"


@pytest.mark.parametrize(
    ("file", "code", "said"),
    [
        ('{ path = "/a", source = "on" }', "SOURCE", "there is no source 'on'"),
        ('{ path = "/a", directory = "gone" }', "SOURCE", "there is no directory 'gone'"),
        ('{ path = "/a", source = "tree" }', "SOURCE-KIND", "'tree' is no regular file"),
        ('{ path = "/a", directory = "one" }', "SOURCE-KIND", "'one' is no directory"),
        ('{ path = "/a", source = "../one" }', "PATH", "is not in its plain form"),
        ('{ path = "/a", source = "/etc/passwd" }', "SOURCE", "is not a path below files/"),
        ('{ path = "/a", source = "one", sha256 = "12" }', "SHA256", "is not a SHA-256"),
        ('{ path = "/a", content = "", sha256 = "%s" }' % ("0" * 64), "FILE-PIN", "pins a source"),
        ('{ path = "/a", source = "one", sha256 = "%s" }' % ("0" * 64), "SOURCE-PIN", "pinned is"),
        ('{ path = "/a", directory = "tree", mode = "0644" }', "FILE-MODE", "its own mode"),
    ],
)
def test_what_is_refused(own: Path, file: str, code: str, said: str) -> None:
    (error,) = checked(own, file)
    assert error.code == f"E-SPEC-{code}"
    assert said in error.what
    assert error.where is not None
    assert ":6:" in error.where


def test_a_near_name_is_suggested(own: Path) -> None:
    (error,) = checked(own, '{ path = "/a", source = "on" }')
    assert error.hint == "did you mean 'one'?"


def test_sockets_and_the_like_are_refused(own: Path) -> None:
    os.mkfifo(own / "files/tree/pipe")
    (error,) = checked(own, '{ path = "/a", directory = "tree" }')
    assert "'pipe' is neither a file nor a directory nor a link" in error.what


def test_a_hook_has_one_source() -> None:
    with pytest.raises(ValidationError, match="exactly one of script and template"):
        Hook(name="x")
    with pytest.raises(ValidationError, match="exactly one of script and template"):
        Hook(name="x", script="a", template="b")


def test_the_template_of_a_hook_must_exist(own: Path) -> None:
    profile = own / "profiles/mine.toml"
    profile.write_text(f'{HEAD}[[rootfs.hooks]]\nname = "x"\ntemplate = "no.j2"\n')
    (error,) = Catalog([own]).check_files([profile])
    assert error.code == "E-SPEC-TEMPLATE"
