"""`voidimg attest`: write and sign what came of an image on a real machine."""

from __future__ import annotations

import json
from pathlib import Path

import click

from voidimg import ReleaseDate, attest, needs_passphrase
from voidimg.cli.passphrase import passphrase_options, read_passphrase
from voidimg.cli.printable import printable, printable_json
from voidimg.cli.session import json_option


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
@click.option(
    "--machine", required=True, metavar="TEXT", help="What it was tried on, with its revision."
)
@click.option("--works/--fails", default=None, help="What came of it.")
@click.option("--note", default="", metavar="TEXT", help="What else is to be said, in one line.")
@click.option(
    "--key",
    "secret_key",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Your own minisign secret key, which minisign -G makes.",
)
@click.option("--day", metavar="YYYYMMDD", help="When it was tried.  [default: today in UTC]")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    metavar="DIR",
    help="Where to put the result and its signature.  [default: here]",
)
@passphrase_options
@json_option
def command(
    file: Path,
    *,
    machine: str,
    works: bool | None,
    note: str,
    secret_key: Path,
    day: str | None,
    directory: Path,
    passphrase_fd: int | None,
    passphrase_env: str | None,
    as_json: bool,
) -> None:
    """Say whether the image FILE works on a real machine, and sign it.

    Writes a small JSON file that names the very image by its SHA-256, and its signature. Send both
    to whoever releases: promote counts the results of people whose keys it is given. The program
    minisign verifies them too: minisign -V -p you.pub -m RESULT.json

    \b
    Examples:
      voidimg attest void-rpi-aarch64-20240314.img.xz --machine 'Raspberry Pi 4 Model B' --works \\
          --key me.sec
      voidimg attest void-rpi-aarch64-20240314.img.xz --machine 'Raspberry Pi 500' --fails \\
          --note 'no USB' --key me.sec
    """  # noqa: D301
    if works is None:
        raise click.UsageError("say what came of it: --works or --fails")
    passphrase = None
    if needs_passphrase(secret_key):
        passphrase = read_passphrase(
            fd=passphrase_fd,
            env=passphrase_env,
            prompt=f"Passphrase of {secret_key}",
            confirm=False,
        )
    written = attest(
        file,
        machine,
        directory,
        secret_key,
        works=works,
        note=note,
        passphrase=passphrase,
        day=None if day is None else ReleaseDate.parse(day, where="--day"),
    )
    if as_json:
        answer = {
            "key_id": written.key_id,
            "result": written.result.model_dump(mode="json", by_alias=True),
            "path": str(written.path),
            "signature": str(written.signature_path),
        }
        click.echo(printable_json(json.dumps(answer, indent=2, sort_keys=True)))
        return
    click.echo(printable(f"{written.path}  {written.result.result} on {written.result.machine}"))
    click.echo(printable(f"{written.signature_path}  key {written.key_id}"))
