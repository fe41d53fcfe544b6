"""`sign` and `verify` killed at any moment leave a set that the next run signs and verifies.

`VOIDIMG_KILLS` says how many kills there are; the full number is 200.
"""

from __future__ import annotations

import os
import random
import subprocess
import time
from pathlib import Path

from tests.command import arguments, environment, voidimg
from voidimg.signing.keys import ReleaseKey

_KILLS = int(os.environ.get("VOIDIMG_KILLS", "12"))


def test_kills_leave_nothing_behind(image_set: Path, key: ReleaseKey) -> None:
    """No half file, no leftover, and the same bytes as without any kill."""
    words = ("sign", image_set, "--key", key.secret_path)
    begun = time.monotonic()
    assert voidimg(*words).returncode == 0
    took = time.monotonic() - begun
    own = ("sha256sum.txt", "sha256sum.sig")
    right = {name: (image_set / name).read_bytes() for name in own}
    chance = random.Random(1)
    for number in range(_KILLS):
        if number % 2:
            for name in own:
                (image_set / name).unlink(missing_ok=True)
            killed = words
        else:
            killed = ("verify", image_set, "--key", key.public_path)
        with subprocess.Popen(
            arguments(*killed), env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as running:
            time.sleep(chance.uniform(0.3, 1.1) * took)
            running.kill()
        assert all(
            (image_set / name).read_bytes() in (right[name], b"")
            for name in own
            if (image_set / name).exists()
        )
        ended = voidimg(*words)
        assert ended.returncode == 0, ended.stderr
        assert {name: (image_set / name).read_bytes() for name in own} == right
        assert [path.name for path in image_set.iterdir() if path.name.startswith(".")] == []
    assert voidimg("verify", image_set, "--key", key.public_path).returncode == 0
