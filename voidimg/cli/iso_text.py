"""What `voidimg inspect` says of a live ISO, line by line."""

from __future__ import annotations

from collections.abc import Sequence

from voidimg import PUBLIC_PASSWORD, Account, IsoInspection, format_size

PASSWORDS = {
    "public": f"Void's public password ({PUBLIC_PASSWORD})",
    "set": "a password of its own",
    "empty": "NO PASSWORD AT ALL",
    "locked": "locked: no password lets in",
    "absent": "there is no such user",
}
"""What `voidimg inspect` says of a password, by what was found in the shadow file."""
_SUDO = {
    "passwordless": "the group wheel may do everything, without a password",
    "password": "the group wheel may do everything, with its own password",
    "none": "the group wheel may do nothing",
}


def iso_lines(found: IsoInspection, packages: bool) -> list[str]:
    """The lines about the ISO `found`; with `packages`, each of them is named."""
    lines = [
        f"{found.path}: {found.kind}, {format_size(found.file_bytes)}",
        f"volume id     {found.volume_id}",
        f"created       {found.created or 'not said'}",
        *_starting(found),
        *_menu_lines(found),
        "",
        *_parts(found),
        "",
        f"architecture  {found.architecture or 'unknown'}",
        f"packages      {len(found.packages)}",
    ]
    if packages:
        lines += [f"  {package.pkgver} {package.architecture}" for package in found.packages]
    lines.append(f"services      {', '.join(found.services) or 'none'}")
    return [*lines, *_access_lines(found)]


def _starting(found: IsoInspection) -> list[str]:
    lines = ["", "starts from a CD"]
    for entry in found.boot_entries:
        what = entry.path or f"block {entry.block}"
        lines.append(f"  {entry.platform:4}  {what}, {entry.sectors} sectors are loaded")
    if not found.boot_entries:
        lines.append("  no: there is no boot catalog")
    lines.append("starts from a USB stick")
    for table in found.tables:
        lines.append(f"  {table.label.upper()} {table.identifier}")
        for part in table.partitions:
            flags = (" active" if part.active else "") + (f" {part.name!r}" if part.name else "")
            size = format_size(part.sectors * 512)
            lines.append(
                f"    {part.number}  sector {part.start_sector}, {size}, type {part.type}{flags}"
            )
    if not found.tables:
        lines.append("  no: there is no partition table")
    if found.esp is not None:
        esp = found.esp
        free = format_size(esp.free_bytes)
        lines.append(f"ESP           {esp.type} {esp.label!r} UUID={esp.serial}, {free} free")
        for name in esp.files:
            version = esp.grub.get(name)
            lines.append(f"  {name}" + (f", GRUB {version}" if version else ""))
    return lines


def _menu_lines(found: IsoInspection) -> list[str]:
    """Each menu; what all entries of the live system have in common is said once."""
    lines = []
    for menu in found.menus:
        lines += ["", f"menu of {menu.loader}, {menu.path}"]
        live = menu.live_entries
        lists = [[*entry.files, *entry.cmdline.split()] for entry in live]
        common = (
            [word for word in lists[0] if all(word in words for words in lists)] if live else []
        )
        if common:
            lines.append(f"  every entry of the live system: {' '.join(common)}")
        for entry in menu.entries:
            words = [*entry.files, *entry.cmdline.split()]
            own = [word for word in words if word not in common] if entry in live else words
            lines.append(f"  {entry.id:15} {entry.title}")
            if own:
                lines.append(f"    {'and ' if entry in live else ''}{' '.join(own)}")
    return lines


def _parts(found: IsoInspection) -> list[str]:
    lines = []
    if found.kernel is not None:
        release = found.kernel.release or "of a release that it does not say"
        lines.append(f"kernel        {found.kernel.path}, {release}")
    if found.initramfs is not None:
        part = found.initramfs
        lines.append(
            f"initramfs     {part.path}, {part.compression}, {format_size(part.size_bytes)}"
        )
        lines.append(
            f"  {part.files} files, {len(part.modules)} modules of the kernel"
            f" {', '.join(part.releases) or '(none)'}"
        )
        if part.early:
            lines.append(f"  before it, for the kernel itself: {', '.join(part.early)}")
        lines.append(f"  dracut's module for live media: {_yes(part.live_media)}")
        lines.append(f"  the module of Void's live systems: {_yes(part.live_module)}")
    if found.squashfs is not None:
        fs = found.squashfs
        size, content = format_size(fs.size_bytes), format_size(fs.content_bytes)
        lines.append(
            f"squashfs      {fs.path}, {fs.compression} in blocks of {format_size(fs.block_bytes)}"
        )
        lines.append(f"  {size} for {content} in {fs.inodes} inodes, made {fs.made}")
    return lines


def _access_lines(found: IsoInspection) -> list[str]:
    access = found.access
    lines = ["", "access"]
    if access.user is None:
        lines.append("  live user   none is made by the initramfs")
    else:
        groups = ", ".join(access.groups) or "none"
        lines.append(f"  live user   {access.user}, groups {groups}")
        lines.append(f"    password  {PASSWORDS.get(access.user_password, access.user_password)}")
        lines.append(f"    sudo      {_SUDO[access.sudo]}")
        login = "without being asked" if access.autologin else "by name and password"
        lines.append(f"    desktop   logs in {login}")
    lines.append(f"  root        {PASSWORDS.get(access.root_password, access.root_password)}")
    lines += [f"  {line}" for line in account_lines(access.accounts, 11)]
    if not access.sshd:
        lines.append("  sshd        is not started")
    else:
        by = "also by password" if access.ssh_passwords else "by key only"
        lines.append(f"  sshd        is started and lets in {by}; as root: {access.ssh_root}")
    return lines


def account_lines(accounts: Sequence[Account], width: int = 13) -> list[str]:
    """A line for each of `accounts`: its password, and how it can become root."""
    return [
        f"{account.name:{width}} {PASSWORDS.get(account.password, account.password)};"
        f" becomes root by {', '.join(account.root) or 'nothing'}"
        for account in accounts
    ]


def _yes(answer: bool) -> str:
    return "yes" if answer else "NO"
