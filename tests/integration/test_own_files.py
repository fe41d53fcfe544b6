"""Files of one's own and hooks come into a ROOTFS, the same from a copy of them elsewhere."""

from __future__ import annotations

import shutil
import tarfile
from pathlib import Path

import pytest

from tests.command import voidimg
from tests.integration.building import SPEC, build_words, left_in_work, published
from tests.testrepo import RepositoryFixture

ROOTFS = "void-aarch64-own-ROOTFS-20240314.tar"
"""That of a profile which is not the board's own has it in its name."""


def words(repository: RepositoryFixture, place: Path, spec: Path) -> list[str | Path]:
    """What builds the ROOTFS of the profile `own` from the files in `spec`."""
    built = build_words(repository, place, "--artifact", "rootfs")
    built[built.index(SPEC)] = spec
    built[built.index("tiny", built.index("--profile"))] = "own"
    return built


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The tests' platforms, profiles and files, to be changed."""
    return Path(shutil.copytree(SPEC, tmp_path / "copy", symlinks=True))


def test_own_files_and_hooks(tiny: RepositoryFixture, tmp_path: Path, copy: Path) -> None:
    """Links stay links, modes do not follow the umask, and hooks see what came before them."""
    built = voidimg(*words(tiny, tmp_path, SPEC))
    assert built.returncode == 0, built.stderr
    with tarfile.open(tmp_path / "out" / "20240314" / ROOTFS) as tar:
        found = {member.name.removeprefix("./"): member for member in tar}
        said = tar.extractfile(found["etc/said"])
        assert said is not None
        assert said.read().decode().split("\n")[0] == "own"
    assert found["usr/local/bin/own"].mode == 0o755
    assert found["usr/bin/installer"].mode == 0o755
    assert found["etc/own-link"].linkname == "../usr/local/bin/own"
    assert {member.uid for member in found.values() if "own" in member.name} == {0}

    (copy / "files/installer").chmod(0o600)
    elsewhere = tmp_path / "elsewhere"
    again = voidimg(*words(tiny, elsewhere, copy))
    assert again.returncode == 0, again.stderr
    assert published(elsewhere) == published(tmp_path)


def test_another_file_is_another_build(tiny: RepositoryFixture, tmp_path: Path, copy: Path) -> None:
    """What is kept of a build is not taken when only the content of a file differs."""
    first = voidimg(*words(tiny, tmp_path, copy))
    assert first.returncode == 0, first.stderr
    before = published(tmp_path)
    (copy / "files/skeleton/usr/local/bin/own").write_text("#!/bin/sh\necho other\n")
    refused = voidimg(*words(tiny, tmp_path, copy))
    assert "E-USAGE-SET-DIFFERENT" in refused.stderr
    assert published(tmp_path) == before
    second = voidimg(*words(tiny, tmp_path, copy), "--replace")
    assert second.returncode == 0, second.stderr
    name = ROOTFS
    assert published(tmp_path)[name] != before[name]


def test_a_file_that_is_not_the_pinned_one(
    tiny: RepositoryFixture, tmp_path: Path, copy: Path
) -> None:
    """Told before anything is fetched, at the pin."""
    (copy / "files/installer").write_text("install something else\n")
    ended = voidimg(*words(tiny, tmp_path, copy))
    assert ended.returncode == 3
    assert "own.toml:10:" in ended.stderr
    assert "[E-SPEC-SOURCE-PIN]" in ended.stderr
    assert not (tmp_path / "out").exists()


def test_a_failing_hook_is_told(tiny: RepositoryFixture, tmp_path: Path, copy: Path) -> None:
    """With its name, status and output; nothing is published."""
    profile = copy / "profiles/own.toml"
    profile.write_text(profile.read_text().replace("/usr/local/bin/own >", "echo no; false >"))
    ended = voidimg(*words(tiny, tmp_path, copy))
    assert ended.returncode == 10
    assert "the hook 'say what is there' failed with status 1 [E-SCRIPT-HOOK]" in ended.stderr
    assert "| no" in ended.stderr
    assert published(tmp_path) == {}
    assert left_in_work(tmp_path) == []
