"""clean and normalise_times: nothing of the builder, no time of the clock."""

from __future__ import annotations

import os
import struct
import time
from pathlib import Path

import pytest

from voidimg.errors import LayoutError
from voidimg.rootfs.clean import RULES, clean
from voidimg.rootfs.normalise import normalise_times
from voidimg.tree.tree import Tree

EPOCH = 1_700_000_000


def put(root: Path, path: str, content: bytes = b"x") -> Path:
    file = root / path[1:]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


@pytest.mark.parametrize(
    "path",
    [
        "/etc/.pwd.lock",
        "/etc/group.lock",
        "/etc/shadow-",
        "/etc/resolv.conf",
        "/etc/machine-id",
        "/etc/ssh/ssh_host_ed25519_key.pub",
        "/etc/dropbear/dropbear_ed25519_host_key",
        "/etc/iscsi/initiatorname.iscsi",
        "/etc/nvme/hostnqn",
        "/var/lib/NetworkManager/secret_key",
        "/var/lib/tor/hidden/hs_ed25519_secret_key",
        "/var/lib/net-snmp/snmpd.conf",
        "/var/cache/ldconfig/aux-cache",
        "/var/cache/xbps/foo-1_1.x86_64.xbps",
        "/var/db/xbps/lock",
        "/run/lock/subsys/x",
        "/tmp/.hidden",
        "/usr/lib/.voidimg-12",
        "/usr/lib/python3/__pycache__/a.cpython-311.pyc",
    ],
)
def test_what_is_the_builders_goes(tmp_path: Path, path: str) -> None:
    """Unless a package owns it; each removal has a reason."""
    put(tmp_path, path)
    keep = put(tmp_path, "/etc/passwd")
    with Tree(tmp_path) as tree:
        assert clean(tree, {path}) == ()
        (done,) = clean(tree, set())
    assert (done.path, done.rule.action) == (path, "remove")
    assert done.rule.reason
    assert not (tmp_path / path[1:]).exists()
    assert keep.exists()


def test_directories_stay_but_temporary_ones_go(tmp_path: Path) -> None:
    """Directories of caches have owners and modes that scripts gave them."""
    put(tmp_path, "/var/cache/man/index.db")
    put(tmp_path, "/run/lock/file")
    put(tmp_path, "/tmp/a/b/c")
    with Tree(tmp_path) as tree:
        clean(tree, set())
    assert (tmp_path / "var/cache/man").is_dir()
    assert (tmp_path / "run/lock").is_dir()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_logs_are_emptied_and_keep_their_mode(tmp_path: Path) -> None:
    """wtmp must exist with its mode for logins to be recorded."""
    put(tmp_path, "/var/log/wtmp", b"boot").chmod(0o664)
    put(tmp_path, "/var/log/btmp", b"").chmod(0o600)
    with Tree(tmp_path) as tree:
        (done,) = clean(tree, set())
    assert done.path == "/var/log/wtmp"
    assert (tmp_path / "var/log/wtmp").stat().st_size == 0
    assert (tmp_path / "var/log/wtmp").stat().st_mode & 0o7777 == 0o664


def test_byte_code_bound_to_content_stays(tmp_path: Path) -> None:
    """Bit 0 of the flags says that the source's hash is in the file, not its time."""
    put(tmp_path, "/usr/lib/__pycache__/hash.pyc", b"abcd\x03\0\0\0")
    put(tmp_path, "/usr/lib/__pycache__/time.pyc", b"abcd\x00\0\0\0")
    with Tree(tmp_path) as tree:
        assert [item.path for item in clean(tree, set())] == ["/usr/lib/__pycache__/time.pyc"]


def test_links_are_removed_not_followed(tmp_path: Path) -> None:
    """A link in /tmp to somewhere else loses itself only."""
    put(tmp_path, "/etc/passwd")
    (tmp_path / "tmp").mkdir()
    (tmp_path / "tmp/dir").symlink_to("../etc")
    with Tree(tmp_path) as tree:
        assert [item.path for item in clean(tree, set())] == ["/tmp/dir"]
    assert (tmp_path / "etc/passwd").exists()


def test_every_rule_says_why() -> None:
    """The table is the documentation."""
    assert all(rule.reason and rule.pattern for rule in RULES)


@pytest.mark.parametrize("later", [False, True])
def test_times_of_packages_stay_and_those_of_the_build_go(tmp_path: Path, later: bool) -> None:
    """Also when the epoch is later than the build, and for links and directories."""
    epoch = int(time.time()) + 86400 if later else EPOCH
    for name in ("old", "future", "script"):
        put(tmp_path, f"/usr/{name}")
    (tmp_path / "usr/link").symlink_to("nowhere")
    os.utime(tmp_path / "usr/old", (5, 1_000_000_000))
    os.utime(tmp_path / "usr/future", (5, epoch + 7))
    assert normalise_times(tmp_path, epoch) == 6
    paths = [tmp_path / "usr", *(tmp_path / "usr").iterdir()]
    times = {path.name: os.lstat(path).st_mtime_ns / 1e9 for path in paths}
    assert times == dict.fromkeys(("usr", "future", "script", "link"), epoch) | {"old": 1e9}
    assert os.lstat(tmp_path / "usr/old").st_atime == 1e9


def test_the_clock_of_the_host_does_not_decide_what_keeps_its_time(tmp_path: Path) -> None:
    """A package's file newer than the build's clock keeps its time, as with any other clock."""
    epoch = int(time.time()) + 10 * 86400
    for name in ("newer", "script", "before"):
        put(tmp_path, f"/usr/{name}")
    os.utime(tmp_path / "usr/newer", (5, epoch - 86400))
    os.utime(tmp_path / "usr/before", (5, -86400))
    # What a clock that was set back during the build gives.
    os.utime(tmp_path / "usr/script", ns=(5, 1_000_000_000_123_456_789))
    normalise_times(tmp_path, epoch)
    times = {path.name: os.lstat(path).st_mtime for path in (tmp_path / "usr").iterdir()}
    assert times == {"newer": epoch - 86400, "script": epoch, "before": 0}


def _give_list(path: Path) -> None:
    # Version 2; user::rw-, group::r-- under the mask rw-, a named user 1000 with rw-, other::r--.
    entries = ((1, 6, 2**32 - 1), (2, 6, 1000), (4, 4, 2**32 - 1), (16, 6, 2**32 - 1),
               (32, 4, 2**32 - 1))  # fmt: skip
    value = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    os.setxattr(path, "system.posix_acl_access", value)


def test_an_access_control_list_is_refused_with_its_file(tmp_path: Path) -> None:
    """A tarball would drop it, and the mask would then be what the group may do."""
    put(tmp_path, "/usr/listed")
    try:
        _give_list(tmp_path / "usr/listed")
    except OSError:
        pytest.skip("the file system has no access control lists")
    with pytest.raises(LayoutError) as caught:
        normalise_times(tmp_path, EPOCH)
    assert (caught.value.code, caught.value.where) == ("E-LAYOUT-ATTRIBUTE", "/usr/listed")


def test_attributes_that_all_artifacts_hold_are_kept(tmp_path: Path) -> None:
    """Those of users; as root also other ones are refused, each with its file."""
    put(tmp_path, "/usr/noted")
    os.setxattr(tmp_path / "usr/noted", "user.note", b"x")
    normalise_times(tmp_path, EPOCH)
    assert os.getxattr(tmp_path / "usr/noted", "user.note") == b"x"
    if os.geteuid() == 0:
        os.setxattr(tmp_path / "usr/noted", "trusted.note", b"x")
        with pytest.raises(LayoutError, match=r"/usr/noted has the attribute trusted\.note"):
            normalise_times(tmp_path, EPOCH)
