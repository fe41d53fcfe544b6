"""The manual page voidimg(1), made from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

import voidimg
from voidimg import CollectedError, VoidimgError

_ENVIRONMENT = {
    "VOIDIMG_CACHE": "The cache, when --cache does not name one.",
    "VOIDIMG_PATH": "Directories of own platforms and profiles, separated by colons; searched after"
    " those of --platforms-and-profiles and before the shipped ones.",
    "XDG_CACHE_HOME": "The cache is voidimg in it, when nothing else names one.",
    "XBPS_PASSPHRASE": "The passphrase of a repository's private key.",
}
_SIGNALS = {
    130: "Stopped by Ctrl-C.",
    141: "The reader of the output went before its end.",
}


def man_page(cli: click.Group) -> str:
    """The page in the man(7) macros: every verb with all its options, and the exit statuses."""
    top = click.Context(cli, info_name="voidimg")
    lines = [
        f'.TH VOIDIMG 1 "" "voidimg {voidimg.__version__}" "User Commands"',
        ".SH NAME",
        "voidimg \\- builds Void Linux images from declarative files",
        ".SH SYNOPSIS",
        *_usage(top),
        ".SH DESCRIPTION",
        *_description(cli),
        ".SH OPTIONS",
        *_options(top),
        ".SH VERBS",
    ]
    for context in _commands(top):
        lines += [f".SS {_escaped(context.command_path)}", *_usage(context)]
        lines += [".PP", *_description(context.command), *_options(context)]
    lines += [".SH EXIT STATUS", *_exit_statuses()]
    lines += [".SH ENVIRONMENT"]
    for name, says in _ENVIRONMENT.items():
        lines += [".TP", f".B {_escaped(name)}", _escaped(says)]
    return "\n".join(lines) + "\n"


def _commands(group: click.Context) -> Iterator[click.Context]:
    """Every verb, each group before what is in it."""
    if not isinstance(group.command, click.Group):
        return
    for name in group.command.list_commands(group):
        command = group.command.get_command(group, name)
        if command is not None:
            context = click.Context(command, info_name=name, parent=group)
            yield context
            yield from _commands(context)


def _usage(context: click.Context) -> list[str]:
    pieces = context.command.collect_usage_pieces(context)
    return [f".B {_escaped(context.command_path)}", _escaped(" ".join(pieces))]


def _description(command: click.Command) -> Iterator[str]:
    """The text of `--help`; what it shows line by line stays so."""
    for number, paragraph in enumerate(inspect.cleandoc(command.help or "").split("\n\n")):
        if number:
            yield ".PP"
        if paragraph.startswith("\b\n"):
            yield from (".nf", *map(_escaped, paragraph.splitlines()[1:]), ".fi")
        else:
            yield _escaped(" ".join(paragraph.split()))


def _options(context: click.Context) -> Iterator[str]:
    """All but --help, which every verb has."""
    for param in context.command.params:
        record = param.get_help_record(context)
        if isinstance(param, click.Option) and record is not None:
            yield from (".TP", f".B {_escaped(record[0])}", _escaped(" ".join(record[1].split())))


def _exit_statuses() -> Iterator[str]:
    public = (getattr(voidimg, name) for name in voidimg.__all__ if name.endswith("Error"))
    kinds = [kind for kind in public if kind.__module__ == VoidimgError.__module__]
    meanings = {
        kind.exit_status: f"{kind.__doc__.partition(chr(10))[0]} ({kind.family}-...)"
        for kind in kinds
        if kind not in (VoidimgError, CollectedError)
    }
    meanings |= {0: "Done.", 1: "Failed in a way that has no class of its own.", **_SIGNALS}
    for status, says in sorted(meanings.items()):
        yield from (".TP", f".B {status}", _escaped(says))


def _escaped(text: str) -> str:
    """`text` with nothing that roff would take for a request, an escape or a hyphen."""
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{text}" if text.startswith((".", "'")) else text
