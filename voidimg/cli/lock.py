"""`voidimg lock`: pin the packages of platforms in a file."""

from __future__ import annotations

import json
from pathlib import Path

import click
from click.core import ParameterSource

from voidimg import (
    Catalog,
    Lock,
    LockDifference,
    LockedPackage,
    ResolvedRecipe,
    Sources,
    bundle_lock,
    format_size,
    lock_difference,
    lock_platforms,
    lock_set,
    read_lock,
    sources_to_update,
    write_lock,
)
from voidimg.cli.counting import counted
from voidimg.cli.kinds import artifact_option
from voidimg.cli.search import (
    catalog_option,
    complete_platforms,
    complete_profiles,
    complete_sets,
)
from voidimg.cli.session import Session, json_option, pass_session
from voidimg.cli.sources import SourceWords, source_options


@click.command()
@click.argument("platforms", nargs=-1, metavar="PLATFORM...", shell_complete=complete_platforms)
@click.option(
    "--profile",
    metavar="NAME",
    shell_complete=complete_profiles,
    help="What goes into them.  [default: the platform's own, base]",
)
@click.option(
    "--set",
    "set_name",
    metavar="SET",
    shell_complete=complete_sets,
    help="All artifacts of this set, instead of platforms.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("voidimg.lock.json"),
    show_default=True,
    metavar="FILE",
    help="The lock.",
)
@artifact_option(
    "What it is for; may be given several times.  [default: what a build makes unasked]"
)
@click.option("--update", is_flag=True, help="Bring FILE up to date and say what changes.")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep the packages, signatures, indexes and keys in DIR, for building without a mirror.",
)
@click.option(
    "--lock",
    "exact",
    type=click.Path(path_type=Path, exists=True),
    metavar="FILE",
    help="With --bundle: keep the packages of this lock as they are, and resolve nothing.",
)
@source_options
@catalog_option
@json_option
@pass_session
@click.pass_context
def command(
    context: click.Context,
    session: Session,
    catalog: Catalog,
    platforms: tuple[str, ...],
    *,
    profile: str | None,
    set_name: str | None,
    output: Path,
    artifacts: tuple[str, ...],
    update: bool,
    bundle: Path | None,
    exact: Path | None,
    sources: SourceWords,
    as_json: bool,
) -> None:
    """Pin the packages of one or more platforms, all from one state of the repositories.

    FILE has one package a line and is made to be kept in git. `voidimg build --lock FILE` uses
    exactly those packages. With --update neither the platforms of FILE nor the repositories that
    it was made from need to be named again, nor their keys: those are in FILE.

    \b
    Examples:
      voidimg lock rpi-aarch64 rpi-aarch64-musl -o set.lock.json
      voidimg lock --set void-current -o set.lock.json
      voidimg lock x86_64 --artifact wsl --artifact iso
      voidimg lock --update -o set.lock.json
      voidimg lock x86_64 --add-repository https://example.org/void --repo-key example.plist
      voidimg lock rpi-aarch64 --bundle kept
      voidimg lock --lock set.lock.json --bundle kept
      voidimg build rpi-aarch64 --lock kept --offline
    """  # noqa: D301
    if exact is not None:
        if bundle is None or update:
            raise click.UsageError("--lock goes with --bundle, and without --update")
        if (
            set_name is not None
            or artifacts
            or context.get_parameter_source("output") is not ParameterSource.DEFAULT
        ):
            raise click.UsageError("--lock keeps packages as they are: no -o, --artifact or --set")
        lock, file = read_lock(exact)
        recipes = _recipes(catalog, platforms, profile, None if platforms else lock)
        places = Sources.parse(cache=session.cache, jobs=session.jobs, **sources)
        kept = bundle_lock(lock, file, recipes, places, bundle, listener=session.listener)
        _tell(bundle, kept, None, as_json=as_json)
        return
    if set_name is not None and (platforms or profile or artifacts or update):
        raise click.UsageError("--set says all: no PLATFORM, --profile, --artifact or --update")
    old = None
    if update:
        old, _ = read_lock(output)
    elif output.exists():
        raise click.UsageError(f"{output} exists; --update brings it up to date")
    places = Sources.parse(cache=session.cache, jobs=session.jobs, **sources)
    if set_name is not None:
        whole = catalog.resolved_set(set_name)
        lock = lock_set(whole, places, bundle=bundle, listener=session.listener)
        write_lock(output, lock)
        _tell(output, lock, None, as_json=as_json)
        return
    recipes = _recipes(catalog, platforms, profile, old)
    if old is not None:
        places = sources_to_update(old, recipes, places)
    lock = lock_platforms(
        recipes, places, artifacts=artifacts, bundle=bundle, listener=session.listener
    )
    write_lock(output, lock)
    _tell(output, lock, None if old is None else lock_difference(old, lock), as_json=as_json)


def _tell(output: Path, lock: Lock, change: LockDifference | None, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(_as_json(output, lock, change), indent=2, sort_keys=True))
    else:
        _show(output, lock, change)


def _recipes(
    catalog: Catalog, platforms: tuple[str, ...], profile: str | None, old: Lock | None
) -> list[ResolvedRecipe]:
    recipes = {
        one.platform: catalog.recipe(one.platform, one.profile if profile is None else profile)
        for one in (() if old is None else old.platforms)
        if one.platform not in platforms
    }
    known = [] if old is None else [one.platform for one in old.platforms]
    named = [catalog.recipe(platform, profile) for platform in platforms]
    recipes |= {one.recipe.platform: one for one in named}
    if not recipes:
        raise click.UsageError("name a platform")
    order = dict.fromkeys([*known, *recipes])
    return [recipes[platform] for platform in order]


def _as_json(output: Path, lock: Lock, change: LockDifference | None) -> dict[str, object]:
    return {
        "lock": str(output),
        "platforms": [one.title for one in lock.platforms],
        "packages": len(lock.packages),
        "bytes": sum(package.size for package in lock.packages),
        "difference": None if change is None else change.as_json(),
    }


def _show(output: Path, lock: Lock, change: LockDifference | None) -> None:
    size = format_size(sum(package.size for package in lock.packages))
    titles = ", ".join(one.title for one in lock.platforms)
    click.echo(f"{output}  {counted(len(lock.packages), 'package')}, {size}: {titles}")
    if change is None:
        return
    if change.is_empty:
        click.echo("no package changes")
        return
    for package in change.added:
        click.echo(f"added     {_named(package)}")
    for package in change.removed:
        click.echo(f"removed   {_named(package)}")
    for pair in change.upgraded:
        word = "rebuilt" if pair.is_rebuild else "downgraded" if pair.is_downgrade else "upgraded"
        click.echo(f"{word:9} {pair.old.pkgver} -> {_named(pair.new)}")
    grown = change.new_bytes - change.old_bytes
    sign = "-" if grown < 0 else "+"
    fetched = format_size(change.download_bytes)
    click.echo(f"{sign}{format_size(abs(grown))} of packages, {fetched} to fetch")


def _named(package: LockedPackage) -> str:
    return f"{package.pkgver} ({package.arch}, {format_size(package.size)})"
