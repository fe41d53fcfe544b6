"""What a kernel command line can say, and what a title in a boot menu can be. Pure.

The kernel takes words apart at white space, keeps what stands in double quotes together
(lib/cmdline.c, `next_arg`), and reads no more than `MAX_BYTES`. On its way through a boot menu a
word meets the shells of the loaders too, which have signs of their own.
"""

from __future__ import annotations

from collections.abc import Iterator

from voidimg.arch import without_libc

MAX_BYTES = 2047
"""COMMAND_LINE_SIZE of x86 and arm64 is 2048 with the closing zero (kernel, setup.h)."""
_SHORT = ("armv5tel", "armv6l", "armv7l")
"""Where it is 1024 (arch/arm/include/uapi/asm/setup.h)."""
ROOT_BYTES = len("root=PARTUUID=01234567-0123-0123-0123-012345678901 ")
"""What stands before the words of a disk image."""
LOADER_SIGNS = frozenset("\"'\\$;&|<>{}#`")
"""What GRUB's shell or isolinux would take for its own; a word that needs it cannot be written."""
MAX_TITLE = 40
"""Characters of a title in a boot menu: what tells the entries apart must be on the screen too."""
_FORBIDDEN_IN_TITLES = frozenset("\"'\\$^`")


def most_bytes(arch: str) -> int:
    """How long a command line the kernel of `arch` reads, which may say its libc.

    >>> most_bytes("aarch64-musl"), most_bytes("armv6l")
    (2047, 1023)
    """
    return MAX_BYTES // 2 if without_libc(arch) in _SHORT else MAX_BYTES


def why_not_kernel(cmdline: str, arch: str = "", *, before_bytes: int = 0) -> str | None:
    """Why the kernel of `arch` (by default of 64 bits) would not read `cmdline` as it is, or None.

    `before_bytes`: how long what stands before it is.
    """
    if not cmdline.replace("\t", " ").isprintable() or not cmdline.isascii():
        return "it has letters that are not ASCII, or signs that cannot be printed"
    if cmdline.count('"') % 2:
        return "its double quotes are not in pairs"
    length = before_bytes + len(cmdline)
    if length > most_bytes(arch):
        return f"it has {length} bytes, but the kernel reads {most_bytes(arch)}"
    return None


def sets_root(cmdline: str) -> bool:
    """Whether `cmdline` says which filesystem is the root."""
    return any(word.startswith("root=") for word in cmdline.split())


def is_menu_word(word: str) -> bool:
    """Whether every loader gives `word` to the kernel as it is."""
    plain = word.isascii() and word.isprintable() and " " not in word
    return plain and not set(word) & LOADER_SIGNS


def bad_menu_words(cmdline: str) -> Iterator[str]:
    """The words of `cmdline` that a loader would change, each once."""
    return (word for word in dict.fromkeys(cmdline.split()) if not is_menu_word(word))


def title_fits(title: str) -> bool:
    """Whether every loader shows `title` as it is: one line, without what they take for theirs.

    isolinux shows bytes, in the character set of the PC's own screen.
    """
    plain = title.isascii() and title.isprintable() and not set(title) & _FORBIDDEN_IN_TITLES
    return plain and bool(title.strip())
