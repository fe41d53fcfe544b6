"""Debian's paths and links in a merged /usr."""

from __future__ import annotations

import pytest

from tests.testrepo.paths import merged, merged_link


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/bin/cat", "/usr/bin/cat"),
        ("/sbin/init", "/usr/bin/init"),
        ("/usr/sbin/sshd", "/usr/bin/sshd"),
        ("/lib/udev/rules.d/a", "/usr/lib/udev/rules.d/a"),
        ("/usr/lib/x", "/usr/lib/x"),
        ("/etc/fstab", "/etc/fstab"),
        ("/binary", "/binary"),
    ],
)
def test_programs_and_libraries_move_below_usr(old: str, new: str) -> None:
    """Only whole directory names are moved."""
    assert merged(old) == new


@pytest.mark.parametrize(
    ("path", "text", "new"),
    [
        ("/sbin/lsmod", "/bin/kmod", "/usr/bin/kmod"),
        ("/bin/ping4", "ping", "ping"),
        ("/lib/systemd/systemd-udevd", "../../bin/udevadm", "../../bin/udevadm"),
        ("/usr/lib/libfoo.so", "../../lib/libfoo.so.1", "libfoo.so.1"),
        ("/usr/sbin/makewhatis", "../bin/mandoc", "../bin/mandoc"),
        ("/usr/share/x", "/lib/x", "/usr/lib/x"),
        ("/etc/mtab", "/proc/self/mounts", "/proc/self/mounts"),
    ],
)
def test_links_still_lead_where_they_led(path: str, text: str, new: str) -> None:
    """A relative link is resolved from its old place and written from its new one."""
    assert merged_link(path, text) == new


def test_a_link_that_would_name_itself_is_dropped() -> None:
    """Debian has /usr/bin/which -> /bin/which for old scripts."""
    assert merged_link("/usr/bin/which", "/bin/which") is None
