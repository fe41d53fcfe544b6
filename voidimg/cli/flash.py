"""`voidimg flash`: write an image to a card, a stick or a disk, and read it back."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from voidimg import FlashPlan, UsageError, flash, format_size, plan_flash
from voidimg.cli.printable import printable, printable_json
from voidimg.cli.session import Session, json_option, pass_session


@click.command()
@click.argument("image", metavar="FILE", type=click.Path(path_type=Path))
@click.argument("target", metavar="DEVICE", type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask before DEVICE is overwritten.")
@click.option(
    "--key",
    metavar="FILE|RW...",
    help="The public key of the image's set, or its line.  [default: that of its date, as for"
    " verify]",
)
@click.option("--unverified", is_flag=True, help="Write the image whoever made it.")
@click.option(
    "--no-bmap",
    "whole",
    is_flag=True,
    help="Write every block.  [default: those that the .bmap beside FILE names]",
)
@json_option
@pass_session
def command(
    session: Session,
    image: Path,
    target: Path,
    yes: bool,
    key: str | None,
    unverified: bool,
    whole: bool,
    as_json: bool,
) -> None:
    """Write the image FILE to the medium DEVICE, and compare what it gives back.

    FILE is an .img, plain or compressed, an .iso, a .qcow2, or the tar for Google Cloud. It is
    verified by the signed checksums beside it; where there are none, that is said. DEVICE is a
    whole disk such as /dev/sdX or /dev/mmcblkN, or a file that is large enough. What is mounted,
    part of the running system, in use by LVM, RAID, encryption or swap, a partition, or too small
    is refused before anything is written. All that was on it is lost.

    \b
    Examples:
      voidimg flash out/20240314/void-rpi-aarch64-20240314.img.xz /dev/mmcblk0
      voidimg flash --yes void-rpi-aarch64-20240314.img.xz /dev/disk/by-id/usb-SanDisk_Ultra-0:0
      truncate -s 8G card.img && voidimg flash --yes void-rpi-aarch64-20240314.img.xz card.img
    """  # noqa: D301
    plan = plan_flash(
        image,
        target,
        key=key,
        unverified=unverified,
        use_block_map=not whole,
        listener=session.listener,
    )
    level = "" if plan.assurance.kind == "signed" else "warning: "
    if level or not session.quiet:
        click.echo(printable(f"{level}{plan.assurance.sentence}"), err=True)
    if not yes:
        _ask(plan)
    flash(plan, listener=session.listener)
    if as_json:
        click.echo(printable_json(json.dumps(plan.as_json(), indent=2, sort_keys=True)))
    elif not session.quiet:
        told = f"{format_size(plan.write_bytes)} of {format_size(plan.image_bytes)}"
        click.echo(printable(f"{plan.image.name} is on {plan.target.path}: {told} written and"
                             " read back"))  # fmt: skip


def _ask(plan: FlashPlan) -> None:
    """Ask whether the medium may be overwritten; nothing but a yes is one.

    Raises:
        UsageError: nobody can be asked.
        Abort: the answer is no.
    """
    if not sys.stdin.isatty():
        raise UsageError(
            f"{plan.target.path} ({plan.target.described}) would be overwritten, and nobody can be"
            " asked: standard input is no terminal",
            code="MEDIUM-ASK",
            where=str(plan.target.path),
            hint="give --yes if that is meant",
        )
    click.echo(printable(f"{plan.target.path}: {plan.target.described}"), err=True)
    question = f"Overwrite all of it with {plan.image.name} ({format_size(plan.image_bytes)})?"
    click.confirm(printable(question), abort=True, err=True)
