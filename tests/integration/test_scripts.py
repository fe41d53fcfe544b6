"""What scripts say and promise, by the real command: shown, refused, found in what is finished."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pytest

from tests.command import arguments, environment, voidimg, voidimg_json
from tests.generated_script import install_script
from tests.integration.building import DATE, NAMES, build_words, published, sha256_of
from tests.integration.persons import as_somebody_else
from tests.testrepo import RepositoryFixture
from voidimg import (
    PackageMember,
    PackageMeta,
    create_repository_key,
    index_packages,
    sign_packages,
    sign_repository,
    write_key_file,
    write_package,
)

REFUSING = """\
#!/bin/sh
echo "useradd: invalid user name" >&2
exit 3
"""
GROUPADD = """\
#!/bin/sh
while [ $# -gt 1 ]; do shift; done
echo "$1:x:$((900 + $(wc -l <etc/group))):" >>etc/group
"""
TALKING = r"""
[ "$ACTION" = post ] || exit 0
printf 'cleared \033[2J \302\233 and \377\n'
echo "WARNING: something is odd"
"""


@dataclass(frozen=True)
class Shop:
    """A repository beside the tiny one, with packages of a test and a key of its own."""

    directory: Path
    tiny: RepositoryFixture

    def sell(self, *packages: tuple[str, bytes, Mapping[str, str]]) -> None:
        """Make and sign packages, each of a name, an INSTALL script and programs by path."""
        repository = self.directory / "own"
        repository.mkdir()
        for name, script, programs in packages:
            members = [
                PackageMember(path, mode=0o755, content=text.encode())
                for path, text in programs.items()
            ]
            members.append(PackageMember(f"/usr/share/doc/{name}", content=b"x"))
            meta = PackageMeta(
                pkgname=name,
                version="9.0_1",
                architecture="noarch",
                short_desc=name,
                install_script=script,
                run_depends=("busybox>=0",) if name == "shadow" else ("tiny-base>=0",),
            )
            write_package(repository, meta, members, level=1)
        key = create_repository_key(self.directory / "own.pem", 2048)
        index_packages(repository, "aarch64")
        sign_packages(sorted(repository.glob("*.xbps")), key)
        sign_repository(repository, "aarch64", key, "the tests")
        write_key_file(repository, key.public("the tests"))

    def build_words(
        self, *more: str | Path, stage: str = "", before: tuple[str, ...] = ()
    ) -> list[str | Path]:
        """Build the tiny board with what is sold; `stage` is added to its profile."""
        spec = self.directory / "spec"
        (spec / "profiles").mkdir(parents=True, exist_ok=True)
        (spec / "profiles" / "shop.toml").write_text(
            'schema = 1\nkind = "profile"\nextends = "tiny"\nsummary = "A shop"\n' + stage
        )
        words = build_words(self.tiny, self.directory, "-r", self.tiny.path,
                            location=self.directory / "own", before=before)  # fmt: skip
        at = words.index("--profile")
        words[at : at + 2] = ["--platforms-and-profiles", spec, "--profile", "shop"]
        (key,) = (self.directory / "own").glob("*.plist")
        return [*words, "--repo-key", key, *more]


@pytest.fixture
def shop(tmp_path: Path, tiny: RepositoryFixture) -> Shop:
    return Shop(tmp_path, tiny)


def added(*names: str) -> str:
    """A profile's lines that put packages into the ROOTFS."""
    return f"[rootfs.packages]\nadd = {json.dumps(list(names))}\n"


def test_an_account_that_was_not_made_stops_the_build(shop: Shop) -> None:
    """All promises of all packages at once, with what their scripts wrote; nothing is kept."""
    accounts = {"system_accounts": "_liar", "make_dirs": "/var/lib/liar 0750 _liar _liar"}
    shop.sell(
        ("shadow", b"", {"/usr/bin/useradd": REFUSING, "/usr/bin/groupadd": GROUPADD}),
        ("liar", install_script(accounts, "echo never\n"), {}),
        ("other", install_script({"system_accounts": "_other"}), {}),
    )
    words = shop.build_words(stage=added("liar", "other"))
    for _ in range(2):
        ended = voidimg(*words)
        assert ended.returncode == 10, ended.stderr
        assert ended.stderr.count("[E-SCRIPT-PROMISE]") == 3
        assert "liar-9.0_1 ended well, but the account _liar (system_accounts)" in ended.stderr
        assert "other-9.0_1 ended well, but the account _other" in ended.stderr
        assert "/var/lib/liar with mode 0750 of _liar:_liar" in ended.stderr
        assert "| useradd: invalid user name" in ended.stderr
        assert published(shop.directory) == {}
        assert not list((shop.directory / "cache").glob("artifacts/*/content"))


def test_what_scripts_write_is_shown_when_asked(shop: Shop) -> None:
    """With -v, and in the events always; without, what says WARNING. Nothing moves the cursor."""
    shop.sell(("talker", install_script({}, TALKING), {}))
    events = shop.directory / "events"
    stage = added("talker") + '[[rootfs.hooks]]\nname = "own hook"\nscript = "echo from the hook"\n'
    plain = voidimg(*shop.build_words("--artifact", "rootfs", stage=stage,
                                      before=("--events", str(events))))  # fmt: skip
    assert plain.returncode == 0, plain.stderr
    assert "warning: talker-9.0_1 INSTALL post: WARNING: something is odd" in plain.stderr
    assert "cleared" not in plain.stderr
    again = voidimg(*shop.build_words("--artifact", "rootfs", stage=stage))
    assert "(unchanged)" in again.stdout
    assert again.stderr.count("warning: talker-9.0_1 INSTALL post: WARNING: something is odd") == 1
    told = [json.loads(line) for line in events.read_text("ascii").splitlines()]
    spoken = [one for one in told if one["event"] == "ScriptOutput" and one["package"][0] == "t"]
    assert [(one["script"], one["action"]) for one in spoken] == [("INSTALL", "post")]
    assert spoken[0]["lines"] == [
        r"cleared \x1b[2J \x9b and \xff",
        "WARNING: something is odd",
    ]
    words = shop.build_words("--artifact", "rootfs", stage=stage, before=("-v",))
    words[words.index(shop.directory / "cache")] = shop.directory / "cache2"
    verbose = voidimg(*words)
    assert r"talker-9.0_1 INSTALL post | cleared \x1b[2J \x9b and \xff" in verbose.stderr
    assert "hook own hook | from the hook" in verbose.stderr
    assert "\x1b" not in verbose.stderr
    assert "\x9b" not in verbose.stderr


def test_a_package_without_its_account_is_found_by_lint(
    tmp_path: Path, finished: Callable[[str], Path]
) -> None:
    """In a tree that some other builder made and took for good."""
    sound = finished("none") / "out" / DATE / NAMES["platformfs"]
    _, defects = script_defects(sound)
    assert defects == []
    spoiled = without_line(sound, tmp_path / sound.name, "etc/passwd", b"_tiny:")
    status, defects = script_defects(spoiled)
    (lacking,) = [one for one in defects if one["severity"] == "error"]
    assert status == 16
    assert (lacking["check"], lacking["object"]) == ("script-promises", "tiny-service-1.0_1")
    assert "the account _tiny (system_accounts)" in lacking["what"]


def script_defects(path: Path) -> tuple[int, list[dict[str, str]]]:
    """The exit status of lint, and what its checks of scripts find; the tiny board is no Pi."""
    ended = voidimg("--quiet", "lint", "--json", path)
    (report,) = json.loads(ended.stdout)
    assert {"script-promises", "script-ownership"} <= set(report["checks"])
    return ended.returncode, [
        one for one in report["defects"] if one["check"].startswith("script-")
    ]


def without_line(source: Path, target: Path, name: str, start: bytes) -> Path:
    """The tar `source` without the line of its member `name` that begins with `start`."""
    with tarfile.open(source) as old, tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as new:
        for member in old:
            content = old.extractfile(member) if member.isfile() else None
            if content is None or member.name.removeprefix("./") != name:
                new.addfile(member, content)
                continue
            lines = content.read().splitlines(keepends=True)
            text = b"".join(line for line in lines if not line.startswith(start))
            member.size = len(text)
            new.addfile(member, BytesIO(text))
    return target


def test_what_a_profile_changes_on_purpose_is_no_error(shop: Shop) -> None:
    """Users, files and permissions: built, and never more than a warning of lint."""
    promised = {
        "system_accounts": "_own",
        "_own_homedir": "/var/lib/own",
        "_own_shell": "/bin/false",
        "make_dirs": "/var/lib/own 0750 _own _own /run/own 0755 _own _own",
        "register_shell": "/usr/bin/ownsh",
    }
    shop.sell(("own", install_script(promised), {"/usr/bin/ownsh": "#!/bin/sh\n"}))
    stage = (
        'users = [{ name = "root" }, { name = "_own", shell = "/bin/sh", groups = ["wheel"] }]\n'
        + added("own")
        + '[rootfs.files]\nadd = [{ path = "/etc/shells", content = "/bin/sh\\n" }]\n'
        + '[[rootfs.hooks]]\nname = "open"\nscript = "chmod 0777 /var/lib/own"\n'
    )
    ended = voidimg(*shop.build_words("--artifact", "rootfs", stage=stage))
    assert ended.returncode == 0, ended.stderr
    made = shop.directory / "out" / DATE / f"void-aarch64-shop-ROOTFS-{DATE}.tar"
    (report,) = voidimg_json("--quiet", "lint", "--json", made)
    told = {(one["severity"], one["what"].partition(" (")[0]) for one in report["defects"]}
    assert told == {
        ("warning", "/var/lib/own with mode 0750 of _own:_own"),
        ("warning", "the login shell /usr/bin/ownsh"),
    }


def test_a_user_may_be_there_before_the_package_that_wants_it(shop: Shop) -> None:
    """The account keeps what the profile gave it; the trigger leaves it alone."""
    promised = {"system_accounts": "late:22", "late_homedir": "/var/lib/late"}
    shop.sell(("late", install_script(promised), {}))
    stage = (
        'users = [{ name = "root" }, { name = "late", uid = 1500 }]\n'
        '[platformfs.packages]\nadd = ["late"]\n'
    )
    ended = voidimg(*shop.build_words("--artifact", "platformfs", stage=stage))
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("sh -c 'kill -9 $$'\ntrue\n", "E-SCRIPT-BROKE-DOWN"),
        ("exit 127\n", "E-SCRIPT-FAILED"),
    ],
)
def test_a_script_that_broke_down_stops_the_build(shop: Shop, script: str, code: str) -> None:
    """Though its status may be 0."""
    shop.sell(("broken", install_script({}, f'[ "$ACTION" = post ] || exit 0\n{script}'), {}))
    ended = voidimg(*shop.build_words(stage=added("broken")))
    assert ended.returncode == 10, ended.stderr
    assert f"[{code}]" in ended.stderr
    assert "script of broken-9.0_1" in ended.stderr
    assert published(shop.directory) == {}


LIMITED = """\
import os, resource, sys
resource.setrlimit(resource.RLIMIT_NPROC, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""
"""A program that runs another with few processes."""


@pytest.mark.parametrize("processes", [10, 11, 12, 14])
def test_few_processes_give_the_same_bytes_or_none(
    tiny: RepositoryFixture, tmp_path: Path, finished: Callable[[str], Path], processes: int
) -> None:
    """A shell goes on when it cannot fork; an ordinary user's limits reach the scripts."""
    tmp_path.chmod(0o755)
    command = arguments(*build_words(tiny, tmp_path, "--artifact", "rootfs"))
    limited = [sys.executable, "-c", LIMITED, str(processes), *command]
    ended = subprocess.run(
        as_somebody_else(tmp_path, limited),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    made = published(tmp_path)
    if ended.returncode != 0:
        assert made == {}
        assert not list((tmp_path / "cache").glob("artifacts/*/content"))
        return
    name = NAMES["rootfs"]
    assert made[name] == sha256_of(finished("none") / "out" / DATE / name)
