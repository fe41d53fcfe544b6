"""`voidimg keygen`: make the signing key of one image set."""

from __future__ import annotations

import json
from pathlib import Path

import click

from voidimg import ReleaseDate, create_release_key
from voidimg.cli.passphrase import passphrase_options, read_passphrase
from voidimg.cli.session import json_option


@click.command()
@click.argument("date")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default=Path(),
    metavar="DIR",
    help="Where to put the key pair.  [default: here]",
)
@click.option("--no-passphrase", is_flag=True, help="Leave the secret key unencrypted.")
@passphrase_options
@json_option
def command(
    date: str,
    directory: Path,
    no_passphrase: bool,
    passphrase_fd: int | None,
    passphrase_env: str | None,
    as_json: bool,
) -> None:
    """Make the minisign key pair of the image set of DATE.

    Writes void-release-DATE.pub and void-release-DATE.sec (mode 0600), never over an existing
    file. The passphrase is asked for and written nowhere.

    \b
    Examples:
      voidimg keygen 20240314
      pass show void/20240314 | voidimg keygen 20240314 --passphrase-fd 0
    """  # noqa: D301
    release_date = ReleaseDate.parse(date, where="DATE")
    given = passphrase_fd is not None or passphrase_env is not None
    if no_passphrase and given:
        raise click.UsageError("--no-passphrase excludes --passphrase-fd and --passphrase-env")
    passphrase = None
    if not no_passphrase:
        passphrase = read_passphrase(
            fd=passphrase_fd,
            env=passphrase_env,
            prompt=f"Passphrase for the key of {release_date}",
            confirm=True,
        )
    key = create_release_key(release_date, directory, passphrase=passphrase)
    if as_json:
        answer = {
            "date": key.date,
            "key_id": key.key_id,
            "public_key": key.public_line,
            "public_path": str(key.public_path),
            "secret_path": str(key.secret_path),
        }
        click.echo(json.dumps(answer, indent=2, sort_keys=True))
        return
    click.echo(f"key id  {key.key_id}")
    click.echo(f"public  {key.public_path}  {key.public_line}")
    click.echo(f"secret  {key.secret_path}")
