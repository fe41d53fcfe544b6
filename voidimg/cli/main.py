"""The group `voidimg`: global options, lazy verbs, and errors turned into exit statuses."""

from __future__ import annotations

import gc
import importlib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

import voidimg
from voidimg import VoidimgError, exit_status_of
from voidimg.cli.render import listener_for, show_error
from voidimg.cli.session import Session

VERBS = {
    "build": "Make the artifacts of a platform.",
    "cache": "Measure, check and clear the cache.",
    "check": "Validate platform and profile files.",
    "inspect": "Look into an artifact without mounting it.",
    "keygen": "Make the signing key of one image set.",
    "lint": "Check artifacts offline for what would keep them from working.",
    "list": "List platforms and profiles.",
    "lock": "Pin the packages of platforms.",
    "repo": "Make a signed local XBPS repository.",
    "show": "Show the resolved recipe of a platform.",
    "sign": "Sign the checksums of an image set.",
    "smoke": "Boot an image under QEMU and judge it.",
    "verify": "Verify an image set or files of one.",
    "why": "Say why a package is in an image.",
}
"""Verb -> its line in `voidimg --help`; each lives in `voidimg.cli.<verb>` as `command`."""


class _Verbs(click.Group):
    """Loads the module of a verb when it is used, so that `--help` stays quick."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return sorted(VERBS)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        with _keeping_everything():
            module = importlib.import_module(f"voidimg.cli.{name}")
        command: click.Command = module.command
        return command

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl(sorted(VERBS.items()))


@contextmanager
def _keeping_everything() -> Iterator[None]:
    """What is made in the block stays until the program ends: nobody looks for garbage in it."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _default_cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "voidimg"


def _print_completion(ctx: click.Context, shell: str | None) -> None:
    if shell is None or ctx.resilient_parsing:
        return
    from click.shell_completion import get_completion_class

    found = get_completion_class(shell)
    if found is not None:
        click.echo(found(cli, {}, "voidimg", "_VOIDIMG_COMPLETE").source())
    ctx.exit()


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="VOIDIMG_CACHE",
    help="Where downloads and finished parts are kept.  [default: ~/.cache/voidimg]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("out"),
    show_default=True,
    help="Where image sets are written.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=lambda: len(os.sched_getaffinity(0)),
    show_default="one per core",
    help="How many things to do at once; never changes a byte of the result.",
)
@click.option("--events", type=click.File("w"), help="Write every event as a JSON line to FILE.")
@click.option("-v", "--verbose", count=True, help="Say more.")
@click.option("-q", "--quiet", is_flag=True, help="Say only what is wrong.")
@click.option(
    "--completion",
    type=click.Choice(["bash", "zsh", "fish"]),
    is_eager=True,
    expose_value=False,
    callback=lambda ctx, _option, shell: _print_completion(ctx, shell),
    help="Print the completion script of this shell, for example for `source <(...)`.",
)
@click.version_option(voidimg.__version__, prog_name="voidimg")
@click.pass_context
def cli(
    ctx: click.Context,
    cache: Path | None,
    out: Path,
    jobs: int,
    events: IO[str] | None,
    verbose: int,
    quiet: bool,
) -> None:
    """Build Void Linux ROOTFS and PLATFORMFS tarballs, disk images and signed image sets.

    \b
    Examples:
      voidimg list
      voidimg show rpi-aarch64 --plan
      voidimg build rpi-aarch64 --date 20240314
      voidimg verify out/20240314 --key void-release-20240314.pub
    """  # noqa: D301
    ctx.obj = Session(
        cache=(cache or _default_cache()).absolute(),
        out=out.absolute(),
        jobs=jobs,
        quiet=quiet,
        listener=listener_for(verbose=verbose, quiet=quiet, events=events),
    )


def entry_point(argv: list[str] | None = None) -> None:
    """Run the command; every `VoidimgError` becomes a message and its documented exit status."""
    # Names in packages and images need not be UTF-8; what cannot be written is escaped, as in JSON.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    status: Any
    try:
        status = cli.main(args=argv, prog_name="voidimg", standalone_mode=False)
    except VoidimgError as error:
        show_error(error)
        sys.exit(exit_status_of(error))
    except click.exceptions.Abort:
        sys.stderr.write("voidimg: stopped\n")
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
    finally:
        gc.freeze()  # what is left goes with the process: sorting it out takes a tenth of a second
    sys.exit(status if isinstance(status, int) else 0)
