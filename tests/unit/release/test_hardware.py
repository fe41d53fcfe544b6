"""Results of real machines: signed by people, read as what strangers sent, counted by promote."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.command import voidimg, voidimg_json
from tests.unit.release.made_sets import image_name, made
from voidimg.errors import ReleaseError, VoidimgError
from voidimg.events import Event, Message
from voidimg.identity import ReleaseDate
from voidimg.release.hardware import attest, count_hardware, counting_results, read_results
from voidimg.release.promote import PromoteOptions, promote
from voidimg.signing.keys import TrustedKey, read_public_key

A = "20260101"
PI = "Raspberry Pi 4 Model B"


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """The directory of all sets, with one that may be published."""
    directory = tmp_path / "live"
    made(directory, A)
    (directory / "hardware" / A).mkdir(parents=True)
    return directory


def person(tmp_path: Path, name: str) -> tuple[Path, TrustedKey]:
    """A key of a person, made by the program minisign: secret and public."""
    secret, public = tmp_path / f"{name}.sec", tmp_path / f"{name}.pub"
    subprocess.run(
        ["minisign", "-G", "-W", "-s", secret, "-p", public], check=True, capture_output=True
    )
    secret.chmod(0o600)
    return secret, read_public_key(public)


def tried(top: Path, secret: Path, machine: str = PI, *, works: bool = True, **other: Any) -> Path:
    """A result of the image of the set."""
    image = top / A / image_name(A)
    directory = top / "hardware" / A
    return attest(image, machine, directory, secret, works=works, **other).path


def count(top: Path, *keys: TrustedKey) -> tuple[int, int, list[str], list[str]]:
    """Works, fails, machines, and what did not count."""
    told: list[str] = []

    def listen(event: Event) -> None:
        assert isinstance(event, Message)
        told.append(event.text)

    content = (top / A / image_name(A)).read_bytes()
    digests = {image_name(A): hashlib.sha256(content).hexdigest()}
    found = count_hardware(counting_results(top / "hardware" / A, digests, keys, listen))
    return found.works, found.fails, list(found.machines), told


def test_results_are_counted(top: Path, tmp_path: Path) -> None:
    """Machines once, whoever tried them; of strangers none."""
    (anna, of_anna), (bert, of_bert) = person(tmp_path, "anna"), person(tmp_path, "bert")
    tried(top, anna)
    tried(top, anna, "Raspberry Pi 3 B+")
    tried(top, bert, PI.upper())
    assert count(top, of_anna, of_bert)[:3] == (3, 0, ["Raspberry Pi 3 B+", PI.upper()])
    works, _, machines, told = count(top, of_anna)
    assert (works, machines) == (2, ["Raspberry Pi 3 B+", PI])
    assert len(told) == 1
    assert "of no tester who was named" in told[0]


def test_the_program_minisign_verifies_a_result(top: Path, tmp_path: Path) -> None:
    """Under the names that it chooses by itself."""
    secret, _ = person(tmp_path, "anna")
    path = tried(top, secret, note="Grüße")
    ended = subprocess.run(
        ["minisign", "-V", "-p", tmp_path / "anna.pub", "-m", path],
        capture_output=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert f"{image_name(A)} works on {PI}".encode() in ended.stdout


def test_the_last_word_counts(top: Path, tmp_path: Path) -> None:
    """Of one person on one machine; on one day that which says that it fails."""
    secret, key = person(tmp_path, "anna")
    for number, (works, day) in enumerate(((False, "20260201"), (True, "20260202"))):
        path = tried(top, secret, works=works, day=ReleaseDate.parse(day))
        for one in (path, path.with_name(f"{path.name}.minisig")):
            one.rename(one.with_name(f"{number}{one.name}"))
    assert count(top, key)[:2] == (1, 0)
    tried(top, secret, works=False, day=ReleaseDate.parse("20260202"))
    assert count(top, key)[:2] == (0, 1)


def _spoil_result(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"fails", b"works"))


def _unsign(path: Path) -> None:
    path.with_name(f"{path.name}.minisig").unlink()


def _link(path: Path) -> None:
    path.rename(path.with_name("x"))
    path.symlink_to("x")


def _huge(path: Path) -> None:
    path.write_bytes(b" " * 70_000)


@pytest.mark.parametrize("spoil", [_spoil_result, _unsign, _link, _huge])
def test_spoiled_results_do_not_count(top: Path, tmp_path: Path, spoil: Any) -> None:
    """Each is told, and the others are counted all the same."""
    secret, key = person(tmp_path, "anna")
    path = tried(top, secret, works=False)
    tried(top, secret, "Another Machine")
    digests = {image_name(A): json.loads(path.read_bytes())["sha256"]}
    spoil(path)
    told: list[Event] = []
    found = count_hardware(counting_results(top / "hardware" / A, digests, (key,), told.append))
    assert (found.works, found.fails) == (1, 0)
    assert len(told) == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"{}", b'{"schema": 2}', b"[" * 9000, b'{"schema": 1, "machine": "a\\nb"}'],
)
def test_signed_nonsense_is_told(top: Path, tmp_path: Path, content: bytes) -> None:
    """A tester's key may sign anything."""
    secret, key = person(tmp_path, "anna")
    path = top / "hardware" / A / "x.json"
    path.write_bytes(content)
    subprocess.run(["minisign", "-S", "-s", secret, "-m", path], check=True, capture_output=True)
    (found,) = read_results(path.parent, (key,))
    assert isinstance(found, VoidimgError)
    assert found.code == "E-VERIFY-RESULT"


def test_another_file_of_that_name_does_not_count(top: Path, tmp_path: Path) -> None:
    """A result is of the very file, by its SHA-256."""
    secret, key = person(tmp_path, "anna")
    tried(top, secret)
    digests = {image_name(A): "0" * 64}
    assert counting_results(top / "hardware" / A, digests, (key,)) == ()


def test_promote_asks_for_machines(top: Path, tmp_path: Path) -> None:
    """And refuses what fails, unless a person says why not."""
    secret, key = person(tmp_path, "anna")
    date = ReleaseDate.parse(A)

    def refused(**given: Any) -> str:
        with pytest.raises(ReleaseError) as caught:
            promote(top, date, PromoteOptions(testers=(key,), **given))
        return caught.value.code

    assert refused(hardware=1) == "E-RELEASE-HARDWARE"
    tried(top, secret)
    assert refused(hardware=2) == "E-RELEASE-HARDWARE"
    tried(top, secret, "Raspberry Pi 500", works=False)
    assert refused(hardware=1) == "E-RELEASE-HARDWARE-FAILS"
    options = PromoteOptions(testers=(key,), hardware=1, accept_failures="known, no USB")
    entry = promote(top, date, options).entry
    page = (top / "hardware" / A / "index.html").read_text()
    real, _, under_qemu = page.partition("<h2>Under QEMU</h2>")
    assert f"<td>{PI}</td>" in real
    assert '<td class="fails">fails</td>' in real
    assert "anna (" in real
    assert "usb on virt (uefi)" in under_qemu
    assert PI not in under_qemu
    assert (entry.hardware.works, entry.hardware.fails, entry.hardware.machines) == (1, 1, (PI,))
    assert "known, no USB" in entry.reason


@pytest.mark.parametrize(
    ("machine", "note"), [("", ""), ("a\nb", ""), ("x" * 501, ""), ("x", "a\x1bb"), (" ", "")]
)
def test_odd_texts_are_refused(top: Path, tmp_path: Path, machine: str, note: str) -> None:
    """Before a key is opened; nothing is written."""
    with pytest.raises(ReleaseError) as caught:
        attest(top / A / image_name(A), machine, tmp_path, tmp_path / "no", works=True, note=note)
    assert caught.value.code == "E-RELEASE-RESULT"


def test_the_verb(top: Path, tmp_path: Path) -> None:
    """From a person's own key to the page of promotions."""
    secret, _ = person(tmp_path, "anna")
    image = top / A / image_name(A)
    place = top / "hardware" / A
    words = ("attest", image, "--machine", PI, "--key", secret, "--directory", place)
    assert voidimg(*words).returncode == 2
    written = voidimg_json(*words, "--works", "--json")
    assert written["result"]["result"] == "works"
    again = voidimg(*words, "--works")
    assert (again.returncode, "E-RELEASE-EXISTS" in again.stderr) == (14, True)
    of_set = top.parent / f"void-release-{A}.sec"
    refused = voidimg("attest", image, "--machine", PI, "--fails", "--key", of_set, cwd=tmp_path)
    assert "E-RELEASE-KEY-OF-SET" in refused.stderr
    needs = ("--out", top, "promote", A, "--require-hardware", "1")
    assert "E-RELEASE-HARDWARE" in voidimg(*needs).stderr
    done = voidimg(*needs, "--tester", tmp_path / "anna.pub")
    assert done.returncode == 0, done.stderr
    assert f"works on {PI}" in done.stdout


def test_a_page_runs_nothing_that_somebody_wrote(top: Path, tmp_path: Path) -> None:
    """Texts of others are escaped, and the page may load nothing."""
    secret, key = person(tmp_path, "anna")
    tried(top, secret, "<script>alert(1)</script>", note="\u202e<img src=x>")
    promote(top, ReleaseDate.parse(A), PromoteOptions(testers=(key,)))
    page = (top / "hardware" / A / "index.html").read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert "\u202e" not in page
    assert "default-src 'none'" in page
