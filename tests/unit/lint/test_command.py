"""The verb `lint`, the table of checks, and sets as a whole."""

from __future__ import annotations

import json
import lzma
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.live_medium import Spoiled, make_medium
from tests.unit.lint import (
    test_boards,
    test_container_checks,
    test_damage,
    test_grub_checks,
    test_iso_checks,
    test_pi_start,
    test_system_checks,
)
from tests.unit.lint.subjects import make_image, make_tar, patch
from voidimg.cli.main import cli
from voidimg.errors import LintError, ToolError, UsageError, exit_status_of
from voidimg.identity import ReleaseDate
from voidimg.lint import lint
from voidimg.lint.lint import lint_artifact, lint_checks
from voidimg.lint.set_checks import lint_set
from voidimg.lint.table import CHECKS
from voidimg.signing.keys import create_release_key
from voidimg.signing.signing import sign_set

DATE = "20240314"


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set of a sound tar and a sound ISO, not signed."""
    place = tmp_path_factory.mktemp("artifacts") / DATE
    place.mkdir()
    shutil.copy(make_tar(tmp_path_factory.mktemp("tar")), place)
    shutil.copy(make_medium(tmp_path_factory.mktemp("iso")), place)
    return place


@pytest.fixture
def unsigned(artifacts: Path, tmp_path: Path) -> Path:
    """A copy of it, to be spoiled."""
    return Path(shutil.copytree(artifacts, tmp_path / DATE))


@pytest.fixture
def signed(unsigned: Path) -> Path:
    """The same, signed; its key lies beside it."""
    made = create_release_key(ReleaseDate.parse(DATE), unsigned.parent, passphrase=None)
    sign_set(unsigned, made.secret_path)
    return unsigned


def test_every_check_was_seen_to_fail() -> None:
    """There is a spoiled artifact for each line of the table."""
    seen = {check for check, *_ in (*test_iso_checks.FAILING, *test_system_checks.FAILING)}
    seen |= {check for check, *_ in test_system_checks.IN_IMAGES}
    seen |= {check for check, *_ in test_system_checks.SPOILED_BYTES}
    seen |= {check for check, *_ in test_system_checks.SUPERBLOCKS}
    seen |= {check for check, *_ in test_iso_checks.SPOILED_TABLES}
    seen |= {check for check, *_ in test_system_checks.NETBOOT_FAILING}
    seen |= {check for check, *_ in test_pi_start.FAILING}
    seen |= {check for check, *_ in test_container_checks.FAILING}
    seen |= {check for check, *_ in (*test_grub_checks.FAILING, *test_grub_checks.SPOILED)}
    seen |= {check for check, *_ in (*test_boards.FAILING, *test_boards.GONE, *test_boards.SPOILED)}
    seen |= {check for *_, check, _ in test_damage.TREE_DAMAGE}
    seen |= {check for *_, check in test_damage.SPOILED_IMAGES}
    seen |= {check for *_, check in test_damage.SPOILED_ISOS}
    assert {check.id for check in CHECKS} - seen == set()


def test_ids_are_stable_and_said() -> None:
    """Each id is there once, and every check says what is true of a sound artifact."""
    rows = lint_checks()
    assert len({identifier for identifier, _, _ in rows}) == len(rows)
    assert all(says.endswith(".") for _, _, says in rows)
    listed = CliRunner().invoke(cli, ["lint", "--list"])
    assert listed.exit_code == 0
    assert [line.split()[0] for line in listed.output.splitlines()] == [row[0] for row in rows]


def test_text_says_what_to_do(tmp_path: Path) -> None:
    """A line for the artifact, three for each defect; errors end in exit status 16."""
    path = make_tar(tmp_path, {"/etc/machine-id": b"1\n", "/etc/.pwd.lock": b""})
    ended = CliRunner().invoke(cli, ["-q", "lint", str(path)])
    assert isinstance(ended.exception, LintError)
    assert exit_status_of(ended.exception) == 16
    assert f"{path}: tar, " in ended.output
    assert "1 error, 1 warning" in ended.output
    assert "  error    machine-identity: /etc/machine-id\n" in ended.output
    assert "  warning  leftover: /etc/.pwd.lock\n" in ended.output
    assert "remove it before the image is made" in ended.output


def test_warnings_and_ignored_errors_are_no_failure(tmp_path: Path) -> None:
    """Exit status 0; what was ignored was not asked."""
    path = make_tar(tmp_path, {"/etc/machine-id": b"1\n", "/etc/.pwd.lock": b""})
    words = ["-q", "lint", "--json", "--ignore", "machine-identity", str(path)]
    ended = CliRunner().invoke(cli, words)
    assert ended.exit_code == 0, ended.output
    (told,) = json.loads(ended.output)
    assert [one["check"] for one in told["defects"]] == ["leftover"]
    assert "machine-identity" not in told["checks"]
    ended = CliRunner().invoke(cli, ["-q", "lint", "--ignore", "nonsense", str(path)])
    assert isinstance(ended.exception, UsageError)


def test_names_cannot_command_the_terminal(tmp_path: Path) -> None:
    """What is in an artifact is written out."""
    path = make_tar(tmp_path, {"/var/cache/\x1b[2J": b"x"})
    ended = CliRunner().invoke(cli, ["-q", "lint", str(path)])
    assert "\\x1b[2J" in ended.output
    assert "\x1b" not in ended.output


def test_a_missing_tool_is_no_defect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to install, instead of blaming the artifact."""
    path = make_medium(tmp_path)
    monkeypatch.setattr("voidimg.programs.SEARCH_PATH", "")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolError, match="not installed"):
        lint_artifact(path)


def test_a_signed_set_is_clean(signed: Path) -> None:
    """The set and each of its artifacts."""
    ended = CliRunner().invoke(cli, ["-q", "lint", "--json", str(signed)])
    assert ended.exit_code == 0, ended.output
    told = json.loads(ended.output)
    assert [report["kind"] for report in told] == ["image set", "ISO image", "tar"]
    assert not any(report["defects"] for report in told)


def test_a_set_that_is_not_signed_is_warned_about(unsigned: Path) -> None:
    """It can still be signed."""
    report = lint_set(unsigned)
    assert [(one.check, one.severity) for one in report.defects] == [("set-signed", "warning")] * 2


def test_spoiled_sets_are_told(signed: Path) -> None:
    """What was added, changed or renamed after signing; an empty directory."""
    tar = next(signed.glob("*.tar"))
    shutil.copy(tar, signed / f"{tar.name}.xz")
    (signed / "void-aarch64-ROOTFS-20250101.tar").touch()
    patch(next(signed.glob("*.iso")), 40_000, b"changed")
    told = [f"{one.check} {one.object}: {one.what}" for one in lint_set(signed).defects]
    for words in (
        f"set-artifacts {tar.name}.xz: it is the same as {tar.name}",
        "set-date void-aarch64-ROOTFS-20250101.tar: it is of 20250101",
        f"set-sums {tar.name}.xz: sha256sum.txt does not list it",
        "its SHA-256 is not the one in sha256sum.txt",
    ):
        assert any(words in one for one in told), (words, told)
    tar.unlink()
    told = [f"{one.check} {one.object}: {one.what}" for one in lint_set(signed).defects]
    assert any("lists it, but it is not there" in one for one in told)


def test_media_that_would_be_taken_for_each_other(unsigned: Path, tmp_path: Path) -> None:
    """ISOs of one volume id, and disks of one partition table, packed or not."""
    iso = next(unsigned.glob("*.iso"))
    shutil.copy(iso, unsigned / f"void-live-x86_64-{DATE}-xfce.iso")
    image = make_image(tmp_path / "image")
    shutil.copy(image, unsigned)
    packed = unsigned / f"void-rpi-aarch64-musl-{DATE}.img.xz"
    packed.write_bytes(lzma.compress(image.read_bytes(), preset=0))
    other = unsigned / f"void-other-{DATE}.img"
    other.write_bytes(image.read_bytes()[:440] + b"else" + image.read_bytes()[444:])
    told = [
        (one.object, one.what) for one in lint_set(unsigned).defects if one.check == "set-media"
    ]
    assert told == [
        (f"void-live-x86_64-{DATE}-xfce.iso", f"it has the volume id VOID_TEST of {iso.name}"),
        (packed.name, f"it has the MBR identifier {disk_id(image)} of {image.name}"),
    ]


def disk_id(image: Path) -> str:
    with image.open("rb") as file:
        return f"{int.from_bytes(file.read(444)[440:], 'little'):08x}"


def test_spoiled_signatures_are_told(signed: Path) -> None:
    """Another key, another text, no key at all, and checksums that are none."""
    other = create_release_key(
        ReleaseDate.parse("20250101"), signed.parent, passphrase=None
    ).public_path
    (one,) = lint_set(signed, key=str(other)).defects
    assert one.check == "set-signature"
    sums = signed / "sha256sum.txt"
    sums.write_text(sums.read_text().replace("SHA256", "SHA512", 1))
    checks = {one.check for one in lint_set(signed).defects}
    assert {"set-sums", "set-signature"} <= checks
    (signed.parent / f"void-release-{DATE}.pub").unlink()
    assert any("there is no key" in one.what for one in lint_set(signed).defects)


def test_an_empty_directory_is_no_set(tmp_path: Path) -> None:
    """Nothing says its date, and nothing is in it."""
    checks = {one.check for one in lint_set(tmp_path).defects}
    assert checks == {"set-artifacts", "set-date", "set-signed"}


def test_damage_in_one_part_does_not_hide_another(tmp_path: Path) -> None:
    """Every check that cannot look says so; the others still look."""
    spoiled = Spoiled(files={"/boot/initrd": b"hello"}, volume_id="OTHER")
    found = {one.check for one in lint_artifact(make_medium(tmp_path, spoiled)).defects}
    assert {"iso-initramfs-live", "iso-cdlabel"} <= found
    assert lint.READABLE not in found


def test_quick_says_what_it_did_not_read(unsigned: Path) -> None:
    """So that nobody takes it for all."""
    path = next(unsigned.glob("*.iso"))
    result = CliRunner().invoke(cli, ["lint", "--quick", str(path)])
    assert result.exit_code == 0
    assert "clean as far as it was read" in result.output
    assert "not read to the end (--deep does): package-files" in result.output
