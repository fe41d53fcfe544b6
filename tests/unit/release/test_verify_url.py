"""Image sets and files on a server, and downloads judged by the checksums of a server."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.command import voidimg, voidimg_json
from tests.http_server import Server, serving
from tests.unit.release.conftest import DATE, FILES
from voidimg.artifact_names import MANIFEST_NAME
from voidimg.errors import FetchError, UsageError, VerifyError, VoidimgError, every_error
from voidimg.identity import ReleaseDate
from voidimg.signing.keys import ReleaseKey, TrustedKey, create_release_key, read_public_key
from voidimg.signing.signing import sign_set
from voidimg.signing.verify import verify_files, verify_set
from voidimg.signing.verify_url import verify_files_from, verify_url

IMAGE = "void-rpi-aarch64-20240314.img.xz"
OTHER = ReleaseDate.parse("20250202")


@pytest.fixture
def live(tmp_path: Path, image_set: Path, key: ReleaseKey) -> Path:
    """What a mirror has: two signed sets, and the first as a second copy called `current`."""
    sign_set(image_set, key.secret_path)
    top = tmp_path / "mirror" / "live"
    shutil.copytree(image_set, top / str(DATE))
    shutil.copytree(image_set, top / "current")
    newer = top / str(OTHER)
    newer.mkdir()
    for name, content in FILES.items():
        (newer / name.replace(str(DATE), str(OTHER))).write_bytes(content + b"new")
    sign_set(newer, create_release_key(OTHER, tmp_path, passphrase=None).secret_path)
    return top


@pytest.fixture
def server(live: Path) -> Iterator[Server]:
    """Serves the mirror."""
    with serving(live.parent) as running:
        yield running


def failure(url: str, key: ReleaseKey) -> VoidimgError:
    """The error of verifying `url`."""
    with pytest.raises(VoidimgError) as caught:
        verify_url(url, read_public_key(key.public_path))
    return caught.value


@pytest.mark.parametrize("place", ["live/20240314", "live/20240314/", "live/current"])
def test_a_set_on_a_server(server: Server, key: ReleaseKey, place: str) -> None:
    """Every file is read; the signature may come from no cache on the way."""
    verified = verify_url(f"{server.url}/{place}", read_public_key(key.public_path), jobs=3)
    urls = {f"{server.url}/{place.rstrip('/')}/{name}" for name in FILES}
    assert {str(file.path) for file in verified.files} == urls
    asked = [headers for path, headers in server.requests if path.endswith(".sig")]
    assert [one["Cache-Control"] for one in asked] == ["no-cache"] * len(asked)
    assert any(path == "/live/20240314/sha256sum.sig" for path, _ in server.requests)


@pytest.mark.parametrize("place", ["20240314", "current"])
def test_one_file_on_a_server(server: Server, key: ReleaseKey, place: str) -> None:
    """By the checksums of its dated directory; no other image is read."""
    url = f"{server.url}/live/{place}/{IMAGE}"
    (file,) = verify_url(url, read_public_key(key.public_path)).files
    assert file.path == url
    assert not [path for path, _ in server.requests if "ROOTFS" in path]
    assert ("/live/20240314/sha256sum.txt") in [path for path, _ in server.requests]


def test_new_checksums_and_an_old_signature_are_no_attack(
    live: Path, server: Server, key: ReleaseKey
) -> None:
    """What a cache for a year makes of `current`: the words say so, with both dates."""
    shutil.copy(live / str(OTHER) / "sha256sum.sig", live / "current")
    error = failure(f"{server.url}/live/current", key)
    assert error.code == "E-VERIFY-BETWEEN"
    assert "this mirror is between two sets" in error.what
    assert "20240314" in error.what
    assert "20250202" in error.what
    assert f"{server.url}/live/20240314" in str(error.hint)
    assert verify_url(f"{server.url}/live/20240314", read_public_key(key.public_path)).files


def test_old_checksums_and_new_images_are_no_attack(
    live: Path, server: Server, key: ReleaseKey
) -> None:
    """What `rsync -u` makes of files whose times were clamped."""
    for name in FILES:
        (live / "current" / name).unlink()
        newer = name.replace(str(DATE), str(OTHER))
        shutil.copy(live / str(OTHER) / newer, live / "current")
    error = failure(f"{server.url}/live/current", key)
    assert {one.code for one in every_error(error)} == {"E-VERIFY-BETWEEN"}
    assert "between two sets" in str(error)


def test_files_of_two_dates_are_refused(live: Path, server: Server, key: ReleaseKey) -> None:
    """All names of one checksum file carry one date."""
    for name in ("sha256sum.txt", "sha256sum.sig"):
        (live / "current" / name).unlink()
    both = [(live / str(date) / "sha256sum.txt").read_text() for date in (DATE, OTHER)]
    (live / "current" / "sha256sum.txt").write_text("".join(both))
    shutil.copy(live / str(DATE) / "sha256sum.sig", live / "current")
    assert failure(f"{server.url}/live/current", key).code == "E-VERIFY-SUMS-DATES"


def test_the_key_of_another_date_is_refused(server: Server, key: ReleaseKey) -> None:
    """Also where it is the key of the date that `current` was before."""
    error = failure(f"{server.url}/live/20250202", key)
    assert error.code == "E-VERIFY-KEY-OTHER-DATE"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda content: content[:-3], "E-VERIFY-CHECKSUM"),
        (lambda content: content + b"x", "E-VERIFY-CHECKSUM"),
        (lambda content: content[:-1] + b"?", "E-VERIFY-CHECKSUM"),
        (None, "E-VERIFY-MISSING"),
    ],
)
def test_other_bytes_on_a_server(
    live: Path, server: Server, key: ReleaseKey, change: object, code: str
) -> None:
    """A set of Void says no sizes, so that they differ is known by the bytes only."""
    path = live / str(DATE) / IMAGE
    if callable(change):
        path.write_bytes(change(path.read_bytes()))
    else:
        path.unlink()
    assert failure(f"{server.url}/live/20240314", key).code == code


def listed() -> str:
    """A manifest with the sizes of the files of the set."""
    artifacts = ", ".join(
        f'{{"name": "{name}", "size": {len(content)}, "side_files": []}}'
        for name, content in FILES.items()
    )
    return f'{{"schema": 1, "artifacts": [{artifacts}]}}'


VERIFYING: dict[str, Callable[[Path, str, TrustedKey], object]] = {
    "directory": lambda path, _url, key: verify_set(path.parent, key),
    "file": lambda path, _url, key: verify_files([path], key),
    "server": lambda path, url, key: verify_url(f"{url}/out/{path.parent.name}", key),
    "by a server": lambda path, url, key: verify_files_from([path], f"{url}/whole", key),
}
CHANGES: list[tuple[Callable[[bytes], bytes], str, str]] = [
    (lambda content: content[:-3], "SHORTER", "shorter than what was signed: it has"),
    (lambda content: content + b"x", "LONGER", "longer than what was signed: it has"),
    (lambda content: content[:-1] + b"?", "CHECKSUM", "other bytes than the file"),
    (lambda _content: b"<html>a page</html>", "LONGER", "longer"),
]


@pytest.mark.parametrize("where", VERIFYING)
@pytest.mark.parametrize(("change", "code", "words"), CHANGES)
def test_how_a_file_differs_is_told(
    tmp_path: Path, where: str, change: Callable[[bytes], bytes], code: str, words: str
) -> None:
    """Sizes are compared before anything is read: the signed manifest knows them."""
    own = tmp_path / "out" / str(OTHER)
    own.mkdir(parents=True)
    for name, content in FILES.items():
        (own / name.replace(str(DATE), str(OTHER))).write_bytes(content)
    (own / MANIFEST_NAME).write_text(listed().replace(str(DATE), str(OTHER)))
    key = create_release_key(OTHER, tmp_path, passphrase=None)
    sign_set(own, key.secret_path)
    shutil.copytree(own, tmp_path / "whole" / str(OTHER))
    path = own / IMAGE.replace(str(DATE), str(OTHER))
    path.write_bytes(change(path.read_bytes()))
    if b"html" in path.read_bytes() and where != "server":
        code, words = "HTML", "web page"
    with serving(tmp_path) as running, pytest.raises(VerifyError) as caught:
        VERIFYING[where](path, running.url, read_public_key(key.public_path))
    assert caught.value.code == f"E-VERIFY-{code}"
    assert words in caught.value.what


@pytest.mark.parametrize("source", ["live", "live/", "live/20240314", "live/current"])
def test_a_file_without_its_set(
    tmp_path: Path, server: Server, key: ReleaseKey, source: str
) -> None:
    """The checksums come from the server, whichever of its directories is named; no image does."""
    path = tmp_path / "Downloads" / IMAGE
    path.parent.mkdir()
    path.write_bytes(FILES[IMAGE])
    trusted = read_public_key(key.public_path)
    (verified,) = verify_files_from([path], f"{server.url}/{source}", trusted)
    assert [file.path for file in verified.files] == [path]
    assert not [one for one, _ in server.requests if one.endswith(".xz")]


def test_files_of_several_sets_by_one_directory(tmp_path: Path, live: Path) -> None:
    """Each by the checksums and the key of its own date."""
    paths = [live / str(DATE) / IMAGE]
    newer = IMAGE.replace(str(DATE), str(OTHER))
    (tmp_path / newer).write_bytes((live / str(OTHER) / newer).read_bytes())
    paths.append(tmp_path / newer)
    for date in (DATE, OTHER):
        shutil.copy(tmp_path / f"void-release-{date}.pub", live)
    (found,) = verify_files_from(paths[1:], str(live))
    assert (found.date, found.key.trust) == (str(OTHER), "beside")
    with pytest.raises(VerifyError, match="not by A3FCFCCA9D356F86") as caught:
        verify_files_from(paths, str(live))  # Void's own key of that date is known
    assert f"{live}/void-release-{DATE}.pub" in str(caught.value.hint)


@pytest.mark.parametrize(
    "source", ["ftp://a.example/live", "http://", "https://a.example/x?y=1", "http://a b/", "x://y"]
)
def test_what_is_no_url_is_told(tmp_path: Path, source: str) -> None:
    """Before anything is asked."""
    for call in (lambda: verify_url(source), lambda: verify_files_from([tmp_path / IMAGE], source)):
        with pytest.raises(UsageError):
            call()


def test_a_hostile_server_is_bounded(server: Server, key: ReleaseKey) -> None:
    """More than was promised, a web page, a redirection: refused, whatever the file is."""
    url = f"{server.url}/live/20240314"
    server.faults = {"sha256sum.txt": ("html", 9)}
    assert failure(url, key).code == "E-FETCH-HTML"
    server.faults = {IMAGE: ("drop", 1), "sha256sum.sig": ("drop", 1)}
    assert verify_url(url, read_public_key(key.public_path)).files
    server.faults = {IMAGE: ("truncate", 1)}
    assert verify_url(url, read_public_key(key.public_path)).files
    server.faults = {IMAGE: ("flip", 9)}
    assert failure(url, key).code == "E-VERIFY-CHECKSUM"
    server.faults = {IMAGE: ("long", 9)}
    assert isinstance(failure(url, key), FetchError)


def test_there_is_no_set(server: Server, key: ReleaseKey) -> None:
    """The directory of all sets is not one: the hint names what is."""
    error = failure(f"{server.url}/live", key)
    assert error.code == "E-VERIFY-SUMS-MISSING"
    assert f"{server.url}/live/current" in str(error.hint)
    assert failure(f"{server.url}/live/20230101", key).code == "E-VERIFY-SUMS-MISSING"


def test_the_verb_takes_urls(tmp_path: Path, server: Server, key: ReleaseKey) -> None:
    """The key lies in the working directory, and says why it is trusted."""
    del key
    url = f"{server.url}/live/current"
    (result,) = voidimg_json("verify", url, "--json", cwd=tmp_path)
    assert len(result["files"]) == len(FILES)
    assert result["key"]["trust"] == "here"
    ended = voidimg("verify", url, cwd=tmp_path / "mirror")
    assert ended.returncode == 6
    assert "E-VERIFY-KEY-OTHER" in ended.stderr  # Void's own key of that date is known
    path = tmp_path / "mirror" / IMAGE
    path.write_bytes(FILES[IMAGE])
    alone = voidimg("verify", path, cwd=tmp_path)
    assert "--from URL" in alone.stderr
    by_server = voidimg("verify", path, "--from", f"{server.url}/live", cwd=tmp_path)
    assert by_server.returncode == 0, by_server.stderr


@pytest.mark.parametrize("source", ["server", "directory"])
@pytest.mark.parametrize(
    ("content", "code"),
    [
        (FILES[IMAGE][:-5] + b"YZ", "SHORTER"),
        (FILES[IMAGE] + b" YZ", "LONGER"),
        (FILES[IMAGE][:-3] + b"?YZ", "CHECKSUM"),
    ],
)
def test_sizes_that_nobody_signed_are_good_for_words(
    tmp_path: Path, live: Path, server: Server, key: ReleaseKey, source: str, content: bytes,
    code: str,
) -> None:  # fmt: skip
    """Void's sets have no manifest; the server's copy says whether a download was cut off."""
    path = tmp_path / IMAGE
    path.write_bytes(content)
    place = f"{server.url}/live" if source == "server" else str(live)
    with pytest.raises(VerifyError) as caught:
        verify_files_from([path], place, read_public_key(key.public_path))
    assert caught.value.code == f"E-VERIFY-{code}"
    path.write_bytes(FILES[IMAGE])
    (live / str(DATE) / IMAGE).write_bytes(b"another size")  # and proves nothing
    assert verify_files_from([path], place, read_public_key(key.public_path))
