"""The system calls that programs of a tree are refused: numbers by machine, and what they are told.

Numbers are those of the Linux uapi headers. What install scripts never need is refused when it
reaches past their tree: keys of the caller, mounts, the kernel itself, other programs, the clock,
and interfaces with a long record of faults. Programs go on without: ``EPERM`` is what root without
the capability gets, ``ENOSYS`` what an older kernel says.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass

AUDIT_X86_64, AUDIT_I386 = 0xC000003E, 0x40000003
AUDIT_AARCH64, AUDIT_RISCV64, AUDIT_LOONGARCH64 = 0xC00000B7, 0xC00000F3, 0xC0000102
"""How a filter tells the kinds of system calls apart (AUDIT_ARCH_... of linux/audit.h)."""

_NEW_NAMESPACES = 0x7E020000
"""CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET."""
_NEW_TIME = 0x80
"""CLONE_NEWTIME, of unshare only: in clone the low byte is the signal at the end."""
_FAMILIES = (1, 2, 10, 16)
"""AF_UNIX, AF_INET, AF_INET6, AF_NETLINK. All others reach past the network namespace (AF_VSOCK),
or into parts of the kernel that no script needs (AF_ALG, AF_PACKET)."""
_TERMINAL_REQUESTS = (0x5412, 0x541C)
"""TIOCSTI and TIOCLINUX put words into the mouth of whoever sits at the terminal."""
_SOCKETCALL_SOCKET = 1


@dataclass(frozen=True, slots=True)
class Refusal:
    """How a call is refused: `number` is the errno.

    With `mask` only when argument `argument` has one of its bits; with `values` only when it is one
    of them; with `but` only when it is none of them.
    """

    number: int
    argument: int = 0
    mask: int = 0
    values: tuple[int, ...] = ()
    but: tuple[int, ...] = ()


_NO = Refusal(errno.EPERM)
_UNKNOWN = Refusal(errno.ENOSYS)

REFUSED: Mapping[str, Refusal] = {
    # keys of the caller
    "add_key": _NO, "keyctl": _NO, "request_key": _NO,
    # mounts and namespaces, and what tells where the tree is on the host
    "mount": _NO, "umount": _NO, "umount2": _NO, "pivot_root": _NO, "setns": _NO,
    "fsconfig": _UNKNOWN, "fsmount": _UNKNOWN, "fsopen": _UNKNOWN, "fspick": _UNKNOWN,
    "listmount": _UNKNOWN, "mount_setattr": _UNKNOWN, "move_mount": _UNKNOWN,
    "open_tree": _UNKNOWN, "open_tree_attr": _UNKNOWN, "statmount": _UNKNOWN,
    "unshare": Refusal(errno.EPERM, mask=_NEW_NAMESPACES | _NEW_TIME),
    "clone": Refusal(errno.EPERM, mask=_NEW_NAMESPACES),
    "clone3": _UNKNOWN,  # its flags lie in memory; C libraries take clone then
    "open_by_handle_at": _NO,
    # the kernel, its clock and its log
    "acct": _NO, "create_module": _UNKNOWN, "delete_module": _NO, "finit_module": _NO,
    "get_kernel_syms": _UNKNOWN, "init_module": _NO, "ioperm": _NO, "iopl": _NO,
    "kexec_file_load": _NO, "kexec_load": _NO, "nfsservctl": _UNKNOWN, "query_module": _UNKNOWN,
    "quotactl": _NO, "quotactl_fd": _NO, "reboot": _NO, "setdomainname": _NO,
    "sethostname": _NO, "swapoff": _NO, "swapon": _NO, "syslog": _NO, "uselib": _UNKNOWN,
    "vhangup": _NO, "vm86": _NO, "vm86old": _NO, "_sysctl": _UNKNOWN,
    "adjtimex": _NO, "clock_adjtime": _NO, "clock_settime": _NO, "settimeofday": _NO, "stime": _NO,
    # other programs
    "kcmp": _NO, "pidfd_getfd": _NO, "process_madvise": _NO, "process_vm_readv": _NO,
    "process_vm_writev": _NO, "ptrace": _NO,
    # interfaces with a long record of faults, and memory that no limit counts
    "bpf": _NO, "fanotify_init": _NO, "io_uring_enter": _UNKNOWN, "io_uring_register": _UNKNOWN,
    "io_uring_setup": _UNKNOWN, "lookup_dcookie": _NO, "memfd_create": _UNKNOWN,
    "memfd_secret": _UNKNOWN, "perf_event_open": _NO, "userfaultfd": _UNKNOWN,
    # words and sockets that reach past the sandbox
    "ioctl": Refusal(errno.EPERM, argument=1, values=_TERMINAL_REQUESTS),
    "socket": Refusal(errno.EAFNOSUPPORT, but=_FAMILIES),
    "socketcall": Refusal(errno.EAFNOSUPPORT, values=(_SOCKETCALL_SOCKET,)),
}  # fmt: skip
"""By name. The family in a ``socketcall`` of 32-bit x86 lies in memory, so it opens no socket."""

REFUSED_TO_READERS: Mapping[str, Refusal] = {**REFUSED, "socket": Refusal(errno.EAFNOSUPPORT)}
"""For programs of the host that read foreign bytes: no socket of any kind either."""

_SAME = {
    "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "clone3": 435, "pidfd_getfd": 438, "process_madvise": 440, "mount_setattr": 442,
    "quotactl_fd": 443, "memfd_secret": 447, "statmount": 457, "listmount": 458,
    "open_tree_attr": 467,
}  # fmt: skip
"""Since number 424 all machines have the same."""

_X86_64 = {
    "acct": 163, "add_key": 248, "adjtimex": 159, "bpf": 321, "clock_adjtime": 305,
    "clock_settime": 227, "clone": 56, "create_module": 174, "delete_module": 176,
    "fanotify_init": 300, "finit_module": 313, "get_kernel_syms": 177, "init_module": 175,
    "ioctl": 16, "ioperm": 173, "iopl": 172, "kcmp": 312, "kexec_file_load": 320,
    "kexec_load": 246, "keyctl": 250, "lookup_dcookie": 212, "memfd_create": 319, "mount": 165,
    "nfsservctl": 180, "open_by_handle_at": 304, "perf_event_open": 298, "pivot_root": 155,
    "process_vm_readv": 310, "process_vm_writev": 311, "ptrace": 101, "query_module": 178,
    "quotactl": 179, "reboot": 169, "request_key": 249, "setdomainname": 171, "sethostname": 170,
    "setns": 308, "settimeofday": 164, "socket": 41, "swapoff": 168, "swapon": 167, "syslog": 103,
    "umount2": 166, "unshare": 272, "uselib": 134, "userfaultfd": 323, "vhangup": 153,
    "_sysctl": 156, **_SAME,
}  # fmt: skip
_I386 = {
    "acct": 51, "add_key": 286, "adjtimex": 124, "bpf": 357, "clock_adjtime": 343,
    "clock_settime": 264, "clock_settime64": 404, "clock_adjtime64": 405, "clone": 120,
    "create_module": 127, "delete_module": 129, "fanotify_init": 338, "finit_module": 350,
    "get_kernel_syms": 130, "init_module": 128, "ioctl": 54, "ioperm": 101, "iopl": 110,
    "kcmp": 349, "kexec_load": 283, "keyctl": 288, "lookup_dcookie": 253, "memfd_create": 356,
    "mount": 21, "nfsservctl": 169, "open_by_handle_at": 342, "perf_event_open": 336,
    "pivot_root": 217, "process_vm_readv": 347, "process_vm_writev": 348, "ptrace": 26,
    "query_module": 167, "quotactl": 131, "reboot": 88, "request_key": 287, "setdomainname": 121,
    "sethostname": 74, "setns": 346, "settimeofday": 79, "socket": 359, "socketcall": 102,
    "stime": 25, "swapoff": 115, "swapon": 87, "syslog": 103, "umount": 22, "umount2": 52,
    "unshare": 310, "uselib": 86, "userfaultfd": 374, "vhangup": 111, "vm86": 166, "vm86old": 113,
    "_sysctl": 149, **_SAME,
}  # fmt: skip
_GENERIC = {
    "acct": 89, "add_key": 217, "adjtimex": 171, "bpf": 280, "clock_adjtime": 266,
    "clock_settime": 112, "clone": 220, "delete_module": 106, "fanotify_init": 262,
    "finit_module": 273, "init_module": 105, "ioctl": 29, "kcmp": 272, "kexec_file_load": 294,
    "kexec_load": 104, "keyctl": 219, "lookup_dcookie": 18, "memfd_create": 279, "mount": 40,
    "nfsservctl": 42, "open_by_handle_at": 265, "perf_event_open": 241, "pivot_root": 41,
    "process_vm_readv": 270, "process_vm_writev": 271, "ptrace": 117, "quotactl": 60,
    "reboot": 142, "request_key": 218, "setdomainname": 162, "sethostname": 161, "setns": 268,
    "settimeofday": 170, "socket": 198, "swapoff": 225, "swapon": 224, "syslog": 116,
    "umount2": 39, "unshare": 97, "userfaultfd": 282, "vhangup": 58, **_SAME,
}  # fmt: skip
"""asm-generic: aarch64, riscv64, loongarch64."""

TABLES: Mapping[str, Mapping[int, Mapping[str, int]]] = {
    "x86_64": {AUDIT_X86_64: _X86_64, AUDIT_I386: _I386},
    "i686": {AUDIT_I386: _I386},
    "aarch64": {AUDIT_AARCH64: _GENERIC},
    "riscv64": {AUDIT_RISCV64: _GENERIC},
    "loongarch64": {AUDIT_LOONGARCH64: _GENERIC},
}
"""Machine, as uname says it -> kind of system call -> name -> number."""


def refusals(
    machine: str, refused: Mapping[str, Refusal] = REFUSED
) -> dict[int, dict[int, Refusal]] | None:
    """What is refused on `machine`: kind of system call -> number -> how; None: nobody knows."""
    tables = TABLES.get(machine)
    if tables is None:
        return None
    return {
        kind: {
            number: refused[name.removesuffix("64") if name not in refused else name]
            for name, number in numbers.items()
        }
        for kind, numbers in tables.items()
    }
