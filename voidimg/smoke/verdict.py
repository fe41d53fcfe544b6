"""What a boot test found, as values, as JSON and as JUnit XML."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from voidimg.atomic import write_result
from voidimg.errors import BootTestError, raise_all

_NOT_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd]")
_SYSTEM_OUT_CHARACTERS = 200_000


class GuestError(BootTestError):
    """The guest did not start, let us in or answer. `output` has its last console lines."""

    def __init__(self, what: str, *, code: str, where: str | None = None, hint: str | None = None):
        super().__init__(what, code=code, where=where, hint=hint)
        self.output = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was to be true of the guest, and what came of it after `seconds`.

    `output` is the guest's last answer, `message` says why it failed or was not tried.
    """

    name: str
    status: Literal["passed", "failed", "skipped"]
    seconds: float
    code: str | None = None
    message: str = ""
    command: str = ""
    expect: str = ""
    output: str = ""
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class BootVerdict:
    """One boot of the image, from one medium of one machine; or a ``tree`` in the ``sandbox``.

    `login_seconds` is the time from QEMU's start to the login prompt, None when none came.
    `powered_off` says whether the guest ended by itself when told to, `why_not_kvm` why its
    instructions were emulated, where they were.
    """

    medium: str
    machine: str
    firmware: str
    accelerator: Literal["tcg", "kvm", "qemu-user", "none"]
    seconds: float
    login_seconds: float | None
    powered_off: bool
    log: Path
    last_lines: str
    checks: tuple[Check, ...]
    why_not_kvm: str = ""

    @property
    def name(self) -> str:
        """The boot in words: ``nvme on virt``, ``usb on q35 by uefi``."""
        if self.firmware == "none":
            return f"{self.medium} in the {self.machine}"
        by = "" if self.firmware == "raspberry-pi" else f" by {self.firmware}"
        return f"{self.medium} on {self.machine}{by}"

    @property
    def passed(self) -> bool:
        """Whether every check passed."""
        return all(check.status == "passed" for check in self.checks)


@dataclass(frozen=True, slots=True)
class SmokeReport:
    """The boots of one image."""

    image: Path
    platform: str
    boots: tuple[BootVerdict, ...]

    @property
    def passed(self) -> bool:
        """Whether the image passed on every machine."""
        return all(boot.passed for boot in self.boots)

    def require_passed(self) -> None:
        """Return when everything passed.

        Raises:
            GuestError: the one check that failed; several in a `CollectedError`.
        """
        errors = []
        for boot in self.boots:
            for check in boot.checks:
                if check.status != "failed":
                    continue
                error = GuestError(
                    f"{boot.name}: {check.name}: {check.message}",
                    code=check.code or "STATEMENT",
                    where=self.image.name,
                    hint=f"the whole console is in {boot.log}",
                )
                error.output = check.output or boot.last_lines
                errors.append(error)
        raise_all(errors, f"{self.image.name} failed {len(errors)} checks")

    def as_json(self) -> dict[str, object]:
        """The report as a JSON-ready mapping; times in seconds."""
        return {
            "image": self.image.name,
            "platform": self.platform,
            "passed": self.passed,
            "boots": [_boot_as_json(boot) for boot in self.boots],
        }

    def as_junit(self) -> bytes:
        """The report as JUnit XML: a suite for each boot, a case for each check."""
        root = ET.Element("testsuites", name=f"voidimg smoke {self.image.name}")
        for boot in self.boots:
            root.append(self._suite(boot))
        ET.indent(root)
        body: bytes = ET.tostring(root, "utf-8")
        return b'<?xml version="1.0" encoding="UTF-8"?>\n' + body + b"\n"

    def _suite(self, boot: BootVerdict) -> ET.Element:
        count = dict.fromkeys(("failed", "skipped"), 0)
        suite = ET.Element("testsuite", name=f"{self.platform} {boot.name}")
        for check in boot.checks:
            case = ET.SubElement(
                suite,
                "testcase",
                classname=f"{self.platform}.{boot.medium}-{boot.machine}",
                name=check.name,
                time=f"{check.seconds:.3f}",
            )
            if check.status != "passed":
                count[check.status] += 1
                tag = "failure" if check.status == "failed" else "skipped"
                mark = ET.SubElement(case, tag, message=_xml_text(check.message))
                mark.text = _xml_text(f"{check.command}\n{check.output}".strip())
        suite.set("tests", str(len(boot.checks)))
        suite.set("failures", str(count["failed"]))
        suite.set("skipped", str(count["skipped"]))
        suite.set("errors", "0")
        suite.set("time", f"{boot.seconds:.3f}")
        text = boot.log.read_bytes().decode("utf-8", "replace") if boot.log.exists() else ""
        ET.SubElement(suite, "system-out").text = _xml_text(text[-_SYSTEM_OUT_CHARACTERS:])
        return suite


def _boot_as_json(boot: BootVerdict) -> dict[str, object]:
    return {
        "medium": boot.medium,
        "machine": boot.machine,
        "firmware": boot.firmware,
        "accelerator": boot.accelerator,
        "why_not_kvm": boot.why_not_kvm,
        "passed": boot.passed,
        "seconds": round(boot.seconds, 3),
        "login_seconds": None if boot.login_seconds is None else round(boot.login_seconds, 3),
        "powered_off": boot.powered_off,
        "log": str(boot.log),
        "checks": [
            {
                "name": check.name,
                "status": check.status,
                "seconds": round(check.seconds, 3),
                "code": check.code,
                "message": check.message,
                "command": check.command,
                "expect": check.expect,
                "output": check.output,
                "attempts": check.attempts,
            }
            for check in boot.checks
        ],
    }


def _xml_text(text: str) -> str:
    """`text` without what XML 1.0 cannot hold, such as the escapes of a terminal."""
    return _NOT_XML.sub("", text)


def write_report(report: SmokeReport, path: Path) -> None:
    """Write `report` to `path` as JUnit XML.

    Raises:
        UsageError: something else than a report is there.
        StoreError: `path` cannot be written.
    """
    write_result(path, report.as_junit(), _is_report, "a report of voidimg", "--junit")


def _is_report(content: bytes) -> bool:
    return b'<testsuites name="voidimg ' in content[:4096]
