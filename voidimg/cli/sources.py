"""The options that say where packages come from, the same in every verb that resolves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def repository_options(function: F) -> F:
    """Add `-r/--repository` and `--repo-key` to a verb."""
    function = click.option(
        "--repo-key",
        "repo_keys",
        multiple=True,
        metavar="PLIST",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="Trust this key plist instead of the platform's keys (Void's).",
    )(function)
    return click.option(
        "-r",
        "--repository",
        "repositories",
        multiple=True,
        metavar="URL|DIR",
        help="Take packages from here, in this order, instead of Void's mirror.",
    )(function)


def consistency_options(function: F) -> F:
    """Add `--offline`, `--require-consistent` and `--max-age` to a verb."""
    function = click.option(
        "--offline", is_flag=True, help="Ask no server: use the cache, directories and bundles."
    )(function)
    function = click.option(
        "--max-age",
        metavar="AGE",
        help="Repodata older than this, like 36h or 7d, is worth a warning.",
    )(function)
    return click.option(
        "--require-consistent",
        is_flag=True,
        help="Refuse repositories that are staged, too old, out of step or changing.",
    )(function)
