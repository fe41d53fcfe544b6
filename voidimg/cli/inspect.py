"""The verb `inspect`: look into an artifact without mounting it."""

from __future__ import annotations

import json
from pathlib import Path

import click

from voidimg import Filesystem, Inspection, IsoInspection, format_size, inspect
from voidimg.cli.counting import counted
from voidimg.cli.iso_text import PASSWORDS, account_lines, iso_lines
from voidimg.cli.printable import printable, printable_json
from voidimg.cli.session import Session, json_option, pass_session


@click.command(name="inspect")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--packages", is_flag=True, help="List every package, not only their number.")
@json_option
@pass_session
def command(session: Session, file: Path, packages: bool, as_json: bool) -> None:
    """Look into an artifact without mounting it.

    FILE is a live ISO, or a disk image or a ROOTFS or PLATFORMFS tar, plain or compressed by xz or
    zstd.

    \b
    Examples:
      voidimg inspect void-rpi-aarch64-20240314.img.xz
      voidimg inspect --packages void-aarch64-ROOTFS-20240314.tar.xz
      voidimg inspect void-live-x86_64-20240314-base.iso
      voidimg inspect --json out/current/void-rpi-aarch64-20240314.img.xz | jq .boot.cmdline
    """  # noqa: D301
    found = inspect(file, scratch=session.scratch())
    if as_json:
        click.echo(
            printable_json(
                json.dumps(found.as_json(), indent=2, sort_keys=True, ensure_ascii=False)
            )
        )
        return
    if isinstance(found, IsoInspection):
        lines = iso_lines(found, packages)
    else:
        lines = _lines(found, packages)
    for line in lines:
        click.echo(printable(line))


def _lines(found: Inspection, packages: bool) -> list[str]:
    packed = "" if found.compression == "none" else f", {found.compression}"
    lines = [f"{found.path}: {found.kind}{packed}, {format_size(found.file_bytes)}"]
    lines += _disk_lines(found)
    lines += _boot_lines(found)
    lines += ["", f"architecture  {found.architecture or 'unknown'}"]
    unfinished = [p.pkgver for p in found.packages if p.state != "installed"]
    lines.append(f"packages      {len(found.packages)}")
    if unfinished:
        lines.append(f"  not configured: {', '.join(unfinished)}")
    if packages:
        lines += [f"  {package.pkgver} {package.architecture}" for package in found.packages]
    lines.append(f"services      {', '.join(found.services) or 'none'}")
    access = found.access
    lines.append(f"root          {PASSWORDS.get(access.root_password, access.root_password)}")
    lines += account_lines(access.accounts)
    lines.append(f"ssh as root   {access.permit_root_login or 'no sshd'}")
    lines += ["fstab" if found.fstab else "fstab         none"]
    lines += [f"  {line}" for line in found.fstab]
    return lines


def _disk_lines(found: Inspection) -> list[str]:
    disk = found.disk
    if disk is None:
        return []
    lines = ["", f"{disk.label.upper()} {disk.identifier}, {format_size(disk.size_bytes)}"]
    for part in disk.partitions:
        flags = (" active" if part.active else "") + (f" {part.name!r}" if part.name else "")
        lines.append(
            f"  {part.number}  sector {part.start_sector}, {part.sectors} sectors"
            f" ({format_size(part.sectors * 512)}), type {part.type}{flags}"
        )
        lines.append(f"     PARTUUID={part.partuuid}")
        if part.filesystem is not None:
            lines += [f"     {line}" for line in _filesystem_lines(part.filesystem)]
    return lines


def _filesystem_lines(filesystem: Filesystem) -> list[str]:
    label = f" {filesystem.label!r}" if filesystem.label else ""
    free, size = format_size(filesystem.free_bytes), format_size(filesystem.size_bytes)
    unit = format_size(filesystem.unit_bytes)
    lines = [
        f"{filesystem.type}{label} UUID={filesystem.uuid}, {free} free of {size} in units of {unit}"
    ]
    if filesystem.features is not None:
        journal = "journal" if filesystem.journal else "no journal"
        state = "clean" if filesystem.clean else "NOT CLEAN"
        growth = format_size(filesystem.growth_limit_bytes or 0)
        lines.append(f"{state}, {journal}, grows to {growth} while mounted")
        lines.append(f"features: {' '.join(filesystem.features)}")
    return lines


def _boot_lines(found: Inspection) -> list[str]:
    boot = found.boot
    kernels = ", ".join(name.removeprefix("/") for name in boot.kernels) or "none"
    lines = ["", f"kernels       {kernels}"]
    lines.append(f"device trees  {boot.device_trees}, overlays {boot.overlays}")
    if boot.cmdline is not None:
        lines.append(f"cmdline.txt   {boot.cmdline}")
    if boot.config is not None:
        said = [line for line in boot.config.splitlines() if line.strip() and line[0] != "#"]
        lines.append(f"config.txt    {counted(len(said), 'setting')}")
        lines += [f"  {line}" for line in said]
    return lines
