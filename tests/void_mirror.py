"""A mirror on loopback that is laid out and answers as Void's: a redirector before nginx.

`repo-default.voidlinux.org` answers every request with a redirection to a mirror that is near; that
one is nginx, with its headers, pages for errors, listings of directories and ranges.
"""

from __future__ import annotations

import html
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from email.utils import formatdate, parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from urllib.parse import unquote

from tests.http_server import Responder, Server, serving
from tests.testrepo import RepositoryFixture

AARCH64 = "current/aarch64"
"""Where Void has the repositories of both libcs of this architecture."""

_STATIC = "xbps-static-latest.aarch64-musl.tar.xz"
_RANGE = re.compile(r"bytes=(\d+)-(\d*)")


@dataclass(frozen=True, slots=True)
class Mirror:
    """A served mirror: its directory, the redirector that users name, the server behind it."""

    top: Path
    front: Server
    behind: Server

    @property
    def url(self) -> str:
        """What follows `--mirror`."""
        return self.front.url


def lay_out_mirror(top: Path, repositories: Mapping[str, Sequence[RepositoryFixture]]) -> None:
    """Make the directories of a mirror below `top`, with these repositories at their paths.

    Repositories of several architectures may be at one path, as Void has them. Each directory says
    when the mirror was brought up to date, in the files that Void's repository exporter reads.
    """
    for path in ("current", AARCH64, "current/musl", "static", *repositories):
        (top / path).mkdir(parents=True, exist_ok=True)
    (top / "static" / _STATIC).write_bytes(b"")
    for path, fixtures in repositories.items():
        for file in (file for fixture in fixtures for file in fixture.path.iterdir()):
            place = top / path / file.name
            if not place.exists():
                place.symlink_to(file)
            assert file.suffix == ".sig2" or place.stat().st_size == file.stat().st_size, file
        for name in ("otime", "stime-start", "stime-end"):
            (top / path / name).write_text(f"{int(time.time())}\n")


@contextmanager
def serving_mirror(top: Path) -> Iterator[Mirror]:
    """Serve the mirror at `top` from two ports of 127.0.0.1 until the block ends."""
    with serving(top, responder=_Nginx) as behind, serving(top, responder=_Redirector) as front:
        front.redirect_to = behind.url
        yield Mirror(top, front, behind)


class _NginxPages(Responder):
    """What nginx sends when it does not send a file."""

    def version_string(self) -> str:
        return "nginx"

    def _page(self, status: HTTPStatus, headers: Mapping[str, str] | None = None) -> None:
        title = f"{status.value} {status.phrase}"
        body = (
            f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
            f"<center><h1>{title}</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
        )
        self._html(status, body, headers)

    def _html(self, status: HTTPStatus, body: str, headers: Mapping[str, str] | None) -> None:
        content = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "keep-alive")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


class _Redirector(_NginxPages):
    """Sends everybody to the server behind it."""

    def do_GET(self) -> None:  # noqa: N802 (the base class calls it)
        state = self.server_state
        state.requests.append((self.path, dict(self.headers.items())))
        self._page(HTTPStatus.FOUND, {"Location": f"{state.redirect_to}{self.path}"})

    do_HEAD = do_GET  # noqa: N815


class _Nginx(_NginxPages):
    """Sends the files of a directory."""

    def do_GET(self) -> None:  # noqa: N802 (the base class calls it)
        state = self.server_state
        state.requests.append((self.path, dict(self.headers.items())))
        path = state.root / unquote(self.path).lstrip("/")
        if path.is_dir() and not self.path.endswith("/"):
            self._page(HTTPStatus.MOVED_PERMANENTLY, {"Location": f"{state.url}{self.path}/"})
        elif path.is_dir():
            self._listing(path)
        elif path.is_file():
            self._file(path)
        else:
            self._page(HTTPStatus.NOT_FOUND)

    do_HEAD = do_GET  # noqa: N815

    def _listing(self, directory: Path) -> None:
        names = sorted(f"{one.name}/" if one.is_dir() else one.name for one in directory.iterdir())
        links = "".join(f'<a href="{html.escape(one)}">{html.escape(one)}</a>\r\n' for one in names)
        title = f"Index of {html.escape(unquote(self.path))}"
        body = (
            f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<pre>{links}</pre></body>"
        )
        self._html(HTTPStatus.OK, body, None)

    def _file(self, path: Path) -> None:
        status = path.stat()
        modified, size = int(status.st_mtime), status.st_size
        known = {
            "Last-Modified": formatdate(modified, usegmt=True),
            "ETag": f'"{modified:x}-{size:x}"',
        }
        if self._is_known(known["ETag"], modified):
            self.send_response(HTTPStatus.NOT_MODIFIED)
            self._finish({**known, "Connection": "keep-alive"})
            return
        start, end = self._wanted(size)
        if start >= end and size:
            headers = {"Content-Range": f"bytes */{size}"}
            self._page(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, headers)
            return
        whole = (start, end) == (0, size)
        self.send_response(HTTPStatus.OK if whole else HTTPStatus.PARTIAL_CONTENT)
        headers = {"Accept-Ranges": "bytes"}
        if not whole:
            headers = {"Content-Range": f"bytes {start}-{end - 1}/{size}"}
        self._finish(
            {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(end - start),
                **known,
                "Connection": "keep-alive",
                **headers,
            }
        )
        if self.command != "HEAD":
            with path.open("rb") as file:
                file.seek(start)
                if whole:
                    shutil.copyfileobj(file, self.wfile)
                else:
                    self.wfile.write(file.read(end - start))

    def _finish(self, headers: Mapping[str, str]) -> None:
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _is_known(self, etag: str, modified: int) -> bool:
        """As nginx has it: the tag where one is sent, else exactly this time."""
        if "If-None-Match" in self.headers:
            return self.headers["If-None-Match"] == etag
        since = self.headers.get("If-Modified-Since")
        return since is not None and int(parsedate_to_datetime(since).timestamp()) == modified

    def _wanted(self, size: int) -> tuple[int, int]:
        """The first byte to send and the one after the last."""
        asked = _RANGE.fullmatch(self.headers.get("Range", ""))
        if asked is None:
            return 0, size
        end = int(asked[2]) + 1 if asked[2] else size
        return int(asked[1]), min(end, size)
