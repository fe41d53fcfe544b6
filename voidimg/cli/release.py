"""`voidimg release`: all artifacts of a set, complete or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import click

from voidimg import (
    BuildOptions,
    Catalog,
    ReleaseDate,
    ReleasedSet,
    ReleaseOptions,
    ReleasePlan,
    format_size,
    merge_parts,
    plan_release,
    release_set,
    releasing,
    write_release_metrics,
)
from voidimg.cli.counting import counted
from voidimg.cli.pruning import prune_as_asked, pruning_options
from voidimg.cli.search import catalog_option, complete_sets
from voidimg.cli.session import Session, json_option, pass_session
from voidimg.cli.sources import SourceWords, source_options


@click.command()
@click.argument("set_name", metavar="SET", required=False, shell_complete=complete_sets)
@click.option("--date", metavar="YYYYMMDD", help="Date of the image set.  [default: today in UTC]")
@click.option(
    "--lock",
    type=click.Path(path_type=Path, exists=True),
    metavar="FILE",
    help="Use exactly the packages of this lock or bundle.  [default: the newest]",
)
@click.option(
    "--compression",
    default="xz",
    show_default=True,
    metavar="xz|zstd|none",
    help="How artifacts are compressed; a level may follow, like xz:6.",
)
@click.option(
    "--plan", is_flag=True, help="Say what would be made and what it takes; make nothing."
)
@click.option(
    "--smoke",
    type=click.Choice(["none", "one", "all"]),
    default="one",
    show_default=True,
    help="Boot no artifact, each in one way that its platform states, or in all.",
)
@click.option(
    "--patience",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="FACTOR",
    help="Factor on every time limit of a boot, for slow or busy hosts.",
)
@click.option("--keep-going", is_flag=True, help="Go on after a failure, and tell of every one.")
@click.option(
    "--waive",
    multiple=True,
    metavar="CHECK:FILE=REASON",
    help="Let FILE fail CHECK, lint or smoke; the manifest says so. May be given several times.",
)
@click.option("--waived-by", metavar="NAME", help="Who waives; the manifest says so.")
@click.option(
    "--replace", is_flag=True, help="Put the image set in the place of a different, unsigned one."
)
@click.option(
    "--shard",
    metavar="N/M",
    help="Make only the Nth of M shares, in a directory of its own; it needs --lock.",
)
@click.option(
    "--merge",
    "parts",
    multiple=True,
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Make nothing: put the shares in these directories together. Give it for each.",
)
@click.option(
    "--metrics",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE.prom",
    help="Write what the release came to as metrics, for Prometheus.",
)
@click.option(
    "--executor",
    metavar="dask:ADDRESS",
    help="Let the workers of this Dask scheduler make the artifacts.  [default: this machine]",
)
@pruning_options
@source_options
@catalog_option
@json_option
@pass_session
def command(
    session: Session,
    catalog: Catalog,
    set_name: str | None,
    *,
    date: str | None,
    lock: Path | None,
    compression: str,
    plan: bool,
    smoke: str,
    patience: float,
    keep_going: bool,
    waive: tuple[str, ...],
    waived_by: str | None,
    replace: bool,
    shard: str | None,
    parts: tuple[Path, ...],
    metrics: Path | None,
    executor: str | None,
    prune: bool,
    keep_sets: int,
    keep_days: int,
    keep_bundles: int,
    sources: SourceWords,
    as_json: bool,
) -> None:
    """Make, lint and boot all artifacts of SET, a name or the path of a TOML file.

    All packages are resolved once. The image set, OUT/DATE, appears when all of it is well, with
    its lock, its manifest and sha256sum.txt, and not before. No key is needed: `voidimg sign` signs
    it. After an interruption the same command goes on: it makes and boots nothing twice.

    Old sets are removed with --prune: never the current one nor the one before, which a rollback
    needs, nor what is newer; keys are kept for ever.

    Several machines: make one lock (voidimg lock --set SET), give each machine --lock and its
    --shard, and put their directories together with --merge. The bytes are those of one run.

    \b
    Examples:
      voidimg release nightly
      voidimg release void-current --date 20250202 --plan
      voidimg release void-current --date 20250202 --lock set.lock.json --smoke all
      voidimg release pi --waive smoke:FILE='QEMU has no such board' --waived-by 'A. Person'
      voidimg release pi --date 20250202 --lock set.lock.json --shard 2/3
      voidimg release pi --date 20250202 --lock set.lock.json --merge a --merge b --merge c
      voidimg release --prune --plan --keep-sets 5
    """  # noqa: D301
    if prune:
        if set_name is not None:
            raise click.UsageError("--prune makes nothing: name no SET")
        prune_as_asked(
            session,
            keep_sets=keep_sets,
            keep_days=keep_days,
            keep_bundles=keep_bundles,
            plan=plan,
            as_json=as_json,
        )
        return
    if set_name is None:
        raise click.UsageError("Missing argument 'SET'.")
    if parts and (shard or plan or executor):
        raise click.UsageError("--merge makes nothing: no --shard, --plan or --executor")
    if parts and date is None:
        raise click.UsageError("--merge needs the --date of the shares")
    release_date = ReleaseDate.parse(date) if date is not None else ReleaseDate.today()
    build = BuildOptions.parse(
        cache=session.cache,
        out=session.out,
        jobs=session.jobs,
        compression=compression,
        lock=lock,
        replace=replace,
        **sources,
    )
    options = ReleaseOptions.parse(
        build,
        smoke=smoke,
        patience=patience,
        keep_going=keep_going,
        waive=waive,
        waived_by=waived_by,
        shard=shard,
    )
    whole = catalog.resolved_set(set_name)
    if plan:
        planned = plan_release(whole, release_date, options, listener=session.listener)
        _show_plan(planned, as_json=as_json)
        return
    if parts:
        done = merge_parts(whole, release_date, options, parts, listener=session.listener)
    else:
        with releasing(executor) as chosen:
            done = release_set(
                whole, release_date, options, executor=chosen, listener=session.listener
            )
    if metrics is not None:
        write_release_metrics(metrics, whole, release_date, options, done)
    _show(done, as_json=as_json)


def _show_plan(planned: ReleasePlan, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(planned.as_json(), indent=2, sort_keys=True))
        return
    for row in planned.rows:
        last = ""
        if row.last is not None:
            last = f", last {format_size(row.last.size)} in {row.last.seconds:.0f} s"
        may = f"  (optional: {row.planned.optional})" if row.planned.optional else ""
        click.echo(
            f"{row.planned.name}  {format_size(row.fetch_bytes)} of packages,"
            f" about {format_size(row.disk_bytes)} on disk{last}{may}"
        )
    needed = format_size(planned.needed_bytes)
    click.echo(f"{counted(len(planned.rows), 'artifact')}, about {needed} on disk in all")


def _show(done: ReleasedSet, *, as_json: bool) -> None:
    if as_json:
        said = {
            "directory": str(done.directory),
            "unchanged": done.unchanged,
            "manifest": json.loads(done.manifest.encode()),
        }
        click.echo(json.dumps(said, indent=2, sort_keys=True))
        return
    for one in done.manifest.artifacts:
        boots = counted(len(one.smoke), "boot")
        click.echo(f"{one.name}  {format_size(one.size)}  {one.sha256}  {boots}")
    for left in done.manifest.left_out:
        click.echo(f"left out: {left.kind} of {left.platform} ({left.profile}): {left.reason}")
    note = "  (unchanged)" if done.unchanged else ""
    click.echo(f"{done.directory}  {counted(len(done.manifest.artifacts), 'artifact')}{note}")
