"""What is a repository, and what is refused before any server is asked."""

from __future__ import annotations

import pytest

from voidimg.errors import UsageError
from voidimg.fetch import Location


@pytest.mark.parametrize(
    ("text", "urls"),
    [
        ("/a b", ("/a b",)),
        ("file:///a%20b", ("/a b",)),
        ("file://localhost/a", ("/a",)),
        ("http://127.0.0.1:8080/x/", ("http://127.0.0.1:8080/x",)),
        ("https://[fe80::1%25eth0]/x", ("https://[fe80::1%25eth0]/x",)),
        ("https://user:word@a-b.example/x", ("https://user:word@a-b.example/x",)),
        (" https://a/x  https://b/x ", ("https://a/x", "https://b/x")),
    ],
)
def test_a_repository(text: str, urls: tuple[str, ...]) -> None:
    """A directory, a file URL, or one URL for each mirror."""
    assert Location.parse(text).urls == urls


@pytest.mark.parametrize(
    "text",
    [
        "",
        "://",
        "ftp://x/y",
        "http://",
        "http:///x",
        "http://[bad",
        "http://host:99999/x",
        "http://host:port/x",
        "http://ex%00ample/x",
        "http://\u00fcn\u00ef.example/x",
        "https://host/x?y=1",
        "https://host/x#y",
        "https://host/x /directory",
        "file://host/x",
        "file://",
        "/not\udce4utf8",
        "http://host/\udce4",
    ],
)
def test_what_is_none(text: str) -> None:
    """Refused with the word that it was given as."""
    with pytest.raises(UsageError) as caught:
        Location.parse(text)
    assert (caught.value.code, caught.value.where) == ("E-USAGE-REPOSITORY", "--repository")
