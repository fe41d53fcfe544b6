"""Reports: errors with the console's end, JSON, and JUnit XML that a parser accepts."""

from __future__ import annotations

import json
import pickle
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from voidimg.errors import CollectedError, exit_status_of
from voidimg.smoke.verdict import BootVerdict, Check, GuestError, SmokeReport, write_report

PASSED = Check("login", "passed", 1.5)
FAILED = Check("root", "failed", 2.0, code="STATEMENT", message="<no>", output="a\x1b[0m\x00&")
SKIPPED = Check("later", "skipped", 0.0, message="not reached")


def _report(tmp_path: Path, *checks: Check) -> SmokeReport:
    log = tmp_path / "console.log"
    log.write_bytes(b"\x1b[1mboot\x1b[0m\r\n\xff login: ")
    boot = BootVerdict(
        "nvme", "virt", "raspberry-pi", "tcg", 12.0, 5.0, True, log, "login:", checks
    )
    return SmokeReport(Path("void-rpi-aarch64-20240314.img"), "rpi-aarch64", (boot,))


def test_nothing_is_raised_when_all_passed(tmp_path: Path) -> None:
    """And the report says so."""
    report = _report(tmp_path, PASSED)
    report.require_passed()
    assert report.passed


def test_a_failure_is_an_error_with_the_guests_output(tmp_path: Path) -> None:
    """It names boot, check and log, and survives pickling."""
    with pytest.raises(GuestError) as caught:
        _report(tmp_path, PASSED, FAILED, SKIPPED).require_passed()
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.code, exit_status_of(error)) == ("E-BOOT-STATEMENT", 15)
    assert "nvme on virt: root: <no>" in str(error)
    assert error.output == FAILED.output


def test_several_failures_are_collected(tmp_path: Path) -> None:
    """All at once, with the same exit status."""
    with pytest.raises(CollectedError) as caught:
        _report(tmp_path, FAILED, FAILED).require_passed()
    assert exit_status_of(caught.value) == 15


def test_junit_counts_and_holds_the_console(tmp_path: Path) -> None:
    """Whatever bytes the console had."""
    path = tmp_path / "verdict.xml"
    write_report(_report(tmp_path, PASSED, FAILED, SKIPPED), path)
    (suite,) = ET.parse(path).getroot()
    assert tuple(suite.get(name) for name in ("tests", "failures", "skipped")) == ("3", "1", "1")
    assert suite.find("testcase/failure") is not None
    assert "login:" in (suite.findtext("system-out") or "")


def test_json_is_plain(tmp_path: Path) -> None:
    """All of it can be dumped."""
    answer = json.loads(json.dumps(_report(tmp_path, PASSED, FAILED).as_json()))
    assert answer["passed"] is False
    assert [check["status"] for check in answer["boots"][0]["checks"]] == ["passed", "failed"]
