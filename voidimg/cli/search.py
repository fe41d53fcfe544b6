"""The option `--platforms-and-profiles`, the same in every verb that names a platform."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

import voidimg

F = TypeVar("F", bound=Callable[..., Any])

ENVIRONMENT = "VOIDIMG_PATH"
"""More directories, separated by colons; searched after those of the option."""


def catalog_option(function: F) -> F:
    """Give `function` a `catalog` of the directories of the option and of `VOIDIMG_PATH`."""

    @wraps(function)
    def with_catalog(*args: Any, own_directories: tuple[Path, ...], **options: Any) -> Any:
        more = os.environ.get(ENVIRONMENT, "").split(os.pathsep)
        directories = [*own_directories, *(Path(word) for word in more if word)]
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
