"""`voidimg why`: the chain of needs that brings a package into an image."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from voidimg import Catalog, Explanation, Sources, explain_package
from voidimg.cli.search import catalog_option, complete_platforms, complete_profiles
from voidimg.cli.session import Session, json_option, pass_session
from voidimg.cli.sources import repository_options

_SHOWN = 8


@click.command()
@click.argument("platform", shell_complete=complete_platforms)
@click.argument("package")
@click.option(
    "--profile",
    metavar="NAME",
    shell_complete=complete_profiles,
    help="What goes into it.  [default: the platform's own, base]",
)
@click.option("--offline", is_flag=True, help="Ask no server: use what the cache has.")
@repository_options
@catalog_option
@json_option
@pass_session
def command(
    session: Session,
    catalog: Catalog,
    platform: str,
    package: str,
    *,
    profile: str | None,
    offline: bool,
    repositories: tuple[str, ...],
    added: tuple[str, ...],
    mirrors: tuple[str, ...],
    repo_keys: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Say why PACKAGE, a name, is installed on PLATFORM.

    The shortest chain from what platform or profile ask for down to the package.

    \b
    Examples:
      voidimg why rpi-aarch64 libcap
      voidimg why rpi-aarch64 chrony --json
    """  # noqa: D301
    sources = Sources.parse(
        cache=session.cache,
        repositories=repositories,
        added=added,
        mirrors=mirrors,
        repo_keys=repo_keys,
        jobs=session.jobs,
        offline=offline,
    )
    resolved = catalog.recipe(platform, profile)
    found = explain_package(resolved, package, sources, listener=session.listener)
    if as_json:
        click.echo(json.dumps(_as_json(found), indent=2, sort_keys=True))
        return
    click.echo(f"{found.step.pkgver} ({found.stage} of {resolved.recipe.platform}):")
    for depth, link in enumerate(found.chain):
        asked = link.needed_by is None
        said = f"{link.needs} is asked for" if asked else f"{link.needed_by} needs {link.needs}"
        click.echo(f"{'  ' * (depth + 1)}{said}: {link.pkgver}")
    others = [one for one in found.needed_by if one != found.chain[-1].needed_by]
    if others:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        click.echo(f"  also needed by {', '.join(others[:_SHOWN])}{more}")


def _as_json(found: Explanation) -> dict[str, object]:
    return {
        "pkgver": found.step.pkgver,
        "repository": found.step.repository,
        "stage": found.stage,
        "chain": [asdict(link) for link in found.chain],
        "needed_by": list(found.needed_by),
    }
