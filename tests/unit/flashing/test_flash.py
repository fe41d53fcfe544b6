"""Writing to plain files: what arrives, what is refused before anything is written, and why."""

from __future__ import annotations

import gzip
import hashlib
import json
import lzma
import os
import pty
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tests.command import voidimg
from tests.unit.disk.disks import MBR, MIB, planned
from tests.unit.disk.trees import EPOCH, make_tree
from voidimg.disk.allocation import block_map
from voidimg.disk.image import write_image
from voidimg.disk.pack_qcow2 import pack_qcow2
from voidimg.errors import StoreError, UsageError, VerifyError
from voidimg.events import Event, Progress
from voidimg.flashing import flash as flashing
from voidimg.flashing.flash import flash, plan_flash
from voidimg.formats.block_map import encode_block_map
from voidimg.formats.partition_table import read_table
from voidimg.identity import ReleaseDate
from voidimg.signing.keys import create_release_key
from voidimg.signing.signing import sign_set

DATE = "20260301"
"""No set of Void is of it, so no key of Void counts for it."""
NAME = f"void-tiny-{DATE}.img"
NOISE = random.Random(5).randbytes(MIB)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small disk with filesystems."""
    place = tmp_path_factory.mktemp("image")
    tree = place / "tree"
    tree.mkdir()
    make_tree(tree, 1)
    path = place / NAME
    write_image(planned(MBR, tree), tree, path, EPOCH)
    return path


def block_map_of(image: Path) -> bytes:
    with image.open("rb") as file:
        return encode_block_map(block_map(file, read_table(image)))


def medium(place: Path, size: int) -> Path:
    """A file of noise: what was on the card before."""
    path = place / "card"
    with path.open("wb") as file:
        for _ in range(-(-size // MIB)):
            file.write(NOISE)
        file.truncate(size)
    return path


def content_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def packed(image: Path, place: Path, form: str) -> Path:
    content = image.read_bytes()
    path = place / f"{NAME}.{form}"
    match form:
        case "xz":
            path.write_bytes(lzma.compress(content, preset=0))
        case "zst":
            path.write_bytes(zstandard.compress(content))
        case "gz":
            path.write_bytes(gzip.compress(content, 1))
        case "qcow2":
            path = path.with_name(f"void-tiny-{DATE}.qcow2")
            pack_qcow2(image, path)
        case _:
            path = path.with_name(NAME)
            path.write_bytes(content)
    return path


@pytest.mark.parametrize("form", ["img", "xz", "zst", "gz", "qcow2"])
def test_every_byte_arrives(form: str, image: Path, tmp_path: Path) -> None:
    """Zeros too; what the medium has behind the image stays."""
    source = packed(image, tmp_path, form)
    size = image.stat().st_size
    card = medium(tmp_path, size + 3 * MIB)
    flash(plan_flash(source, card))
    with card.open("rb") as file:
        assert file.read(size) == image.read_bytes()
        assert file.read() == 3 * NOISE[:MIB] if size % MIB == 0 else True


@pytest.mark.parametrize("form", ["img", "xz"])
def test_with_a_map_only_what_is_used_is_written(form: str, image: Path, tmp_path: Path) -> None:
    source = packed(image, tmp_path, form)
    (tmp_path / f"{NAME}.bmap").write_bytes(block_map_of(image))
    card = medium(tmp_path, image.stat().st_size)
    plan = plan_flash(source, card)
    assert plan.block_map is not None
    assert plan.write_bytes < plan.image_bytes
    flash(plan)
    with card.open("rb") as file, image.open("rb") as original:
        for start, end in plan.block_map.extents:
            file.seek(start)
            original.seek(start)
            assert file.read(end - start) == original.read(end - start)
    assert NOISE[:4096] not in image.read_bytes()
    assert card.read_bytes() != image.read_bytes()
    for entry in read_table(card).partitions:
        part = tmp_path / "part"
        with card.open("rb") as file:
            file.seek(entry.offset_bytes)
            part.write_bytes(file.read(entry.size_bytes))
        check = ["fsck.fat", "-n"] if entry.number == 1 else ["e2fsck", "-fn"]
        subprocess.run([*check, part], check=True, capture_output=True)
    whole = plan_flash(source, card, use_block_map=False)
    flash(whole)
    assert card.read_bytes() == image.read_bytes()


def test_a_map_of_holes_is_told_after_it_was_written(image: Path, tmp_path: Path) -> None:
    """What bmaptool makes of the file alone: zeros of the FAT are left as they were."""
    source = tmp_path / NAME
    subprocess.run(["cp", "--sparse=always", image, source], check=True)
    made = subprocess.run(["bmaptool", "create", source], check=True, capture_output=True)
    (tmp_path / f"{NAME}.bmap").write_bytes(made.stdout)
    plan = plan_flash(source, medium(tmp_path, image.stat().st_size + MIB))
    with pytest.raises(VerifyError, match="leaves out what the filesystems"):
        flash(plan)


def test_progress_is_told_to_the_end(image: Path, tmp_path: Path) -> None:
    seen: list[Event] = []
    plan = plan_flash(image, medium(tmp_path, image.stat().st_size))
    flash(plan, listener=seen.append)
    for name in ("write", "read back"):
        steps = [one for one in seen if isinstance(one, Progress) and one.step == name]
        assert steps[-1].done == steps[-1].total == image.stat().st_size


def test_an_old_gpt_of_the_medium_is_gone(image: Path, tmp_path: Path) -> None:
    card = medium(tmp_path, image.stat().st_size + MIB)
    with card.open("r+b") as file:
        file.seek(-512, os.SEEK_END)
        file.write(b"EFI PART")
    flash(plan_flash(image, card))
    assert card.read_bytes()[-512:] == bytes(512)


# --- refused before anything is written ---


def file_of(size: int) -> Callable[[Path, Path], Path]:
    return lambda place, _image: medium(place, size)


def a_directory(place: Path, _image: Path) -> Path:
    (place / "card").mkdir()
    return place / "card"


def a_pipe(place: Path, _image: Path) -> Path:
    os.mkfifo(place / "card")
    return place / "card"


def a_link(place: Path, image: Path) -> Path:
    (place / "card").symlink_to(medium(place.parent, image.stat().st_size))
    return place / "card"


def a_dangling_link(place: Path, _image: Path) -> Path:
    (place / "card").symlink_to(place / "nowhere")
    return place / "card"


def two_names(place: Path, image: Path) -> Path:
    card = medium(place, image.stat().st_size)
    os.link(card, place / "other")
    return card


def nothing(place: Path, _image: Path) -> Path:
    return place / "card"


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (file_of(MIB), "MEDIUM-SMALL"),
        (file_of(0), "MEDIUM-SMALL"),
        (a_directory, "MEDIUM-KIND"),
        (a_pipe, "MEDIUM-KIND"),
        (lambda _place, _image: Path("/dev/null"), "MEDIUM-KIND"),
        (a_link, "MEDIUM-LINK"),
        (a_dangling_link, "MEDIUM-MISSING"),
        (two_names, "MEDIUM-LINK"),
        (nothing, "MEDIUM-MISSING"),
        (lambda _place, image: image, "MEDIUM-SAME"),
    ],
    ids=lambda one: getattr(one, "__name__", str(one)),
)
def test_what_is_no_medium_is_refused(
    make: Callable[[Path, Path], Path], code: str, image: Path, tmp_path: Path
) -> None:
    place = tmp_path / "place"
    place.mkdir()
    card = make(place, image)
    regular = card.is_file() and not card.is_symlink()
    before = content_of(card) if regular else None
    with pytest.raises(UsageError) as caught:
        plan_flash(image, card)
    assert caught.value.code == f"E-USAGE-{code}"
    assert before is None or content_of(card) == before


@pytest.mark.parametrize("form", ["xz", "zst", "gz", "qcow2"])
def test_a_damaged_image_is_refused(form: str, image: Path, tmp_path: Path) -> None:
    source = packed(image, tmp_path, form)
    content = source.read_bytes()
    card = medium(tmp_path, image.stat().st_size)
    before = content_of(card)
    source.write_bytes(content[: len(content) // 2])
    ended = voidimg("flash", "--yes", source, card)
    assert ended.returncode not in (0, 1), ended.stderr
    assert "Traceback" not in ended.stderr
    assert content_of(card) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content[:-20],
        lambda content: content.replace(b"2.0", b"3.0"),
        lambda content: content.replace(b'chksum="', b'chksum="0', 1),
    ],
)
def test_a_damaged_map_is_refused(
    change: Callable[[bytes], bytes], image: Path, tmp_path: Path
) -> None:
    source = packed(image, tmp_path, "img")
    (tmp_path / f"{NAME}.bmap").write_bytes(change(block_map_of(image)))
    card = medium(tmp_path, image.stat().st_size)
    before = content_of(card)
    ended = voidimg("flash", "--yes", source, card)
    assert ended.returncode not in (0, 1)
    assert "BLOCK-MAP" in ended.stderr
    assert content_of(card) == before


def test_a_map_of_another_image_is_refused(image: Path, tmp_path: Path) -> None:
    source = packed(image, tmp_path, "xz")
    other = bytearray(image.read_bytes())
    other[100] ^= 1
    (tmp_path / "other").write_bytes(other)
    (tmp_path / f"{NAME}.bmap").write_bytes(block_map_of(tmp_path / "other"))
    card = medium(tmp_path, image.stat().st_size)
    before = content_of(card)
    with pytest.raises(VerifyError, match="are not those of its block map"):
        plan_flash(source, card)
    assert content_of(card) == before


@pytest.mark.parametrize("content", [b"", b"text" * 1000, bytes(4096)])
def test_what_is_no_image_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.img").write_bytes(content)
    card = medium(tmp_path, MIB)
    ended = voidimg("flash", "--yes", tmp_path / "x.img", card)
    assert ended.returncode == 8, ended.stderr
    assert card.read_bytes() == NOISE


def test_an_image_that_changes_between_look_and_write_is_refused(
    image: Path, tmp_path: Path
) -> None:
    source = packed(image, tmp_path, "img")
    card = medium(tmp_path, image.stat().st_size)
    before = content_of(card)
    plan = plan_flash(source, card)
    os.utime(source, (1, 1))
    with pytest.raises(StoreError, match="changed"):
        flash(plan)
    assert content_of(card) == before


def test_an_image_that_changes_while_it_is_written_leaves_no_disk(
    image: Path, tmp_path: Path
) -> None:
    """The table is written last: nobody starts from what is not whole."""
    source = packed(image, tmp_path, "img")
    card = medium(tmp_path, image.stat().st_size)
    plan = plan_flash(source, card)

    def change(event: Event) -> None:
        if isinstance(event, Progress) and event.done == MIB:
            os.utime(source, (1, 1))

    with pytest.raises(StoreError, match="changed"):
        flash(plan, listener=change)
    assert card.read_bytes()[:4096] == bytes(4096)


def test_a_medium_that_becomes_another_is_refused(image: Path, tmp_path: Path) -> None:
    card = medium(tmp_path, image.stat().st_size)
    plan = plan_flash(image, card)
    card.rename(tmp_path / "old")
    other = medium(tmp_path, image.stat().st_size)
    before = content_of(other)
    with pytest.raises(UsageError, match="not what it was"):
        flash(plan)
    other.unlink()
    other.symlink_to(tmp_path / "old")
    with pytest.raises(UsageError):
        flash(plan)
    assert content_of(tmp_path / "old") == before


def test_a_medium_that_forgets_is_noticed(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bit, after all was written: counterfeit cards do that."""
    card = medium(tmp_path, image.stat().st_size)
    plan = plan_flash(image, card)

    def forget(descriptor: int, _target: object) -> None:
        byte = os.pread(descriptor, 1, 5 * MIB)
        os.pwrite(descriptor, bytes([byte[0] ^ 1]), 5 * MIB)

    monkeypatch.setattr(flashing, "forget_cached", forget)
    with pytest.raises(VerifyError, match="does not give back"):
        flash(plan)


# --- who made it ---


@pytest.fixture
def signed(image: Path, tmp_path: Path) -> Path:
    """A signed set: the compressed image and its map."""
    place = tmp_path / DATE
    place.mkdir()
    packed(image, place, "zst")
    (place / f"{NAME}.bmap").write_bytes(block_map_of(image))
    key = create_release_key(ReleaseDate.parse(DATE), tmp_path, passphrase=None)
    sign_set(place, key.secret_path, passphrase=None)
    return place


def test_a_signed_image_is_told_as_that(signed: Path, image: Path, tmp_path: Path) -> None:
    card = medium(tmp_path, image.stat().st_size)
    ended = voidimg("flash", "--yes", "--json", signed / f"{NAME}.zst", card)
    assert ended.returncode == 0, ended.stderr
    assert "is what was signed by" in ended.stderr
    told = json.loads(ended.stdout)
    assert told["verified"] == "signed"
    assert told["written_bytes"] < told["image_bytes"] == image.stat().st_size


@pytest.mark.parametrize("name", [f"{NAME}.zst", f"{NAME}.bmap", "sha256sum.txt", "sha256sum.sig"])
def test_what_was_changed_after_signing_is_refused(
    name: str, signed: Path, image: Path, tmp_path: Path
) -> None:
    content = bytearray((signed / name).read_bytes())
    content[len(content) // 2] ^= 1
    (signed / name).write_bytes(content)
    card = medium(tmp_path, image.stat().st_size)
    before = content_of(card)
    ended = voidimg("flash", "--yes", signed / f"{NAME}.zst", card)
    assert ended.returncode not in (0, 1), ended.stderr
    assert "Traceback" not in ended.stderr
    assert content_of(card) == before


def test_a_map_that_was_not_signed_is_refused(signed: Path, image: Path, tmp_path: Path) -> None:
    """It could leave out what matters."""
    content = (signed / f"{NAME}.bmap").read_bytes()
    (signed / f"{NAME}.bmap").unlink()
    (signed / f"{NAME}.zst.bmap").write_bytes(content)
    card = medium(tmp_path, image.stat().st_size)
    ended = voidimg("flash", "--yes", signed / f"{NAME}.zst", card)
    assert "NOT-LISTED" in ended.stderr
    assert voidimg("flash", "--yes", "--no-bmap", signed / f"{NAME}.zst", card).returncode == 0
    assert card.read_bytes() == image.read_bytes()


def test_without_the_key_nothing_is_written_unless_it_is_asked_for(
    signed: Path, image: Path, tmp_path: Path
) -> None:
    for path in tmp_path.glob("void-release-*"):
        path.unlink()
    other = create_release_key(ReleaseDate.parse("20260302"), tmp_path, passphrase=None)
    card = medium(tmp_path, image.stat().st_size)
    keys: list[list[str | Path]] = [[], ["--key", other.public_path]]
    for more in keys:
        assert voidimg("flash", "--yes", *more, signed / f"{NAME}.zst", card).returncode != 0
    ended = voidimg("flash", "--yes", "--unverified", signed / f"{NAME}.zst", card)
    assert ended.returncode == 0, ended.stderr
    assert "not verified" in ended.stderr


def test_checksums_without_a_signature_are_told_as_that(
    signed: Path, image: Path, tmp_path: Path
) -> None:
    (signed / "sha256sum.sig").unlink()
    card = medium(tmp_path, image.stat().st_size)
    ended = voidimg("flash", "--yes", signed / f"{NAME}.zst", card)
    assert ended.returncode == 0, ended.stderr
    assert "warning: " in ended.stderr
    assert "is not signed" in ended.stderr
    (signed / f"{NAME}.zst").write_bytes(zstandard.compress(image.read_bytes()[:-MIB]))
    assert "CHECKSUM" in voidimg("flash", "--yes", signed / f"{NAME}.zst", card).stderr


def test_nothing_beside_it_is_told_clearly(image: Path, tmp_path: Path) -> None:
    card = medium(tmp_path, image.stat().st_size)
    ended = voidimg("--quiet", "flash", "--yes", image, card)
    assert ended.returncode == 0, ended.stderr
    assert "warning: nothing says who made" in ended.stderr


# --- asking ---


def answered(answer: str, *words: str | Path) -> tuple[int, str]:
    """Exit status and output of the command at a terminal, where `answer` is typed."""
    master, slave = pty.openpty()
    argv = [sys.executable, "-m", "voidimg.cli", *map(str, words)]
    process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    said: list[bytes] = []

    def read() -> None:
        try:
            while piece := os.read(master, 4096):
                said.append(piece)
                if b"[y/N]" in b"".join(said) and answer not in sent:
                    sent.append(answer)
                    os.write(master, answer.encode())
        except OSError:  # the other end is closed
            pass

    sent: list[str] = []
    reader = threading.Thread(target=read)
    reader.start()
    status = process.wait(timeout=120)
    reader.join(timeout=10)
    os.close(master)
    return status, b"".join(said).decode("utf-8", "replace")


def test_it_asks_and_only_yes_is_yes(image: Path, tmp_path: Path) -> None:
    card = medium(tmp_path, image.stat().st_size)
    before = content_of(card)
    for answer in ("n\n", "\n"):
        status, said = answered(answer, "flash", image, card)
        assert status == 130, said
        assert "Overwrite all of it" in said
        assert content_of(card) == before
    status, said = answered("y\n", "flash", image, card)
    assert status == 0, said
    assert "read back" in said
    assert card.read_bytes() == image.read_bytes()


def test_a_script_that_does_not_say_yes_is_refused(image: Path, tmp_path: Path) -> None:
    card = medium(tmp_path, image.stat().st_size)
    before = content_of(card)
    ended = voidimg("flash", image, card)
    assert ended.returncode == 2, ended.stderr
    assert "--yes" in ended.stderr
    assert content_of(card) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone may write to disks")
def test_the_disk_of_this_machine_is_refused(image: Path) -> None:
    """Whatever block device / is on, if it is on one."""
    number = os.stat("/").st_dev
    place = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not place.exists():
        pytest.skip("/ is on no block device here")
    device = Path("/dev") / place.resolve().name
    ended = voidimg("flash", "--yes", image, device)
    assert ended.returncode == 2, ended.stderr
    assert "MEDIUM-SYSTEM" in ended.stderr
    assert shutil.disk_usage("/").total
