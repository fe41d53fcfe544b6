"""Scripts of packages that want out: what they see, what they are refused, and what they leave.

Each runs as root and as an ordinary user, with the real command.
"""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.command import arguments, environment, voidimg
from tests.integration.building import (
    NAMES,
    SPEC,
    build_words,
    left_in_work,
    names_of,
    published,
)
from tests.integration.persons import as_somebody_else
from tests.integration.tampering import Tampered, member, state_of
from tests.testrepo import RepositoryFixture
from voidimg.tree.walk import empty_directory
from voidimg.xbps.plist import PlistDict

CANARY = b"a file of the host that no artifact may hold\n"


def with_hook(place: Path, stage: str, script: str) -> Path:
    """A copy of the tests' platforms whose board runs `script` in `stage`."""
    spec = Path(shutil.copytree(SPEC, place / "spec", symlinks=True))
    hook = f"[[{stage}.hooks]]\nname = \"hostile\"\nscript = '''\n{script}\n'''\n\n[disk]\n"
    board = spec / "platforms/tiny.toml"
    board.write_text(board.read_text().replace("[disk]\n", hook, 1))
    return spec


def words_of(
    tiny: RepositoryFixture, place: Path, spec: Path, *more: str | Path
) -> list[str | Path]:
    words = build_words(tiny, place, *more)
    words[words.index(SPEC)] = spec
    return words


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A directory of the host with a file that must not get into an artifact."""
    directory = tmp_path / "host"
    directory.mkdir()
    (directory / "canary").write_bytes(CANARY)
    (directory / "cmdline.txt").write_bytes(CANARY)
    return directory


def test_a_mount_point_that_a_script_turned_into_a_link(
    tiny: RepositoryFixture, tmp_path: Path, host: Path
) -> None:
    """The host's directory was the content of the FAT partition; the build went well."""
    spec = with_hook(tmp_path, "image", f"rm -rf /boot\nln -s {host} /boot")
    before = state_of(host)
    ended = voidimg(*words_of(tiny, tmp_path, spec, "--artifact", "image"))
    assert ended.returncode == 8, ended.stderr
    assert "[E-LAYOUT-OUTSIDE]" in ended.stderr
    assert "/boot" in ended.stderr
    assert published(tmp_path) == {}
    assert left_in_work(tmp_path) == []
    assert state_of(host) == before


def test_a_mount_point_that_a_package_brings_as_a_link(
    tiny: RepositoryFixture, tmp_path: Path, host: Path
) -> None:
    """As above, by the payload of a package that is signed and indexed."""
    tampered = Tampered(tiny, tmp_path / "repository")
    links: list[PlistDict] = [{"file": "/boot", "target": str(host)}]
    made = member("./boot", type=tarfile.SYMTYPE, linkname=str(host))
    tampered.rewrite("tiny-runit", [made], links=links)
    ended = voidimg(*build_words(tampered.fixture, tmp_path, "--artifact", "image"))
    assert ended.returncode != 0, ended.stderr
    assert "Traceback" not in ended.stderr
    assert published(tmp_path) == {}
    assert (host / "canary").read_bytes() == CANARY
    assert sorted(path.name for path in host.iterdir()) == ["canary", "cmdline.txt"]


PROBE = """
{
    awk '{ n += $3 } END { print "ids", n }' /proc/self/uid_map
    echo mounts $(cat /proc/self/mountinfo /proc/mounts /proc/self/mountstats | wc -c)
    for device in null zero full random urandom tty; do
        for change in "chmod 600" "chown 1:1" "touch -d 2001-01-01"; do
            $change /dev/$device 2> /dev/null && echo changed $device
        done
    done
    for file in cmdline environ mountinfo maps; do
        cat /proc/1/$file 2> /dev/null && echo read $file
    done
    tr '\\0' ' ' < /proc/self/cmdline
    echo
    ls /proc/sys/fs/binfmt_misc
    ulimit -a
} > /etc/probe 2>&1
"""


def seen_by_probe(place: Path) -> str:
    with tarfile.open(place / "out" / "20240314" / NAMES["platformfs"]) as tar:
        file = tar.extractfile("./etc/probe")
        assert file is not None
        return file.read().decode()


def binfmt_of_host() -> list[str]:
    place = Path("/proc/sys/fs/binfmt_misc")
    return sorted(path.name for path in place.iterdir()) if place.is_dir() else []


def test_what_a_script_sees_of_the_host(tiny: RepositoryFixture, tmp_path: Path) -> None:
    """No id, node, path, command line or binfmt entry of the host; the same for both persons."""
    spec = with_hook(tmp_path, "platformfs", PROBE)
    names = ("null", "zero", "full", "random", "urandom", "tty")
    nodes = [os.stat(f"/dev/{name}") for name in names]
    entries = binfmt_of_host()
    own = tmp_path / "own"
    ended = voidimg(*words_of(tiny, own, spec, "--artifact", "platformfs"))
    assert ended.returncode == 0, ended.stderr

    home = tmp_path / "home"
    home.mkdir()
    for name in ("spec", "repository"):
        source = spec if name == "spec" else tiny.path
        shutil.copytree(source, home / name, symlinks=True)
    shutil.copy(tiny.key_plist, home / tiny.key_plist.name)
    moved = RepositoryFixture(home / "repository", home / tiny.key_plist.name, tiny.arch)
    words = words_of(moved, home, home / "spec", "--artifact", "platformfs")
    other = subprocess.run(
        as_somebody_else(home, arguments(*words)),
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert other.returncode == 0, other.stderr
    after = [os.stat(f"/dev/{name}") for name in names]
    for one, two in zip(nodes, after, strict=True):
        kept = ("st_mode", "st_uid", "st_gid", "st_mtime_ns")
        assert [getattr(one, name) for name in kept] == [getattr(two, name) for name in kept]
    assert binfmt_of_host() == entries
    for place in (own, home):
        seen = seen_by_probe(place)
        assert seen.startswith("ids 65536\nmounts 0\n")
        assert "changed" not in seen
        assert "read" not in seen.replace("real-time", "").replace("threads", "")
        assert str(place) not in seen
        assert "voidimg" not in seen
    if os.geteuid() == 0:
        kept_files = [path for path in (own / "cache").rglob("*") if path.lstat().st_uid != 0]
        assert kept_files == []
    assert seen_by_probe(own) == seen_by_probe(home)


DEEP = """
mkdir -p /srv && cd /srv
chain() {
    path=d
    i=1
    while [ $i -lt 900 ]; do path=$path/d; i=$((i + 1)); done
    mkdir -p $1/$path
}
chain a
chain b && mv a b/$path/
chain c && mv b c/$path/
chain e && mv c e/$path/
"""


def test_thousands_of_nested_directories(
    tiny: RepositoryFixture, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """They are refused, leave nothing, and the next build and `cache gc` go well.

    Also when the build is killed before it can clear away: what it left is made here by hand.
    """
    request.addfinalizer(lambda: empty_directory(tmp_path))  # too deep for pytest's own
    spec = with_hook(tmp_path, "platformfs", DEEP)
    ended = voidimg(*words_of(tiny, tmp_path, spec, "--artifact", "platformfs"))
    assert "[E-STORE-TREE-LENGTH]" in ended.stderr, ended.stderr
    assert "Traceback" not in ended.stderr
    assert left_in_work(tmp_path) == []

    for name in ("tmpabcdefgh", "voidimg-build.abcdefgh"):
        make_deep(tmp_path / "cache/work" / name, 3000)
        (tmp_path / "cache/work" / name / "lock").touch()
    make_deep(tmp_path / "cache/work/voidimg-image.abcdefgh", 3000)
    sound = voidimg(*build_words(tiny, tmp_path, "--artifact", "rootfs"))
    assert sound.returncode == 0, sound.stderr
    assert left_in_work(tmp_path) == []

    make_deep(tmp_path / "cache/work/voidimg-image.abcdefgh", 3000)
    foreign = tmp_path / "cache/work/mine"
    foreign.mkdir()
    cleared = voidimg("--cache", tmp_path / "cache", "cache", "gc")
    assert cleared.returncode == 0, cleared.stderr
    assert left_in_work(tmp_path) == ["mine"]


def make_deep(top: Path, levels: int) -> None:
    """`levels` directories in one another below the new directory `top`."""
    top.mkdir()
    at = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=at)
        below = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


TIGHT = {
    "processes": (resource.RLIMIT_NPROC, 12),
    "files": (resource.RLIMIT_NOFILE, 100),
    "file size": (resource.RLIMIT_FSIZE, 2**20),
    "memory": (resource.RLIMIT_AS, 2**30),
    "data": (resource.RLIMIT_DATA, 2**30),
    "time": (resource.RLIMIT_CPU, 60),
    "stack": (resource.RLIMIT_STACK, 2**20),
    "signals": (resource.RLIMIT_SIGPENDING, 10),
}


def limited(
    words: list[str | Path], number: int, soft: int, hard: int | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `voidimg` with a limit."""

    def limit() -> None:
        most = resource.getrlimit(number)[1] if hard is None else hard
        resource.setrlimit(number, (soft, most))

    return subprocess.run(
        arguments(*words),
        env=environment(),
        preexec_fn=limit,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("name", TIGHT)
def test_too_tight_limits_are_refused_before_work(
    name: str, tiny: RepositoryFixture, tmp_path: Path
) -> None:
    """Not one byte is fetched; the words say which limit, and where it is raised."""
    number, value = TIGHT[name]
    ended = limited(build_words(tiny, tmp_path), number, value, value)
    assert ended.returncode == 9, ended.stderr
    assert "[E-SANDBOX-LIMITS]" in ended.stderr
    assert "ulimit -H" in ended.stderr
    assert not (tmp_path / "cache/objects").exists()


def test_soft_limits_and_signals_of_the_caller_change_nothing(
    tiny: RepositoryFixture, tmp_path: Path
) -> None:
    """The same bytes, with everything inherited at once that may be odd."""
    plain, odd = tmp_path / "plain", tmp_path / "odd"
    first = voidimg(*build_words(tiny, plain))
    assert first.returncode == 0, first.stderr
    gone = tmp_path / "gone"
    gone.mkdir()
    script = (
        f"cd {gone} && rmdir {gone}; umask 0777; ulimit -S -n 64; ulimit -S -f 2048;"
        " trap '' CHLD HUP INT TERM; exec 0<&- 7</ 8</; exec \"$@\""
    )
    words = [str(word) for word in arguments(*build_words(tiny, odd))]
    odd.mkdir()
    (odd / "out").mkdir()
    (odd / "cache").mkdir()
    second = subprocess.run(
        ["/bin/sh", "-c", script, "sh", *words],
        env=environment({"LC_ALL": "C", "TMPDIR": "/nowhere", "LANG": "xx_YY"}),
        capture_output=True,
        text=True,
    )
    assert second.returncode == 0, second.stderr
    made = {name: digest for name, digest in published(plain).items() if "lock" not in name}
    assert {name: published(odd)[name] for name in made} == made
    assert published(odd).keys() == names_of("none")


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("kill -9 $$", "was killed by signal 9"),
        ("sh -c 'kill -SEGV $$' || true; exit 0", "BROKE-DOWN"),
        ('echo "sh: can\'t fork: Resource temporarily unavailable"; exit 0', "BROKE-DOWN"),
    ],
)
def test_a_script_that_ran_out_of_something(
    script: str, words: str, tiny: RepositoryFixture, tmp_path: Path
) -> None:
    """It is a failure also when the script ends well: what it left depends on the host."""
    spec = with_hook(tmp_path, "platformfs", script)
    ended = voidimg(*words_of(tiny, tmp_path, spec, "--artifact", "platformfs"))
    assert ended.returncode == 9 or ended.returncode == 10, ended.stderr
    assert words in ended.stderr
    assert published(tmp_path) == {}


def test_modes_of_the_kept_artifacts(tiny: RepositoryFixture, tmp_path: Path) -> None:
    """What the worker keeps belongs to the caller, whatever ids the tree has."""
    ended = voidimg(*build_words(tiny, tmp_path))
    assert ended.returncode == 0, ended.stderr
    for path in [*(tmp_path / "out").rglob("*"), *(tmp_path / "cache").rglob("*")]:
        status = path.lstat()
        assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid()), path
        assert not stat.S_ISLNK(status.st_mode)
