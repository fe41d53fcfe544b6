"""Small trees of an installed system, made in any order."""

from __future__ import annotations

import gzip
import os
import random
from pathlib import Path

from voidimg.xbps.plist import PlistDict, encode

EPOCH = 1710374400
PKGDB: PlistDict = {
    "bash": {
        "pkgver": "bash-5.2.21_1",
        "architecture": "aarch64",
        "state": "installed",
        "automatic-install": True,
    },
    "rpi-base": {
        "pkgver": "rpi-base-2.2_1",
        "architecture": "noarch",
        "state": "unpacked",
        "automatic-install": False,
    },
}
FILES: dict[str, tuple[bytes, int]] = {
    "/boot/kernel8.img": (gzip.compress(b"Linux" * 10_000, mtime=0), 0o755),
    "/boot/bcm2711-rpi-4-b.dtb": (b"\xd0\x0d\xfe\xed" * 1000, 0o644),
    "/boot/cmdline.txt": (b"root=PARTUUID=x rootwait\n", 0o644),
    "/boot/config.txt": (b"# none\n\ndtparam=audio=on\n", 0o444),
    "/boot/overlays/vc4-kms-v3d.dtbo": (b"\xd0\x0d\xfe\xed" * 100, 0o600),
    "/boot/overlays/odd [name] (1).dtbo": (b"x" * 5000, 0o644),
    "/boot/a [dir]/file": (b"y", 0o644),
    "/boot/two\u2028lines": (b"z", 0o644),
    "/etc/fstab": (b"# device\n\nUUID=x  /\text4 defaults 0 1\n", 0o644),
    "/var/db/xbps/pkgdb-0.38.plist": (encode(PKGDB), 0o644),
    "/etc/shadow": (b"root:$6$salt$hash:19796:0:99999:7:::\n", 0o600),
    "/etc/ssh/sshd_config": (b"#PermitRootLogin no\nPermitRootLogin yes\n", 0o644),
    "/etc/sv/sshd/run": (b"#!/bin/sh\n", 0o755),
    "/usr/bin/su": (b"\x7fELF" + bytes(9000), 0o4755),
    "/usr/bin/large": (random.Random(7).randbytes(3_000_000), 0o755),
    "/usr/share/\xfcml\xe4ut": (b"name", 0o644),
    **{f"/usr/lib/many/file{n:04}": (b"%d" % n * 10, 0o644) for n in range(300)},
}
LINKS = {
    "/bin": "usr/bin",
    "/etc/runit/runsvdir/default/sshd": "/etc/sv/sshd",
    "/usr/share/long": "x" * 80,
}


def make_tree(root: Path, seed: int) -> Path:
    """The tree of FILES and LINKS at `root`, made in an order that follows from `seed`."""
    order = random.Random(seed)
    paths = [*FILES, *LINKS, "/tmp", "/proc"]  # paths inside the image
    order.shuffle(paths)
    for path in paths:
        target = root / path[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        if path in FILES:
            content, mode = FILES[path]
            target.write_bytes(content)
            target.chmod(mode)
        elif path in LINKS:
            target.symlink_to(LINKS[path])
        else:
            target.mkdir()
    os.link(root / "usr/bin/su", root / "usr/bin/hard")
    with (root / "usr/lib/sparse").open("wb") as file:
        file.seek(2_000_000)
        file.write(b"end")
    (root / "tmp").chmod(0o1777)
    for directory, directories, files in os.walk(root, topdown=False):
        for name in (*directories, *files):
            path = os.path.join(directory, name)
            os.utime(path, (seed, EPOCH - 1000), follow_symlinks=False)
            if not os.path.islink(path) and os.path.isdir(path) and name != "tmp":
                os.chmod(path, 0o755)
    (root / "usr/lib/many/file0000").touch()  # newer than the epoch
    root.chmod(0o755)
    os.utime(root, (seed, EPOCH - 1000))
    return root
