"""A set is released complete or not at all, and goes on where it was stopped to the same bytes."""

from __future__ import annotations

import json
import random
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.command import PROJECT, voidimg, voidimg_json
from tests.integration.building import DATE, SPEC
from tests.integration.killing import mounts, run_until, users_of
from tests.integration.releasing import (
    ARTIFACTS,
    DOCUMENTS,
    SIDE_FILES,
    WAIVED,
    release_words,
    released,
)
from tests.testrepo import RepositoryFixture
from voidimg.release.manifest import read_manifest
from voidimg.signing.sums import decode_sums


@pytest.fixture(scope="module")
def whole_set(tiny: RepositoryFixture, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The place of an undisturbed release of the tiny set; only to be looked at."""
    place = tmp_path_factory.mktemp("released")
    ended = voidimg(*release_words(tiny, place))
    assert ended.returncode == 0, ended.stderr
    return place


def copied(place: Path, to: Path) -> Path:
    """A copy of a place, to be changed."""
    return Path(shutil.copytree(place, to / "copy", symlinks=True))


def test_the_image_set_has_exactly_its_files(whole_set: Path) -> None:
    """Artifacts, one lock, the manifest and the checksums of all; nothing else beside the set."""
    directory = whole_set / "out" / DATE
    there = released(directory)
    assert there.keys() == {*ARTIFACTS, *SIDE_FILES, *DOCUMENTS}
    sums = decode_sums((directory / "sha256sum.txt").read_bytes(), "sums")
    assert sums == {name: sha for name, sha in there.items() if name != "sha256sum.txt"}
    words = ["sha256sum", "--check", "--strict", "sha256sum.txt"]
    subprocess.run(words, cwd=directory, check=True, capture_output=True)
    assert [path.name for path in (whole_set / "out").iterdir()] == [DATE]
    modes = {path.stat().st_mode & 0o777 for path in directory.iterdir()}
    assert (directory.stat().st_mode & 0o777, modes) == (0o755, {0o644})


def test_the_manifest_says_what_was_judged(whole_set: Path) -> None:
    """By the SHA-256 of the very file; who waived what, and why."""
    said = read_manifest(whole_set / "out" / DATE)
    there = released(whole_set / "out" / DATE)
    assert (said.set, said.date) == ("tiny", DATE)
    assert {one.name: one.sha256 for one in said.files()}.items() <= there.items()
    for one in said.artifacts:
        assert one.lint is not None
        assert one.lint.sha256 == one.sha256
        assert [waiver.who for waiver in one.waivers] == ["A. Tester"] * (one.name in WAIVED)
        assert bool(one.lint.errors) == (one.name in WAIVED)
        assert list(one.why_not_publishable()) == []
    profiles = {one.name: (one.platform, one.profile, one.kind) for one in said.artifacts}
    assert profiles[ARTIFACTS[1]] == ("tiny", "own", "rootfs")


def test_a_release_without_a_change_changes_nothing(
    tiny: RepositoryFixture, whole_set: Path, tmp_path: Path
) -> None:
    """Nor does it touch a signed set, which stays signed; another one is not put in its place."""
    place = copied(whole_set, tmp_path)
    directory = place / "out" / DATE
    keys = tmp_path / "keys"
    keys.mkdir()
    made = voidimg("keygen", DATE, "--no-passphrase", cwd=keys)
    assert made.returncode == 0, made.stderr
    signed = voidimg("sign", directory, "--key", keys / f"void-release-{DATE}.sec")
    assert signed.returncode == 0, signed.stderr
    stamp = (directory / "sha256sum.txt").stat()
    before = released(directory)
    said = voidimg_json(*release_words(tiny, place, "--json"))
    assert said["unchanged"] is True
    assert said["manifest"] == json.loads((directory / "manifest.json").read_text())
    assert released(directory) == before
    assert (directory / "sha256sum.txt").stat() == stamp
    public = keys / f"void-release-{DATE}.pub"
    assert voidimg("verify", directory, "--key", public).returncode == 0
    other = voidimg(*release_words(tiny, place, "--replace", "--waive", f"smoke:{WAIVED[0]}=new"))
    assert other.returncode == 2
    assert "E-USAGE-SET-SIGNED" in other.stderr
    assert released(directory) == before


def test_a_different_set_is_replaced_only_when_that_is_asked_for(
    tiny: RepositoryFixture, whole_set: Path, tmp_path: Path
) -> None:
    """The new one takes its place at once; what is no set of ours never goes."""
    place = copied(whole_set, tmp_path)
    more = ("--waive", f"smoke:{WAIVED[0]}=new")
    refused = voidimg(*release_words(tiny, place, *more))
    assert (refused.returncode, "E-USAGE-SET-DIFFERENT" in refused.stderr) == (2, True)
    assert released(place / "out" / DATE) == released(whole_set / "out" / DATE)
    done = voidimg(*release_words(tiny, place, "--replace", *more))
    assert done.returncode == 0, done.stderr
    waivers = {one.name: one.waivers for one in read_manifest(place / "out" / DATE).artifacts}
    assert [one.check for one in waivers[WAIVED[0]]] == ["lint", "smoke"]
    (place / "out" / DATE / "manifest.json").unlink()
    foreign = voidimg(*release_words(tiny, place, "--replace"))
    assert (foreign.returncode, "E-USAGE-SET-FOREIGN" in foreign.stderr) == (2, True)


KILLED_ANEW = [
    ("resolve", 1),
    ("fetch", 1),
    ("tiny: configure", 2),
    ("tiny: image: write", 1),
    ("tiny own: rootfs: pack", 1),
]
"""Steps of a run that finds nothing made."""
KILLED_AFTER = [("checksums", 1), ("void-tiny-20240314.img: lint", 1)]
"""Steps that come when everything is made."""


def test_a_killed_release_leaves_nothing_and_is_gone_on_with(
    tiny: RepositoryFixture, whole_set: Path, tmp_path: Path
) -> None:
    """Killed again and again: no set under the name, and at the end the bytes of one run."""
    words = release_words(tiny, tmp_path)
    before = mounts()
    for step, count in [*random.Random().sample(KILLED_ANEW, 2), *KILLED_AFTER]:
        if (step, count) in KILLED_ANEW:
            shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        status = run_until(words, "StepStarted", step, count, signal.SIGKILL)
        assert status == -signal.SIGKILL
        assert mounts() == before
        assert users_of(tmp_path) == []
        assert not (tmp_path / "out" / DATE).exists()
    ended = voidimg(*words)
    assert ended.returncode == 0, ended.stderr
    assert "interrupted run" in ended.stderr
    assert "configure" not in ended.stderr
    assert released(tmp_path / "out" / DATE) == released(whole_set / "out" / DATE)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [DATE]


def test_what_fails_leaves_no_set(tiny: RepositoryFixture, whole_set: Path, tmp_path: Path) -> None:
    """Every failure is told when the run keeps going; no checksum file is made for a part."""
    place = copied(whole_set, tmp_path)
    shutil.rmtree(place / "out")
    one = voidimg(*release_words(tiny, place, waived=()))
    assert one.returncode != 0
    all_of_them = voidimg(*release_words(tiny, place, "--keep-going", waived=()))
    assert all_of_them.returncode != 0
    assert [name in all_of_them.stderr for name in WAIVED] == [True, True]
    assert "E-RELEASE-FAILED-LINT" in all_of_them.stderr
    assert list((place / "out").iterdir()) == []


BROKEN = """schema = 1
kind = "set"
summary = "A set with what cannot be made"
extends = "tiny"

[[rows.add]]
name = "broken"
platforms = ["tiny"]
profiles = ["../broken.toml"]
artifacts = ["rootfs"]
"""
HOOK = """schema = 1
kind = "profile"
extends = "tiny"
summary = "A hook that fails"

[[rootfs.hooks]]
name = "fail"
script = "exit 3"
"""


def test_an_optional_artifact_is_left_out_with_its_reason(
    tiny: RepositoryFixture, whole_set: Path, tmp_path: Path
) -> None:
    """What is not optional keeps the set from appearing."""
    place = copied(whole_set, tmp_path)
    shutil.rmtree(place / "out")
    (tmp_path / "sets").mkdir()
    (tmp_path / "broken.toml").write_text(HOOK)
    file = tmp_path / "sets" / "more.toml"
    file.write_text(BROKEN)
    failed = voidimg(*release_words(tiny, place, "--keep-going", name=file))
    assert failed.returncode == 10, failed.stderr
    assert list((place / "out").iterdir()) == []
    file.write_text(BROKEN + 'optional = "the hook is new"\n')
    done = voidimg(*release_words(tiny, place, name=file))
    assert done.returncode == 0, done.stderr
    assert "the hook is new" in done.stderr
    said = read_manifest(place / "out" / DATE)
    assert [(one.profile, one.kind) for one in said.left_out] == [("broken", "rootfs")]
    assert {one.name for one in said.artifacts} == set(ARTIFACTS)


ACCEPTING = """schema = 1
kind = "set"
summary = "The board, whose kernel is none"

[[rows]]
name = "board"
platforms = ["tiny"]
artifacts = ["platformfs"]
accepted = [
  { check = "pi-kernel", reason = "the tiny board has none" },
  { check = "pi-start", reason = "so it does not start" },
]
"""
SERVICES = '  { check = "pi-services", reason = "nobody reaches it" },\n]'


def test_what_a_set_accepts_is_told_and_nothing_else_passes(
    tiny: RepositoryFixture, whole_set: Path, tmp_path: Path
) -> None:
    """The manifest says which check it was, and why the set accepts it."""
    place = copied(whole_set, tmp_path)
    shutil.rmtree(place / "out")
    file = tmp_path / "accepting.toml"
    file.write_text(ACCEPTING)
    refused = voidimg(*release_words(tiny, place, name=file, waived=()))
    assert "E-RELEASE-FAILED-LINT" in refused.stderr
    assert "pi-services" in refused.stderr.partition("the lint found errors")[2]
    file.write_text(ACCEPTING.removesuffix("]\n") + SERVICES)
    done = voidimg(*release_words(tiny, place, name=file, waived=()))
    assert done.returncode == 0, done.stderr
    (one,) = read_manifest(place / "out" / DATE).artifacts
    assert {waiver.who for waiver in one.waivers} == {"the set accepting"}
    assert "pi-kernel: the tiny board has none" in {waiver.reason for waiver in one.waivers}
    assert list(one.why_not_publishable()) == []


def test_a_plan_makes_nothing(tiny: RepositoryFixture, whole_set: Path, tmp_path: Path) -> None:
    """It says names, sizes, room, and how long it took the last time."""
    place = copied(whole_set, tmp_path)
    shutil.rmtree(place / "out")
    planned = voidimg_json(*release_words(tiny, place, "--plan", "--json"))
    rows = planned["rows"]
    assert planned["needed_bytes"] > max(row["disk_bytes"] for row in rows)
    assert {row["name"] for row in rows} == set(ARTIFACTS)
    assert all(row["fetch_bytes"] > 0 and row["disk_bytes"] > row["fetch_bytes"] for row in rows)
    assert all(row["last_seconds"] > 0 and row["last_bytes"] > 0 for row in rows)
    text = voidimg(*release_words(tiny, place, "--plan")).stdout
    assert text.splitlines()[-1].startswith("4 artifacts, about ")
    assert not (place / "out").exists()


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--waive", "lint:void-tiny.img=x"], "has no artifact"),
        (["--waive", "all:x=y"], "is no waiver"),
        (["--shard", "1/2"], "made from one lock"),
        (["--shard", "3/2"], "is no share"),
        (["--executor", "threads"], "is no executor"),
        (["--merge", "."], "share of a set"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused_at_once(
    more: list[str], told: str, tiny: RepositoryFixture, tmp_path: Path
) -> None:
    """Before anything is fetched."""
    ended = voidimg(*release_words(tiny, tmp_path, *more))
    assert ended.returncode != 0
    assert told in ended.stderr
    assert "fetch" not in ended.stderr


def test_a_released_set_is_signed_and_promoted(whole_set: Path, tmp_path: Path) -> None:
    """By three persons: who made it, who has the key, and who publishes."""
    place = copied(whole_set, tmp_path)
    live = place / "out"
    assert voidimg("keygen", DATE, "--no-passphrase", cwd=place).returncode == 0
    refused = voidimg("--out", live, "promote", DATE, cwd=place)
    assert "E-VERIFY-SIGNATURE-MISSING" in refused.stderr
    signed = voidimg("sign", live / DATE, cwd=place)
    assert signed.returncode == 0, signed.stderr
    announced = live / f"void-release-{DATE}.current.json"
    promoted = voidimg("--out", live, "promote", DATE, cwd=place)
    assert promoted.returncode == 0, promoted.stderr
    assert promoted.stdout.count("waiver: ") == len(WAIVED)
    assert (live / "current.json").read_bytes() == announced.read_bytes()
    assert voidimg("verify", live / "current", cwd=place).returncode == 0


def test_the_example_in_python_does_what_it_says(
    tiny: RepositoryFixture,
    whole_set: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As it stands in docs/releases.md, in under 20 lines; only what it is made of is another."""
    page = (PROJECT / "docs" / "releases.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len([line for line in block.splitlines() if line.strip()]) < 20
    shutil.copytree(whole_set / "cache", tmp_path / "cache")
    shutil.copytree(whole_set / "out" / DATE, tmp_path / "published" / "current")
    (tmp_path / "keys").mkdir()
    monkeypatch.chdir(tmp_path)
    more = f"repositories=[{str(tiny.path)!r}], repo_keys=[Path({str(tiny.key_plist)!r})]"
    waive = [f"lint:{name.replace(DATE, '20250202')}=no board" for name in WAIVED]
    for old, new in (
        ("Catalog()", f"Catalog([Path({str(SPEC)!r})])"),
        ('"nightly"', '"tiny"'),
        ('cache=Path("cache")', f'cache=Path("cache"), compression="none", {more}'),
        (
            "ReleaseOptions.parse(build)",
            f"ReleaseOptions.parse(build, waive={waive}, waived_by='I')",
        ),
    ):
        assert old in block
        block = block.replace(old, new)
    exec(compile(block, "docs/releases.md", "exec"), {})
    said = capsys.readouterr().out
    assert "7 files are as" in said
    assert said.count(" new\n") == 4  # another date is in every artifact
    read = read_manifest(tmp_path / "out" / "20250202")
    assert (read.set, len(read.artifacts)) == ("tiny", 4)
