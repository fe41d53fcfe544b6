"""What a script writes is shown safely, and what it says of failures is heard."""

from __future__ import annotations

import pytest

from voidimg.xbps.script_output import MAX_LINE, MAX_LINES, MAX_WARNINGS, hear


def test_nothing_dangerous_is_shown() -> None:
    """Escapes, C1 controls, marks of direction, carriage returns: written out, or ends of lines."""
    speech = hear("a\x1b[2Jb\x9b1m\x07\r\n50%\r100%\n\n\u202etxt\u2028x\ttab\n")
    assert speech.lines == (
        r"a\x1b[2Jb\x9b1m\x07",
        "50%",
        "100%",
        "\\u202etxt\\u2028x\ttab",
    )


def test_much_is_cut() -> None:
    """First and last lines, and of each the beginning."""
    speech = hear("".join(f"line {number}\n" for number in range(1000)) + "x" * 5000)
    assert len(speech.lines) == MAX_LINES
    assert (speech.lines[0], speech.left_out) == ("line 0", 1001 - MAX_LINES)
    assert speech.lines[-1] == "x" * MAX_LINE + " ..."


@pytest.mark.parametrize(
    "line",
    [
        "ERROR: no such group",
        "WARNING: cannot create _x system user/group (missing useradd/getent/passwd)",
        "FAILED",
        "Failed to create _x (uid 3) system user!",
        "  warning: x",
        "Error 3",
    ],
)
def test_lines_that_warn(line: str) -> None:
    """Wherever in the output they are; the words of triggers count in any case."""
    assert hear(f"before\n{line}\nafter\n").warnings == (line.rstrip(),)


@pytest.mark.parametrize(
    "line",
    [
        "/dev/xbps-script: 25: ./usr/libexec/xbps-triggers/mkdirs: not found",
        "bash: line 3: ./usr/libexec/xbps-triggers/mkdirs: No such file or directory",
        "sh: ./usr/libexec/xbps-triggers/mkdirs: Permission denied",
        "/dev/xbps-script: 25: ./var/db/xbps/triggers/mkdirs: not found",
    ],
)
def test_triggers_that_are_not_there(line: str) -> None:
    """In the words of dash, bash and busybox."""
    assert hear(line).absent == (line,)


@pytest.mark.parametrize("line", ["no error", "errors: 0", "Warnings are off", "unfailed"])
def test_lines_that_do_not_warn(line: str) -> None:
    """A word inside is no beginning, and a longer word is another."""
    assert hear(line).warnings == ()


def test_warnings_are_few() -> None:
    """However many lines say so; what is left out is counted."""
    warnings = hear("".join(f"ERROR {number}\n" for number in range(100))).warnings
    assert len(warnings) == MAX_WARNINGS + 1
    assert "80 more" in warnings[-1]


@pytest.mark.parametrize(
    "line",
    [
        "/dev/xbps-script: 3: Cannot fork",
        "sh: can't fork: Resource temporarily unavailable",
        "/dev/xbps-script: fork: retry: Resource temporarily unavailable",
        "/dev/xbps-script: fork: retry: No child processes",
        "/bin/bash: line 2: fork: Cannot allocate memory",
        "bash: xrealloc: cannot allocate 18446744071562067968 bytes (106496 bytes allocated)",
        "cp: error writing 'x': No space left on device",
        "OSError: [Errno 28] No space left on device: '/x'",
        "BlockingIOError: [Errno 11] Resource temporarily unavailable",
        "cat: /etc/passwd: Too many open files",
        "cat: /etc/passwd: No file descriptors available",
        "sh: out of memory",
        "/dev/xbps-script: 1: Pipe call failed",
        "dd: error writing 'x': File too large",
        "cp: error writing 'x': Disk quota exceeded",
        "Killed",
        "Segmentation fault",
        "Segmentation fault (core dumped)",
        "/dev/xbps-script: line 3:    12 Killed                  sleep 5",
        "/dev/xbps-script: line 3:    12 Segmentation fault      (core dumped) true",
        "File size limit exceeded",
        "qemu: uncaught target signal 11 (Segmentation fault) - core dumped",
    ],
)
def test_breakdowns_are_heard(line: str) -> None:
    """What dash, bash, busybox, the C libraries and qemu say."""
    assert hear(f"fine\n{line}\nfine\n").breakdowns == (line,)


@pytest.mark.parametrize(
    "line",
    [
        "If too many open files are a problem, raise the limit.",
        "Killed 3 old sessions.",
        "The kernel says Killed when memory is short",
        "using fork() for workers",
        "Terminated",
        "No space left on device? See the manual.",
        "Aborted by user",
    ],
)
def test_advice_is_no_breakdown(line: str) -> None:
    """Packages may talk about such things, and scripts may end what they started."""
    assert hear(line).breakdowns == ()


def test_long_lines_take_no_time() -> None:
    """The patterns are linear in practice: a line is cut before it is looked at."""
    assert hear(": " * 200_000 + "\n" + "[] (" * 100_000).breakdowns == ()
