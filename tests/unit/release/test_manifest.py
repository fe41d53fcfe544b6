"""The manifest: written the same for the same set, and read as what a stranger wrote."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voidimg.artifact_names import MANIFEST_NAME
from voidimg.errors import ReleaseError
from voidimg.release.manifest import (
    MAX_MANIFEST_BYTES,
    BootWay,
    LintResult,
    Manifest,
    SetArtifact,
    SetFile,
    SideFile,
    SmokeResult,
    StatementResult,
    Waiver,
    read_manifest,
)

A, B, C = ("a" * 64, "b" * 64, "c" * 64)
USB = BootWay(firmware="uefi", machine="virt", medium="usb")


def booted(sha256: str = A, verdict: str = "passed") -> SmokeResult:
    """A boot of the file with that SHA-256."""
    statements = (StatementResult(name="the root is writable", status="passed"),)
    said = {**USB.model_dump(), "sha256": sha256, "verdict": verdict, "statements": statements}
    return SmokeResult.model_validate(said)


def artifact(name: str = "void-live-aarch64-20240314-base.iso", **other: Any) -> SetArtifact:
    """An artifact that was linted and booted."""
    said: dict[str, Any] = {
        "name": name,
        "size": 4096,
        "sha256": A,
        "kind": "iso",
        "platform": "aarch64",
        "architecture": "aarch64",
        "libc": "glibc",
        "profile": "base",
        "lint": LintResult(sha256=A, errors=0, warnings=2),
        "boots": (USB,),
        "smoke": (booted(),),
    }
    return SetArtifact.model_validate(said | other)


def manifest(*artifacts: SetArtifact) -> Manifest:
    """A manifest of those artifacts, by default of one."""
    lock = SetFile(name="void-20240314.lock.json", size=10, sha256=C)
    return Manifest(
        set="nightly",
        date="20240314",
        voidimg="2026.11.0",
        lock=lock,
        artifacts=artifacts or (artifact(),),
    )


def test_a_manifest_is_read_back_as_it_was_written() -> None:
    """And written again, it has the same bytes."""
    side = SideFile(name="void-x-20240314.img.bmap", size=9, sha256=B, role="bmap")
    waiver = Waiver(check="smoke", who="A. Person", reason="no such board in QEMU")
    whole = manifest(
        artifact(), artifact("void-x-20240314.img.xz", side_files=(side,), waivers=(waiver,))
    )
    content = whole.encode()
    read = Manifest.decode(content, "here")
    assert read == whole
    assert read.encode() == content
    assert [one.name for one in read.files()] == [
        "void-20240314.lock.json",
        "void-live-aarch64-20240314-base.iso",
        "void-x-20240314.img.xz",
        "void-x-20240314.img.bmap",
    ]


def test_the_order_in_which_artifacts_were_finished_changes_no_byte() -> None:
    """Jobs run side by side; what they made is listed by name."""
    one, other = artifact(), artifact("void-x-20240314.img.xz")
    assert manifest(one, other).encode() == manifest(other, one).encode()


Change = Callable[[dict[str, Any]], object]


def of_artifact(**values: object) -> Change:
    return lambda said: said["artifacts"][0].update(values)


WRONG: dict[str, Change] = {
    "a later schema": lambda said: said.update(schema=2),
    "no schema of ours": lambda said: said.update(schema="1"),
    "an unknown key": lambda said: said.update(more=1),
    "no artifacts": lambda said: said.update(artifacts=[]),
    "too many artifacts": lambda said: said.update(artifacts=said["artifacts"] * 1001),
    "an artifact twice": lambda said: said["artifacts"].append(said["artifacts"][0]),
    "a date that is none": lambda said: said.update(date="yesterday"),
    "a lock of another date": lambda said: said["lock"].update(name="void-20240315.lock.json"),
    "the manifest itself": of_artifact(name=MANIFEST_NAME),
    "a name with a directory": of_artifact(name="../void-x-20240314.img"),
    "an absolute name": of_artifact(name="/etc/void-x-20240314.img"),
    "a hidden name": of_artifact(name=".void-x-20240314.img"),
    "a name that mirrors leave out": of_artifact(name="void-x-20240314.lock"),
    "a name without a date": of_artifact(name="notes.txt"),
    "a name of another date": of_artifact(name="void-x-20240315.img"),
    "a name with an escape": of_artifact(name="void-x\x1b[31m-20240314.img"),
    "a name of NUL": of_artifact(name="void-x-20240314.img\0"),
    "a name that is too long": of_artifact(name=f"void-{'x' * 300}-20240314.img"),
    "a size below nothing": of_artifact(size=-1),
    "a size that nobody can count": of_artifact(size=2**60),
    "a size that is a text": of_artifact(size="4096"),
    "a size that is true": of_artifact(size=True),
    "a digest in capitals": of_artifact(sha256="A" * 64),
    "a digest that is cut off": of_artifact(sha256="a" * 63),
    "an architecture that is none": of_artifact(architecture="vax"),
    "a platform that is a path": of_artifact(platform="a/b"),
    "a reason of two lines": of_artifact(optional="one\ntwo"),
    "a reason with a line separator": of_artifact(optional="one\u2028two"),
    "a verdict that is none": lambda said: said["artifacts"][0]["smoke"][0].update(verdict="well"),
    "a waiver of nobody": of_artifact(waivers=[{"check": "lint", "who": "", "reason": "x"}]),
    "a waiver of something else": of_artifact(
        waivers=[{"check": "all", "who": "I", "reason": "x"}]
    ),
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_relied_on_is_refused(change: Change) -> None:
    """With the place, and without repeating what a stranger wrote."""
    said = json.loads(manifest().encode())
    change(said)
    with pytest.raises(ReleaseError) as raised:
        Manifest.decode(json.dumps(said).encode(), "here/manifest.json")
    assert raised.value.code == "E-RELEASE-MANIFEST"
    assert raised.value.where == "here/manifest.json"
    assert "\x1b" not in str(raised.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"schema": 1, "schema": 1}',
        b'{"schema": 1, "lock": {"name": 1, "name": 2}}',
        b'{"schema": ' + b"9" * 10_000 + b"}",
        b"[" * 200_000,
        b'{"schema": NaN}',
        b'{"set": "\\ud800"}',
        b" " * (MAX_MANIFEST_BYTES + 1),
    ],
    ids=range(11),
)
def test_what_is_no_manifest_is_refused(content: bytes) -> None:
    """Whatever JSON's readers differ in, and whatever would take them for ever."""
    with pytest.raises(ReleaseError) as raised:
        Manifest.decode(content, "here")
    assert raised.value.code == "E-RELEASE-MANIFEST"
    assert len(str(raised.value)) < 20_000


@given(st.binary(max_size=200), st.integers(0, 2000))
def test_damage_is_an_error_or_makes_no_difference_to_names(junk: bytes, at: int) -> None:
    """Nothing else than `ReleaseError` is raised, and no name leads out of the directory."""
    content = manifest().encode()
    try:
        read = Manifest.decode(content[:at] + junk + content[at + len(junk) :], "here")
    except ReleaseError:
        return
    assert all("/" not in one.name and "20240314" in one.name for one in read.files())


def test_a_directory_without_a_manifest_says_so(tmp_path: Path) -> None:
    """And a link or a pipe in its place is not followed."""
    with pytest.raises(ReleaseError, match=r"no manifest\.json"):
        read_manifest(tmp_path)
    (tmp_path / "elsewhere").write_bytes(manifest().encode())
    (tmp_path / MANIFEST_NAME).symlink_to("elsewhere")
    with pytest.raises(Exception, match="symbolic link"):
        read_manifest(tmp_path)


SMOKE = Waiver(check="smoke", who="I", reason="no board")
OTHER = "what was judged is another file than the one listed"
LINT = Waiver(check="lint", who="I", reason="known")


@pytest.mark.parametrize(
    ("other", "told"),
    [
        ({}, []),
        ({"lint": None}, ["it was not linted"]),
        ({"lint": None, "waivers": (LINT,)}, []),
        ({"lint": None, "waivers": (SMOKE,)}, ["it was not linted"]),
        ({"lint": LintResult(sha256=B, errors=0, warnings=0)}, [OTHER]),
        ({"lint": LintResult(sha256=B, errors=0, warnings=0), "waivers": (LINT,)}, [OTHER]),
        ({"smoke": (booted(B),), "waivers": (SMOKE,)}, [OTHER]),
        ({"lint": LintResult(sha256=A, errors=1, warnings=0)}, ["the lint found errors (1)"]),
        ({"smoke": ()}, ["it was not booted"]),
        ({"smoke": (), "waivers": (SMOKE,)}, []),
        ({"smoke": (), "boots": ()}, []),
        (
            {"smoke": (booted(), booted(verdict="failed"))},
            ["it failed its boot test: usb on virt (uefi)"],
        ),
    ],
)
def test_what_may_be_published(other: dict[str, Any], told: list[str]) -> None:
    """Linted and booted are the very bytes that are listed, or somebody said why not."""
    assert list(artifact(**other).why_not_publishable()) == told
