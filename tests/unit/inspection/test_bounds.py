"""Programs of the host that read foreign bytes take only so much."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from voidimg.errors import LayoutError, ToolError
from voidimg.inspection import boot_files
from voidimg.inspection.boot_files import BootFiles
from voidimg.sandbox.confined import run_bounded


def test_memory_is_limited() -> None:
    with pytest.raises(ToolError):
        run_bounded(
            ["python3", "-c", "import time; time.sleep(.2); bytearray(5 * 2**30)"], max_bytes=9
        )


def test_processor_time_is_limited() -> None:
    with pytest.raises(ToolError, match=r"killed by SIG(XCPU|KILL)"):
        run_bounded(["sh", "-c", "while :; do :; done"], max_bytes=9, seconds=1)


def test_files_are_limited(tmp_path: Path) -> None:
    with pytest.raises(ToolError):
        run_bounded(["truncate", "-s", "5G", tmp_path / "large"], max_bytes=9, writes=[tmp_path])


def test_output_is_limited() -> None:
    with pytest.raises(ToolError, match="wrote more than 1 KiB") as caught:
        run_bounded(["cat", "/dev/zero"], max_bytes=1024)
    assert caught.value.code == "E-TOOL-TOO-MUCH"


def test_a_file_of_a_fat_that_is_too_large_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not read into memory: a FAT of 3 GB is a sparse file of nothing."""
    image, large = tmp_path / "fat", tmp_path / "large"
    large.write_bytes(bytes(300_000))
    subprocess.run(["truncate", "-s", "16M", image], check=True)
    subprocess.run(["mkfs.vfat", image], check=True, capture_output=True)
    subprocess.run(["mcopy", "-i", image, large, "::/kernel8.img"], check=True)
    files = BootFiles(image, 0)
    assert len(files.read("/kernel8.img")) == 300_000
    monkeypatch.setattr(boot_files, "MAX_BOOT_FILE_BYTES", 299_999)
    with pytest.raises(LayoutError, match=r"/kernel8\.img on the boot partition is larger"):
        files.read("/kernel8.img")
