"""`voidimg smoke`: boot an image under QEMU and judge it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import get_args

import click

from voidimg import (
    BootVerdict,
    Catalog,
    Firmware,
    Medium,
    SmokeReport,
    arch_of_tree,
    is_tree,
    platform_of_image,
    profile_of_image,
    smoke_image,
    smoke_tree,
    subject_of_tree,
    write_report,
)
from voidimg.cli.search import catalog_option, complete_platforms, complete_profiles
from voidimg.cli.session import Session, json_option, pass_session


@click.command()
@click.argument("image", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--medium",
    "media",
    multiple=True,
    type=click.Choice(get_args(Medium)),
    help="Boot from this medium; may be given several times.  [default: all of the platform]",
)
@click.option(
    "--firmware",
    multiple=True,
    type=click.Choice(get_args(Firmware)),
    help="Boot by this firmware; may be given several times.  [default: all of the platform]",
)
@click.option(
    "--twice",
    is_flag=True,
    help="Boot the first machine again: keys, identifiers and seeds must not be the same.",
)
@click.option(
    "--platform",
    metavar="NAME",
    shell_complete=complete_platforms,
    help="The image's platform.  [default: from its name]",
)
@click.option(
    "--profile",
    metavar="NAME",
    shell_complete=complete_profiles,
    help="What is in it.  [default: from the name of an ISO, or the platform's own]",
)
@click.option(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write the verdict as JUnit XML to this file.",
)
@click.option(
    "--out",
    "logs",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where console logs go.  [default: smoke in the output directory]",
)
@click.option(
    "--patience",
    type=click.FloatRange(min=0.1),
    default=1.0,
    show_default=True,
    metavar="FACTOR",
    help="Factor on every time limit, for slow or busy hosts.",
)
@catalog_option
@json_option
@pass_session
def command(
    session: Session,
    catalog: Catalog,
    image: Path,
    *,
    media: tuple[str, ...],
    firmware: tuple[str, ...],
    twice: bool,
    platform: str | None,
    profile: str | None,
    junit: Path | None,
    logs: Path | None,
    patience: float,
    as_json: bool,
) -> None:
    """Boot IMAGE (disk image or .iso) and ask the guest what its platform promises.

    The image is only read. The guest is driven over its serial console: a login is typed, then
    each statement of the platform. A live ISO starts through BIOS and UEFI; where its menu asks for
    no serial console, that is typed at the menu. A ROOTFS, a PLATFORMFS or a file for WSL is not
    booted: its programs are run in the sandbox. Exit status 15 when a statement is not true.

    \b
    Examples:
      voidimg smoke out/20240314/void-rpi-aarch64-20240314.img.xz
      voidimg smoke out/20240314/void-live-x86_64-20240314-serial.iso --medium cd
      voidimg smoke out/20240314/void-aarch64-ROOTFS-20240314.tar.xz
      voidimg smoke my.img --platform rpi-aarch64 --medium nvme --junit verdict.xml
    """  # noqa: D301
    if junit is not None and not os.access(junit.parent, os.W_OK | os.X_OK):
        raise click.UsageError(f"--junit: {junit.parent} is no directory that you can write to")
    if platform is not None:
        catalog.recipe(platform, profile)  # a wrong word is told before the file is looked at
    place = logs or session.out / "smoke"
    if is_tree(image):
        if media or firmware or twice:
            raise click.UsageError(
                "nothing boots a tree: it has no --medium, --firmware or --twice"
            )
        report = smoke_tree(
            image,
            _arch_of(image, platform, catalog),
            cache=session.cache,
            logs=place,
            patience=patience,
            listener=session.listener,
        )
    else:
        if platform is None:
            platform = platform_of_image(image)[0]
        recipe = catalog.recipe(
            platform, profile_of_image(image) if profile is None else profile
        ).recipe
        report = smoke_image(
            image,
            recipe,
            logs=place,
            media=media,
            firmware=firmware,
            twice=twice,
            scratch=session.scratch(),
            patience=patience,
            listener=session.listener,
        )
    if junit is not None:
        write_report(report, junit)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2, sort_keys=True))
    else:
        _show(report)
    report.require_passed()


def _arch_of(image: Path, platform: str | None, catalog: Catalog) -> str:
    """The architecture of a tree: that of the platform, or the one that is in its name."""
    named = arch_of_tree(image) if platform is None else None
    return named or catalog.recipe(platform or subject_of_tree(image)).recipe.arch


def _show(report: SmokeReport) -> None:
    for boot in report.boots:
        click.echo(f"{boot.name}{_how(boot)}{boot.seconds:.0f} s in all")
        if boot.why_not_kvm:
            click.echo(f"  without KVM: {boot.why_not_kvm}")
        for check in boot.checks:
            click.echo(f"  {check.status:8}{check.name}")
        click.echo(f"  log: {boot.log}")


def _how(boot: BootVerdict) -> str:
    """What ran the programs, and when there was a login."""
    if boot.firmware == "none":
        return ": " if boot.accelerator == "none" else f" ({boot.accelerator}): "
    seconds = boot.login_seconds
    login = "no login" if seconds is None else f"login after {seconds:.0f} s"
    return f" ({boot.accelerator}): {login}, "
