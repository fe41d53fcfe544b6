"""What is in an image set already changes only when that was asked for."""

from __future__ import annotations

from pathlib import Path

from tests.command import voidimg
from tests.integration.building import DATE, LOCK, NAMES, build_words, names_of
from tests.testrepo import RepositoryFixture
from voidimg.identity import ReleaseDate
from voidimg.signing.keys import create_release_key
from voidimg.signing.signing import sign_set


def _content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def test_a_set_changes_only_when_asked(tiny: RepositoryFixture, tmp_path: Path) -> None:
    """Same files again, more of them, different ones, a signed set: each with and without leave."""
    directory = tmp_path / "out" / DATE

    def build(*more: str) -> tuple[int, str]:
        ended = voidimg(*build_words(tiny, tmp_path, *more))
        return ended.returncode, ended.stderr

    assert build("--artifact", "rootfs")[0] == 0
    little = _content(directory)
    assert build("--artifact", "rootfs")[0] == 0
    assert _content(directory) == little
    status, said = build()
    assert status == 0, said
    whole = _content(directory)
    assert set(whole) == names_of("none")
    assert little.items() <= whole.items()
    assert build("--artifact", "rootfs")[0] == 0
    assert _content(directory) == whole

    for name in (NAMES["image"], LOCK):
        path = directory / name
        path.unlink()  # it may be a hard link to the cache
        path.write_bytes(b"another")
        status, said = build()
        assert (status, "E-USAGE-SET-DIFFERENT" in said) == (2, True), said
        assert path.read_bytes() == b"another"
        status, said = build("--replace")
        assert status == 0, said
        assert _content(directory) == whole

    key = create_release_key(ReleaseDate.parse(DATE), tmp_path, passphrase=None)
    sign_set(directory, key.secret_path)
    signed = _content(directory)
    for more in ((), ("--replace",), ("--artifact", "rootfs")):
        status, said = build(*more)
        assert (status, "E-USAGE-SET-SIGNED" in said) == (2, True), said
    assert _content(directory) == signed
    assert build("--into-signed")[0] == 0
    assert _content(directory) == signed
