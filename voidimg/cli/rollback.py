"""`voidimg rollback`: make the image set current again that was so before."""

from __future__ import annotations

from typing import Any

import click

from voidimg import ReleaseDate, rollback
from voidimg.cli.promote import judging_options, options_of, show
from voidimg.cli.session import Session, json_option, pass_session


@click.command()
@click.option("--to", metavar="DATE", help="This set.  [default: the one that was current before]")
@judging_options
@json_option
@pass_session
def command(session: Session, /, to: str | None, *, as_json: bool, **given: Any) -> None:
    """Make the image set current again that was so before.

    The set is judged as by promote, but for its age. Its checksums and signature are touched, so
    that mirrors copy them over the newer ones. A second rollback leads one set further back.

    \b
    Examples:
      voidimg rollback --reason 'does not boot on the Pi 3'
      voidimg --out /srv/live rollback --to 20240314
    """  # noqa: D301
    date = None if to is None else ReleaseDate.parse(to, where="--to")
    options = options_of(session, **given)
    show(rollback(session.out, options, to=date, listener=session.listener), as_json=as_json)
