"""`voidimg smoke` on a live ISO: firmware, loader, typed login and the platform's statements."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tests.boot.conftest import sha256_of, smoke
from tests.images import built_iso

pytestmark = pytest.mark.smoke


@pytest.fixture(scope="session")
def iso(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base ISO with a serial console, in a directory of its own."""
    built = built_iso()
    return Path(shutil.copy(built, tmp_path_factory.mktemp("iso") / built.name))


def test_a_live_iso_passes_on_all_its_machines(iso: Path, tmp_path: Path) -> None:
    """As CD from BIOS and as USB stick from UEFI; the medium stays as it was."""
    before = sha256_of(iso)
    ended = smoke(iso, tmp_path, "--junit", tmp_path / "verdict.xml")
    assert ended.returncode == 0, ended.stderr
    boots = json.loads(ended.stdout)["boots"]
    assert [(boot["medium"], boot["machine"]) for boot in boots] == [("cd", "pc"), ("usb", "q35")]
    for boot in boots:
        assert boot["powered_off"]
        outputs = {check["name"]: check["output"] for check in boot["checks"]}
        assert "anon logs in on the console" in outputs
        assert 'IMAGE_VERSION="20240314"' in outputs["the image says its release date"]
        log = Path(boot["log"]).read_bytes()
        assert b"root=live:CDLABEL=VOID_20240314_X86_64_" in log
    suites = ET.parse(tmp_path / "verdict.xml").getroot()
    assert [suite.get("failures") for suite in suites] == ["0", "0"]
    assert sha256_of(iso) == before


def test_an_iso_that_breaks_its_promises(iso: Path, tmp_path: Path) -> None:
    """Of a profile that says what is not so: the statement is named, the others are judged."""
    ended = smoke(iso, tmp_path, "--medium", "cd", "--profile", "untrue")
    assert ended.returncode == 15, ended.stderr
    (boot,) = json.loads(ended.stdout)["boots"]
    status = {check["name"]: check["status"] for check in boot["checks"]}
    assert status.pop("the root is btrfs") == "failed"
    assert status.pop("a command that never ends") == "failed"
    assert set(status.values()) == {"passed"}
