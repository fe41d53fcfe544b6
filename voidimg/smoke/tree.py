"""Tries an installed system without firmware: unpacks it, and runs its programs in the sandbox.

For ROOTFS and PLATFORMFS tarballs and files for WSL. Nothing of it reaches the host: namespaces of
its own, no network, limits on memory, processes and time, as scripts of packages have.
"""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from pathlib import Path

from voidimg.arch import ARCHES
from voidimg.artifacts.registry import read_name
from voidimg.atomic import private_directory
from voidimg.errors import SandboxError, ScriptError, UsageError, storing
from voidimg.events import Listener, ignore, step
from voidimg.fetch import Cache, require_room
from voidimg.formats.tar_reader import Member, TarReader, open_archive
from voidimg.formats.unpacked_size import unpacked_bytes
from voidimg.inspection.opened import not_sound, open_artifact
from voidimg.sandbox import binfmt, jail, namespace
from voidimg.sandbox.chroot import Chroot
from voidimg.smoke.tree_statements import END, TREE_STATEMENTS, TreeStatement
from voidimg.smoke.verdict import BootVerdict, Check, SmokeReport
from voidimg.tree.remove import empty_directory
from voidimg.tree.tree import Tree

_OUTPUT_CHARACTERS = 4000
_MAX_FILE_BYTES = 2**30
_SHELLS = ("/usr/bin/sh", "/bin/sh")


def is_tree(path: Path) -> bool:
    """Whether the artifact at `path` is an installed system in a tar, by content and by name.

    A netboot tarball is a tar too, but holds a live system.

    Raises:
        LayoutError: it is no artifact, or damaged.
    """
    if open_artifact(path).kind != "tar":
        return False
    found = read_name(path)
    return found is None or found[0].role == "tree"


def smoke_tree(
    archive: Path,
    arch: str,
    *,
    cache: Path,
    logs: Path,
    patience: float = 1.0,
    listener: Listener = ignore,
) -> SmokeReport:
    """Unpack `archive`, and judge whether its programs do what is asked of an installed system.

    Args:
        archive: a ROOTFS, PLATFORMFS or file for WSL, compressed or not; it is only read.
        arch: XBPS architecture of its programs; those of others are emulated by qemu-user.
        cache: the cache, in which it is unpacked.
        logs: directory of the log, made if need be.
        patience: factor on every time limit, for slow or busy hosts.
        listener: gets the steps.

    Raises:
        UsageError: it holds no system.
        LayoutError: it is damaged.
        SandboxError: there is no sandbox, or no emulator.
        DiskFullError: it has no room in the cache.
    """
    with storing(logs, "make the directory"):
        logs.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    scratch = Cache(cache).scratch()
    with storing(scratch, "unpack into"):
        scratch.mkdir(parents=True, exist_ok=True)
    with private_directory(scratch) as work:
        require_room(work, unpacked_bytes(archive) or 0, f"unpacking {archive.name}")
        with step(listener, f"try {archive.name}"):
            checks = namespace.call(try_tree, archive.absolute(), work, arch, patience)
    log = logs / f"{re.split(r'[.]tar|[.]wsl', archive.name)[0]}.tree.log"
    text = "".join(f"{one.name}: {one.status}\n{one.output}\n\n" for one in checks)
    with storing(log, "write"), log.open("wb") as file:
        file.write(text.encode())
    verdict = BootVerdict(
        medium="tree",
        machine="sandbox",
        firmware="none",
        accelerator="none" if binfmt.is_native(arch) else "qemu-user",
        seconds=time.monotonic() - begun,
        login_seconds=None,
        powered_off=False,
        log=log,
        last_lines=text[-_OUTPUT_CHARACTERS:],
        checks=checks,
    )
    found = read_name(archive)
    return SmokeReport(archive, found[1].subject if found else arch, (verdict,))


def try_tree(archive: Path, work: Path, arch: str, patience: float) -> tuple[Check, ...]:
    """The checks of the tree in `archive`, unpacked in `work`; inside `namespace.call`."""
    root = work / "tree"
    try:
        with not_sound(archive), open_archive(archive) as members, Tree(root, create=True) as tree:
            _unpack(members, tree)
        _require_system(archive, root)
        with Chroot(root, arch) as chroot:
            shell = chroot.first_program(_SHELLS)
            if shell is None:
                where = f"there is none of {' and '.join(_SHELLS)}"
                return (Check("there is a shell", "failed", 0.0, code="NO-SHELL", message=where),)
            return tuple(_judge(chroot, shell, one, patience) for one in _applying(root))
    finally:
        empty_directory(work)


def _require_system(archive: Path, root: Path) -> None:
    with Tree(root) as tree:
        if not tree.exists("/etc/passwd"):
            raise UsageError(
                f"{archive.name} holds no installed system: there is no /etc/passwd in it",
                code="NO-SYSTEM",
                where=str(archive),
                hint="what can be tried are ROOTFS and PLATFORMFS tarballs and files for WSL",
            )


def _applying(root: Path) -> Sequence[TreeStatement]:
    with Tree(root) as tree:
        return [one for one in TREE_STATEMENTS if one.needs is None or tree.exists(one.needs)]


def _unpack(members: TarReader, tree: Tree) -> None:
    """Make the tree; directories get their modes last, as some are not to be written into."""
    directories: list[Member] = []
    for member in members:
        path = "/" + member.name.strip("/").removeprefix("./")
        if path in ("/", "/."):
            continue
        match member.kind:
            case "directory":
                tree.mkdir(path, 0o755, parents=True)
                directories.append(member)
            case "symlink":
                tree.symlink(path, member.target, member.uid, member.gid, parents=True)
            case "hardlink":
                tree.link(path, "/" + member.target.strip("/").removeprefix("./"), parents=True)
            case "file":
                content = members.read(_MAX_FILE_BYTES)
                tree.write(path, content, member.mode, member.uid, member.gid, parents=True)
            case _:
                pass  # devices: the sandbox has its own, and nobody else may make them
    for member in reversed(directories):
        path = "/" + member.name.strip("/").removeprefix("./")
        tree.chown(path, member.uid, member.gid)
        tree.chmod(path, member.mode)


def _judge(chroot: Chroot, shell: str, statement: TreeStatement, patience: float) -> Check:
    begun = time.monotonic()
    script = f"{statement.script.rstrip()}\necho {END}\n"
    message, status = "", 0
    try:
        ended = chroot.run(
            [shell, jail.SCRIPT],
            script=script.encode(),
            env={"LC_ALL": "C"},
            timeout_seconds=statement.seconds * patience,
        )
        output, status = ended.text, ended.status
    except (SandboxError, ScriptError) as error:
        output, message = getattr(error, "output", "") or "", error.what
    *faults, last = output.strip().splitlines() or [""]
    if not message and last != END:
        message, faults = f"the script ended early, with status {status}", [*faults, last]
    elif not message and faults:
        message = "; ".join(faults[:5]) + (f" and {len(faults) - 5} more" if faults[5:] else "")
    return Check(
        name=statement.name,
        status="failed" if message else "passed",
        seconds=time.monotonic() - begun,
        code="STATEMENT" if message else None,
        message=message,
        command=statement.script,
        expect=END,
        output="\n".join(faults)[-_OUTPUT_CHARACTERS:],
        attempts=1,
    )


def subject_of_tree(archive: Path) -> str:
    """What the file name says of whose programs it holds: an architecture, or a platform.

    Raises:
        UsageError: the name has another form.
    """
    found = read_name(archive)
    if found is None:
        raise UsageError(
            f"the name {archive.name} says neither architecture nor platform",
            code="IMAGE-NAME",
            where=str(archive),
            hint="name it with --platform",
        )
    return found[1].subject


def arch_of_tree(archive: Path) -> str | None:
    """The architecture in the file name, which that of a ROOTFS has; None where it is a platform.

    Raises:
        UsageError: the name has another form.
    """
    subject = subject_of_tree(archive)
    return subject if subject in ARCHES else None
