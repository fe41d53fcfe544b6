"""`voidimg doctor`: whether this machine can build, and whether its repositories can be used."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterable, Sequence

import click

from voidimg import (
    Catalog,
    Condition,
    Diagnosis,
    DiagnosisError,
    Sources,
    diagnose,
    diagnose_repositories,
)
from voidimg.cli.search import catalog_option, complete_platforms, complete_profiles
from voidimg.cli.session import Session, json_option, pass_session
from voidimg.cli.sources import SourceWords, source_options

_WIDTH = 100
_SIGNS = {"good": "ok  ", "warning": "note", "bad": "BAD "}


@click.command()
@click.argument("platforms", nargs=-1, metavar="[PLATFORM]...", shell_complete=complete_platforms)
@click.option(
    "--profile",
    metavar="NAME",
    shell_complete=complete_profiles,
    help="What goes into them.  [default: the platform's own]",
)
@click.option(
    "--mirrors",
    "ask_mirrors",
    is_flag=True,
    help="Ask the repositories too; with PLATFORM also lock, fetch and verify its packages.",
)
@source_options
@catalog_option
@json_option
@pass_session
def command(
    session: Session,
    catalog: Catalog,
    platforms: tuple[str, ...],
    *,
    profile: str | None,
    ask_mirrors: bool,
    sources: SourceWords,
    as_json: bool,
) -> None:
    """Say on one screen whether this machine can build; each line that fails says what mends it.

    Without PLATFORM, what only some builds need is a note. The report names no path and no person:
    it can be pasted into an issue. The exit status is 0 if nothing is BAD, else 17.

    \b
    Examples:
      voidimg doctor
      voidimg doctor rpi-aarch64
      voidimg doctor --mirrors
      voidimg doctor --mirrors rpi-aarch64 --json
    """  # noqa: D301
    recipes = [catalog.recipe(name, profile) for name in dict.fromkeys(platforms)]
    found = diagnose(session.cache, session.out, [one.recipe for one in recipes])
    if ask_mirrors:
        places = Sources.parse(cache=session.cache, jobs=session.jobs, **sources)
        known = recipes or [catalog.recipe(one.name) for one in catalog.platforms()]
        asked = diagnose_repositories(
            known, places, fetching=bool(recipes), listener=session.listener
        )
        found = Diagnosis(found.system, (*found.conditions, *asked))
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2, sort_keys=True))
    else:
        _show(found)
    if not found.can_build:
        bad = [one.name for one in found.conditions if one.state == "bad"]
        raise DiagnosisError(
            f"not as a build needs it: {', '.join(bad)}",
            code="BAD",
            hint="each line marked BAD says what mends it",
        )


def _show(found: Diagnosis) -> None:
    click.echo(found.system)
    for text in _lines(found.conditions):
        click.echo(text)
    if found.can_build:
        click.echo("nothing stands against a build here")


def _lines(conditions: Sequence[Condition]) -> Iterable[str]:
    """A line for each condition; programs that are there share one for what they are for."""
    together: dict[str, list[str]] = {}
    for one in conditions:
        if one.group == "programs" and one.state == "good":
            version = "" if one.found == "there" else f" {one.found}"
            together.setdefault(one.needed_for, []).append(f"{one.name}{version}")
    for use, names in together.items():
        yield from _wrapped("good", "programs", f"for {use}: {', '.join(names)}")
    for one in conditions:
        if one.group == "programs" and one.state == "good":
            continue
        use = f" (for {one.needed_for})" if one.needed_for else ""
        yield from _wrapped(one.state, one.group, f"{one.name}: {one.found}{use}")
        if one.mend is not None and one.state != "good":
            yield from _wrapped(None, "", f"-> {one.mend}")


def _wrapped(state: str | None, group: str, text: str) -> list[str]:
    start = f"{'' if state is None else _SIGNS[state]:4} {group:12} "
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=start,
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )
