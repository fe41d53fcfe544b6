"""One HTTP transfer: bounded in time and size, resumed where possible, every failure named."""

from __future__ import annotations

import base64
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from voidimg.errors import FetchError, without_passwords
from voidimg.fetch.location import is_host, without_credentials
from voidimg.fetch.patience import Patience
from voidimg.fetch.proxy import proxy_for

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

    from voidimg.fetch.pace import Limits

CONNECT_SECONDS = 15.0
STALL_SECONDS = 30.0
"""Without a byte for so long a transfer has stalled."""

LONGEST_PAUSE_SECONDS = 60.0
"""A server may ask for a pause (``Retry-After``, RFC 9110 10.2.3); longer ones are cut to this."""

_CLOCKS_DIFFER_SECONDS = 300
"""A file that was changed later than so far in the future was not."""

_CHUNK = 1 << 18
_ALWAYS = {"User-Agent": "voidimg", "Accept-Encoding": "identity"}
_VALUE = re.compile(r"[ -~\x80-\xff]*")
"""A value of a header on one line (RFC 9110 5.5)."""

_NO_HEAD = (400, 403, 405, 501)
"""Statuses with which servers answer HEAD though they would send the file."""

_LENGTH = re.compile(r"[0-9]{1,18}")

_REDIRECTIONS = (301, 302, 303, 307, 308)
_MOST_REDIRECTIONS = 5


class BusyError(FetchError):
    """The server wants to be left alone for `pause_seconds` (already bounded)."""

    def __init__(self, what: str, *, code: str, where: str, pause_seconds: float):
        super().__init__(what, code=code, where=where)
        self.pause_seconds = pause_seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer: status, and the headers we use."""

    status: int
    etag: str | None
    last_modified: str | None
    content_range: str | None
    retry_after: str | None = None
    content_length: int | None = None

    @property
    def modified_epoch(self) -> int | None:
        """When the file was last changed, if the server says so and it can be true."""
        return past_epoch(http_epoch(self.last_modified))


class Client:
    """A pool of connections; safe to share between threads."""

    def __init__(self, connections: int, stall_seconds: float = STALL_SECONDS):
        self._connections = connections
        self._stall_seconds = stall_seconds
        self._pools: dict[str | None, Any] = {}

    def _pool_for(self, url: str) -> Any:
        # Imported late, here and below: whoever uses directories and the cache needs none of it.
        import urllib3

        from voidimg.fetch.pace import pool_classes

        proxy = proxy_for(url)
        if proxy not in self._pools:
            # SSL_CERT_FILE is how distributions and companies name their own CA bundle
            options: dict[str, Any] = {
                "maxsize": self._connections,
                "timeout": urllib3.Timeout(connect=CONNECT_SECONDS, read=self._stall_seconds),
                "ca_certs": os.environ.get("SSL_CERT_FILE"),
            }
            pool = urllib3.PoolManager(**options)
            if proxy is not None:
                login = {f"Proxy-{name}": value for name, value in _login(proxy).items()}
                pool = urllib3.ProxyManager(
                    without_credentials(proxy), proxy_headers=login, **options
                )
            pool.pool_classes_by_scheme = pool_classes()
            self._pools[proxy] = pool
        return self._pools[proxy]

    def get(
        self,
        url: str,
        *,
        sink: Callable[[Answer, Iterator[bytes]], None],
        headers: Mapping[str, str] | None = None,
        limit: int,
        patience: Patience | None = None,
    ) -> Answer:
        """GET `url` and hand head and body to `sink`.

        Args:
            url: http or https; redirections are followed, but not from https to http, and not from
                an outside host to an address of this machine or of its own network. A user name
                and password in it are sent to its own host.
            sink: called once with the head and the body in chunks; not for 304 and 416.
            headers: conditional or range headers.
            limit: the body may have at most so many bytes.
            patience: when to give up; by default there is no end but that of a stall.

        Raises:
            FetchError: anything that is not a 200, 206, 304 or 416 whose body came whole.
        """
        shown = without_credentials(url)
        patience = Patience() if patience is None else patience
        with self._answering("GET", url, headers or {}, limit, patience) as (answer, response):
            if answer.status in (200, 206):
                _refuse_page(response, shown)
                sink(answer, _body(response, shown, limit, patience))
            elif answer.status not in (304, 416):
                raise _status_error(answer, shown)
        return answer

    def head(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        patience: Patience | None = None,
    ) -> Answer:
        """What the server says of the file at `url` without sending it (RFC 9110 9.3.2).

        A server that does not know HEAD is asked with GET, and its answer is left after its head.

        Raises:
            FetchError: anything that is not a 200, as for `get`.
        """
        shown = without_credentials(url)
        patience = Patience() if patience is None else patience
        for method in ("HEAD", "GET"):
            with self._answering(method, url, headers or {}, 0, patience) as (answer, response):
                if method == "HEAD" and answer.status in _NO_HEAD:
                    continue
                if answer.status != 200:
                    raise _status_error(answer, shown)
                _refuse_page(response, shown)
                return answer
        raise AssertionError("GET was asked last")

    @contextmanager
    def _answering(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        limit: int,
        patience: Patience,
    ) -> Iterator[tuple[Answer, BaseHTTPResponse]]:
        """The answer to a request, closed at the end; failures have their names."""
        from voidimg.fetch.pace import Limits, limited

        shown = without_credentials(url)
        limits = Limits(shown, self._stall_seconds, limit, patience)
        with _named_failures(shown), limited(limits):
            response = self._ask(method, url, headers, limits)
            try:
                yield _head(response), response
            finally:
                response.close()
                response.release_conn()

    def _ask(
        self, method: str, url: str, headers: Mapping[str, str], limits: Limits
    ) -> BaseHTTPResponse:
        """The answer to a request, redirections followed; only its head has been read."""
        from voidimg.fetch.reach import kinds_within_reach, require_within_reach

        place, kinds = url, None
        for _ in range(_MOST_REDIRECTIONS + 1):
            response = self._request(method, place, headers, limits)
            if response.status not in _REDIRECTIONS:
                return response
            response.close()
            place = _redirected(place, response.headers.get("Location", ""))
            if kinds is None:
                kinds = kinds_within_reach(None if proxy_for(url) else limits.peer, url)
            require_within_reach(kinds, place, limits.shown)
            limits.reach = kinds if proxy_for(place) is None else None
        raise _wrong_redirection("too many redirections", url)

    def _request(
        self, method: str, url: str, headers: Mapping[str, str], limits: Limits
    ) -> BaseHTTPResponse:
        from urllib3 import Timeout

        left = limits.patience.deadline - time.monotonic()
        seconds = max(0.001, min(limits.patience.answer_seconds, left))
        response: BaseHTTPResponse = self._pool_for(url).request(
            method,
            without_credentials(url),
            headers={**_ALWAYS, **_login(url), **headers},
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=False,
            timeout=Timeout(
                connect=min(CONNECT_SECONDS, seconds), read=min(self._stall_seconds, seconds)
            ),
        )
        return response


def _redirected(url: str, place: str) -> str:
    """The URL that `place`, the ``Location`` of an answer, means to who asked for `url`.

    User name and password are for their own host only.

    Raises:
        FetchError: it is none, or one that anybody on the way could have changed.
    """
    try:
        parts = urlsplit(urljoin(without_credentials(url), place))
        is_url = parts.scheme in ("http", "https") and parts.port != 0 and is_host(parts.hostname)
        # the server has no say in who we are elsewhere
        parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    except ValueError:
        is_url = False
    if not is_url:
        shown = without_passwords(place)[:200]
        raise _wrong_redirection(f"the server redirects to {shown!r}", url)
    before = urlsplit(url)
    if before.scheme == "https" and parts.scheme == "http":
        raise _wrong_redirection("the server redirects from https to http", url)
    same = (parts.scheme, parts.netloc) == (before.scheme, before.netloc.rpartition("@")[2])
    return urlunsplit(parts._replace(netloc=before.netloc) if same else parts)


def _wrong_redirection(what: str, url: str) -> FetchError:
    return FetchError(
        what,
        code="REDIRECT",
        where=without_credentials(url),
        hint="check the repository URL; or this network wants a login first: see it in a browser",
    )


def _login(url: str) -> dict[str, str]:
    """The header for the user name and password in `url`, if it has any (RFC 7617)."""
    login = urlsplit(url).netloc.rpartition("@")[0]
    if not login:
        return {}
    encoded = base64.b64encode(unquote(login).encode()).decode("ascii")
    return {"Authorization": f"Basic {encoded}"}


def _head(response: BaseHTTPResponse) -> Answer:
    headers = response.headers
    return Answer(
        status=response.status,
        etag=_sendable(headers.get("ETag")),
        last_modified=_sendable(headers.get("Last-Modified")),
        content_range=headers.get("Content-Range"),
        retry_after=headers.get("Retry-After"),
        content_length=_length(headers.get("Content-Length")),
    )


def _length(value: str | None) -> int | None:
    """How many bytes a ``Content-Length`` states; None for none and for what is no number."""
    return int(value) if value is not None and _LENGTH.fullmatch(value) else None


def _sendable(value: str | None) -> str | None:
    """`value` if it may be sent back to the server as it is; a folded line may not."""
    return value if value is not None and _VALUE.fullmatch(value) else None


def _refuse_page(response: BaseHTTPResponse, shown: str) -> None:
    if response.headers.get("Content-Type", "").startswith(("text/html", "application/xhtml")):
        raise FetchError(
            "the server answered with a web page instead of the file",
            code="HTML",
            where=shown,
            hint="an error page, or this network wants a login first: see it in a browser",
        )


def _read(response: BaseHTTPResponse) -> bytes:
    return response.read1(_CHUNK, decode_content=False)


def _body(
    response: BaseHTTPResponse, shown: str, limit: int, patience: Patience
) -> Iterator[bytes]:
    size = 0
    # read1 hands out what has come, so that it is kept should nothing more come
    while chunk := _read(response):
        if size == 0 and chunk[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")):
            raise FetchError(
                "the server answered with a web page instead of the file",
                code="HTML",
                where=shown,
                hint="an error page, or this network wants a login first: see it in a browser",
            )
        size += len(chunk)
        patience.received += len(chunk)
        if size > limit:
            raise FetchError(
                f"the server sends more than the {limit} bytes expected", code="LENGTH", where=shown
            )
        yield chunk


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
    asked = retry_after.strip()
    until = http_epoch(asked)
    if asked.isdecimal():
        seconds = float(asked[:9])
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


def past_epoch(epoch: int | None) -> int | None:
    """`epoch` unless it is in the future, where nothing was changed yet."""
    return None if epoch is None or epoch > time.time() + _CLOCKS_DIFFER_SECONDS else epoch


@contextmanager
def _named_failures(shown: str) -> Iterator[None]:
    """Map every failure of urllib3 to a `FetchError` that says what kind it was."""
    from http.client import HTTPException

    from urllib3 import exceptions as failed

    def error(what: str, code: str, hint: str | None = None) -> FetchError:
        return FetchError(what, code=code, where=shown, hint=hint)

    again = "try again later, or name another mirror"
    try:
        yield
    except failed.NameResolutionError as problem:
        raise error(
            "the host name cannot be resolved", "DNS", "check the spelling and the network"
        ) from problem
    except failed.NewConnectionError as problem:
        raise error("no connection to the server", "CONNECT", "is the server up?") from problem
    except (failed.ConnectTimeoutError, failed.ReadTimeoutError) as problem:
        raise error("the server stopped answering", "TIMEOUT", again) from problem
    except failed.SSLError as problem:
        hint = "check the clock, and name a certificate of your own in SSL_CERT_FILE"
        raise error(f"TLS failed: {problem}", "TLS", hint) from problem
    except failed.ProxyError as problem:
        hint = "check http_proxy, https_proxy and no_proxy"
        raise error(f"the proxy failed: {problem}", "PROXY", hint) from problem
    except (failed.IncompleteRead, failed.ProtocolError) as problem:
        what = "the connection broke before the file was complete"
        raise error(what, "TRUNCATED", again) from problem
    except (failed.HTTPError, HTTPException, UnicodeError) as problem:
        raise error(f"the transfer failed: {problem}", "TRANSFER") from problem
