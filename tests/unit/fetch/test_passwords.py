"""A password in a URL is shown nowhere, neither by an error nor by an event."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from tests.command import voidimg
from voidimg.errors import UsageError, VoidimgError, without_passwords
from voidimg.events import Message
from voidimg.fetch import Location
from voidimg.fetch.location import without_credentials

REFUSED = (
    "ftp://me:secret@host/x", "http://me:secret@", "http://me:secret@/x",
    "http://me:secret@ho st/x",
    "http://me:secret@host/x?y", "http://me:secret@host/x#y", "http://me:secret@host:port/",
    "http://me:secret@host:99999/", "http://me:secret@[x", "http://me:se/secret@host/",
    "http://me:1/secret@host/", "http://me:se?secret@host/", "http://me:se#secret@host/",
    "http://me:se secret@host/", "http://me:secret@\u00fcber/", "http://good/x http://me:secret@[/",
    "http://me:secret@host/x /srv/repo", "file://me:secret@host/x", "HTTP:/me:secret@host/x",
    "http:me:secret@host", "me:secret@host/x", "me:secret@host", "s3://me:secret@host/x",
    "http://me:secret@host@@", "http://me:sec\nsecret@host/", "http://me:secret@host\udcff/",
    "http://host/x?token=secret", "https://host/?secret", "http://host/a?b=c&X-Amz-Signature=secret",
    "https:me:secret@host", "http:\\\\me:secret@host/",
)  # fmt: skip


@pytest.mark.parametrize("text", REFUSED)
def test_a_url_that_is_refused_keeps_its_secret(text: str) -> None:
    """However odd it is: what may be a password is left out."""
    with pytest.raises(UsageError) as caught:
        Location.parse(text)
    assert caught.value.code == "E-USAGE-REPOSITORY"
    assert "secret" not in str(caught.value) + json.dumps(caught.value.as_json())


@pytest.mark.parametrize("text", [REFUSED[0], REFUSED[10], REFUSED[18]])
def test_the_command_keeps_it_too(tmp_path: Path, text: str) -> None:
    """What it answers to a mistyped repository holds no password, in words and as JSON."""
    ended = voidimg("--cache", tmp_path, "repo", "status", text, "--arch", "aarch64", "--json")
    assert ended.returncode == 2
    assert "secret" not in ended.stderr + ended.stdout
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "words",
    ["repo list URL", "verify URL", "inspect URL", "check URL", "smoke URL", "sign URL",
     "build rpi-aarch64 --lock URL", "--events URL list"],
)  # fmt: skip
def test_a_url_in_the_place_of_a_file_is_told_without_it(tmp_path: Path, words: str) -> None:
    """By the verb, and by what reads the command line."""
    ended = voidimg(*words.replace("URL", "http://me:secret@host/x").split(), cwd=tmp_path)
    asked = voidimg(*words.replace("URL", "http://host/x?token=secret").split(), cwd=tmp_path)
    assert "secret" not in asked.stderr + asked.stdout
    assert ended.returncode != 0
    assert "host/x" in ended.stderr + ended.stdout
    assert "secret" not in ended.stderr + ended.stdout


@pytest.mark.parametrize("field", ["what", "where", "hint"])
def test_no_error_shows_a_password(field: str) -> None:
    """Whoever put its text together; not after it crossed to another process either."""
    text = "see http://me:secret@host/x and https://you:secret@[::1]:8/y@z"
    shown = {"what": "", "where": None, "hint": None, field: text}
    error = VoidimgError(shown["what"] or "", code="X", where=shown["where"], hint=shown["hint"])
    for one in (error, pickle.loads(pickle.dumps(error))):
        assert "secret" not in str(one) + repr(one) + json.dumps(one.as_json())
    assert "http://host/x and https://[::1]:8/y@z" in str(error)


def test_no_event_shows_a_password() -> None:
    """Messages end in logs of CI."""
    assert Message("note", "from http://me:secret@host/").text == "from http://host/"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://host/x", "http://host/x"),
        ("http://me@host", "http://host"),
        ("http://me:p:q@r@host/x", "http://host/x"),
        ("/srv/a@b", "/srv/a@b"),
        ("a@b", "a@b"),
        ("http://host/a@b", "http://host/a@b"),
        ("http://[", "http://["),
    ],
)
def test_only_logins_are_left_out(text: str, shown: str) -> None:
    """Paths and names with an @ stay as they are."""
    assert without_passwords(text) == without_credentials(text) == shown
