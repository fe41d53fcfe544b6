"""`voidimg verify`: verify an image set or files of one."""

from __future__ import annotations

import json
from pathlib import Path

import click

from voidimg import (
    ReleaseError,
    TrustedKey,
    Verified,
    VerifyError,
    date_of_name,
    date_of_set,
    find_public_key,
    read_public_key,
    verify_files,
    verify_set,
)
from voidimg.cli.session import Session, json_option, pass_session


@click.command()
@click.argument(
    "paths", nargs=-1, required=True, metavar="DIR|FILE...", type=click.Path(path_type=Path)
)
@click.option(
    "--key",
    metavar="FILE|RW...",
    help="The public key, or its line.  [default: void-release-DATE.pub as installed, else here or"
    " beside the set]",
)
@json_option
@pass_session
def command(session: Session, paths: tuple[Path, ...], key: str | None, as_json: bool) -> None:
    """Verify that images are what the holder of the key signed.

    A DIR is verified as a whole set: nothing missing, nothing added. A FILE is verified by the
    sha256sum.txt and sha256sum.sig beside it. Only regular files count, and a key counts only for
    the set of its date. The answer says which key was used, and why it is trusted.

    \b
    Examples:
      voidimg verify out/20240314 --key void-release-20240314.pub
      voidimg verify ~/Downloads/void-rpi-aarch64-20240314.img.xz
    """  # noqa: D301
    results = []
    for path in paths:
        try:
            path.stat()
        except OSError as error:
            raise VerifyError(
                f"cannot read {path}: {error.strerror}", code="MISSING", where=str(path)
            ) from error
    directories = [path for path in paths if path.is_dir()]
    files = [path for path in paths if not path.is_dir()]
    for directory in directories:
        trusted = _key(key, directory, None)
        results.append(verify_set(directory, trusted, jobs=session.jobs, listener=session.listener))
    if files:
        trusted = _key(key, files[0].parent, date_of_name(files[0].name))
        results += verify_files(files, trusted, jobs=session.jobs, listener=session.listener)
    if as_json:
        click.echo(json.dumps([_as_json(result) for result in results], indent=2, sort_keys=True))
        return
    for result in results:
        for file in result.files:
            click.echo(f"good  {file.path}")
        click.echo(f"signed by {result.key_id}: {result.trusted_comment}")
        click.echo(f"key {result.key.source}, trusted because {result.key.why_trusted}")


def _key(given: str | None, directory: Path, date: str | None) -> TrustedKey:
    if given is not None:
        return read_public_key(given)
    try:
        date = date or str(date_of_set(directory))
    except ReleaseError as error:
        raise ReleaseError(
            error.what, code="SET-EMPTY", where=error.where, hint="name the key with --key FILE"
        ) from error
    return find_public_key(date, directory)


def _as_json(result: Verified) -> dict[str, object]:
    return {
        "key_id": result.key_id,
        "key": {
            "source": result.key.source,
            "date": result.key.date,
            "trust": result.key.trust,
            "why_trusted": result.key.why_trusted,
        },
        "trusted_comment": result.trusted_comment,
        "date": result.date,
        "files": [{"path": str(file.path), "sha256": file.sha256} for file in result.files],
    }
