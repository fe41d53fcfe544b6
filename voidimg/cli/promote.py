"""`voidimg promote`: make an image set the current one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from voidimg import (
    Promoted,
    PromoteOptions,
    ReleaseDate,
    promote,
    read_public_key,
)
from voidimg.cli.printable import printable, printable_json
from voidimg.cli.session import F, Session, json_option, pass_session

_judging = (
    click.option(
        "--key",
        metavar="FILE|RW...",
        help="The public key of the set, or its line.  [default: as for verify]",
    ),
    click.option(
        "--tester",
        "testers",
        multiple=True,
        metavar="FILE|RW...",
        help="A key whose results of real machines count; may be given several times.",
    ),
    click.option(
        "--require-hardware",
        "hardware",
        type=click.IntRange(min=0),
        default=0,
        metavar="N",
        help="Refuse a set that testers did not see to work on N different real machines.",
    ),
    click.option(
        "--results",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Where those results are.  [default: hardware/DATE in the output directory]",
    ),
    click.option(
        "--accept-failures",
        metavar="WHY",
        help="Publish though a tester says that the set fails; the history keeps WHY.",
    ),
    click.option("--reason", default="", metavar="TEXT", help="What the history is to say."),
)


def judging_options(function: F) -> F:
    """The options by which a set is judged before it becomes current."""
    decorated: Callable[..., Any] = function
    for option in reversed(_judging):
        decorated = option(decorated)
    return decorated  # type: ignore[return-value]


def options_of(session: Session, *, allow_older: bool = False, **given: Any) -> PromoteOptions:
    """What the options of a verb say; see `judging_options`."""
    key = given["key"]
    return PromoteOptions(
        key=None if key is None else read_public_key(key),
        allow_older=allow_older,
        testers=tuple(map(read_public_key, given["testers"])),
        hardware=given["hardware"],
        results=given["results"],
        accept_failures=given["accept_failures"],
        reason=given["reason"],
        jobs=session.jobs,
    )


def show(done: Promoted, *, as_json: bool) -> None:
    """Print what a promotion or rollback did."""
    if as_json:
        click.echo(printable_json(json.dumps(done.as_json(), indent=2, sort_keys=True)))
        return
    entry = done.entry
    if done.was_current:
        click.echo(f"{entry.date} is current already")
    else:
        click.echo(
            f"current is {entry.date}" + (f", it was {entry.before}" if entry.before else "")
        )
    touched = ", ".join(done.touched)
    click.echo(
        printable(
            f"touched {touched}: mirrors skip what is older than their own copy of the same name"
        )
    )
    for waiver in entry.waivers:
        click.echo(printable(f"waiver: {waiver}"))
    if entry.hardware.machines:
        click.echo(printable(f"works on {', '.join(entry.hardware.machines)}"))


@click.command()
@click.argument("date", metavar="DATE")
@click.option(
    "--allow-older", is_flag=True, help="Promote a set that is older than the current one."
)
@judging_options
@json_option
@pass_session
def command(
    session: Session, /, date: str, *, allow_older: bool, as_json: bool, **given: Any
) -> None:
    """Make the image set of DATE in the output directory the current one.

    Every byte of the set is verified. It is refused if it is incomplete, has files that are not of
    it, is not signed, was not linted or not boot-tested without a waiver in its manifest, or is
    older than the current one. The link `current` is switched at once; current.json says which
    files are current, promotions.json what was so when. Promoting the current set once more
    touches its files again, which helps a mirror that kept old ones.

    \b
    Examples:
      voidimg promote 20240314
      voidimg --out /srv/live promote 20240314 --key void-release-20240314.pub
      voidimg promote 20240314 --tester anna.pub --require-hardware 3 --reason 'rc2 was tested'
    """  # noqa: D301
    release_date = ReleaseDate.parse(date, where="DATE")
    options = options_of(session, allow_older=allow_older, **given)
    show(promote(session.out, release_date, options, listener=session.listener), as_json=as_json)
