"""`voidimg diff`: what differs between two artifacts or two image sets."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from voidimg import (
    ArtifactDifference,
    FileChange,
    PackageChange,
    SetDifference,
    diff,
    format_size,
    read_small_text,
    release_notes,
)
from voidimg.cli.counting import counted
from voidimg.cli.printable import printable, printable_json
from voidimg.cli.session import Session, json_option, pass_session

_SIGNS = {"added": "+", "removed": "-"}
_MOST_FILES = 20


@click.command()
@click.argument("old", metavar="A")
@click.argument("new", metavar="B")
@click.option("--files", "every_file", is_flag=True, help="List every file that differs.")
@click.option("--notes", is_flag=True, help="Write release notes of the set B, in Markdown.")
@click.option("--title", metavar="TEXT", help="The title of the notes.  [default: with the date]")
@click.option(
    "--highlights",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Markdown for the beginning of the notes.",
)
@click.option(
    "--key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The public key of the set B, for the end of the notes.",
)
@json_option
@pass_session
def command(
    session: Session,
    old: str,
    new: str,
    *,
    every_file: bool,
    notes: bool,
    title: str | None,
    highlights: Path | None,
    key: Path | None,
    as_json: bool,
) -> None:
    """Compare two artifacts, or two image sets.

    A and B are files: packages, files, partitions, boot files, services and who gets in are
    compared. Or they are image sets, each a directory, its URL or the URL of its manifest.json:
    artifacts, sizes, results and packages are compared. Signatures are for `voidimg verify`.

    The exit status is 0 whether something differs or not; --json says it.

    \b
    Examples:
      voidimg diff void-rpi-aarch64-20240314.img.xz void-rpi-aarch64-20250202.img.xz
      voidimg diff out/20240314 out/20250202
      voidimg diff https://repo-default.voidlinux.org/live/20240314 out/20250202
      voidimg diff out/20240314 out/20250202 --notes --highlights news.md
    """  # noqa: D301
    if not notes and (title or highlights or key):
        raise click.UsageError("--title, --highlights and --key are for --notes")
    if notes and as_json:
        raise click.UsageError("--notes writes Markdown: no --json")
    found = diff(old, new, scratch=session.scratch())
    if isinstance(found, SetDifference):
        if notes:
            text = release_notes(
                found,
                title=title,
                highlights="" if highlights is None else read_small_text(highlights),
                key=None if key is None else read_small_text(key),
            )
            click.echo(text, nl=False)
            return
        lines = _set_lines(found)
    elif notes:
        raise click.UsageError("--notes is for image sets")
    else:
        lines = _artifact_lines(found, every_file)
    if as_json:
        said = json.dumps(found.as_json(), indent=2, sort_keys=True, ensure_ascii=False)
        click.echo(printable_json(said))
        return
    for line in lines:
        click.echo(printable(line))


def _artifact_lines(found: ArtifactDifference, every_file: bool) -> Iterator[str]:
    for side, one in (("old", found.old), ("new", found.new)):
        yield f"{side}  {one.name}  {one.kind}, {format_size(one.file_bytes)}"
    if found.is_empty:
        yield "both hold the same"
        return
    if found.packages:
        yield from ("", *_package_lines("packages", found.packages))
    section = None
    for fact in found.facts:
        if fact.section != section:
            section = fact.section
            yield from ("", section)
        yield from _fact_lines(fact.what, fact.old, fact.new)
    if found.files:
        yield from ("", *_file_lines(found.files, every_file))


def _fact_lines(what: str, old: str | None, new: str | None) -> Iterator[str]:
    if old is None or new is None:
        sign, text = ("+", new) if old is None else ("-", old)
        yield f"  {sign} {what}: {text}"
        return
    yield f"  ~ {what}"
    yield f"      {old}"
    yield f"   -> {new}"


def _package_lines(title: str, changes: Sequence[PackageChange]) -> Iterator[str]:
    counts = Counter(one.change for one in changes)
    yield f"{title}: {', '.join(f'{number} {kind}' for kind, number in sorted(counts.items()))}"
    for one in changes:
        if one.old is None or one.new is None:
            yield f"  {_SIGNS[one.change]} {one.new or one.old}"
        else:
            yield f"  ~ {one.old} -> {one.new}  ({one.change})"


def _file_lines(changes: Sequence[FileChange], every_file: bool) -> Iterator[str]:
    counts = Counter(one.change for one in changes)
    yield f"files: {', '.join(f'{number} {kind}' for kind, number in sorted(counts.items()))}"
    shown = changes if every_file else changes[:_MOST_FILES]
    for one in shown:
        what = f"  {'; '.join(one.what)}" if one.what else ""
        yield f"  {_SIGNS.get(one.change, '~')} {one.path}{what}"
    if len(shown) < len(changes):
        yield f"  and {counted(len(changes) - len(shown), 'other')}: --files lists them all"


def _set_lines(found: SetDifference) -> Iterator[str]:
    for side, one in (("old", found.old), ("new", found.new)):
        yield f"{side}  {one.name}  {one.date or 'of no date'}, {counted(len(one.files), 'file')}"
    if found.is_empty:
        yield "both hold the same"
        return
    if found.files:
        yield from ("", "files")
    for file in found.files:
        sizes = [
            "unknown" if size is None else format_size(size)
            for size in (file.old_bytes, file.new_bytes)
        ]
        if file.old is None or file.new is None:
            sign, name, size = ("+", file.new, sizes[1]) if file.old is None else (
                "-", file.old, sizes[0]
            )  # fmt: skip
            yield f"  {sign} {name}  {size}"
            continue
        yield f"  ~ {file.name}  {sizes[0]} -> {sizes[1]}"
        yield from (f"      {line}" for line in file.judged)
    if found.packages is None:
        yield from ("", "packages: not known, one of the sets has no lock")
    for arch in found.packages or ():
        yield from ("", *_package_lines(f"packages of {arch.architecture}", arch.packages))
