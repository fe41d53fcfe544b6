"""A tree is written to, read and cleared without ever leaving it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from voidimg.errors import StoreError
from voidimg.tree import openat2
from voidimg.tree import tree as tree_module
from voidimg.tree.openat2 import Links
from voidimg.tree.tree import Tree

Opener = Callable[[int, bytes, Links], int]


@pytest.fixture(params=[openat2.open_beneath, openat2.open_walking], ids=["openat2", "walked"])
def opener(request: pytest.FixtureRequest) -> Opener:
    """Both ways of opening a directory inside a root."""
    chosen: Opener = request.param
    return chosen


@pytest.fixture
def tree(tmp_path: Path, opener: Opener, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tree]:
    """An empty tree beside a directory `host` with a file `victim`, for each way of opening."""
    monkeypatch.setattr(tree_module, "open_inside", opener)
    (tmp_path / "host").mkdir()
    (tmp_path / "host" / "victim").write_text("untouched")
    with Tree(tmp_path / "root", create=True) as tree:
        yield tree


def host_is_untouched(tmp_path: Path) -> bool:
    host = tmp_path / "host"
    return os.listdir(host) == ["victim"] and (host / "victim").read_text() == "untouched"


def test_write_then_read(tree: Tree) -> None:
    """A written file has exactly the content, mode and time asked for, whatever the umask."""
    before = os.umask(0o077)
    try:
        tree.write("/etc/fstab", b"x\n", 0o666, 0, 0, 1_600_000_000, parents=True)
    finally:
        os.umask(before)
    status = tree.stat("/etc/fstab")
    assert tree.read("/etc/fstab") == b"x\n"
    assert (stat.S_IMODE(status.st_mode), status.st_mtime) == (0o666, 1_600_000_000)
    assert stat.S_IMODE(tree.stat("/etc").st_mode) == 0o755
    assert tree.listdir("/etc") == ["fstab"]


def test_an_existing_file_is_replaced_not_written_into(tree: Tree) -> None:
    """Another hard link of the old file keeps the old content."""
    tree.write("/a", b"old")
    tree.link("/b", "/a")
    tree.write("/a", b"new")
    assert (tree.read("/a"), tree.read("/b")) == (b"new", b"old")
    assert tree.listdir("/") == ["a", "b"]


def test_linking_a_file_to_itself_leaves_nothing_behind(tree: Tree) -> None:
    """Linking twice is as linking once."""
    tree.write("/a", b"x")
    tree.link("/b", "/a")
    tree.link("/b", "/a")
    assert tree.listdir("/") == ["a", "b"]
    assert tree.stat("/a").st_nlink == 2


def test_missing_parents_are_an_error_unless_asked_for(tree: Tree) -> None:
    """A misspelt directory is not made silently."""
    with pytest.raises(StoreError) as caught:
        tree.write("/no/where", b"")
    assert caught.value.code == "E-STORE-TREE-MISSING"
    assert caught.value.where == "/no/where"


@pytest.mark.parametrize("path", ["etc/x", "/../x", "/a/../../x", "", "/a\0b"])
def test_paths_that_are_not_paths_of_an_image(tree: Tree, path: str) -> None:
    """Relative paths, `..` and NUL are refused before anything is touched."""
    with pytest.raises(StoreError) as caught:
        tree.write(path, b"")
    assert caught.value.code == "E-STORE-TREE-PATH"


@pytest.mark.parametrize("text", ["../host", "../../../../../..@/host", "@/host"])
def test_a_link_out_of_the_tree_is_resolved_inside(tree: Tree, tmp_path: Path, text: str) -> None:
    """A parent that is a link to the host leads to the same path inside, as after a chroot."""
    tree.symlink("/out", text.replace("@", str(tmp_path)))
    for operation in (
        lambda: tree.write("/out/victim", b"evil"),
        lambda: tree.write("/out/new", b"evil"),
        lambda: tree.remove("/out/victim"),
        lambda: tree.chmod("/out/victim", 0o777),
        lambda: tree.chown("/out/victim", 1, 1),
        lambda: tree.utime("/out/victim", 0),
        lambda: tree.read("/out/victim"),
        lambda: tree.mkdir("/out/directory"),
        lambda: tree.link("/mine", "/out/victim"),
        lambda: tree.rename("/out/victim", "/mine"),
        lambda: tree.remove_tree("/out/victim"),
    ):
        with pytest.raises(StoreError):
            operation()
    assert host_is_untouched(tmp_path)


def test_a_link_with_parents_makes_directories_inside(tree: Tree, tmp_path: Path) -> None:
    """Even when parents may be made, they are made inside."""
    tree.symlink("/out", "../host")
    with pytest.raises(StoreError):
        tree.write("/out/deep/file", b"evil", parents=True)
    tree.mkdir("/host")
    tree.write("/out/deep/file", b"mine", parents=True)
    assert tree.read("/host/deep/file") == b"mine"
    assert host_is_untouched(tmp_path)


def test_a_link_at_the_end_is_replaced_by_writing(tree: Tree, tmp_path: Path) -> None:
    """Writing to a link makes a file of it and leaves the target alone."""
    tree.symlink("/f", str(tmp_path / "host" / "victim"))
    tree.write("/f", b"mine")
    assert tree.read("/f") == b"mine"
    assert host_is_untouched(tmp_path)


@pytest.mark.parametrize(
    ("link", "text"),
    [
        ("/etc/os-release", "../usr/lib/os-release"),
        ("/etc/os-release", "/usr/lib/os-release"),
        ("/os-release", "../../usr/lib/os-release"),
        ("/os-release", "usr/lib/./os-release"),
    ],
)
def test_reading_follows_links_inside(tree: Tree, link: str, text: str) -> None:
    """Relative and absolute links mean what they mean in the running image."""
    tree.write("/usr/lib/os-release", b"void", parents=True)
    tree.symlink(link, text, parents=True)
    assert tree.read(link) == b"void"
    assert tree.readlink(link) == text
    assert tree.exists(link)


def test_reading_a_link_to_the_host_finds_nothing(tree: Tree, tmp_path: Path) -> None:
    """The host's file of that name is not what the link means."""
    tree.symlink("/f", str(tmp_path / "host" / "victim"))
    with pytest.raises(StoreError) as caught:
        tree.read("/f")
    assert caught.value.code == "E-STORE-TREE-MISSING"
    assert not tree.exists("/f")
    assert tree.exists("/f", follow=False)
    assert tree.lstat("/g") is None


def test_links_in_a_circle(tree: Tree) -> None:
    """A circle of links is an error, not an endless loop."""
    tree.symlink("/a", "b")
    tree.symlink("/b", "a")
    with pytest.raises(StoreError) as caught:
        tree.read("/a")
    assert caught.value.code == "E-STORE-TREE-ESCAPE"
    with pytest.raises(StoreError):
        tree.write("/a/x", b"")


def test_merged_usr(tree: Tree) -> None:
    """A path through /bin -> usr/bin is the path below /usr/bin."""
    tree.mkdir("/usr/bin", parents=True)
    tree.symlink("/bin", "usr/bin")
    tree.write("/bin/sh", b"#!", 0o755)
    assert tree.read("/usr/bin/sh") == b"#!"
    tree.mkdir("/bin")
    assert stat.S_ISLNK(tree.stat("/bin", follow=False).st_mode)


def test_remove_tree_does_not_follow_links(tree: Tree, tmp_path: Path) -> None:
    """Links in a removed tree are removed themselves."""
    tree.mkdir("/a/b", parents=True)
    tree.symlink("/a/b/out", str(tmp_path / "host"))
    tree.write("/a/f", b"")
    tree.remove_tree("/a")
    tree.remove_tree("/a", missing_ok=True)
    assert tree.listdir("/") == []
    assert host_is_untouched(tmp_path)


def test_remove_says_why_it_cannot(tree: Tree) -> None:
    """A full directory and a missing file have codes of their own."""
    tree.write("/a/f", b"", parents=True)
    with pytest.raises(StoreError) as caught:
        tree.remove("/a")
    assert caught.value.code == "E-STORE-TREE-NOT-EMPTY"
    with pytest.raises(StoreError) as caught:
        tree.remove("/b")
    assert caught.value.code == "E-STORE-TREE-MISSING"
    tree.remove("/b", missing_ok=True)
    tree.remove("/a/f")
    tree.remove("/a")
    assert tree.listdir("/") == []


def test_walk_is_sorted_and_whole(tree: Tree) -> None:
    """Parents come before children, siblings in byte order, names of any bytes survive."""
    for path in ("/b/x", "/a.d/x", "/a/x", "/\udcff", "/é"):
        tree.write(path, b"", parents=True)
    tree.symlink("/l", "a")
    paths = [entry.path for entry in tree.walk()]
    assert paths == ["/a", "/a/x", "/a.d", "/a.d/x", "/b", "/b/x", "/l", "/é", "/\udcff"]
    assert [entry.path for entry in tree.walk("/a")] == ["/a/x"]


def test_reading_what_is_no_file(tree: Tree) -> None:
    """Directories and FIFOs are refused at once (a FIFO does not block)."""
    tree.mkdir("/d")
    os.mkfifo(tree.root / "p")
    for path in ("/d", "/p"):
        with pytest.raises(StoreError) as caught:
            tree.read(path)
        assert caught.value.code == "E-STORE-TREE-TYPE"
    tree.write("/long", b"12345")
    with pytest.raises(StoreError) as caught:
        tree.read("/long", max_bytes=4)
    assert caught.value.code == "E-STORE-TREE-SIZE"


def test_modes_and_times(tree: Tree) -> None:
    """chmod follows links inside, utime and chown do not."""
    tree.write("/f", b"", 0o600)
    tree.symlink("/l", "f", mtime=5)
    tree.chmod("/l", 0o4755)
    tree.utime("/l", 7)
    tree.chown("/l", 0, 0)
    assert stat.S_IMODE(tree.stat("/f").st_mode) == 0o4755
    assert tree.stat("/l", follow=False).st_mtime == 7
    tree.mkdir("/t", 0o1777)
    assert stat.S_IMODE(tree.stat("/t").st_mode) == 0o1777


def test_a_tree_that_is_not_there(tmp_path: Path) -> None:
    """A missing root is an error; it is made only when asked for."""
    with pytest.raises(StoreError) as caught:
        Tree(tmp_path / "none")
    assert caught.value.code == "E-STORE-TREE-ROOT"


@pytest.mark.parametrize(
    ("text", "links", "number"),
    [
        ("d", Links.INSIDE, 0),
        ("d", Links.BENEATH, 0),
        ("d", Links.REFUSED, errno.ELOOP),
        ("/d", Links.INSIDE, 0),
        ("/d", Links.BENEATH, errno.EXDEV),
        ("../d", Links.INSIDE, 0),
        ("../d", Links.BENEATH, errno.EXDEV),
        ("d/../d", Links.BENEATH, 0),
        ("f", Links.INSIDE, errno.ENOTDIR),
        ("none", Links.BENEATH, errno.ENOENT),
    ],
)
def test_what_links_may_do(
    tmp_path: Path, opener: Opener, text: str, links: Links, number: int
) -> None:
    """Each policy, by the kernel and by hand, with the same errors."""
    (tmp_path / "d").mkdir()
    (tmp_path / "f").touch()
    (tmp_path / "l").symlink_to(text)
    root = os.open(tmp_path, os.O_PATH)
    try:
        os.close(opener(root, b"l", links))
        seen = 0
    except OSError as error:
        seen = error.errno or -1
    finally:
        os.close(root)
    assert seen == number
