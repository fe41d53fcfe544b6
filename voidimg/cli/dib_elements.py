"""`voidimg dib-elements`: where the element for diskimage-builder is, and whether it is taken."""

from __future__ import annotations

import json

import click

from voidimg import check_dib_elements, dib_elements
from voidimg.cli.printable import printable, printable_json
from voidimg.cli.session import json_option


@click.command()
@click.argument("elements", nargs=-1, metavar="[ELEMENT...]")
@click.option(
    "--check",
    is_flag=True,
    help="Ask diskimage-builder whether it takes the element void, together with ELEMENTs.",
)
@json_option
def command(elements: tuple[str, ...], check: bool, as_json: bool) -> None:
    """Print the directory of elements for diskimage-builder, for ELEMENTS_PATH.

    Its element void makes images from a signed ROOTFS, which is verified before it is unpacked.
    --check resolves it, and the ELEMENTs beside it, as disk-image-create would, and says which of
    them will not work on Void.

    \b
    Examples:
      voidimg dib-elements
      voidimg dib-elements --check vm block-device-gpt
      ELEMENTS_PATH=$(voidimg dib-elements) disk-image-create -n -o void-image vm void
    """  # noqa: D301
    if elements and not check:
        raise click.UsageError("ELEMENTs are for --check")
    place = dib_elements()
    found = check_dib_elements(elements) if check else None
    if as_json:
        told: dict[str, object] = {"path": str(place)}
        if found is not None:
            told["elements"] = dict(found.elements)
            told["warnings"] = list(found.warnings)
        click.echo(printable_json(json.dumps(told, indent=2, sort_keys=True)))
        return
    click.echo(printable(str(place)))
    if found is not None:
        for name, where in found.elements:
            click.echo(printable(f"{name}  {where}"))
        for warning in found.warnings:
            click.echo(printable(f"warning: {warning}"), err=True)
