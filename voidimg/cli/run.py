"""`voidimg run`: boot an artifact and hand over its console."""

from __future__ import annotations

import os
import select
import sys
import tempfile
import termios
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import click

from voidimg import (
    Catalog,
    Firmware,
    Medium,
    RunningGuest,
    parse_forward,
    platform_of_image,
    profile_of_image,
    run_image,
)
from voidimg.cli.search import catalog_option, complete_platforms, complete_profiles
from voidimg.cli.session import Session, pass_session

_CHUNK_BYTES = 65536
_END, _LITERAL = b"\x03", b"\x1d"
"""Ctrl-C ends the guest. Ctrl-] gives the guest the control key of the letter that follows."""


@click.command()
@click.argument("image", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--medium",
    type=click.Choice(get_args(Medium)),
    help="Attach it as this medium.  [default: the platform's first]",
)
@click.option(
    "--firmware",
    type=click.Choice(get_args(Firmware)),
    help="Start it by this firmware.  [default: the platform's first]",
)
@click.option(
    "--forward",
    "forwards",
    multiple=True,
    metavar="[PORT:]PORT",
    default=("22",),
    show_default=True,
    help="Let a port of 127.0.0.1 lead to this port of the guest; may be given several times.",
)
@click.option(
    "--network/--no-network",
    "outside",
    default=False,
    help="Let the guest reach the network that this machine is in.  [default: no]",
)
@click.option(
    "--minutes",
    type=click.IntRange(min=1),
    default=240,
    show_default=True,
    help="End the guest after so long.",
)
@click.option(
    "--platform",
    metavar="NAME",
    shell_complete=complete_platforms,
    help="The image's platform.  [default: from its name]",
)
@click.option(
    "--profile",
    metavar="NAME",
    shell_complete=complete_profiles,
    help="What is in it.  [default: from its name, or the platform's own]",
)
@catalog_option
@pass_session
def command(
    session: Session,
    catalog: Catalog,
    image: Path,
    *,
    medium: str | None,
    firmware: str | None,
    forwards: tuple[str, ...],
    outside: bool,
    minutes: int,
    platform: str | None,
    profile: str | None,
) -> None:
    """Boot IMAGE under QEMU, and hand over its console until it powers off.

    The image is only read: what the guest writes is gone with it. Ctrl-C ends the guest; to send
    the guest a Ctrl-C, type Ctrl-] and then c (Ctrl-] and d for Ctrl-D, and so on).

    \b
    Examples:
      voidimg run out/20240314/void-rpi-aarch64-20240314.img.xz
      voidimg run my.qcow2 --platform x86_64-disk --firmware uefi --forward 2222:22
      voidimg run out/20240314/void-live-x86_64-20240314-base.iso --medium cd --network
    """  # noqa: D301
    ports = [parse_forward(text) for text in forwards]
    if platform is None:
        platform = platform_of_image(image)[0]
    recipe = catalog.recipe(
        platform, profile_of_image(image) if profile is None else profile
    ).recipe
    scratch = session.scratch() or Path(tempfile.gettempdir())
    with run_image(
        image,
        recipe,
        medium=medium,
        firmware=firmware,
        ports=ports,
        outside=outside,
        scratch=scratch,
        listener=session.listener,
    ) as guest:
        if not session.quiet:
            _introduce(guest)
        _join(guest, time.monotonic() + 60 * minutes)
    if not session.quiet:
        click.echo("the guest has ended, and what it wrote is gone", err=True)


def _introduce(guest: RunningGuest) -> None:
    click.echo(f"{guest.name} ({guest.accelerator}); Ctrl-C ends it", err=True)
    if guest.why_not_kvm:
        click.echo(f"without KVM: {guest.why_not_kvm}", err=True)
    for port in guest.ports:
        click.echo(f"127.0.0.1:{port.host} leads to its port {port.guest}", err=True)


def _join(guest: RunningGuest, until: float) -> None:
    """Pass on what is typed and what the guest says, until it ends or `until` is over."""
    keys = sys.stdin.fileno()
    sources = [guest.console, keys]
    literal = False
    with _terminal_for_keys(keys):
        while (left := until - time.monotonic()) > 0:
            ready, _, _ = select.select(sources, [], [], left)
            if guest.console in ready and not _show(guest.console):
                return
            if keys in ready:
                typed = os.read(keys, _CHUNK_BYTES)
                if not typed:
                    sources.remove(keys)
                    continue
                if os.isatty(keys):
                    ends, literal, typed = for_guest(typed, literal=literal)
                    if ends:
                        return
                _type(guest.console, typed)


def for_guest(typed: bytes, *, literal: bool) -> tuple[bool, bool, bytes]:
    r"""Whether what was `typed` ends the guest, whether Ctrl-] was last, and what the guest gets.

    >>> for_guest(b"ls\x1dc", literal=False)
    (False, False, b'ls\x03')
    """
    passed = bytearray()
    for number in typed:
        key = bytes([number])
        if literal:
            passed += bytes([number & 0x1F])
            literal = False
        elif key == _LITERAL:
            literal = True
        elif key == _END:
            return True, False, bytes(passed)
        else:
            passed += key
    return False, literal, bytes(passed)


def _show(console: int) -> bool:
    """Print what the guest says; False when it has ended."""
    try:
        said = os.read(console, _CHUNK_BYTES)
    except ConnectionResetError:
        return False
    sys.stdout.buffer.write(said)
    sys.stdout.buffer.flush()
    return bool(said)


def _type(console: int, typed: bytes) -> None:
    left = typed
    while left:
        try:
            left = left[os.write(console, left) :]
        except (BrokenPipeError, ConnectionResetError):
            return  # it has just ended, which is seen when it is read from


@contextmanager
def _terminal_for_keys(keys: int) -> Iterator[None]:
    """Every key comes at once and unchanged, where keys come from a terminal; then as before."""
    if not os.isatty(keys):
        yield
        return
    before = termios.tcgetattr(keys)
    try:
        tty.setraw(keys)
        yield
    finally:
        termios.tcsetattr(keys, termios.TCSADRAIN, before)
