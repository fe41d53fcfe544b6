"""`voidimg show`: a recipe or set, where each value comes from, and what a build will do."""

from __future__ import annotations

import json
from pathlib import Path

import click

from voidimg import (
    BuildOptions,
    Catalog,
    Forecast,
    PlannedStep,
    RepositoryKey,
    ResolvedRecipe,
    ResolvedSet,
    forecast_build,
    format_size,
    planned_steps,
    repository_keys,
)
from voidimg.cli.counting import counted
from voidimg.cli.printable import printable_json
from voidimg.cli.search import catalog_option, complete_platforms, complete_profiles
from voidimg.cli.session import Session, json_option, pass_session
from voidimg.cli.sources import repository_options


@click.command()
@click.argument("platform", shell_complete=complete_platforms)
@click.option(
    "--profile",
    metavar="NAME",
    shell_complete=complete_profiles,
    help="What goes into it.  [default: the platform's own]",
)
@click.option("--origin", is_flag=True, help="Say the file, line and column of each value.")
@click.option(
    "--plan", is_flag=True, help="Say the steps of a build; with -r, predicted sizes too."
)
@repository_options
@catalog_option
@json_option
@pass_session
def command(
    session: Session,
    catalog: Catalog,
    platform: str,
    *,
    repositories: tuple[str, ...],
    added: tuple[str, ...],
    mirrors: tuple[str, ...],
    repo_keys: tuple[Path, ...],
    profile: str | None,
    origin: bool,
    plan: bool,
    as_json: bool,
) -> None:
    """Show the resolved recipe of PLATFORM, a name or the path of a TOML file; or a set.

    Each value is a line, `path = value`, with the value as JSON. The last lines say which
    repository keys the systems made will trust; --repo-key adds one.

    \b
    Examples:
      voidimg show rpi-aarch64
      voidimg show rpi-aarch64-musl --origin
      voidimg show ./my-board.toml --plan -r https://repo-default.voidlinux.org/current/aarch64
      voidimg show rpi-aarch64 --json | jq .disk
      voidimg show rpi-aarch64 --repo-key ./repo.plist --json | jq .trusted_keys
      voidimg show void-current
    """  # noqa: D301
    if origin and plan:
        raise click.UsageError("--origin and --plan exclude each other")
    if catalog.kind_of(platform) == "set":
        if profile or plan or repositories or added or mirrors or repo_keys:
            raise click.UsageError(
                f"{platform} is a set: of the options only --origin and --json go with it;"
                f" `voidimg release {platform} --plan` says what its artifacts take"
            )
        _show_set(catalog.resolved_set(platform), origin=origin, as_json=as_json)
        return
    resolved = catalog.recipe(platform, profile)
    named = bool(repositories or added or mirrors)
    if named and not plan:
        raise click.UsageError(
            "-r, --add-repository and --mirror go with --plan, which then predicts sizes"
        )
    keys = repository_keys(resolved.recipe.keys, repo_keys)
    if plan:
        options = BuildOptions.parse(
            cache=session.cache,
            out=session.out,
            repositories=repositories,
            added=added,
            mirrors=mirrors,
            repo_keys=repo_keys,
            jobs=session.jobs,
        )
        steps = planned_steps(
            resolved.recipe,
            repositories=repositories
            or [one.places for one in options.own_locations(resolved.recipe.repositories)],
            added=added,
            keys=[key.fingerprint for key in keys],
        )
        forecasts: tuple[Forecast, ...] = ()
        if named:
            forecasts = forecast_build(resolved, options, listener=session.listener)
        _show_plan(steps, forecasts, as_json=as_json)
    elif as_json:
        _show_json(resolved, keys, origin=origin)
    else:
        for path, value in resolved.values():
            said = f"  # {resolved.origins[path]}" if origin else ""
            click.echo(f"{path} = {printable_json(json.dumps(value, ensure_ascii=False))}{said}")
        for number, key in enumerate(keys):
            said = f"  # {key.origin}" if origin else ""
            text = printable_json(json.dumps(key.as_json(), ensure_ascii=False))
            click.echo(f"trusted_keys[{number}] = {text}{said}")


def _show_set(whole: ResolvedSet, *, origin: bool, as_json: bool) -> None:
    if as_json:
        shown: object = whole.as_json()
        if origin:
            origins = {path: one.as_json() for path, one in whole.origins.items()}
            shown = {"origins": origins, "set": shown}
        click.echo(printable_json(json.dumps(shown, indent=2, sort_keys=True, ensure_ascii=False)))
        return
    for path, value in whole.values():
        said = f"  # {whole.origins[path]}" if origin else ""
        click.echo(f"{path} = {printable_json(json.dumps(value, ensure_ascii=False))}{said}")


def _show_json(resolved: ResolvedRecipe, keys: tuple[RepositoryKey, ...], *, origin: bool) -> None:
    recipe = dict(resolved.as_json())
    recipe["trusted_keys"] = [key.as_json() for key in keys]
    shown: object = recipe
    if origin:
        origins = {path: one.as_json() for path, one in resolved.origins.items()}
        shown = {"origins": origins, "recipe": recipe}
    click.echo(printable_json(json.dumps(shown, indent=2, sort_keys=True, ensure_ascii=False)))


def _show_plan(
    steps: tuple[PlannedStep, ...], forecasts: tuple[Forecast, ...], *, as_json: bool
) -> None:
    if as_json:
        shown = {
            "steps": [step.as_json() for step in steps],
            "forecast": [forecast.as_json() for forecast in forecasts],
        }
        click.echo(json.dumps(shown, indent=2, sort_keys=True))
        return
    for step in steps:
        size = "" if step.size is None else f" ({format_size(step.size)})"
        details = f": {', '.join(step.details)}" if step.details else ""
        click.echo(f"{step.stage:10}  {step.what}{size}{details}")
    for forecast in forecasts:
        if forecast.image_bytes is not None:
            click.echo(f"{forecast.stage:10}  about {format_size(forecast.image_bytes)} on disk")
        else:
            click.echo(
                f"{forecast.stage:10}  {counted(forecast.packages, 'package')}, "
                f"{format_size(forecast.download_bytes)} to fetch, "
                f"{format_size(forecast.installed_bytes)} installed"
            )
