"""The filter of system calls that programs of a tree run under, put together as classic BPF.

A filter (seccomp(2)) is a list of instructions of ``struct sock_filter``, each 8 bytes: code (u16),
how many instructions to skip when a comparison is true (u8) or false (u8), operand (u32). It reads
``struct seccomp_data``: number of the call at 0, kind of system call at 4, arguments (u64) at 16.
"""

from __future__ import annotations

import ctypes
import errno
import struct
from collections.abc import Mapping, Sequence

from voidimg.errors import SandboxError
from voidimg.sandbox import kernel
from voidimg.sandbox.system_calls import AUDIT_X86_64, REFUSED, Refusal, refusals

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
"""BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_JMP|JSET|K, BPF_RET|K."""
_NUMBER_AT, _KIND_AT, _ARGUMENTS_AT = 0, 4, 16
_ALLOW, _ERRNO, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
"""SECCOMP_RET_ALLOW, _ERRNO (the errno in the low 16 bits), _KILL_PROCESS."""
_X32 = 0x40000000
"""Numbers from here on are of the x32 interface, which has its own table: all refused."""
_MODE_FILTER = 2

_Instruction = tuple[int, int, int, int]


def build_filter(machine: str, refused: Mapping[str, Refusal] = REFUSED) -> bytes:
    """The filter that refuses `refused` on a host `machine`, as uname says it; pure.

    Raises:
        SandboxError: nobody has written down the system calls of this machine.
    """
    kinds = refusals(machine, refused)
    if kinds is None:
        raise SandboxError(
            f"no table of system calls is known for {machine}, and scripts of packages are not run"
            " without their filter",
            code="SECCOMP",
            where=machine,
            hint="build on x86_64, aarch64, riscv64 or loongarch64",
        )
    program: list[_Instruction] = [(_LOAD, 0, 0, _KIND_AT)]
    for kind, numbers in kinds.items():
        block = _block(kind, numbers)
        # Jumps reach 255 instructions, blocks are longer: so a return stands in between.
        program += _unless_equal(kind, block)
    program.append((_RETURN, 0, 0, _KILL))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _unless_equal(kind: int, block: Sequence[_Instruction]) -> list[_Instruction]:
    """`block` when the kind is `kind`; else go on after it (BPF_JMP|JA takes 32 bits)."""
    always = 0x05
    return [(_EQUAL, 1, 0, kind), (always, 0, 0, len(block)), *block]


def _block(kind: int, refused: Mapping[int, Refusal]) -> list[_Instruction]:
    block: list[_Instruction] = [(_LOAD, 0, 0, _NUMBER_AT)]
    if kind == AUDIT_X86_64:
        block += [(_AT_LEAST, 0, 1, _X32), _refuse(errno.ENOSYS)]
    for number, refusal in sorted(refused.items()):
        body = _body(refusal)
        block += [(_EQUAL, 0, len(body), number), *body]
    return [*block, (_RETURN, 0, 0, _ALLOW)]


def _body(refusal: Refusal) -> list[_Instruction]:
    """What is done with a call once its number is known; it always ends with a return."""
    no, yes = _refuse(refusal.number), (_RETURN, 0, 0, _ALLOW)
    load = (_LOAD, 0, 0, _ARGUMENTS_AT + 8 * refusal.argument)  # low half: all tables are of
    if refusal.mask:  # little endian machines
        return [load, (_ANY_BIT, 0, 1, refusal.mask), no, yes]
    values = refusal.values or refusal.but
    if not values:
        return [no]
    hit, miss = (no, yes) if refusal.values else (yes, no)
    tests = [(_EQUAL, len(values) - index, 0, value) for index, value in enumerate(values)]
    return [load, *tests, miss, hit]


def _refuse(number: int) -> _Instruction:
    return (_RETURN, 0, 0, _ERRNO | number)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def install_filter(program: bytes) -> None:
    """Put this process and all its descendants under `program`, for good.

    Raises:
        OSError: the kernel was built without filters (EINVAL), or forbids them.
    """
    buffer = ctypes.create_string_buffer(program, len(program))
    wrapped = _Program(len(program) // 8, ctypes.addressof(buffer))
    kernel.prctl(kernel.PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(wrapped))
