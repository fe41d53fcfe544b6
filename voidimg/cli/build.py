"""`voidimg build`: make the artifacts of one or more platforms."""

from __future__ import annotations

import json
from pathlib import Path

import click

from voidimg import BuildOptions, Catalog, ReleaseDate, build_platforms, format_size
from voidimg.cli.kinds import artifact_option
from voidimg.cli.search import catalog_option, complete_platforms, complete_profiles
from voidimg.cli.session import Session, json_option, pass_session
from voidimg.cli.sources import SourceWords, source_options


@click.command()
@click.argument(
    "platforms", nargs=-1, required=True, metavar="PLATFORM...", shell_complete=complete_platforms
)
@click.option(
    "--profile",
    metavar="NAME",
    shell_complete=complete_profiles,
    help="What goes into it.  [default: the platform's own, base]",
)
@artifact_option(
    "Make only this; may be given several times.  [default: all that the platform has, but for"
    " qcow2, vhd, gcp, incus, wsl and netboot]"
)
@click.option("--date", metavar="YYYYMMDD", help="Date of the image set.  [default: today in UTC]")
@click.option(
    "--compression",
    default="xz",
    show_default=True,
    metavar="xz|zstd|none",
    help="How artifacts are compressed; a level may follow, like xz:6.",
)
@click.option(
    "--lock",
    type=click.Path(path_type=Path, exists=True),
    metavar="FILE",
    help="Use exactly the packages of this lock or bundle.  [default: the newest]",
)
@click.option(
    "--replace",
    is_flag=True,
    help="Replace files of the image set that are there already and are different.",
)
@click.option(
    "--into-signed",
    is_flag=True,
    help="Build into an image set that is signed; it has to be signed again then.",
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
    artifacts: tuple[str, ...],
    date: str | None,
    compression: str,
    lock: Path | None,
    replace: bool,
    into_signed: bool,
    sources: SourceWords,
    as_json: bool,
) -> None:
    """Make ROOTFS, PLATFORMFS, disk images, live ISOs, netboot tarballs and files for WSL.

    Without root: an ordinary user needs a line in /etc/subuid and /etc/subgid. The date fixes
    every time stamp and identifier: the same packages and date give the same bytes. What was
    made before from the same inputs is not made again.

    Nothing in an image set is changed unasked: a file that is there already and would become
    another one is replaced with --replace alone, and a signed set is built into with --into-signed.

    The lock written beside the artifacts names the packages used; --lock uses them again, or says
    which cannot be had any more. A bundle (voidimg lock --bundle) has them all.

    \b
    Examples:
      voidimg build rpi-aarch64
      voidimg build rpi-aarch64 rpi-aarch64-musl --date 20240314
      voidimg build rpi-aarch64 --artifact image --compression zstd:3
      voidimg build x86_64 --profile xfce --artifact iso
      voidimg build x86_64 x86_64-musl --artifact netboot --artifact wsl
      voidimg build rpi-aarch64 -r ./repo --repo-key ./repo.plist
      voidimg build rpi-aarch64 --add-repository ./repo --repo-key ./repo.plist
      voidimg build rpi-aarch64 --lock kept/lock.json --offline
    """  # noqa: D301
    release_date = ReleaseDate.parse(date) if date is not None else ReleaseDate.today()
    options = BuildOptions.parse(
        artifacts=artifacts,
        compression=compression,
        lock=lock,
        cache=session.cache,
        out=session.out,
        jobs=session.jobs,
        replace=replace,
        into_signed=into_signed,
        **sources,
    )
    recipes = [catalog.recipe(platform, profile) for platform in dict.fromkeys(platforms)]
    results = build_platforms(recipes, release_date, options, listener=session.listener)
    made = [artifact for result in results for artifact in result.artifacts]
    if as_json:
        click.echo(json.dumps([artifact.as_json() for artifact in made], indent=2, sort_keys=True))
        return
    for artifact in made:
        note = "  (unchanged)" if artifact.cached else ""
        click.echo(f"{artifact.path}  {format_size(artifact.size)}  {artifact.sha256}{note}")
