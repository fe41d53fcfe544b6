"""A directory on a server: sizes by HEAD, small files whole, large ones hashed as they come."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests.http_server import Responder, serving
from voidimg.errors import FetchError, VoidimgError
from voidimg.fetch.published import Digest, Published

CONTENT = bytes(range(256)) * 999


class _Odd(Responder):
    """Knows no HEAD, or says no length."""

    def do_GET(self) -> None:  # noqa: N802
        """A file without a length."""
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        if self.path.endswith("long"):
            self.send_header("Content-Length", "12345")
        self.end_headers()
        self.close_connection = True


def test_sizes_and_digests(tmp_path: Path) -> None:
    """What is not there is None; names are written as URLs need it."""
    (tmp_path / "a+b é%.img").write_bytes(CONTENT)
    with serving(tmp_path) as server:
        place = Published.at(f"{server.url}/", where="URL")
        assert place.size_of("gone") is None
        assert place.digest("gone", 10) is None
        assert place.read("gone", 10) is None
        assert str(place.beneath("a+b é%")) == f"{server.url}/a+b%20%C3%A9%25"
        (tmp_path / "plain").write_bytes(CONTENT)
        assert place.size_of("plain") == len(CONTENT)
        came: list[int] = []
        server.faults = {"plain": ("truncate", 1)}
        found = place.digest("plain", len(CONTENT), came.append)
        assert found == Digest(len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
        assert sum(came) == len(CONTENT)
        ranges = [one.get("Range") for path, one in server.requests if path == "/plain"]
        assert f"bytes={len(CONTENT) // 2}-" in ranges  # it went on where it broke
        server.faults = {"plain": ("truncate", 1)}
        with pytest.raises(FetchError):
            place.read("plain", 100)


def test_a_server_that_knows_no_head(tmp_path: Path) -> None:
    """It is asked with GET, whose content is left; without a length nothing is known."""
    with serving(tmp_path, responder=_Odd) as server:
        place = Published.at(server.url, where="URL")
        assert place.size_of("long") == 12345
        with pytest.raises(FetchError) as caught:
            place.size_of("odd")
        assert caught.value.code == "E-FETCH-NO-LENGTH"


def test_its_time_is_bounded(tmp_path: Path) -> None:
    """All that is asked of one place together."""
    (tmp_path / "file").write_bytes(CONTENT)
    with serving(tmp_path) as server:
        server.faults = {"file": ("stall", 9)}
        place = Published.at(server.url, where="URL", total_seconds=1)
        with pytest.raises(VoidimgError) as caught:
            place.digest("file", len(CONTENT))
        assert caught.value.code in ("E-FETCH-TIME-LIMIT", "E-FETCH-TIMEOUT")
