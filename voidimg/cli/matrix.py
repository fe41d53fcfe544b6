"""`voidimg matrix`: the jobs that make a set on the machines of a CI."""

from __future__ import annotations

from pathlib import Path

import click

from voidimg import (
    BuildOptions,
    Catalog,
    ReleaseDate,
    ReleaseOptions,
    matrix_text,
    plan_matrix,
)
from voidimg.cli.search import catalog_option, complete_sets
from voidimg.cli.session import Session, pass_session
from voidimg.cli.sources import SourceWords, source_options


@click.command()
@click.argument("set_name", metavar="SET", shell_complete=complete_sets)
@click.option(
    "--format",
    "form",
    type=click.Choice(["json", "github", "gitlab"]),
    default="json",
    show_default=True,
    help="A list of jobs, the matrix of a job of GitHub, or a child pipeline of GitLab.",
)
@click.option("--date", metavar="YYYYMMDD", help="Date of the image set.  [default: today in UTC]")
@click.option(
    "--lock",
    type=click.Path(path_type=Path, exists=True),
    metavar="FILE",
    help="The lock that the jobs will use.  [default: the newest packages]",
)
@click.option(
    "--compression",
    default="xz",
    show_default=True,
    metavar="xz|zstd|none",
    help="How artifacts are compressed; a level may follow, like xz:6.",
)
@source_options
@catalog_option
@pass_session
def command(
    session: Session,
    catalog: Catalog,
    set_name: str,
    *,
    form: str,
    date: str | None,
    lock: Path | None,
    compression: str,
    sources: SourceWords,
) -> None:
    """Print the jobs that make SET on several machines, each with what shares a ROOTFS.

    A job has the share for `voidimg release SET --shard`, the runner that suits, and an estimate of
    the disk it needs. Make date and lock once and hand them to all jobs; docs/ci has a workflow.

    \b
    Examples:
      voidimg matrix void-current --date 20250202 --lock set.lock.json --format github
      voidimg matrix pi --lock set.lock.json --format gitlab > child.yml
      voidimg matrix nightly --lock set.lock.json | jq -r '.[].artifacts[]'
    """  # noqa: D301
    release_date = ReleaseDate.parse(date) if date is not None else ReleaseDate.today()
    build = BuildOptions.parse(
        cache=session.cache,
        out=session.out,
        jobs=session.jobs,
        compression=compression,
        lock=lock,
        **sources,
    )
    whole = catalog.resolved_set(set_name)
    jobs = plan_matrix(whole, release_date, ReleaseOptions.parse(build), listener=session.listener)
    click.echo(matrix_text(jobs, form, whole, release_date), nl=False)
