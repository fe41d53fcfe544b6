"""`voidimg release --prune`: remove old image sets by a rule, and say which are kept and why."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from voidimg import Pruned, Retention, prune_sets
from voidimg.cli.counting import counted
from voidimg.cli.printable import printable
from voidimg.cli.session import F, Session

_DAYS = click.IntRange(min=0)
_OPTIONS = (
    click.option(
        "--prune",
        is_flag=True,
        help="Make nothing: remove old image sets, never the current one nor the one before.",
    ),
    click.option(
        "--keep-sets",
        type=_DAYS,
        default=Retention().sets,
        show_default=True,
        metavar="N",
        help="With --prune: keep the newest N.",
    ),
    click.option(
        "--keep-days",
        type=_DAYS,
        default=Retention().days,
        show_default=True,
        metavar="DAYS",
        help="With --prune: keep sets that are not older.",
    ),
    click.option(
        "--keep-bundles",
        type=_DAYS,
        default=Retention().bundle_days,
        show_default=True,
        metavar="DAYS",
        help="With --prune: keep bundle-DATE so long, or as long as its set.",
    ),
)


def pruning_options(function: F) -> F:
    """The options of pruning; `prune` says whether it is asked for, see `prune_as_asked`."""
    decorated: Callable[..., Any] = function
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated  # type: ignore[return-value]


def prune_as_asked(
    session: Session,
    *,
    keep_sets: int,
    keep_days: int,
    keep_bundles: int,
    plan: bool,
    as_json: bool,
) -> None:
    """Prune the sets in the output directory, or with `plan` say what would go."""
    done = prune_sets(
        session.out,
        Retention(sets=keep_sets, days=keep_days, bundle_days=keep_bundles),
        dry_run=plan,
        listener=session.listener,
    )
    if as_json:
        click.echo(json.dumps(_as_json(done), indent=2, sort_keys=True))
        return
    for word, verdicts in (("", done.sets), ("bundle-", done.bundles)):
        for one in verdicts:
            verb = "keep  " if one.keep else "remove"
            click.echo(printable(f"{verb}  {word}{one.date}  {one.why}"))
    click.echo(f"keep    {counted(len(done.keys), 'public key')}  old images stay verifiable")


def _as_json(done: Pruned) -> dict[str, object]:
    def told(verdicts: Any) -> list[dict[str, object]]:
        return [{"date": one.date, "keep": one.keep, "why": one.why} for one in verdicts]

    return {
        "sets": told(done.sets),
        "bundles": told(done.bundles),
        "keys": list(done.keys),
        "removed": [str(path) for path in done.removed],
    }
