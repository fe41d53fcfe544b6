"""The network of a guest that is open to its user: ports of loopback, and nothing else unasked."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from voidimg.errors import UsageError
from voidimg.spec.smoke_model import Machine

_LOOPBACK = "127.0.0.1"
_FORM = re.compile(r"(?:(\d{1,5}):)?(\d{1,5})")
_LAST_PORT = 65535


@dataclass(frozen=True, slots=True)
class ForwardedPort:
    """A TCP port of this machine's loopback that leads to the guest's port `guest`."""

    host: int
    guest: int


def parse_forward(text: str) -> ForwardedPort:
    """``GUEST`` or ``HOST:GUEST``; a port of this machine that is not given is a free one.

    Raises:
        UsageError: it is no such pair of ports, or the port of this machine is in use.
    """
    match = _FORM.fullmatch(text)
    numbers = [int(number) for number in match.groups() if number] if match else []
    if match is None or not all(0 < number <= _LAST_PORT for number in numbers):
        raise UsageError(
            f"{text!r} is no port to forward",
            code="FORWARD",
            where=text,
            hint="give the guest's port, like 22, or this machine's before it, like 2222:22",
        )
    return ForwardedPort(_free_port(int(match[1] or 0)), int(match[2]))


def _free_port(wanted: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_LOOPBACK, wanted))
        except OSError as error:
            raise UsageError(
                f"port {wanted} of this machine cannot be forwarded: {error.strerror}",
                code="FORWARD-PORT",
                where=str(wanted),
                hint="leave it out, and a free one is taken",
            ) from error
        port: int = probe.getsockname()[1]
        return port


def network_words(
    machine: Machine, ports: Sequence[ForwardedPort], *, outside: bool
) -> tuple[str, ...]:
    """QEMU's words for a network card of `machine` behind which only `ports` lead in.

    With `outside` the guest reaches what this machine reaches; without it, nothing.
    """
    rules = "".join(f",hostfwd=tcp:{_LOOPBACK}:{one.host}-:{one.guest}" for one in ports)
    backend = f"user,id=net{'' if outside else ',restrict=on'}{rules}"
    card = "usb-net" if machine.machine.startswith("raspi") else "virtio-net-pci"
    return ("-netdev", backend, "-device", f"{card},netdev=net")
