"""`voidimg list`: which platforms and profiles there are."""

from __future__ import annotations

import json
from collections.abc import Sequence

import click

from voidimg import Catalog, CatalogEntry
from voidimg.cli.search import catalog_option
from voidimg.cli.session import json_option


@click.command()
@catalog_option
@json_option
def command(catalog: Catalog, *, as_json: bool) -> None:
    """List platforms and profiles, with a line of what each is.

    \b
    Examples:
      voidimg list
      voidimg list --json
      voidimg list --platforms-and-profiles ~/my-boards
    """  # noqa: D301
    platforms, profiles = catalog.platforms(), catalog.profiles()
    if as_json:
        found = {
            "platforms": [entry.as_json() for entry in platforms],
            "profiles": [entry.as_json() for entry in profiles],
        }
        click.echo(json.dumps(found, indent=2, sort_keys=True))
        return
    width = max((len(entry.name) for entry in (*platforms, *profiles)), default=0)
    _show("Platforms", platforms, width)
    click.echo()
    _show("Profiles", profiles, width)


def _show(title: str, entries: Sequence[CatalogEntry], width: int) -> None:
    click.echo(f"{title}:")
    for entry in entries:
        click.echo(f"  {entry.name:{width}}  {entry.summary}")
