"""The group `voidimg`: global options, lazy verbs, and errors turned into exit statuses."""

from __future__ import annotations

import errno
import gc
import importlib
import io
import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO

import click

import voidimg
from voidimg import (
    DiskFullError,
    StoreError,
    UsageError,
    VoidimgError,
    exit_status_of,
    without_passwords,
)
from voidimg.cli.render import listener_for, show_error
from voidimg.cli.session import Session
from voidimg.cli.stream import EventStream

VERBS = {
    "attest": "Sign what came of an image on a real machine.",
    "build": "Make the artifacts of a platform.",
    "cache": "Measure, check and clear the cache.",
    "check": "Validate platform, profile and set files.",
    "dib-elements": "Say where the element for diskimage-builder is.",
    "diff": "Compare two artifacts or two image sets.",
    "doctor": "Say whether this machine can build.",
    "flash": "Write an image to a medium, and read it back.",
    "inspect": "Look into an artifact without mounting it.",
    "keygen": "Make the signing key of one image set.",
    "lint": "Check artifacts offline for what would keep them from working.",
    "list": "List platforms, profiles and sets.",
    "lock": "Pin the packages of platforms.",
    "matrix": "Print the jobs that make a set on several machines.",
    "mirror": "Look at mirrors of image sets.",
    "promote": "Make an image set the current one.",
    "release": "Make all artifacts of a set, complete or nothing.",
    "repo": "Make a signed local XBPS repository.",
    "rollback": "Make the image set current again that was so before.",
    "run": "Boot an artifact and hand over its console.",
    "show": "Show the resolved recipe of a platform, or a set.",
    "sign": "Sign the checksums of an image set.",
    "smoke": "Boot an image under QEMU and judge it.",
    "verify": "Verify an image set or files of one, here or on a server.",
    "why": "Say why a package is in an image.",
}
"""Verb -> its line in `voidimg --help`; each lives in `voidimg.cli.<verb>` as `command`."""

_OUTPUT_ERRORS = frozenset(
    {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}
)
_BROKEN_PIPE_STATUS = 141
"""What a shell says of a program that SIGPIPE ended; the reader of our output went first."""


class _OutputError(Exception):
    """What the command prints cannot be written. Not an `OSError`: click would exit with 1."""

    def __init__(self, cause: OSError):
        super().__init__(str(cause))
        self.cause = cause


@contextmanager
def _os_errors_told() -> Iterator[None]:
    """What the system refused and no module foresaw: paths that may not even be looked at.

    Such errors name their file; those of the standard streams name none.
    """
    try:
        yield
    except OSError as error:
        if error.filename is not None:
            raise StoreError(
                str(error.strerror),
                code="IO",
                where=str(error.filename),
                hint="check that the path is right and that you may use it",
            ) from error
        if error.errno in _OUTPUT_ERRORS:
            raise _OutputError(error) from error
        raise


class _Verbs(click.Group):
    """Loads the module of a verb when it is used, so that `--help` stays quick."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return sorted(VERBS)

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with _os_errors_told():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with _os_errors_told():
            return super().invoke(ctx)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in VERBS and not ctx.resilient_parsing:
            from voidimg import did_you_mean

            meant = did_you_mean(name, VERBS) or ""
            ctx.fail(f"No such verb {name!r}. {meant[:1].upper()}{meant[1:]}".rstrip())
        return super().resolve_command(ctx, args)

    def get_command(self, _ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        with _keeping_everything():
            module = importlib.import_module(f"voidimg.cli.{name.replace('-', '_')}")
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


def _print_man_page(ctx: click.Context, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from voidimg.cli.man import man_page

    click.echo(man_page(cli), nl=False)
    ctx.exit()


@click.group(
    cls=_Verbs,
    subcommand_metavar="VERB [ARGS]...",
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="VOIDIMG_CACHE",
    metavar="DIR",
    help="Where downloads and finished parts are kept.  [default: ~/.cache/voidimg]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("out"),
    show_default=True,
    metavar="DIR",
    help="Where image sets are written.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=lambda: len(os.sched_getaffinity(0)),
    show_default="one per core",
    metavar="N",
    help="How many things to do at once; never changes a byte of the result.",
)
@click.option(
    "--events",
    type=EventStream(),
    metavar="FILE",
    help="Write every event as a JSON line to FILE.",
)
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
@click.option(
    "--man",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=lambda ctx, _option, wanted: _print_man_page(ctx, wanted),
    help="Print the manual page, for example for `man -l -`.",
)
@click.version_option(voidimg.__version__, prog_name="voidimg")
@click.pass_context
def cli(
    ctx: click.Context,
    cache: Path | None,
    out: Path,
    jobs: int,
    events: TextIO | None,
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
        cache=_from_here(cache or _default_cache()),
        out=_from_here(out),
        jobs=jobs,
        quiet=quiet,
        listener=listener_for(verbose=verbose, quiet=quiet, events=events),
    )


def _from_here(path: Path) -> Path:
    """`path` as an absolute one; as it is where the working directory is gone."""
    try:
        return path.absolute()
    except FileNotFoundError:
        return path


def _is_somewhere() -> bool:
    """Whether the working directory is still there."""
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _open_standard_streams() -> None:
    """Stand-ins for standard streams that the caller closed.

    Nothing else may get their numbers: what programs print would land in a file of ours.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest that is free: its own
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))


def _leave_callers_state() -> None:
    """Signals that the caller ignores or blocks, and soft limits, change nothing of what is made.

    The end of a program would not be seen with SIGCHLD ignored. What the hard limits do not allow
    is refused by whoever needs it.
    """
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for name in ("AS", "CPU", "DATA", "FSIZE", "NOFILE", "NPROC"):
        number = getattr(resource, f"RLIMIT_{name}")
        with suppress(OSError, ValueError):
            hard = resource.getrlimit(number)[1]
            resource.setrlimit(number, (hard, hard))


def _explained(error: click.ClickException) -> click.ClickException:
    """`error`, or where an option belongs that is one of `voidimg` and not of the verb."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None:
        return error
    name = error.option_name
    if error.ctx.command is cli or not any(name in option.opts for option in cli.params):
        return error
    verb = error.ctx.command_path.partition(" ")[2]
    return click.UsageError(
        f"{name} goes before the verb: voidimg {name} ... {verb} ...", error.ctx
    )


def _leave_output(error: OSError) -> int:
    """The exit status when nothing more can be printed, to where `error` was met."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if error.errno == errno.EPIPE:
        os.dup2(nowhere, 2)
        status = _BROKEN_PIPE_STATUS
    else:
        kind = DiskFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else StoreError
        told = kind(f"cannot write the results: {error.strerror}", code="OUTPUT")
        status = told.exit_status
        with suppress(OSError):
            show_error(told)
    os.dup2(nowhere, 1)  # the interpreter flushes what is left when it ends
    return status


def entry_point(argv: list[str] | None = None) -> None:
    """Run the command; every `VoidimgError` becomes a message and its documented exit status."""
    _open_standard_streams()
    _leave_callers_state()
    # Names in packages and images need not be UTF-8; what cannot be written is escaped, as in JSON.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    status: Any
    try:
        status = cli.main(args=argv, prog_name="voidimg", standalone_mode=False)
    except VoidimgError as error:
        status = exit_status_of(error)
        with suppress(OSError):
            show_error(error)
    except click.exceptions.Abort:
        status = 130
        with suppress(OSError):
            sys.stderr.write("voidimg: stopped\n")
    except click.ClickException as error:
        status = error.exit_code
        with suppress(OSError):
            said = io.StringIO()
            _explained(error).show(said)
            sys.stderr.write(without_passwords(said.getvalue()))
    except FileNotFoundError:
        if _is_somewhere():
            raise
        status = click.UsageError.exit_code
        with suppress(OSError):
            gone = "the working directory is not there any more, and a path is relative to it"
            show_error(UsageError(gone, code="DIRECTORY", hint="change to another: cd"))
    except _OutputError as error:
        status = _leave_output(error.cause)
    finally:
        gc.freeze()  # what is left goes with the process: sorting it out takes a tenth of a second
    sys.exit(status if isinstance(status, int) else 0)
