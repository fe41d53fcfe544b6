"""The proxy that the environment names for a URL, if it can be one."""

from __future__ import annotations

from urllib.parse import urlsplit

from voidimg.errors import FetchError, without_passwords
from voidimg.fetch.location import is_host


def proxy_for(url: str) -> str | None:
    """The proxy for `url`, as a URL; None when it is asked directly.

    ``http_proxy`` or ``https_proxy`` name it, else ``all_proxy``; hosts of ``no_proxy`` need none.

    Raises:
        FetchError: ``E-FETCH-PROXY``, what is named cannot be a proxy.
    """
    from urllib.request import getproxies, proxy_bypass

    parts = urlsplit(url)
    proxies = getproxies()
    name = next((one for one in (parts.scheme, "all") if proxies.get(one)), None)
    if name is None or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return None
    text = proxies[name]
    proxy = text if "://" in text else f"http://{text}"
    if (why := _wrong_with(proxy)) is not None:
        raise FetchError(
            f"{name}_proxy names {without_passwords(_marked(proxy))!r}: {why}",
            code="PROXY",
            where=url,
            hint=f"set {name}_proxy to http://HOST:PORT, or unset it",
        )
    return proxy


def _wrong_with(proxy: str) -> str | None:
    """Why `proxy` cannot be one."""
    try:
        parts = urlsplit(proxy)
        port = parts.port
    except ValueError:
        return "its host or port is none"
    if parts.scheme not in ("http", "https"):
        return f"proxies of the kind {parts.scheme} are not supported"
    if not is_host(parts.hostname) or port == 0:
        return "its host or port is none"
    if parts.path.strip("/") or parts.query or parts.fragment:
        return "there is more than a host and a port"
    if any(not character.isprintable() for character in proxy):
        return "it has characters that no URL has"
    return None


def _marked(proxy: str) -> str:
    """`proxy` with all before its last ``@`` as its user, as is meant when it is no sound URL."""
    scheme, _, rest = proxy.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
