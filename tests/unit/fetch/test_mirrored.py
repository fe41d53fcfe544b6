"""Mirrors are put under the paths of a platform's own repositories, or refused at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from voidimg.catalog.catalog import Catalog
from voidimg.errors import UsageError
from voidimg.fetch import Location, mirrored, parse_mirrors

VOID = "https://repo-default.voidlinux.org"


def under(own: list[str], *mirrors: str) -> list[tuple[str, tuple[str, ...]]]:
    """Name and URLs of `own` as they are read from `mirrors`."""
    found = mirrored([Location.parse(text) for text in own], parse_mirrors(mirrors))
    return [(one.name, one.urls) for one in found]


@pytest.mark.parametrize(
    ("own", "mirrors", "urls"),
    [
        (f"{VOID}/current", ["https://m.example"], ("https://m.example/current",)),
        (f"{VOID}/current/musl", ["http://m.example/"], ("http://m.example/current/musl",)),
        (f"{VOID}/current", ["http://m/pub/void"], ("http://m/pub/void/current",)),
        (f"{VOID}/current", ["http://a", "http://b"], ("http://a/current", "http://b/current")),
        (f"{VOID}/current", ["http://a http://b"], ("http://a/current", "http://b/current")),
        (f"{VOID}/current https://c/x", ["http://a"], ("http://a/current",)),
        (f"{VOID}", ["http://a/current"], ("http://a/current",)),
        (f"{VOID}/current", ["http://u:w@a:81"], ("http://u:w@a:81/current",)),
        ("http://host/void/current", ["http://m"], ("http://m/void/current",)),
    ],
)
def test_the_path_stays(own: str, mirrors: list[str], urls: tuple[str, ...]) -> None:
    """Also the name, which is that of a lock."""
    (found,) = under([own], *mirrors)
    assert found == (own.split(maxsplit=1)[0], urls)


def test_a_directory_is_a_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its path or as a file URL; it is read as the server's repository that it is a copy of."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my mirror").mkdir()
    for text in ("my mirror", f"{tmp_path}/my mirror/", f"file://{tmp_path}/my%20mirror"):
        (found,) = mirrored([Location.parse(f"{VOID}/current")], parse_mirrors([text]))
        assert found.urls == (f"{tmp_path}/my mirror/current",)
        assert (found.remote, found.is_served, found.name) == (False, True, f"{VOID}/current")


def test_directories_of_a_platform_have_no_mirror(tmp_path: Path) -> None:
    """They stay where they are, in their place."""
    found = under([str(tmp_path), f"{VOID}/current"], "http://a")
    assert found == [
        (str(tmp_path), (str(tmp_path),)),
        (f"{VOID}/current", ("http://a/current",)),
    ]


@pytest.mark.parametrize(
    ("own", "mirrors", "what"),
    [
        ([f"{VOID}/current"], ["repo-fi.voidlinux.org"], "neither a URL nor a directory"),
        ([f"{VOID}/current"], [__file__], "neither a URL nor a directory"),
        ([f"{VOID}/current"], ["/tmp", "http://a"], "a directory stands beside"),
        ([f"{VOID}/current"], ["ftp://a"], "not a repository"),
        ([f"{VOID}/current"], [""], "not a repository"),
        ([f"{VOID}/current"], ["http://a/?x"], "not a repository"),
        ([f"{VOID}/current/musl"], ["http://a/current"], "leave out /current: --mirror http://a)"),
        ([f"{VOID}/current"], ["http://a/b/current/"], "leave out /current: --mirror http://a/b)"),
        ([f"{VOID}/current", "https://other.example/x"], ["http://a"], "on several servers: "),
        (["/tmp"], ["http://a"], "are directories"),
    ],
)
def test_what_makes_no_sense(own: list[str], mirrors: list[str], what: str) -> None:
    """One error each, which names the option."""
    with pytest.raises(UsageError, match=r"--mirror") as caught:
        under(own, *mirrors)
    assert what in str(caught.value)


def test_every_shipped_platform_can_be_read_from_a_mirror() -> None:
    """Each has all its repositories on one server, and its paths are Void's."""
    paths = set()
    for entry in Catalog().platforms():
        own = Catalog().recipe(entry.name).recipe.repositories
        for name, urls in under(list(own), "http://m"):
            assert urls == (name.replace(VOID, "http://m"),)
            paths.add(urls[0].removeprefix("http://m"))
    assert paths >= {"/current", "/current/aarch64", "/current/musl"}
