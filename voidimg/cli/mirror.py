"""`voidimg mirror`: look at mirrors of image sets."""

from __future__ import annotations

import json
from pathlib import Path

import click

from voidimg import (
    MIRROR_STATES,
    ExpectedSet,
    MirrorStatus,
    ReleaseDate,
    TrustedKey,
    check_mirrors,
    expected_of_directory,
    expected_of_url,
    newest_of_mirrors,
    read_mirror_list,
    read_public_key,
    require_good,
    spoken_age,
    write_mirror_metrics,
)
from voidimg.cli.printable import printable, printable_json
from voidimg.cli.session import Session, json_option, pass_session


@click.group()
def command() -> None:
    """Look at mirrors of image sets.

    \b
    Examples:
      voidimg mirror check https://a.example/live https://b.example/live
    """  # noqa: D301


@command.command()
@click.argument("urls", nargs=-1, metavar="URL...")
@click.option(
    "--list",
    "listed",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also the mirrors of this file: mirrors.json or mirrors.lst of Void's list, or a URL on"
    " each line.",
)
@click.option(
    "--origin",
    metavar="URL|DIR",
    help="What the mirrors should have.  [default: the output directory if a set is current there,"
    " else the newest set of the mirrors that verifies]",
)
@click.option("--date", metavar="YYYYMMDD", help="This set.  [default: the one that is current]")
@click.option(
    "--key",
    metavar="FILE|RW...",
    help="The public key of the set, or its line.  [default: as for verify]",
)
@click.option("--bytes", "read_bytes", is_flag=True, help="Read every file, not only its size.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=120.0,
    show_default=True,
    metavar="SECONDS",
    help="What one mirror may take for names and sizes.",
)
@click.option(
    "--metrics",
    "--prometheus",
    "prometheus",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write metrics for the textfile collector to FILE.",
)
@json_option
@pass_session
def check(
    session: Session,
    urls: tuple[str, ...],
    *,
    listed: Path | None,
    origin: str | None,
    date: str | None,
    key: str | None,
    read_bytes: bool,
    timeout: float,
    prometheus: Path | None,
    as_json: bool,
) -> None:
    """Compare mirrors with the origin: names, sizes, and bytes on demand.

    A URL is that of the directory that holds the image sets, such as https://a.example/live. The
    state of each mirror is one of: good; old: all of another set than the one that is current;
    between: its current is of two sets, which passes when it copies again; partial; absent;
    different bytes; unreachable. Exit status 6 if one has different bytes, 5 if another is not
    good. Its lag is the age of the repositories that it copied.

    \b
    Examples:
      voidimg mirror check https://a.example/live https://b.example/live
      voidimg --out /srv/live mirror check https://a.example/live --bytes
      voidimg mirror check https://a.example/live --origin https://repo-default.voidlinux.org/live
      voidimg mirror check --list mirrors.json
      voidimg mirror check https://a.example/live --metrics /var/lib/node_exporter/mirrors.prom
    """  # noqa: D301
    urls += () if listed is None else read_mirror_list(listed)
    if not urls:
        raise click.UsageError("name mirrors, or a file that lists them with --list")
    named = None if key is None else read_public_key(key)
    wanted = None if date is None else ReleaseDate.parse(date)
    expected = _expected(session, urls, origin, wanted, named)
    statuses = check_mirrors(
        urls,
        expected,
        read_bytes=read_bytes,
        timeout_seconds=timeout,
        listener=session.listener,
    )
    if prometheus is not None:
        write_mirror_metrics(prometheus, statuses, expected)
    if as_json:
        answer = {
            "date": expected.date,
            "origin": expected.place,
            "is_current": expected.is_current,
            "files": len(expected.sums.digests),
            "mirrors": [one.as_json() for one in statuses],
        }
        click.echo(printable_json(json.dumps(answer, indent=2, sort_keys=True)))
    else:
        for one in statuses:
            _show(one)
    require_good(statuses)


def _expected(
    session: Session,
    urls: tuple[str, ...],
    origin: str | None,
    date: ReleaseDate | None,
    key: TrustedKey | None,
) -> ExpectedSet:
    listener = session.listener
    if origin is not None and "://" in origin:
        return expected_of_url(origin, date, key, listener)
    if origin is not None:
        return expected_of_directory(Path(origin), date, key, listener)
    if (session.out / "current").is_symlink():
        return expected_of_directory(session.out, date, key, listener)
    if date is not None:
        raise click.UsageError("--date needs --origin: say whose set of that date it is")
    return newest_of_mirrors(urls, key, listener)


def _show(one: MirrorStatus) -> None:
    lag = "" if one.lag_seconds is None else f"  (lag {spoken_age(one.lag_seconds)})"
    width = max(map(len, MIRROR_STATES))
    click.echo(printable(f"{one.state:{width}}  {one.url}{lag}"))
    if one.state != "good":
        click.echo(printable(f"{'':{width}}  {one.what}"))
    for word, names in (("missing", one.missing), ("different", one.different)):
        for name in names[:10]:
            click.echo(printable(f"{'':{width}}  {word}: {name}"))
        if len(names) > 10:
            click.echo(f"{'':{width}}  and {len(names) - 10} more {word}")
