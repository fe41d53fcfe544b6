"""The verb `lint`: check artifacts offline for what would keep them from working."""

from __future__ import annotations

import json
from pathlib import Path

import click

from voidimg import (
    LintReport,
    artifacts_of_set,
    lint_artifact,
    lint_checks,
    lint_set,
    require_clean,
)
from voidimg.cli.counting import counted
from voidimg.cli.printable import printable, printable_json
from voidimg.cli.session import Session, json_option, pass_session


def _list_checks(ctx: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    for identifier, severity, says in lint_checks():
        click.echo(f"{identifier:23}{severity:9}{says}")
    ctx.exit()


@click.command()
@click.argument(
    "paths", nargs=-1, required=True, metavar="FILE|DIR...", type=click.Path(path_type=Path)
)
@click.option(
    "--ignore",
    "ignored",
    multiple=True,
    metavar="CHECK",
    help="Leave out this check; may be given several times.",
)
@click.option(
    "--deep/--quick",
    default=True,
    help="Read every byte: compare each file with its package, and check filesystems to the end; or"
    " look at the structures only, and say what was not looked at.  [default: deep]",
)
@click.option(
    "--key",
    metavar="FILE|RW...",
    help="The public key of a set, or its line.  [default: void-release-DATE.pub, as for verify]",
)
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_checks,
    help="Print every check with its severity and what it makes sure of.",
)
@json_option
@pass_session
def command(
    session: Session,
    paths: tuple[Path, ...],
    *,
    ignored: tuple[str, ...],
    deep: bool,
    key: str | None,
    as_json: bool,
) -> None:
    """Check artifacts offline for what would keep them from working.

    A FILE is a ROOTFS, PLATFORMFS or netboot tar, a disk image, plain or compressed, or a live ISO;
    a DIR is an image set, with every artifact in it. Nothing is started, mounted or fetched. Each
    defect says what to do. Exit status 16 when one is an error; warnings are for a person to judge.

    \b
    Examples:
      voidimg lint out/20240314/void-rpi-aarch64-20240314.img.xz
      voidimg lint void-live-x86_64-20240314-base.iso --ignore leftover
      voidimg lint --json out/20240314 | jq '.[].defects[] | select(.severity == "error")'
      voidimg lint --list
    """  # noqa: D301
    reports = []
    for path in paths:
        if path.is_dir():
            reports += [lint_set(path, key=key, ignored=ignored, jobs=session.jobs)]
        for artifact in artifacts_of_set(path) if path.is_dir() else (path,):
            scratch = session.scratch()
            reports.append(lint_artifact(artifact, ignored=ignored, deep=deep, scratch=scratch))
    if as_json:
        told = [report.as_json() for report in reports]
        click.echo(printable_json(json.dumps(told, indent=2, sort_keys=True, ensure_ascii=False)))
    else:
        for report in reports:
            _show(report)
    require_clean(reports)


def _show(report: LintReport) -> None:
    counts = [
        counted(count, severity)
        for severity in ("error", "warning")
        if (count := report.count(severity))
    ]
    checks = counted(len(report.checks), "check")
    clean = "clean as far as it was read" if report.skipped else "clean"
    click.echo(printable(f"{report.path}: {report.kind}, {checks}, {', '.join(counts) or clean}"))
    if report.skipped:
        told = f"  not read to the end (--deep does): {', '.join(report.skipped)}"
        click.echo(printable(told))
    for defect in report.defects:
        click.echo(printable(f"  {defect.severity:9}{defect.check}: {defect.object}"))
        click.echo(printable(f"           {defect.what}"))
        click.echo(printable(f"           {defect.hint}"))
