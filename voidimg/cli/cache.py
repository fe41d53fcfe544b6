"""`voidimg cache`: measure, check and clear the cache."""

from __future__ import annotations

import json
from typing import Any

import click

from voidimg import (
    Cache,
    CacheUse,
    StoreError,
    clear_cache,
    format_size,
    measure_cache,
    parse_size,
    verify_cache,
)
from voidimg.cli.counting import counted
from voidimg.cli.session import Session, json_option, pass_session


class _Size(click.ParamType):  # type: ignore[type-arg]
    """A size with a unit."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The size in bytes."""
        try:
            return value if isinstance(value, int) else parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group()
def command() -> None:
    """Measure, check and clear the cache; all of it may run beside builds.

    \b
    Examples:
      voidimg cache size
      voidimg cache verify
      voidimg cache gc --max 20GiB
    """  # noqa: D301


@command.command()
@json_option
@pass_session
def size(session: Session, *, as_json: bool) -> None:
    """Say what the cache takes on disk.

    Artifacts in it share their space with those in the output directory.

    \b
    Examples:
      voidimg cache size
      voidimg --cache /srv/cache cache size --json
    """  # noqa: D301
    _show(session, measure_cache(Cache(session.cache)), as_json=as_json, title=str(session.cache))


@command.command()
@click.option("--keep", is_flag=True, help="Leave damaged files where they are.")
@json_option
@pass_session
def verify(session: Session, *, keep: bool, as_json: bool) -> None:
    """Read the whole cache, and remove what is damaged.

    What is removed is fetched or made again when it is needed. Exit status 11 if something was
    damaged.

    \b
    Examples:
      voidimg cache verify
      voidimg cache verify --keep --json
    """  # noqa: D301
    damaged = verify_cache(
        Cache(session.cache), jobs=session.jobs, keep=keep, listener=session.listener
    )
    if as_json:
        click.echo(json.dumps([one.as_json() for one in damaged], indent=2, sort_keys=True))
    else:
        for one in damaged:
            click.echo(f"{session.cache / one.path}: {one.why}")
    if damaged:
        raise StoreError(
            counted(len(damaged), "damaged file") + ("" if keep else ", now removed"),
            code="CACHE-DAMAGED",
            where=str(session.cache),
            hint="if it happens again, check the disk and the memory of this machine",
        )


@command.command()
@click.option(
    "--max", "max_bytes", type=_Size(), metavar="SIZE", help="Keep at most so much, like 20GiB."
)
@click.option(
    "--older",
    "older_days",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    help="Remove what was not used for so many days.",
)
@json_option
@pass_session
def gc(session: Session, *, max_bytes: int | None, older_days: float | None, as_json: bool) -> None:
    """Remove what killed runs left, and what was unused for longest.

    Without a limit nothing that is whole is removed. What a build under way has used stays.

    \b
    Examples:
      voidimg cache gc
      voidimg cache gc --max 20GiB
      voidimg cache gc --older 30
    """  # noqa: D301
    removed = clear_cache(
        Cache(session.cache),
        max_bytes=max_bytes,
        older_seconds=None if older_days is None else int(older_days * 86400),
        listener=session.listener,
    )
    _show(session, removed, as_json=as_json, title="removed")


def _show(session: Session, uses: tuple[CacheUse, ...], *, as_json: bool, title: str) -> None:
    files, total = sum(use.files for use in uses), sum(use.size for use in uses)
    if as_json:
        answer = {
            "cache": str(session.cache),
            "files": files,
            "bytes": total,
            "contents": [use.as_json() for use in uses],
        }
        click.echo(json.dumps(answer, indent=2, sort_keys=True))
        return
    click.echo(f"{title}: {format_size(total)} in {counted(files, 'file')}")
    for use in uses:
        if use.files:
            size = f"{format_size(use.size):>10}"
            click.echo(f"  {use.content:20}  {size}  {counted(use.files, 'file')}")
