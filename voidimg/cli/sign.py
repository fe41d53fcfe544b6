"""`voidimg sign`: sign the checksums of an image set."""

from __future__ import annotations

import json
import os
from pathlib import Path

import click

from voidimg import ReleaseDate, SignedSet, date_of_set, needs_passphrase, sign_set
from voidimg.cli.counting import counted
from voidimg.cli.passphrase import passphrase_options, read_passphrase
from voidimg.cli.session import Session, json_option, pass_session


@click.command()
@click.argument(
    "directory", metavar="DIR", type=click.Path(path_type=Path, file_okay=False, exists=True)
)
@click.option(
    "--key",
    "secret_key",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The secret key.  [default: void-release-DATE.sec here]",
)
@click.option(
    "--date",
    metavar="YYYYMMDD",
    help="Date of the set.  [default: the directory's name or its files']",
)
@click.option(
    "--announce",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Where to write what goes out beside the set.  [default: beside its directory]",
)
@passphrase_options
@json_option
@pass_session
def command(
    session: Session,
    directory: Path,
    secret_key: Path | None,
    date: str | None,
    announce: Path | None,
    passphrase_fd: int | None,
    passphrase_env: str | None,
    as_json: bool,
) -> None:
    """Write sha256sum.txt and its minisign signature sha256sum.sig into DIR.

    Every file must belong to the set; files of other dates, keys and leftovers are refused.
    Beside DIR it writes void-release-DATE.pub, the key for the package of keys;
    void-release-DATE.current.json, which promote publishes as current.json; and
    void-release-DATE.download.yml, the date line of the download page.

    \b
    Examples:
      voidimg sign out/20240314
      voidimg sign out/20240314 --key void-release-20240314.sec --passphrase-env RELEASE_KEY
    """  # noqa: D301
    release_date = ReleaseDate.parse(date) if date is not None else date_of_set(directory)
    key = secret_key or Path(f"void-release-{release_date}.sec")
    if not os.path.lexists(key):
        raise click.UsageError(
            f"there is no key {key}: name it with --key, or make it: voidimg keygen {release_date}"
        )
    passphrase = None
    if needs_passphrase(key):
        passphrase = read_passphrase(
            fd=passphrase_fd, env=passphrase_env, prompt=f"Passphrase of {key}", confirm=False
        )
    signed = sign_set(
        directory,
        key,
        passphrase=passphrase,
        date=release_date,
        announce_in=directory.absolute().parent if announce is None else announce,
        jobs=session.jobs,
        listener=session.listener,
    )
    if as_json:
        answer: dict[str, object] = {
            "date": signed.date,
            "key_id": signed.key_id,
            "files": list(signed.files),
            "sums": str(signed.sums_path),
            "signature": str(signed.signature_path),
            **_announced(signed),
        }
        click.echo(json.dumps(answer, indent=2, sort_keys=True))
        return
    files = counted(len(signed.files), "file")
    click.echo(f"{signed.signature_path}  {files}, key {signed.key_id}")
    for place in _announced(signed).values():
        click.echo(place)


def _announced(signed: SignedSet) -> dict[str, str]:
    """What was written beside the set, by its name in JSON."""
    made = signed.announcement
    if made is None:
        return {}
    return {
        "public_key_path": str(made.public_key_path),
        "public_key": made.public_line,
        "current_json": str(made.current_path),
        "download_page_path": str(made.download_path),
        "download_page": made.download_line,
    }
