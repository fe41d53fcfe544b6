"""Damaged, forged and hostile repositories are refused, each with its own error.

Nothing is published, nothing outside the tree is touched, nothing stays in the work directory.
"""

from __future__ import annotations

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.command import voidimg
from tests.http_server import serving
from tests.integration.building import build_words, left_in_work, published
from tests.integration.tampering import KEYS, OTHER, Tampered, listed, member, state_of
from tests.testrepo import RepositoryFixture
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.repository.local import read_repodata
from voidimg.xbps.repository.repodata import Repodata

VICTIM = "tiny-runit"
"""Of the first stage, so that its refusal comes soon."""
OWNED = b"owned\n"
OUTSIDE = "outside"
"""A directory beside the cache; the hostile packages of these tests aim at it."""

Tamper = Callable[[Tampered, Path], None]


@pytest.fixture
def tampered(tiny: RepositoryFixture, tmp_path: Path) -> Tampered:
    """A repository of one's own."""
    return Tampered(tiny, tmp_path / "repository")


def refused(tampered: Tampered, place: Path, status: int, code: str, **options: str | Path) -> str:
    """Build, require this refusal and that nothing else happened; returns what was said."""
    outside = place / OUTSIDE
    outside.mkdir(exist_ok=True)
    (outside / "precious").write_text("precious\n")
    before = state_of(outside)
    ended = voidimg(*build_words(tampered.fixture, place, **options))  # type: ignore[arg-type]
    assert ended.returncode == status, ended.stderr
    assert f"[{code}]" in ended.stderr, ended.stderr
    assert ended.stderr.count("voidimg: ") == 1
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""
    assert state_of(outside) == before
    assert published(place) == {}
    assert left_in_work(place) == []
    return ended.stderr


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def flipped(tampered: Tampered, _outside: Path) -> None:
    flip_a_byte(tampered.package(VICTIM))


def flipped_and_indexed(tampered: Tampered, _outside: Path) -> None:
    """Whoever can change packages can change the index too: only the signature tells."""
    signature = tampered.package(VICTIM).with_name(tampered.package(VICTIM).name + ".sig2")
    kept = signature.read_bytes()
    tampered.rewrite(VICTIM, [])
    signature.write_bytes(kept)


def truncated(tampered: Tampered, _outside: Path) -> None:
    path = tampered.package(VICTIM)
    path.write_bytes(path.read_bytes()[:100])


def longer(tampered: Tampered, _outside: Path) -> None:
    with tampered.package(VICTIM).open("ab") as file:
        file.write(b"more")


def signed_by_another(tampered: Tampered, _outside: Path) -> None:
    tampered.sign(VICTIM, OTHER)


def signature_of_another_package(tampered: Tampered, _outside: Path) -> None:
    path = tampered.package(VICTIM)
    shutil.copy(f"{tampered.package('shadow')}.sig2", f"{path}.sig2")


def without_signature(tampered: Tampered, _outside: Path) -> None:
    Path(f"{tampered.package(VICTIM)}.sig2").unlink()


def unsigned(tampered: Tampered, _outside: Path) -> None:
    repodata = read_repodata(tampered.path, tampered.arch)
    tampered.write_index(Repodata(repodata.index, repodata.stage, None))


def garbage(tampered: Tampered, _outside: Path) -> None:
    (tampered.path / f"{tampered.arch}-repodata").write_bytes(b"<html>Sign in</html>")


def without_package(tampered: Tampered, _outside: Path) -> None:
    tampered.package(VICTIM).unlink()


def another_dependency(tampered: Tampered, _outside: Path) -> None:
    def change(index: dict[str, PlistDict]) -> None:
        index[VICTIM]["run_depends"] = ["tiny-service>=0"]

    tampered.change_index(change)


def another_alternative(tampered: Tampered, _outside: Path) -> None:
    def change(index: dict[str, PlistDict]) -> None:
        index[VICTIM]["alternatives"] = {"sh": [f"/../../..{_outside}:/usr/bin/sh"]}

    tampered.change_index(change)


def install_script(tampered: Tampered, outside: Path) -> None:
    def change(index: dict[str, PlistDict]) -> None:
        index[VICTIM]["install-script"] = f"#!/bin/sh\ntouch {outside}/owned\n".encode()

    tampered.change_index(change)


def newer_by_name(tampered: Tampered, _outside: Path) -> None:
    """An old, properly signed package, given the name of a newer one."""
    path = tampered.package(VICTIM)
    for file in (path, Path(f"{path}.sig2")):
        file.rename(str(file).replace("-1.0_1", "-9.0_1"))

    def change(index: dict[str, PlistDict]) -> None:
        index[VICTIM]["pkgver"] = f"{VICTIM}-9.0_1"

    tampered.change_index(change)


@pytest.mark.parametrize(
    ("tamper", "status", "code"),
    [
        (flipped, 6, "E-VERIFY-SHA256"),
        (truncated, 6, "E-VERIFY-SHA256"),
        (longer, 6, "E-VERIFY-SHA256"),
        (flipped_and_indexed, 6, "E-VERIFY-SIGNATURE"),
        (signed_by_another, 6, "E-VERIFY-SIGNATURE"),
        (signature_of_another_package, 6, "E-VERIFY-SIGNATURE"),
        (without_signature, 5, "E-FETCH-NOT-FOUND"),
        (without_package, 5, "E-FETCH-NOT-FOUND"),
        (unsigned, 6, "E-VERIFY-UNSIGNED"),
        (garbage, 7, "E-PACKAGE-ARCHIVE-FORMAT"),
        (another_dependency, 7, "E-PACKAGE-INDEX-DIFFERS"),
        (another_alternative, 7, "E-PACKAGE-INDEX-DIFFERS"),
        (install_script, 7, "E-PACKAGE-INDEX-SCRIPT"),
        (newer_by_name, 7, "E-PACKAGE-PKGVER"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_repository_that_lies(
    tamper: Tamper, status: int, code: str, tampered: Tampered, tmp_path: Path
) -> None:
    """The error names the package or the repository it is about."""
    tamper(tampered, tmp_path / OUTSIDE)
    said = refused(tampered, tmp_path, status, code)
    assert VICTIM in said or str(tampered.path) in said


@pytest.mark.parametrize(
    ("tamper", "status", "code"),
    [
        (flipped, 6, "E-VERIFY-SHA256"),
        (signed_by_another, 6, "E-VERIFY-SIGNATURE"),
        (without_signature, 5, "E-FETCH-NOT-FOUND"),
        (without_package, 5, "E-FETCH-NOT-FOUND"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_server_that_lies(
    tamper: Tamper, status: int, code: str, tampered: Tampered, tmp_path: Path
) -> None:
    """Over HTTP as from a directory; and once the server is mended, the same cache is good."""
    sound = tmp_path / "sound"
    shutil.copytree(tampered.path, sound)
    tamper(tampered, tmp_path / OUTSIDE)
    with serving(tampered.path) as server:
        said = refused(tampered, tmp_path, status, code, location=server.url)
        assert VICTIM in said
        server.root = sound
        mended = build_words(
            tampered.fixture, tmp_path, "--artifact", "rootfs", location=server.url
        )
        ended = voidimg(*mended)
        assert ended.returncode == 0, ended.stderr


def test_a_key_nobody_vouched_for(tampered: Tampered, tmp_path: Path) -> None:
    """The error names the key, its owner and the option that would trust it."""
    key = next(
        path for path in KEYS.glob("*.plist") if path.name != tampered.fixture.key_plist.name
    )
    fixture = RepositoryFixture(tampered.path, key, tampered.arch)
    tampered.fixture = fixture
    said = refused(tampered, tmp_path, 6, "E-VERIFY-UNTRUSTED-KEY")
    assert "voidimg test repository" in said
    assert "--repo-key" in said


def up_to(outside: Path) -> str:
    """A relative path from any tree to `outside`, with more steps up than are needed."""
    return "../" * 40 + str(outside).lstrip("/")


def dotdot(tampered: Tampered, outside: Path) -> None:
    tampered.rewrite(VICTIM, [member(f"./{up_to(outside)}/owned", OWNED)])


def dotdot_in_the_middle(tampered: Tampered, outside: Path) -> None:
    tampered.rewrite(VICTIM, [member(f"./usr/share/{up_to(outside)}/owned", OWNED)])


def dotdot_in_the_list(tampered: Tampered, outside: Path) -> None:
    name = f"/{up_to(outside)}/owned"
    tampered.rewrite(VICTIM, [member(f".{name}", OWNED)], files=[listed(name, OWNED)])


def absolute(tampered: Tampered, outside: Path) -> None:
    name = f"{outside}/owned"
    tampered.rewrite(VICTIM, [member(name, OWNED)], files=[listed(name, OWNED)])


def through_own_link(tampered: Tampered, outside: Path) -> None:
    tampered.rewrite(
        VICTIM,
        [
            member("./usr/share/way", type=tarfile.SYMTYPE, linkname=str(outside)),
            member("./usr/share/way/owned", OWNED),
        ],
        files=[listed("/usr/share/way/owned", OWNED)],
        links=[{"file": "/usr/share/way", "target": str(outside)}],
    )


def through_the_link_of_another(tampered: Tampered, outside: Path) -> None:
    _bring_link(tampered, outside)
    made = member("./usr/share/way/owned", OWNED)
    tampered.rewrite(VICTIM, [made], files=[listed("/usr/share/way/owned", OWNED)])


def through_the_link_of_an_earlier_stage(tampered: Tampered, outside: Path) -> None:
    _bring_link(tampered, outside)
    made = member("./usr/share/way/owned", OWNED)
    tampered.rewrite("tiny-sshd", [made], files=[listed("/usr/share/way/owned", OWNED)])


def _bring_link(tampered: Tampered, outside: Path) -> None:
    made = member("./usr/share/way", type=tarfile.SYMTYPE, linkname=up_to(outside))
    links: list[PlistDict] = [{"file": "/usr/share/way", "target": up_to(outside)}]
    tampered.rewrite("xbps-triggers", [made], links=links)


def hard_link(tampered: Tampered, outside: Path) -> None:
    target = f"{outside}/precious"
    tampered.rewrite(
        VICTIM,
        [member("./usr/share/way", type=tarfile.LNKTYPE, linkname=target)],
        files=[listed("/usr/share/way", b"precious\n")],
    )


def device(tampered: Tampered, _outside: Path) -> None:
    made = member("./usr/share/way", type=tarfile.BLKTYPE, devmajor=8, devminor=0)
    tampered.rewrite(VICTIM, [made], files=[listed("/usr/share/way", b"")])


def database(tampered: Tampered, _outside: Path) -> None:
    name = "/var/db/xbps/pkgdb-0.38.plist"
    tampered.rewrite(VICTIM, [member(f".{name}", OWNED)], files=[listed(name, OWNED)])


def other_content(tampered: Tampered, _outside: Path) -> None:
    made = member("./usr/share/way", OWNED)
    tampered.rewrite(VICTIM, [made], files=[listed("/usr/share/way", b"honest")])


def unlisted(tampered: Tampered, _outside: Path) -> None:
    tampered.rewrite(VICTIM, [member("./usr/share/way", OWNED)])


@pytest.mark.parametrize(
    ("tamper", "code"),
    [
        (dotdot, "E-PACKAGE-BINPKG-NAME"),
        (dotdot_in_the_middle, "E-PACKAGE-BINPKG-NAME"),
        (dotdot_in_the_list, "E-PACKAGE-LIST-PATH"),
        (absolute, "E-PACKAGE-BINPKG-NAME"),
        (through_own_link, "E-PACKAGE-THROUGH-LINK"),
        (through_the_link_of_another, "E-PACKAGE-FILE-CONFLICT"),
        (through_the_link_of_an_earlier_stage, "E-PACKAGE-PARENT-LINK"),
        (hard_link, "E-PACKAGE-BINPKG-LINK"),
        (device, "E-PACKAGE-BINPKG-TYPE"),
        (database, "E-PACKAGE-DATABASE"),
        (other_content, "E-PACKAGE-PAYLOAD-HASH"),
        (unlisted, "E-PACKAGE-UNLISTED"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_hostile_package_with_a_good_signature(
    tamper: Tamper, code: str, tampered: Tampered, tmp_path: Path
) -> None:
    """Signed by the trusted key and properly indexed: it still cannot leave the tree."""
    tamper(tampered, tmp_path / OUTSIDE)
    said = refused(tampered, tmp_path, 7, code)
    assert VICTIM in said or "tiny-sshd" in said
