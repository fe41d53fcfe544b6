"""The option `--platforms-and-profiles`, the same in every verb that names a platform."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

import voidimg

F = TypeVar("F", bound=Callable[..., Any])

ENVIRONMENT = "VOIDIMG_PATH"
"""More directories, separated by colons; searched after those of the option."""

_PARTS = ("platforms", "profiles", "templates", "files")


def complete_platforms(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """What the shell offers for a platform: names, and files once a path is begun."""
    return _complete("platforms", incomplete)


def complete_profiles(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """What the shell offers for a profile: names, and files once a path is begun."""
    return _complete("profiles", incomplete)


def complete_sets(
    _ctx: click.Context, _param: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """What the shell offers for a set: names, and files once a path is begun."""
    return _complete("sets", incomplete)


def _complete(kind: str, incomplete: str) -> list[CompletionItem]:
    if "/" in incomplete or incomplete.startswith("."):
        return [CompletionItem(incomplete, type="file")]
    catalog = voidimg.Catalog(_from_environment())
    try:
        entries = getattr(catalog, kind)()
    except voidimg.VoidimgError:  # a file is wrong: `voidimg check` says so, not the Tab key
        return []
    return [
        CompletionItem(entry.name, help=entry.summary)
        for entry in entries
        if entry.name.startswith(incomplete)
    ]


def _from_environment() -> list[Path]:
    return [Path(word) for word in os.environ.get(ENVIRONMENT, "").split(os.pathsep) if word]


def catalog_option(function: F) -> F:
    """Give `function` a `catalog` of the directories of the option and of `VOIDIMG_PATH`."""

    @wraps(function)
    def with_catalog(*args: Any, own_directories: tuple[Path, ...], **options: Any) -> Any:
        for directory in own_directories:
            if not any(os.path.isdir(directory / part) for part in _PARTS):
                raise click.BadParameter(
                    f"{directory} has none of {', '.join(_PARTS)}: name the directory above them",
                    param_hint="'--platforms-and-profiles'",
                )
        directories = [*own_directories, *_from_environment()]
        return function(*args, catalog=voidimg.Catalog(directories), **options)

    option = click.option(
        "--platforms-and-profiles",
        "own_directories",
        multiple=True,
        metavar="DIR",
        type=click.Path(path_type=Path, file_okay=False, exists=True),
        help="Search DIR/platforms, DIR/profiles and DIR/templates before the shipped ones; may be "
        f"given several times. The directories in {ENVIRONMENT} follow.",
    )
    return option(with_catalog)  # type: ignore[return-value]
