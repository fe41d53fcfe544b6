"""Metrics in the text of Prometheus, and the alert rules that use them, judged by promtool."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.unit.release.conftest import DATE
from tests.unit.release.made_sets import BOOT, make_set
from voidimg.fetch import Cache
from voidimg.formats.metrics import encode_metrics, gauge
from voidimg.release.judging import _seconds_key, boot_seconds
from voidimg.release.manifest import SmokeResult, read_manifest
from voidimg.release.metrics import _gauges
from voidimg.release.mirror_metrics import mirror_metrics
from voidimg.release.mirror_states import MirrorStatus
from voidimg.release.mirrors import expected_of_directory
from voidimg.release.remembered import remember
from voidimg.signing.keys import ReleaseKey, read_public_key
from voidimg.signing.signing import sign_set
from voidimg.supply.status import prometheus_text

PROJECT = Path(__file__).resolve().parents[3]
RULES = PROJECT / "docs" / "monitoring" / "voidimg.rules.yml"


def checked(text: str) -> None:
    """Ensure that promtool has nothing to say of `text`."""
    ended = subprocess.run(
        ["promtool", "check", "metrics"], input=text, capture_output=True, text=True
    )
    assert (ended.returncode, ended.stdout + ended.stderr) == (0, "")


def names(text: str) -> set[str]:
    return set(re.findall(r"^# TYPE (\S+) gauge$", text, re.MULTILINE))


@pytest.fixture
def release_text(tmp_path: Path) -> str:
    directory = make_set(tmp_path / "made", "20240314")
    (tmp_path / "made" / "current").symlink_to("20240314")
    manifest = read_manifest(directory)
    image = next(one for one in manifest.artifacts if one.smoke)
    return encode_metrics(
        _gauges(manifest, directory.parent, Cache(tmp_path / "cache"), {image.name: 12.5})
    )


def test_a_release_has_the_metrics_of_its_set_and_artifacts(release_text: str) -> None:
    checked(release_text)
    lines = release_text.splitlines()
    assert 'voidimg_set_date_seconds{set="tiny"} 1710374400' in lines
    assert 'voidimg_set_complete{set="tiny"} 1' in lines
    assert "voidimg_current_date_seconds 1710374400" in lines
    board = 'set="tiny",artifact="image",platform="rpi-aarch64",profile="base"'
    assert f"voidimg_artifact_build_seconds{{{board}}} 12.500" in lines
    assert f'voidimg_lint_findings{{{board},severity="warning"}} 1' in lines
    way = 'medium="usb",machine="virt",firmware="uefi"'
    assert f"voidimg_smoke_success{{{board},{way}}} 1" in lines


def test_how_long_a_boot_took_is_remembered(tmp_path: Path) -> None:
    """The manifest says no times, so that it has the same bytes each time."""
    cache = Cache(tmp_path / "cache")
    boot = SmokeResult(**BOOT.model_dump(), sha256="0" * 64, verdict="passed")
    assert boot_seconds(cache, boot) is None
    remember(cache, _seconds_key(boot), 31.25)
    assert boot_seconds(cache, boot) == 31.25


@pytest.mark.parametrize("label", ['"', "\\", "a\nb", "ü", "{}", ""])
def test_any_label_is_sound(label: str) -> None:
    checked(encode_metrics([gauge("voidimg_x", "An example", [({"set": label}, 1)])]))


def test_the_rules_are_sound_and_use_metrics_that_exist(
    release_text: str, image_set: Path, key: ReleaseKey
) -> None:
    ended = subprocess.run(["promtool", "check", "rules", RULES], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    used = set(re.findall(r"\b(?:voidimg|repo)_\w+", "".join(
        line for line in RULES.read_text().splitlines() if "expr:" in line
    )))  # fmt: skip
    sign_set(image_set, key.secret_path)
    trusted = read_public_key(key.public_path)
    expected = expected_of_directory(image_set.parent, DATE, trusted)
    status = MirrorStatus("https://a.example", "good", "it is good", "20240314", 60)
    mirrors = mirror_metrics([status], expected)
    checked(mirrors)
    assert used <= names(release_text) | names(mirrors) | names(prometheus_text([]))
