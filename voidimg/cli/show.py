"""`voidimg show`: the resolved recipe, where each value comes from, and what a build will do."""

from __future__ import annotations

import json

import click

from voidimg import Catalog, PlannedStep, ResolvedRecipe, format_size, planned_steps
from voidimg.cli.search import catalog_option
from voidimg.cli.session import json_option


@click.command()
@click.argument("platform")
@click.option("--profile", help="What goes into it.  [default: the platform's own]")
@click.option("--origin", is_flag=True, help="Say the file, line and column of each value.")
@click.option("--plan", is_flag=True, help="Say the steps of a build and the sizes known so far.")
@catalog_option
@json_option
def command(
    catalog: Catalog,
    platform: str,
    *,
    profile: str | None,
    origin: bool,
    plan: bool,
    as_json: bool,
) -> None:
    """Show the resolved recipe of PLATFORM, a name or the path of a TOML file.

    Each value is a line, `path = value`, with the value as JSON.

    \b
    Examples:
      voidimg show rpi-aarch64
      voidimg show rpi-aarch64-musl --origin
      voidimg show ./my-board.toml --plan
      voidimg show rpi-aarch64 --json | jq .disk
    """  # noqa: D301
    if origin and plan:
        raise click.UsageError("--origin and --plan exclude each other")
    resolved = catalog.recipe(platform, profile)
    if plan:
        _show_plan(planned_steps(resolved.recipe), as_json=as_json)
    elif as_json:
        _show_json(resolved, origin=origin)
    else:
        for path, value in resolved.values():
            said = f"  # {resolved.origins[path]}" if origin else ""
            click.echo(f"{path} = {json.dumps(value, ensure_ascii=False)}{said}")


def _show_json(resolved: ResolvedRecipe, *, origin: bool) -> None:
    recipe = resolved.recipe.model_dump(mode="json")
    shown: object = recipe
    if origin:
        origins = {path: one.as_json() for path, one in resolved.origins.items()}
        shown = {"origins": origins, "recipe": recipe}
    click.echo(json.dumps(shown, indent=2, sort_keys=True, ensure_ascii=False))


def _show_plan(steps: tuple[PlannedStep, ...], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps([step.as_json() for step in steps], indent=2, sort_keys=True))
        return
    for step in steps:
        size = "" if step.size is None else f" ({format_size(step.size)})"
        details = f": {', '.join(step.details)}" if step.details else ""
        click.echo(f"{step.stage:10}  {step.what}{size}{details}")
