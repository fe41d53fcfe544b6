"""Replays a recorded run of the real tools with our engine, and compares what is left."""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.xbps_install.options import XbpsInstallOptions
from tests.xbps_install.resolve import resolve_as_xbps_install
from voidimg.errors import FetchError, PackageError, VerifyError, VoidimgError
from voidimg.tree.tree import Tree
from voidimg.xbps.config import Configuration, parse_files
from voidimg.xbps.install import install
from voidimg.xbps.install.install import VerifiedPackage
from voidimg.xbps.install.pkgdb import Pkgdb
from voidimg.xbps.install.scripts import ScriptOutcome
from voidimg.xbps.keys import PublicKey
from voidimg.xbps.names import file_name
from voidimg.xbps.package.reader import BinaryPackage
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.repository.repodata import Repodata
from voidimg.xbps.resolve.resolver import Repository, Step

VECTORS = Path(__file__).parents[2] / "vectors" / "xbps"
SCENARIOS = VECTORS / "scenarios"
REPOS = str(VECTORS / "repos")
AS_ROOT = os.geteuid() == 0


PKGDB = "/var/db/xbps/pkgdb-0.38.plist"


class Shell:
    """Runs the vectors' own scripts with the host's shell; they only touch their directory."""

    def __init__(self, root: Path, beside: Path):
        self.root = root
        self.file = beside / "script"

    def __call__(self, script: bytes, arguments: Sequence[str]) -> ScriptOutcome:
        self.file.write_bytes(script)
        done = subprocess.run(
            ["/bin/sh", str(self.file), *arguments],
            cwd=self.root,
            umask=0o022,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        return ScriptOutcome(done.returncode, done.stdout + done.stderr)


class Replay:
    """One scenario in a directory of its own."""

    def __init__(self, scenario: str, directory: Path, *, jobs: int = 1):
        self.jobs = jobs
        self.expected: dict[str, Any] = json.loads(
            (SCENARIOS / scenario / "expected.json").read_text()
        )
        self.directory = directory
        self.root = directory / "root"
        self.errors: list[VoidimgError | None] = []
        self.is_handmade = scenario.startswith(("evil", "signatures"))

    def run(self) -> None:
        """All steps; errors of commands are collected, not raised."""
        for step in self.expected["steps"]:
            if "op" in step:
                getattr(self, "op_" + step["op"])(step)
            else:
                try:
                    getattr(self, step["cmd"][0].replace("-", "_"))(step)
                    self.errors.append(None)
                except VoidimgError as error:
                    self.errors.append(error)

    # Preparation

    def place(self, path: str) -> Path:
        place = self.root / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        return place

    def op_write(self, step: dict[str, Any]) -> None:
        place = self.place(step["path"])
        place.write_text(self.filled(step["data"]))
        place.chmod(int(step.get("mode", "0644"), 8))

    def op_symlink(self, step: dict[str, Any]) -> None:
        self.place(step["path"]).symlink_to(self.filled(step["target"]))

    def op_mkdir(self, step: dict[str, Any]) -> None:
        self.place(step["path"]).mkdir(parents=True)

    def op_unlink(self, step: dict[str, Any]) -> None:
        self.place(step["path"]).unlink()

    def op_outside(self, step: dict[str, Any]) -> None:
        (self.directory / step["name"]).write_text(step["data"])

    def op_trust(self, step: dict[str, Any]) -> None:
        key = VECTORS / "keys" / step["key"]
        self.place(f"/var/db/xbps/keys/{key.name}").write_bytes(key.read_bytes())

    def filled(self, text: str) -> str:
        return text.replace("@ROOT@", str(self.root)).replace("@REPOS@", str(VECTORS / "repos"))

    # Commands

    def xbps_install(self, step: dict[str, Any]) -> None:
        options, names, urls = split_command(step["cmd"])
        env = step.get("env", {})
        target = env.get("XBPS_TARGET_ARCH")
        arch = target or env.get("XBPS_ARCH", "x86_64")
        configuration = self.configuration()
        urls += [url for url in configuration.repositories if "i" not in options]
        shops = [shop for url in urls if (shop := Shop.open(url, arch)) is not None]
        if not shops:
            raise FetchError("no repository can be reached", code="NO-REPOSITORY")
        installed = Pkgdb.read(self.root).packages if self.root.exists() else {}
        transaction = resolve_as_xbps_install(
            names,
            [shop.repository for shop in shops if shop.is_visible(self.root, options)],
            installed,
            XbpsInstallOptions(
                ignorepkg=frozenset(configuration.ignorepkg),
                virtualpkg=configuration.virtualpkg,
                bestmatching=configuration.bestmatching,
                # The variable is inverted in this version.
                staging=env.get("XBPS_STAGING", "false" if "--staging" in options else "")
                == "false",
                automatic="A" in options,
                update="u" in options,
                force="f" in options,
            ),
        ).transaction
        by_url = {shop.repository.url: shop for shop in shops}
        packages = [
            by_url[one.repository].supply(one, self.trusted(step, by_url[one.repository]))
            if one.repository and one.action in ("install", "update", "reinstall")
            else VerifiedPackage(None, one)
            for one in transaction.steps
        ]
        if not packages:
            return
        install.install(
            self.root,
            packages,
            arch=arch,
            runner=None if target else Shell(self.root, self.directory),
            configure="U" not in options and target in (None, env.get("XBPS_ARCH")),
            reproducible="--reproducible" in options,
            install_date="@INSTALL_DATE@",
            noextract=configuration.noextract,
            preserve=configuration.preserve,
            keepconf=configuration.keepconf,
            overwrite_conf="ff" in options,
            ignore_file_conflicts="I" in options,
            jobs=self.jobs,
        )

    def trusted(self, step: dict[str, Any], shop: Shop) -> set[str]:
        """Fingerprints that are trusted: all of ours for local repositories, else as recorded."""
        if not shop.repository.remote:
            return {path.stem for path in (VECTORS / "keys").glob("*.plist")}
        fingerprints = {path.stem for path in self.root.glob("var/db/xbps/keys/*.plist")}
        if step.get("stdin") in ("y\n", "\n") and shop.key is not None:
            fingerprints.add(shop.key.fingerprint)
        return fingerprints

    def xbps_remove(self, step: dict[str, Any]) -> None:
        options, names, _ = split_command(step["cmd"])
        install.remove(
            self.root,
            names,
            arch="x86_64",
            runner=Shell(self.root, self.directory),
            recursive="R" in options,
            orphans="o" in options,
        )

    def xbps_reconfigure(self, step: dict[str, Any]) -> None:
        options, names, _ = split_command(step["cmd"])
        install.reconfigure(
            self.root,
            None if "a" in options else names,
            arch="x86_64",
            runner=Shell(self.root, self.directory),
            force="f" in options,
        )

    def xbps_alternatives(self, step: dict[str, Any]) -> None:
        install.choose_alternative(self.root, step["cmd"][-1])

    def xbps_pkgdb(self, step: dict[str, Any]) -> None:
        with Tree(self.root) as tree:
            db = Pkgdb.read_from(tree)
            db.packages[step["cmd"][-1]][step["cmd"][-2]] = True
            db.write(tree)

    def configuration(self) -> Configuration:
        files = {}
        for path in sorted(self.root.glob("etc/xbps.d/*")):
            files["/" + str(path.relative_to(self.root))] = self.filled(path.read_text())
        return parse_files(files)


@dataclass(frozen=True)
class Shop:
    """A repository of the vectors: its index, its key, its package files."""

    directory: Path
    repository: Repository
    key: PublicKey | None

    @classmethod
    def open(cls, url: str, arch: str) -> Shop | None:
        """The repository at the recorded `url`; None if there is none."""
        remote = url.startswith("@URL@")
        directory = Path(url.replace("@URL@", REPOS).replace("@REPOS@", REPOS))
        try:
            content = (directory / f"{arch}-repodata").read_bytes()
        except FileNotFoundError:
            return None
        decoded = Repodata.decode(content, url)
        index = {name: mended(directory, entry) for name, entry in decoded.index.items()}
        repository = Repository(url, index, decoded.stage, remote)
        return cls(directory, repository, decoded.meta.key if decoded.meta else None)

    def is_visible(self, root: Path, options: set[str]) -> bool:
        """Whether the run has the index: remote ones need -S or -M (none kept any before)."""
        return not self.repository.remote or not options.isdisjoint(("S", "M")) or "u" in options

    def supply(self, step: Step, trusted: set[str]) -> VerifiedPackage:
        """The package of `step`, verified as strictly as a build does."""
        path = self.directory / file_name(step.pkgver, str(step.entry["architecture"]))
        content = path.read_bytes()
        if step.entry.get("filename-sha256") != hashlib.sha256(content).hexdigest():
            raise VerifyError("not the SHA256 of the index", code="SHA256", where=step.pkgver)
        if self.key is not None or self.repository.remote:
            if self.key is None or self.key.fingerprint not in trusted:
                raise VerifyError("no trusted key", code="KEY", where=step.pkgver)
            signature = path.with_name(path.name + ".sig2")
            self.key.verify(path, signature.read_bytes() if signature.exists() else b"")
        return VerifiedPackage(path, step, self.repository.url)


def mended(directory: Path, entry: PlistDict) -> PlistDict:
    """Indexes made by hand differ from their packages in two keys that are not the point."""
    if not re.search(r"/(evil|badsig|evil-index/[^/]+)$", str(directory)):
        return entry
    file = directory / file_name(str(entry["pkgver"]), str(entry["architecture"]))
    try:
        with BinaryPackage.open(file) as package:
            props = package.props
    except PackageError:
        return entry  # what is wrong with it is for the installer to say
    keys = ("installed_size", "short_desc")
    return entry | {key: props[key] for key in keys if key in props}


def split_command(command: list[str]) -> tuple[set[str], list[str], list[str]]:
    """Options (letters, ``ff``, long ones), names and repositories of a recorded command."""
    options: set[str] = set()
    names: list[str] = []
    repositories: list[str] = []
    words = iter(command[1:])
    for word in words:
        if word == "-R":
            repositories.append(next(words))
        elif word in ("-r", "-c", "-C"):
            next(words)
        elif word.startswith("--"):
            options.add(word)
        elif word.startswith("-"):
            options |= {"ff", "f"} if word == "-ff" else set(word[1:])
        else:
            names.append(word)
    return options, names, repositories


def described(root: Path, wanted: dict[str, Any]) -> dict[str, Any]:
    """The entry at the path of `wanted`, with the keys that the record has.

    An ordinary user cannot keep owners and suid bits, so these are not looked at then.
    """
    path = root / wanted["path"].lstrip("/")
    status = path.lstat()
    kind = status.st_mode
    found: dict[str, Any] = {"path": wanted["path"], "uid": status.st_uid, "gid": status.st_gid}
    if stat.S_ISLNK(kind):
        found |= {"type": "symlink", "target": os.readlink(path)}
    else:
        found["mode"] = f"{stat.S_IMODE(kind):04o}"
        found["type"] = "dir" if stat.S_ISDIR(kind) else "file"
    if not os.access(path, os.R_OK, follow_symlinks=False):
        found |= {key: wanted[key] for key in ("size", "sha256") if key in wanted}
    elif stat.S_ISREG(kind):
        content = path.read_bytes()
        found |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    if "mtime" in wanted:
        found["mtime"] = int(status.st_mtime)
    if not AS_ROOT:
        found |= {key: wanted[key] for key in ("uid", "gid", "mode") if key in wanted}
    return {key: found.get(key) for key in wanted}


def tree_of(root: Path) -> set[str]:
    """Every path that is the installer's affair: not what fetching leaves behind."""
    if not root.exists():
        return set()
    with Tree(root) as tree:
        return {entry.path for entry in tree.walk() if is_ours(entry.path)}


def is_ours(path: str) -> bool:
    return not re.match(r"/var/cache/xbps/|/var/db/xbps/(https?_|@URLDIR@|keys)", path)


NOT_COMPARED = {"content_file", "hardlink_group", "normalised"}
SKELETON = {"/var", "/var/cache", "/var/cache/xbps", "/var/db", "/var/db/xbps", "/var/db/xbps/lock"}
"""What xbps makes before it knows whether there is anything to do."""


def require_recorded_tree(replay: Replay, *, skeleton: bool = True) -> None:
    """The tree is the recorded one: paths, kinds, modes, owners, contents, targets, times."""
    wanted = {e["path"]: e for e in replay.expected["tree"] if is_ours(e["path"])}
    ignored = set() if skeleton else SKELETON
    differing = (tree_of(replay.root) ^ wanted.keys()) - ignored
    assert differing == set(), f"paths only here or only recorded: {differing}"
    links: dict[int, str] = {}
    for path, entry in wanted.items():
        if path in ignored or (path == PKGDB and replay.is_handmade):
            continue
        comparable = {key: value for key, value in entry.items() if key not in NOT_COMPARED}
        found = described(replay.root, comparable)
        assert found == comparable, f"{found}, recorded: {comparable}"
        status = (replay.root / path[1:]).lstat()
        if stat.S_ISREG(status.st_mode):
            first = links.setdefault(status.st_ino, path)
            assert first == entry.get("hardlink_group", path)


def require_host_untouched(replay: Replay) -> None:
    """Beside the root lies what the scenario put there, unchanged, and nothing else."""
    outside = {
        step["name"]: step for step in replay.expected["steps"] if step.get("op") == "outside"
    }
    beside = set(os.listdir(replay.directory)) - {"root", "script"}
    assert beside == outside.keys()
    for name, step in outside.items():
        file = replay.directory / name
        assert file.read_text() == step["data"]
        assert stat.S_IMODE(file.lstat().st_mode) == 0o644
