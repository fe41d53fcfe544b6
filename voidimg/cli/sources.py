"""The options that say where packages come from, the same in every verb that resolves."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypedDict, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


class SourceWords(TypedDict):
    """What the options of `source_options` were given, as `Sources.parse` takes it."""

    repositories: tuple[str, ...]
    added: tuple[str, ...]
    mirrors: tuple[str, ...]
    repo_keys: tuple[Path, ...]
    offline: bool
    require_consistent: bool
    require_newer: bool
    max_age: str | None
    allow_older: bool


def source_options(function: F) -> F:
    """Add all options of this module to a verb, which gets their values as `sources`."""
    older = click.option(
        "--allow-older-repodata",
        "allow_older",
        is_flag=True,
        help="Take repodata with older packages than were seen in it before.",
    )

    @wraps(function)
    def with_sources(*args: Any, **options: Any) -> Any:
        words = {name: options.pop(name) for name in SourceWords.__annotations__}
        return function(*args, sources=words, **options)

    return repository_options(consistency_options(older(with_sources)))  # type: ignore[return-value]


def repository_options(function: F) -> F:
    """Add `-r/--repository`, `--add-repository`, `--mirror` and `--repo-key` to a verb."""
    function = mirror_option(function)
    function = click.option(
        "--repo-key",
        "repo_keys",
        multiple=True,
        metavar="PLIST",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        help="Trust this key plist too, beside the platform's keys (Void's); systems made do so.",
    )(function)
    function = click.option(
        "--add-repository",
        "added",
        multiple=True,
        metavar="URL|DIR",
        help="Take packages from here first, in this order, and what it has not from the others.",
    )(function)
    return click.option(
        "-r",
        "--repository",
        "repositories",
        multiple=True,
        metavar="URL|DIR",
        help="Take packages from here, in this order, instead of Void's mirror.",
    )(function)


def mirror_option(function: F) -> F:
    """Add `--mirror` to a verb."""
    return click.option(
        "--mirror",
        "mirrors",
        multiple=True,
        metavar="URL|DIR",
        help="Read the platform's own repositories from this mirror of Void, its top: their paths"
        " (/current/...) follow. Of several the freshest are taken, in this order.",
    )(function)


def consistency_options(function: F) -> F:
    """Add `--offline`, `--require-consistent`, `--require-newer` and `--max-age` to a verb."""
    function = click.option(
        "--offline", is_flag=True, help="Ask no server: use the cache, directories and bundles."
    )(function)
    function = click.option(
        "--max-age",
        metavar="AGE",
        help="Repodata older than this, like 36h or 7d, is worth a warning.",
    )(function)
    function = click.option(
        "--require-newer",
        is_flag=True,
        help="Refuse a repository that is older than it was when it was last seen.",
    )(function)
    return click.option(
        "--require-consistent",
        is_flag=True,
        help="Refuse repositories that are staged, too old, out of step or changing.",
    )(function)
