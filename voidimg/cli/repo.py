"""`voidimg repo`: make signed local XBPS repositories, and watch any."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from voidimg import (
    PrivateKey,
    Sources,
    architectures,
    create_repository_key,
    format_size,
    index_packages,
    packages_of,
    read_package_directory,
    read_repodata,
    report_findings,
    repository_status,
    sign_packages,
    sign_repository,
    spoken_age,
    write_key_file,
    write_package,
    write_prometheus_file,
)
from voidimg.cli.counting import counted
from voidimg.cli.passphrase import passphrase_options, read_passphrase
from voidimg.cli.session import Session, json_option, pass_session
from voidimg.cli.sources import consistency_options, mirror_option

_REPO = click.Path(path_type=Path, file_okay=False, exists=True)
_NEW_REPO = click.Path(path_type=Path, file_okay=False)
_NEW_FILE = click.Path(path_type=Path, dir_okay=False)
_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)
_PASSPHRASE = "XBPS_PASSPHRASE"  # noqa: S105 (the name of a variable, the one xbps-rindex reads)
_arch_option = click.option(
    "--arch", "archs", multiple=True, metavar="ARCH", help="Only this index; may be repeated."
)


@click.group()
def command() -> None:
    """Make a signed local XBPS repository from package directories.

    \b
    Examples:
      voidimg repo keygen my-repo.pem
      voidimg repo create hello -o repo
      voidimg repo index repo --arch aarch64
      voidimg repo sign repo --key my-repo.pem --signed-by 'Me <me@example.org>'
      voidimg repo list repo
      voidimg repo status repo
    """  # noqa: D301


@command.command()
@click.argument("directories", nargs=-1, required=True, metavar="DIR...", type=_REPO)
@click.option("-o", "--output", type=_NEW_REPO,
              required=True, metavar="REPO", help="Where the packages go.")  # fmt: skip
@click.option("--level", type=click.IntRange(1, 22), default=9, show_default=True,
              help="How hard zstd tries.")  # fmt: skip
def create(directories: tuple[Path, ...], output: Path, level: int) -> None:
    """Make the package of each DIR.

    DIR holds package.toml, the tree files/, and the scripts INSTALL and REMOVE if there are any.
    The same directory gives the same bytes. package.toml looks like this:

    \b
      pkgname = "hello"
      version = "1.0_1"
      architecture = "noarch"
      short_desc = "Greets the user"
      run_depends = ["bash>=0"]
      conf_files = ["/etc/hello.conf"]
      mutable = ["/usr/share/hello/cache"]
      [modes]
      "/usr/bin/hello" = "04755"
      [owners]
      "/etc/hello.conf" = "0:4"

    \b
    Examples:
      voidimg repo create hello -o repo
      voidimg repo create packages/* -o repo
    """  # noqa: D301
    for directory in directories:
        meta, members = read_package_directory(directory)
        click.echo(write_package(output, meta, members, level=level))


@command.command()
@click.argument("repo", type=_REPO)
@_arch_option
@json_option
def index(repo: Path, archs: tuple[str, ...], *, as_json: bool) -> None:
    """Bring the indexes of REPO up to date with the packages in it.

    Of a name the highest version is listed; entries whose file is gone are dropped. A repository
    of noarch packages alone needs --arch.

    \b
    Examples:
      voidimg repo index repo
      voidimg repo index repo --arch aarch64 --arch aarch64-musl
    """  # noqa: D301
    counts = {}
    for arch in _chosen(repo, archs):
        counts[arch] = len(index_packages(repo, arch, prune=True).index)
    if as_json:
        click.echo(json.dumps(counts, indent=2, sort_keys=True))
        return
    for arch, count in counts.items():
        click.echo(f"{repo / f'{arch}-repodata'}: {counted(count, 'package')}")


@command.command()
@click.argument("repo", type=_REPO)
@click.option("--key", required=True, type=_FILE, help="The private key, RSA in PEM form.")
@click.option("--signed-by", required=True, metavar="NAME",
              help="Who signs; XBPS shows it when it asks to trust the key.")  # fmt: skip
@_arch_option
@passphrase_options
def sign(
    repo: Path,
    key: Path,
    signed_by: str,
    archs: tuple[str, ...],
    passphrase_fd: int | None,
    passphrase_env: str | None,
) -> None:
    """Sign the packages of REPO, and name the key in its indexes.

    The passphrase of the key is taken from XBPS_PASSPHRASE unless an option says otherwise. Prints
    the fingerprint of the key; images trust it through --repo-key and the file written beside
    the indexes.

    \b
    Examples:
      voidimg repo sign repo --key my-repo.pem --signed-by 'Me <me@example.org>'
    """  # noqa: D301
    if not signed_by.strip():
        raise click.UsageError("--signed-by is empty: say who signs")
    private = PrivateKey.read(key, _passphrase(key, passphrase_fd, passphrase_env), secret=True)
    public = private.public(signed_by)
    chosen = _chosen(repo, archs)
    for arch in chosen:
        sign_repository(repo, arch, private, signed_by)
    signatures = sign_packages(packages_of(repo), private)
    key_file = write_key_file(repo, public)
    click.echo(f"fingerprint  {public.fingerprint}")
    click.echo(f"key file     {key_file}")
    packages = counted(len(signatures), "package")
    click.echo(f"signed       {packages}, indexes for {', '.join(chosen)}")


@command.command("list")
@click.argument("repo", type=_REPO)
@_arch_option
@json_option
def list_packages(repo: Path, archs: tuple[str, ...], *, as_json: bool) -> None:
    """List what the indexes of REPO say.

    \b
    Examples:
      voidimg repo list repo
      voidimg repo list repo --arch aarch64 --json
    """  # noqa: D301
    known = architectures(repo)
    for arch in archs:
        if arch not in known:
            has = f"it has {', '.join(known)}" if known else "voidimg repo index makes one"
            raise click.UsageError(f"{repo} has no index for {arch}: {has}")
    found = {arch: read_repodata(repo, arch) for arch in _chosen(repo, archs)}
    if as_json:
        answer = {
            arch: {
                "fingerprint": None if repodata.meta is None else repodata.meta.fingerprint,
                "signed_by": None if repodata.meta is None else repodata.meta.signed_by,
                "packages": [_summary(entry) for _, entry in sorted(repodata.index.items())],
                "staged": [_summary(entry) for _, entry in sorted(repodata.stage.items())],
            }
            for arch, repodata in found.items()
        }
        click.echo(json.dumps(answer, indent=2, sort_keys=True))
        return
    for arch, repodata in found.items():
        signer = "not signed" if repodata.meta is None else f"signed by {repodata.meta.signed_by}"
        click.echo(f"{arch}: {counted(len(repodata.index), 'package')}, {signer}")
        for _, entry in sorted(repodata.index.items()):
            size = entry.get("filename-size")
            shown = format_size(size) if isinstance(size, int) else "?"
            pkgver, package_arch = str(entry["pkgver"]), str(entry.get("architecture"))
            click.echo(f"  {pkgver}  {package_arch}  {shown}")


@command.command()
@click.argument("file", type=_NEW_FILE)
@click.option("--bits", type=click.IntRange(2048, 16384), default=4096, show_default=True,
              help="Size of the RSA key.")  # fmt: skip
@click.option("--no-passphrase", is_flag=True, help="Leave the key unencrypted.")
@passphrase_options
def keygen(
    file: Path,
    bits: int,
    *,
    no_passphrase: bool,
    passphrase_fd: int | None,
    passphrase_env: str | None,
) -> None:
    """Make a private key for a repository in FILE, never over an existing file.

    \b
    Examples:
      voidimg repo keygen my-repo.pem
      XBPS_PASSPHRASE=secret voidimg repo keygen my-repo.pem
      voidimg repo keygen test.pem --bits 2048 --no-passphrase
    """  # noqa: D301
    if no_passphrase and (passphrase_fd is not None or passphrase_env is not None):
        raise click.UsageError("--no-passphrase excludes --passphrase-fd and --passphrase-env")
    passphrase = None
    if not no_passphrase:
        passphrase = _read(file, passphrase_fd, passphrase_env, confirm=True)
    key = create_repository_key(file, bits, passphrase)
    click.echo(f"private key  {file}")
    click.echo(f"fingerprint  {key.public().fingerprint}")


@command.command()
@click.argument("locations", nargs=-1, required=True, metavar="URL|DIR...")
@_arch_option
@click.option("--metrics", "--prometheus", "prometheus", type=_NEW_FILE, metavar="FILE",
              help="Write metrics for the textfile collector to FILE.")  # fmt: skip
@consistency_options
@mirror_option
@json_option
@pass_session
def status(
    session: Session,
    locations: tuple[str, ...],
    archs: tuple[str, ...],
    *,
    mirrors: tuple[str, ...],
    prometheus: Path | None,
    offline: bool,
    require_consistent: bool,
    require_newer: bool,
    max_age: str | None,
    as_json: bool,
) -> None:
    """Say how repositories are doing: age, packages, staged packages, signs of inconsistency.

    A URL needs --arch. Several mirrors of a repository are one argument, separated by blanks:
    those that lag are named; --mirror asks mirrors for the paths of the URLs. With
    --require-consistent any sign is an error.

    \b
    Examples:
      voidimg repo status ./repo
      voidimg repo status https://example.org/current/aarch64 --arch aarch64 --max-age 36h
      voidimg repo status ./repo --metrics /var/lib/node_exporter/repo.prom
    """  # noqa: D301
    sources = Sources.parse(
        cache=session.cache,
        mirrors=mirrors,
        jobs=session.jobs,
        offline=offline,
        require_consistent=require_consistent,
        require_newer=require_newer,
        max_age=max_age,
    )
    found, findings = repository_status(locations, archs, sources, listener=session.listener)
    if prometheus is not None:
        write_prometheus_file(prometheus, found)
    if as_json:
        answer = {
            "indexes": [one.as_json() for one in found],
            "findings": [asdict(one) for one in findings],
        }
        click.echo(json.dumps(answer, indent=2, sort_keys=True))
    else:
        for one in found:
            age = "?" if one.age_seconds is None else spoken_age(one.age_seconds)
            counts = f"{counted(one.packages, 'package')}, {one.staged} staged"
            click.echo(f"{one.url} ({one.arch}): {counts}, {age} old")
    report_findings(findings, sources, session.listener)


def _summary(entry: dict[str, Any]) -> dict[str, Any]:
    keys = ("pkgver", "architecture", "short_desc", "filename-size", "filename-sha256")
    return {key: entry.get(key) for key in keys}


def _chosen(repo: Path, archs: tuple[str, ...]) -> list[str]:
    chosen = list(archs) or architectures(repo)
    if not chosen:
        raise click.UsageError(f"{repo} names no architecture: give --arch")
    return chosen


def _passphrase(key: Path, fd: int | None, env: str | None) -> str | None:
    return _read(key, fd, env, confirm=False) if PrivateKey.is_encrypted(key) else None


def _read(key: Path, fd: int | None, env: str | None, *, confirm: bool) -> str:
    if fd is None and env is None and os.environ.get(_PASSPHRASE):
        env = _PASSPHRASE
    return read_passphrase(fd=fd, env=env, prompt=f"Passphrase for {key}", confirm=confirm)
