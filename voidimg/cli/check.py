"""`voidimg check`: what is wrong with platform, profile and set files."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from voidimg import Catalog, SpecError, check_sets
from voidimg.cli.printable import printable, printable_json
from voidimg.cli.search import catalog_option
from voidimg.cli.session import json_option


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE]...", type=click.Path(path_type=Path))
@catalog_option
@json_option
def command(catalog: Catalog, files: tuple[Path, ...], *, as_json: bool) -> int:
    """Validate platform, profile and set files; without FILE, all that `voidimg list` would name.

    All errors of all files are said at once, one a line, as file:line:column. What a file inherits,
    the profile of a platform and the recipes of a set are checked with it. The exit status is 3 if
    anything is wrong. What a plain list leaves out of the one that it replaces is a note on stderr.

    \b
    Examples:
      voidimg check my-board.toml
      voidimg check platforms/*.toml profiles/*.toml
      voidimg check --json my-board.toml
    """  # noqa: D301
    asked = files or catalog.files()
    errors = [*catalog.check_files(asked), *check_sets(catalog, asked)]
    if as_json:
        found = [error.as_json() for error in errors]
        click.echo(printable_json(json.dumps(found, indent=2, sort_keys=True, ensure_ascii=False)))
    else:
        for error in errors:
            click.echo(f"{error} [{error.code}]")
    sys.stdout.flush()
    for note in catalog.dropped(asked):
        click.echo(printable(str(note)), err=True)
    return SpecError.exit_status if errors else 0
