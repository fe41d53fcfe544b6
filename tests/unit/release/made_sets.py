"""Small image sets as `release` and `sign` leave them: a manifest, checksums, a signature."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from voidimg.artifact_names import MANIFEST_NAME
from voidimg.identity import ReleaseDate
from voidimg.release.manifest import BootWay, LintResult, Manifest, SetFile
from voidimg.signing.keys import ReleaseKey, create_release_key
from voidimg.signing.signing import sign_set

BOOT = BootWay(firmware="uefi", machine="virt", medium="usb")

Change = Callable[[dict[str, Any]], object]
"""Changes what the manifest says, before it is signed."""


def image_name(date: str) -> str:
    """The image of the set of `date`."""
    return f"void-rpi-aarch64-{date}.img.xz"


def make_set(top: Path, date: str, change: Change = lambda _said: None) -> Path:
    """An unsigned set of `date` in `top`, linted and booted, but for what `change` changes."""
    directory = top / date
    directory.mkdir(parents=True)
    image = _file(directory, image_name(date), f"image of {date}".encode())
    tar = _file(directory, f"void-aarch64-ROOTFS-{date}.tar.xz", f"tar of {date}".encode())
    lock = _file(directory, f"void-{date}.lock.json", b"{}\n")
    booted = {**BOOT.model_dump(), "sha256": image.sha256, "verdict": "passed"}
    common = {"architecture": "aarch64", "libc": "glibc", "profile": "base"}
    artifacts = [
        {
            **image.model_dump(),
            **common,
            "kind": "image",
            "platform": "rpi-aarch64",
            "boots": [BOOT.model_dump()],
            "smoke": [booted],
        },
        {**tar.model_dump(), **common, "kind": "rootfs", "platform": "aarch64"},
    ]
    for one in artifacts:
        one["lint"] = LintResult(sha256=str(one["sha256"]), errors=0, warnings=1).model_dump()
    said: dict[str, Any] = {
        "set": "tiny",
        "date": date,
        "voidimg": "2026.11.0",
        "lock": lock.model_dump(),
        "artifacts": artifacts,
    }
    change(said)
    manifest = Manifest.decode(json.dumps({"schema": 1, **said}).encode(), "here")
    (directory / MANIFEST_NAME).write_bytes(manifest.encode())
    return directory


def sign(directory: Path) -> ReleaseKey:
    """Sign the set with a key of its own, whose public part lies beside it."""
    date = ReleaseDate.parse(directory.name)
    key = create_release_key(date, directory.parent, passphrase=None)
    sign_set(directory, key.secret_path)
    key.secret_path.rename(directory.parent.parent / key.secret_path.name)
    return key


def made(top: Path, date: str, change: Change = lambda _said: None) -> Path:
    """A signed set of `date` in `top`."""
    directory = make_set(top, date, change)
    sign(directory)
    return directory


def _file(directory: Path, name: str, content: bytes) -> SetFile:
    (directory / name).write_bytes(content)
    return SetFile(name=name, size=len(content), sha256=hashlib.sha256(content).hexdigest())
