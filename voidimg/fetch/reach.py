"""Where a redirection may lead: never from outside to this machine or its own network.

A mirror that redirects to ``http://127.0.0.1/``, to a router or to the metadata of a cloud would
make requests in our name where only we can (server-side request forgery).
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Literal
from urllib.parse import urlsplit

from voidimg.errors import FetchError

Kind = Literal["public", "private", "link-local", "loopback"]
"""How near an address is: of the internet, of a network of one's own, of the same wire, of this
machine."""

_NETWORKS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    ("loopback", ("127.0.0.0/8", "0.0.0.0/8", "::1/128", "::/128")),
    # 192.0.0.0/24 holds the metadata of one cloud, 169.254.0.0/16 those of most
    ("link-local", ("169.254.0.0/16", "192.0.0.0/24", "fe80::/10")),
    (
        "private",
        ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fec0::/10"),
    ),
)
_KINDS = [(kind, [ip_network(one) for one in networks]) for kind, networks in _NETWORKS]
"""RFC 6890, RFC 1918, RFC 6598, RFC 4193, RFC 3879."""

_NAT64 = ip_network("64:ff9b::/96")
_COMPATIBLE = ip_network("::/96")

_FROM: dict[Kind, frozenset[Kind]] = {
    "public": frozenset({"public"}),
    "private": frozenset({"public", "private"}),
    "link-local": frozenset({"public", "private", "link-local"}),
    "loopback": frozenset({"public", "private", "loopback"}),
}
"""Kind of the mirror -> kinds to which it may redirect."""


def kind_of(address: str) -> Kind:
    """How near the numeric `address` is; one of IPv4 within one of IPv6 counts as itself.

    >>> kind_of("::ffff:127.0.0.1")
    'loopback'
    """
    one = ip_address(address.partition("%")[0])
    if isinstance(one, IPv6Address):
        one = _embedded(one) or one
    for kind, networks in _KINDS:
        if any(one in network for network in networks):
            return kind
    return "public"


def _embedded(one: IPv6Address) -> IPv4Address | None:
    """The address of IPv4 that is reached by `one`, if it is such."""
    if int(one) < 2:
        return None  # :: and ::1
    if one in _NAT64 or one in _COMPATIBLE:
        return IPv4Address(int(one) & 0xFFFF_FFFF)
    return one.ipv4_mapped or one.sixtofour or (one.teredo[1] if one.teredo else None)


def kinds_within_reach(peer: str | None, url: str) -> frozenset[Kind]:
    """The kinds to which the mirror at `url` may redirect.

    Args:
        peer: the address that answered; None if that was a proxy.
        url: what was asked for first.
    """
    kinds = {kind_of(peer)} if peer is not None else _kinds_of_host(url) or {"public"}
    return frozenset.intersection(*(_FROM[kind] for kind in kinds))


def require_within_reach(kinds: frozenset[Kind], place: str, shown: str) -> None:
    """Ensure that the URL `place` leads only to addresses of `kinds`.

    Raises:
        FetchError: it leads nearer; `shown` is the URL that was asked for.
    """
    if not _kinds_of_host(place) <= kinds:
        raise out_of_reach(str(urlsplit(place).hostname), shown)


def _kinds_of_host(url: str) -> set[Kind]:
    """The kinds of all addresses of the host of `url`; none when its name cannot be resolved."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host.rpartition(".")[2] == "localhost":  # whatever a resolver knows of it (RFC 6761 6.3)
        return {"loopback"}
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return set()
    return {kind_of(str(one[4][0])) for one in found}


def out_of_reach(host: str, shown: str) -> FetchError:
    """The error of a mirror outside that redirects to the inside."""
    return FetchError(
        f"the server redirects to {host}, which is nearer to this machine than itself",
        code="REDIRECT",
        where=shown,
        hint="a mirror has no say in what is asked here; check the repository URL",
    )
