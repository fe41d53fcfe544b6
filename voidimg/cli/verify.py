"""`voidimg verify`: verify an image set or files of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

import click

from voidimg import (
    Listener,
    ReleaseError,
    TrustedKey,
    Verified,
    VerifyError,
    date_of_name,
    date_of_set,
    find_public_key,
    read_public_key,
    verify_files,
    verify_files_from,
    verify_set,
    verify_url,
)
from voidimg.cli.printable import printable, printable_json
from voidimg.cli.session import Session, json_option, pass_session


@click.command()
@click.argument(
    "paths", nargs=-1, required=True, metavar="DIR|FILE|URL...", type=click.Path(path_type=str)
)
@click.option(
    "--key",
    metavar="FILE|RW...",
    help="The public key, or its line.  [default: void-release-DATE.pub as installed, else here,"
    " as Void published it, or beside the set]",
)
@click.option(
    "--from",
    "source",
    metavar="URL|DIR",
    help="Where the signed checksums of FILEs are that have none beside them: an image set, or the"
    " directory of all sets.",
)
@json_option
@pass_session
def command(
    session: Session, paths: tuple[str, ...], key: str | None, source: str | None, as_json: bool
) -> None:
    """Verify that images are what the holder of the key signed.

    A DIR is verified as a whole set: nothing missing, nothing added. A FILE is verified by the
    sha256sum.txt and sha256sum.sig beside it, or by those that --from names. A URL of a set or a
    file is read to the last byte and not stored; the checksums that count are those of the dated
    directory, also for .../live/current. Only regular files count, and a key counts only for the
    set of its date. The answer says which key was used, and why it is trusted.

    \b
    Examples:
      voidimg verify out/20240314 --key void-release-20240314.pub
      voidimg verify ~/Downloads/void-rpi-aarch64-20240314.img.xz
      voidimg verify https://repo-default.voidlinux.org/live/20240314
      voidimg verify void-live-x86_64-20240314-base.iso --from https://repo-default.voidlinux.org/live
    """  # noqa: D301
    urls = [path for path in paths if "://" in path]
    local = [Path(path) for path in paths if "://" not in path]
    for path in local:
        try:
            path.stat()
        except OSError as error:
            raise VerifyError(
                f"cannot read {path}: {error.strerror}", code="MISSING", where=str(path)
            ) from error
    directories = [path for path in local if path.is_dir()]
    files = [path for path in local if not path.is_dir()]
    if source is not None and not files:
        raise click.UsageError("--from is for FILEs, and none is given")
    named = None if key is None else read_public_key(key)
    options: _Options = {"jobs": session.jobs, "listener": session.listener}
    results = [verify_set(one, named or _key(one, None), **options) for one in directories]
    if files and source is not None:
        results += verify_files_from(files, source, named, **options)
    elif files:
        trusted = named or _key(files[0].parent, date_of_name(files[0].name))
        results += verify_files(files, trusted, **options)
    results += [verify_url(url, named, **options) for url in urls]
    if as_json:
        told = json.dumps([_as_json(result) for result in results], indent=2, sort_keys=True)
        click.echo(printable_json(told))
        return
    for result in results:
        for file in result.files:
            click.echo(printable(f"good  {file.path}"))
        click.echo(printable(f"signed by {result.key_id}: {result.trusted_comment}"))
        click.echo(printable(f"key {result.key.source}, trusted because {result.key.why_trusted}"))


class _Options(TypedDict):
    jobs: int
    listener: Listener


def _key(directory: Path, date: str | None) -> TrustedKey:
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
