"""One HTTP transfer: bounded in time and size, resumed where possible, every failure named."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from voidimg.errors import FetchError
from voidimg.fetch.location import without_credentials

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

CONNECT_SECONDS = 15.0
STALL_SECONDS = 30.0
"""Without a byte for so long a transfer has stalled."""

SLOWEST_BYTES_PER_SECOND = 4096
"""A transfer slower than this on average (after `STALL_SECONDS`) is given up: a mirror that
drips one byte at a time would hold a build for ever."""

LONGEST_PAUSE_SECONDS = 60.0
"""A server may ask for a pause (``Retry-After``, RFC 9110 10.2.3); longer ones are cut to this."""

_CHUNK = 1 << 18
_USER_AGENT = "voidimg"


class BusyError(FetchError):
    """The server wants to be left alone for `pause_seconds` (already bounded)."""

    def __init__(self, what: str, *, code: str, where: str, pause_seconds: float):
        super().__init__(what, code=code, where=where)
        self.pause_seconds = pause_seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer: status, the headers we use, the total size if it is stated."""

    status: int
    etag: str | None
    last_modified: str | None
    content_length: int | None
    content_range: str | None
    retry_after: str | None = None

    @property
    def modified_epoch(self) -> int | None:
        """When the file was last changed, if the server says so."""
        return http_epoch(self.last_modified)


class Client:
    """A pool of connections; safe to share between threads."""

    def __init__(self, connections: int, stall_seconds: float = STALL_SECONDS):
        self._connections = connections
        self._stall_seconds = stall_seconds
        self._pools: dict[str | None, Any] = {}

    def _pool_for(self, url: str) -> Any:
        # Imported late, here and below: whoever uses directories and the cache needs none of it.
        from urllib.request import getproxies, proxy_bypass

        import urllib3

        scheme, _, rest = url.partition("://")
        host = rest.partition("/")[0]
        proxy = None if proxy_bypass(host) else getproxies().get(scheme)
        if proxy not in self._pools:
            # SSL_CERT_FILE is how distributions and companies name their own CA bundle
            options: dict[str, Any] = {
                "maxsize": self._connections,
                "retries": urllib3.Retry(0, redirect=5, raise_on_redirect=True),
                "timeout": urllib3.Timeout(connect=CONNECT_SECONDS, read=self._stall_seconds),
                "ca_certs": os.environ.get("SSL_CERT_FILE"),
            }
            self._pools[proxy] = (
                urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)
            )
        return self._pools[proxy]

    def get(
        self,
        url: str,
        *,
        sink: Callable[[Answer, Iterator[bytes]], None],
        headers: Mapping[str, str] | None = None,
        limit: int,
        deadline: float = math.inf,
    ) -> Answer:
        """GET `url` and hand head and body to `sink`.

        Args:
            url: http or https.
            sink: called once with the head and the body in chunks; not for 304 and 416.
            headers: conditional or range headers.
            limit: the body may have at most so many bytes.
            deadline: when to give up, as `time.monotonic` counts.

        Raises:
            FetchError: anything that is not a 200, 206, 304 or 416 whose body came whole.
        """
        shown = without_credentials(url)
        with _named_failures(shown):
            response: BaseHTTPResponse = self._pool_for(url).request(
                "GET",
                url,
                headers={
                    "User-Agent": _USER_AGENT,
                    "Accept-Encoding": "identity",
                    **(headers or {}),
                },
                preload_content=False,
                decode_content=False,
            )
            try:
                answer = _head(response)
                if answer.status in (200, 206):
                    _refuse_page(response, shown)
                    sink(answer, _body(response, shown, limit, self._stall_seconds, deadline))
                elif answer.status not in (304, 416):
                    raise _status_error(answer, shown)
            finally:
                response.close()
                response.release_conn()
        return answer


def _head(response: BaseHTTPResponse) -> Answer:
    headers = response.headers
    length = headers.get("Content-Length")
    return Answer(
        status=response.status,
        etag=headers.get("ETag"),
        last_modified=headers.get("Last-Modified"),
        content_length=int(length) if length and length.isdigit() else None,
        content_range=headers.get("Content-Range"),
        retry_after=headers.get("Retry-After"),
    )


def _refuse_page(response: BaseHTTPResponse, shown: str) -> None:
    if response.headers.get("Content-Type", "").startswith(("text/html", "application/xhtml")):
        raise FetchError(
            "the server answered with a web page instead of the file",
            code="HTML",
            where=shown,
            hint="a captive portal or an error page; check the URL in a browser",
        )


def _read(response: BaseHTTPResponse) -> bytes:
    return response.read1(_CHUNK, decode_content=False)


def _body(
    response: BaseHTTPResponse, shown: str, limit: int, stall_seconds: float, deadline: float
) -> Iterator[bytes]:
    started = time.monotonic()
    size = 0
    # read1 hands out what has come, so that a mirror that drips is seen before a chunk is full
    while chunk := _read(response):
        if size == 0 and chunk[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
            raise FetchError(
                "the server answered with a web page instead of the file",
                code="HTML",
                where=shown,
                hint="a captive portal or an error page; check the URL in a browser",
            )
        size += len(chunk)
        if size > limit:
            raise FetchError(
                f"the server sends more than the {limit} bytes expected", code="LENGTH", where=shown
            )
        yield chunk
        if time.monotonic() > deadline:
            raise time_is_up(shown)
        seconds = time.monotonic() - started
        if seconds > stall_seconds and size < seconds * SLOWEST_BYTES_PER_SECOND:
            raise FetchError(
                f"only {size} bytes came in {seconds:.0f} s", code="STALLED", where=shown
            )


def _status_error(answer: Answer, shown: str) -> FetchError:
    from http.client import responses

    reason = responses.get(answer.status, "unknown status")
    code = {404: "NOT-FOUND", 410: "NOT-FOUND", 401: "FORBIDDEN", 403: "FORBIDDEN"}.get(
        answer.status, "STATUS"
    )
    if answer.status in (429, 503) and answer.retry_after is not None:
        return BusyError(
            f"the server answered {answer.status} {reason}",
            code=code,
            where=shown,
            pause_seconds=_pause_seconds(answer.retry_after),
        )
    return FetchError(
        f"the server answered {answer.status} {reason}",
        code=code,
        where=shown,
        hint="check the repository URL" if code == "NOT-FOUND" else None,
    )


def _pause_seconds(retry_after: str) -> float:
    """What ``Retry-After`` asks for: seconds, or the date until which to wait; bounded."""
    until = http_epoch(retry_after)
    if retry_after.strip().isdecimal():
        seconds = float(retry_after[:9])
    else:
        seconds = 0.0 if until is None else until - time.time()
    return min(max(seconds, 0.0), LONGEST_PAUSE_SECONDS)


def http_epoch(date: str | None) -> int | None:
    """A date of an HTTP header in seconds since 1970; None for what is no date."""
    if date is None:
        return None
    from email.utils import parsedate_to_datetime

    try:
        return int(parsedate_to_datetime(date).timestamp())
    except (ValueError, TypeError, OverflowError):
        return None


def time_is_up(where: str) -> FetchError:
    """The error of a download that has used up all its time."""
    return FetchError(
        "the time for downloads is used up",
        code="TIME-LIMIT",
        where=where,
        hint="what was downloaded is kept; run it again",
    )


@contextmanager
def _named_failures(shown: str) -> Iterator[None]:
    """Map every failure of urllib3 to a `FetchError` that says what kind it was."""
    from urllib3 import exceptions as failed

    def error(what: str, code: str, hint: str | None = None) -> FetchError:
        return FetchError(what, code=code, where=shown, hint=hint)

    try:
        yield
    except failed.NameResolutionError as problem:
        raise error(
            "the host name cannot be resolved", "DNS", "check the spelling and the network"
        ) from problem
    except failed.NewConnectionError as problem:
        raise error("no connection to the server", "CONNECT", "is the server up?") from problem
    except (failed.ConnectTimeoutError, failed.ReadTimeoutError) as problem:
        raise error("the server stopped answering", "TIMEOUT") from problem
    except failed.SSLError as problem:
        raise error(f"TLS failed: {problem}", "TLS") from problem
    except failed.ProxyError as problem:
        raise error(f"the proxy failed: {problem}", "PROXY") from problem
    except (failed.IncompleteRead, failed.ProtocolError) as problem:
        raise error("the connection broke before the file was complete", "TRUNCATED") from problem
    except failed.MaxRetryError as problem:
        with _named_failures(shown):
            raise problem.reason or failed.HTTPError(str(problem)) from problem
    except failed.ResponseError as problem:
        raise error("too many redirections", "REDIRECT") from problem
    except failed.HTTPError as problem:
        raise error(f"the transfer failed: {problem}", "TRANSFER") from problem
