"""The options that say where a passphrase comes from, and the reading of it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

_MAX_BYTES = 1023
"""What minisign and OpenSSL take."""


def passphrase_options(function: F) -> F:
    """Add `--passphrase-fd` and `--passphrase-env` to a verb."""
    function = click.option(
        "--passphrase-env",
        metavar="NAME",
        help="Take the passphrase from this environment variable.",
    )(function)
    return click.option(
        "--passphrase-fd",
        type=click.IntRange(min=0),
        metavar="N",
        help="Read the passphrase from this file descriptor, up to the end of its line.",
    )(function)


def read_passphrase(*, fd: int | None, env: str | None, prompt: str, confirm: bool) -> str:
    """The passphrase from where the options say, or else typed at a prompt.

    Raises:
        click.UsageError: both options, an empty passphrase, or no terminal to ask on.
    """
    if fd is not None and env is not None:
        raise click.UsageError("give either --passphrase-fd or --passphrase-env, not both")
    if fd is not None:
        passphrase = _read_line(fd)
    elif env is not None:
        if env not in os.environ:
            raise click.UsageError(f"the environment variable {env} is not set")
        passphrase = _text(os.fsencode(os.environ[env]), f"the environment variable {env}")
    elif sys.stdin.isatty():
        typed = click.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
        return _text(os.fsencode(str(typed)), "what was typed")
    else:
        raise click.UsageError(
            "a passphrase is needed and there is no terminal to ask on:"
            " give --passphrase-fd or --passphrase-env"
        )
    if not passphrase:
        raise click.UsageError("the passphrase is empty")
    return passphrase


def _text(content: bytes, source: str) -> str:
    """The passphrase `content`, which came from `source`; neither is ever shown."""
    if len(content) > _MAX_BYTES:
        raise click.UsageError(f"{source} is longer than {_MAX_BYTES} bytes, which no key takes")
    if b"\0" in content:
        raise click.UsageError(f"{source} has a NUL in it, which no passphrase can have")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise click.UsageError(f"{source} is not UTF-8, as a passphrase has to be") from None


def _read_line(fd: int) -> str:
    content = b""
    try:
        while b"\n" not in content and len(content) <= _MAX_BYTES:
            chunk = os.read(fd, _MAX_BYTES)
            if not chunk:
                break
            content += chunk
    except OSError as error:
        raise click.UsageError(f"--passphrase-fd {fd}: {error.strerror}") from error
    return _text(content.partition(b"\n")[0], f"the line from --passphrase-fd {fd}")
