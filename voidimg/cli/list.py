"""`voidimg list`: which platforms, profiles and sets there are."""

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
    """List platforms, profiles and sets, with a line of what each is.

    \b
    Examples:
      voidimg list
      voidimg list --json
      voidimg list --platforms-and-profiles ~/my-boards
    """  # noqa: D301
    platforms, profiles, sets = catalog.platforms(), catalog.profiles(), catalog.sets()
    if as_json:
        found = {
            "platforms": [entry.as_json() for entry in platforms],
            "profiles": [entry.as_json() for entry in profiles],
            "sets": [entry.as_json() for entry in sets],
        }
        click.echo(json.dumps(found, indent=2, sort_keys=True))
        return
    width = max((len(entry.name) for entry in (*platforms, *profiles, *sets)), default=0)
    _show("Platforms", platforms, width)
    click.echo()
    _show("Profiles", profiles, width)
    click.echo()
    _show("Sets", sets, width)


def _show(title: str, entries: Sequence[CatalogEntry], width: int) -> None:
    click.echo(f"{title}:")
    for entry in entries:
        click.echo(f"  {entry.name:{width}}  {entry.summary}")
