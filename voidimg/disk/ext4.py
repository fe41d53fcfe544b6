"""Makes an ext4 filesystem from a directory, without mounting it: mke2fs and debugfs.

Everything the distribution's configuration would decide is decided here. mke2fs copies times of
the host (ctime, and atime, which reading changes), so one pass of debugfs by inode number sets
them; versions 1.47.0 to 1.47.2 of e2fsprogs then give the same bytes.

Owners are taken as this process sees them: it runs inside the user namespace of the tree.
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from voidimg.arguments import Argument, Inside
from voidimg.disk.contents import mount_point, other_mount_points
from voidimg.disk.plan import Ext4Plan
from voidimg.errors import ToolError
from voidimg.formats.ext4 import (
    BLOCK_BYTES,
    DESCRIPTOR_BYTES,
    FIRST_INODE,
    GROWTH_LIMIT_BYTES,
    INODE_BYTES,
)
from voidimg.run import Completed, run
from voidimg.tree.beneath import held

_ROOT_INODE = 2
_FEATURES = (
    "sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr,extent,huge_file,flex_bg,"
    "64bit,metadata_csum,dir_nlink,extra_isize"
)
"""The default of e2fsprogs 1.46, which every U-Boot, GRUB and kernel in use reads."""

_CONFIGURATION = f"""\
[defaults]
base_features = {_FEATURES}
default_mntopts = acl,user_xattr
enable_periodic_fsck = 0
blocksize = {BLOCK_BYTES}
inode_size = {INODE_BYTES}

[fs_types]
ext4 = {{
    inode_size = {INODE_BYTES}
}}
small = {{
    inode_size = {INODE_BYTES}
}}
floppy = {{
    inode_size = {INODE_BYTES}
}}
"""
_BIND_AND_RUN = """\
while [ "$1" != -- ]; do
    mount --bind "$1" "$2" || exit 1
    shift 2
done
shift
exec "$@"
"""


def make_ext4(
    plan: Ext4Plan, tree: Path, top: str | None, other_mounts: Sequence[str], image: Path,
    offset_bytes: int, epoch: int, scratch: Path,
) -> None:  # fmt: skip
    """Make the filesystem at `offset_bytes` of `image` from the directory `top` of `tree`.

    Args:
        plan: geometry, identifier and label.
        tree: the tree on the host.
        top: what becomes ``/`` of the filesystem; None leaves it empty.
        other_mounts: directories of the tree that stay empty: other partitions are mounted there.
        image: the disk image; that part of it must read as zeros.
        offset_bytes: where the filesystem begins.
        epoch: every access and change time; modification times after it become it.
        scratch: an empty private directory.

    Raises:
        ToolError: mke2fs or debugfs is missing or failed.
    """
    image, scratch = image.absolute(), scratch.absolute()
    configuration = scratch / "mke2fs.conf"
    configuration.write_text(_CONFIGURATION)
    environment = {"MKE2FS_CONFIG": str(configuration), "E2FSPROGS_FAKE_TIME": str(epoch)}
    words = _mke2fs(plan, image, offset_bytes, filled=top is not None)
    commands = "".join(_root_commands(None, epoch))
    if top is None:
        run(words, env=environment)
    else:
        with mount_point(tree, top) as source:
            hidden = sorted(other_mount_points(top, other_mounts))
            hiding = _hiding(tree, top, hidden, scratch)
            run([*hiding, *words], env=environment, cwd=held(source))
            commands = "".join(_root_commands(os.fstat(source), epoch))
    with image.open("rb") as file:
        times = "".join(_time_commands(file, offset_bytes, plan.geometry.groups, epoch))
    script = scratch / "times.debugfs"
    script.write_text(times + commands)
    ended = run(
        ["debugfs", "-w", "-f", script, Inside(image, f"?offset={offset_bytes}")], env=environment
    )
    _check_debugfs(ended)


def _check_debugfs(ended: Completed) -> None:
    """Its exit status says nothing of the commands, but beside its name it writes only errors."""
    said = [line for line in ended.stderr.splitlines() if not line.startswith("debugfs 1.")]
    if said:
        raise ToolError(
            f"debugfs could not set times and modes: {said[0]}", code="FAILED", where="debugfs"
        )


def _mke2fs(plan: Ext4Plan, image: Path, offset_bytes: int, *, filled: bool) -> list[Argument]:
    """The command; `filled` from the working directory."""
    geometry = plan.geometry
    extended = {
        "offset": offset_bytes,
        "hash_seed": plan.uuid,
        "resize": GROWTH_LIMIT_BYTES // BLOCK_BYTES,
        "root_owner": "0:0",
        "lazy_itable_init": 0,
        "lazy_journal_init": 0,
        "assume_storage_prezeroed": 1,  # a new sparse file: nothing to clear
    }
    if geometry.blocks * BLOCK_BYTES >= GROWTH_LIMIT_BYTES:
        del extended["resize"]
    joined = ",".join(f"{name}={value}" for name, value in extended.items())
    words: list[Argument] = [
        "mke2fs",
        "-q",
        "-F",
        "-t",
        "ext4",
        "-b",
        str(BLOCK_BYTES),
        "-I",
        str(INODE_BYTES),
    ]
    words += ["-N", str(geometry.inodes), "-m", str(plan.reserved_percent), "-U", str(plan.uuid)]
    words += ["-L", plan.label, "-E", f"{joined},nodiscard"]
    if geometry.journal_mib:
        words += ["-O", "has_journal", "-J", f"size={geometry.journal_mib}"]
    if filled:
        words += ["-d", "."]
    return [*words, image, str(geometry.blocks)]


def _hiding(tree: Path, top: str, directories: Sequence[str], scratch: Path) -> list[Argument]:
    """Words before a command that show it these directories as empty ones of the same owner.

    The mounts live in a mount namespace of that command alone, and end with it. `directories` are
    relative to `top`, which is the working directory of the command.

    Raises:
        LayoutError: one of them is not there, or is a link.
    """
    if not directories:
        return []
    words: list[Argument] = ["unshare", "--mount", "--propagation", "private"]
    if os.geteuid() != 0:
        words += ["--map-current-user", "--keep-caps"]
    words += ["sh", "-c", _BIND_AND_RUN, "sh"]
    for number, directory in enumerate(directories):
        with mount_point(tree, f"{top.rstrip('/')}/{directory}") as found:
            status = os.fstat(found)
        empty = scratch / f"empty-{number}"
        empty.mkdir()
        if (status.st_uid, status.st_gid) != (empty.stat().st_uid, empty.stat().st_gid):
            os.chown(empty, status.st_uid, status.st_gid)
        empty.chmod(stat.S_IMODE(status.st_mode))
        os.utime(empty, ns=(status.st_atime_ns, status.st_mtime_ns))
        words += [empty, f"./{directory}"]
    return [*words, "--"]


def _root_commands(status: os.stat_result | None, epoch: int) -> Iterator[str]:
    """Commands of debugfs that give ``/`` the mode and owner of `status`."""
    mode, owner, group, time = 0o755, 0, 0, epoch
    if status is not None:
        mode, owner, group = stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid
        time = min(int(status.st_mtime), epoch)
    yield f"sif <{_ROOT_INODE}> mode 0{stat.S_IFDIR | mode:o}\n"
    yield f"sif <{_ROOT_INODE}> uid {owner}\nsif <{_ROOT_INODE}> gid {group}\n"
    yield f"sif <{_ROOT_INODE}> mtime @{time}\n"


def _time_commands(file: BinaryIO, offset_bytes: int, groups: int, epoch: int) -> Iterator[str]:
    """Commands of debugfs that set the times of every inode in use."""
    for number, modified in _used_inodes(file, offset_bytes, groups):
        yield f"sif <{number}> ctime @{epoch}\nsif <{number}> atime @{epoch}\n"
        if modified > epoch or modified < 0:
            yield f"sif <{number}> mtime @{epoch}\n"


def _used_inodes(file: BinaryIO, offset_bytes: int, groups: int) -> Iterator[tuple[int, int]]:
    """Number and modification time of ``/``, lost+found and every inode made for the content.

    Group descriptors follow the superblock's block; an inode has its mode at byte 0, mtime at 16.
    """

    def at(block: int, length: int) -> bytes:
        file.seek(offset_bytes + block * BLOCK_BYTES)
        return file.read(length)

    superblock = at(0, BLOCK_BYTES)
    per_group: int = struct.unpack_from("<I", superblock, 1024 + 0x28)[0]
    descriptors = at(1, groups * DESCRIPTOR_BYTES)
    for group in range(groups):
        descriptor = group * DESCRIPTOR_BYTES
        table_low = struct.unpack_from("<I", descriptors, descriptor + 8)[0]
        table_high = struct.unpack_from("<I", descriptors, descriptor + 0x28)[0]
        unused = struct.unpack_from("<H", descriptors, descriptor + 0x1C)[0]
        used = per_group - unused
        table = at(table_low | table_high << 32, used * INODE_BYTES)
        for index in range(used):
            number = group * per_group + index + 1
            mode, modified = struct.unpack_from("<H14xi", table, index * INODE_BYTES)
            if mode and (number >= FIRST_INODE or number == _ROOT_INODE):
                yield number, modified
