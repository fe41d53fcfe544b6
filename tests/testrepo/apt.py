"""Debian's package index and archives, through apt with a configuration and state of its own.

The mirror and the keyring are those of the host's own apt sources (or the environment variable
``VOIDIMG_TEST_MIRROR``), so that no server is named here. apt verifies index and packages; the
host's apt is neither read beyond its sources nor changed.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from voidimg.errors import FetchError, ToolError
from voidimg.run import run

SUITE = "bookworm"
COMPONENTS = ("main", "non-free-firmware")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy")
_FIELD = re.compile(
    r"^(Package|Version|Pre-Depends|Depends|Provides|Description): (.*)$", re.MULTILINE
)
_TERM = re.compile(r"^\s*([a-z0-9][a-z0-9+.-]*)(?::[a-z0-9]+)?\s*(?:\(\s*(\S+)\s+(\S+?)\s*\))?\s*$")


@dataclass(frozen=True, slots=True)
class Term:
    """One alternative of a dependency: a package and at most one relation to a version."""

    name: str
    relation: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class DebEntry:
    """What the index says about one Debian package."""

    name: str
    version: str
    summary: str
    depends_text: str = ""
    provides_text: str = ""

    @property
    def depends(self) -> tuple[tuple[Term, ...], ...]:
        """The dependencies, each a choice of alternatives."""
        return tuple(_parse_depends(self.depends_text))

    @property
    def provides(self) -> tuple[str, ...]:
        """The virtual names it provides."""
        return tuple(terms[0].name for terms in _parse_depends(self.provides_text))


@dataclass(frozen=True, slots=True)
class Apt:
    """apt for one Debian architecture, living in `directory` (created as needed)."""

    directory: Path
    architecture: str = "arm64"

    @property
    def _lists(self) -> Path:
        return self.directory / "state" / "lists"

    def index(self) -> dict[str, DebEntry]:
        """Every package of the suite, by name; the index is fetched once and then kept."""
        files = sorted(self._lists.glob(f"*_{SUITE}_*_binary-{self.architecture}_Packages"))
        if not files:
            self.update()
            files = sorted(self._lists.glob(f"*_{SUITE}_*_binary-{self.architecture}_Packages"))
        entries = (entry for file in files for entry in _entries(file.read_text("utf-8")))
        return {entry.name: entry for entry in entries}

    def update(self) -> None:
        """Fetch and verify the package index.

        Raises:
            FetchError: no mirror is known, or it cannot be reached.
        """
        for part in ("state/lists/partial", "cache/archives/partial", "etc/parts"):
            (self.directory / part).mkdir(parents=True, exist_ok=True)
        (self.directory / "status").write_bytes(b"")
        source = (
            f"deb [arch={self.architecture} signed-by={KEYRING}] {mirror()} {SUITE} "
            f"{' '.join(COMPONENTS)}\n"
        )
        (self.directory / "etc" / "sources.list").write_text(source, "utf-8")
        (self.directory / "apt.conf").write_text(self._configuration(), "utf-8")
        self._apt_get("update", cwd=self.directory)

    def download(self, debs: Sequence[DebEntry], directory: Path) -> dict[str, Path]:
        """The `.deb` file of every package in `debs`, fetched into `directory` where missing.

        Raises:
            FetchError: the mirror does not have them any more, or cannot be reached.
        """
        directory.mkdir(parents=True, exist_ok=True)
        wanted = [deb for deb in debs if self._deb_file(deb, directory) is None]
        if wanted:
            names = [f"{deb.name}={deb.version}" for deb in wanted]
            self._apt_get("download", *names, cwd=directory)
        found = {deb.name: self._deb_file(deb, directory) for deb in debs}
        missing = sorted(name for name, path in found.items() if path is None)
        if missing:
            raise FetchError(
                f"apt left out {', '.join(missing)}", code="MISSING", where=str(directory)
            )
        return {name: path for name, path in found.items() if path is not None}

    def _deb_file(self, deb: DebEntry, directory: Path) -> Path | None:
        version = deb.version.replace(":", "%3a")
        for architecture in (self.architecture, "all"):
            path = directory / f"{deb.name}_{version}_{architecture}.deb"
            if path.is_file():
                return path
        return None

    def _apt_get(self, *words: str, cwd: Path) -> None:
        env = {name: os.environ[name] for name in _PROXY_VARIABLES if name in os.environ}
        env["APT_CONFIG"] = str(self.directory / "apt.conf")
        try:
            run(["apt-get", "-q", "-y", *words], cwd=cwd, env=env)
        except ToolError as error:
            raise FetchError(
                f"apt-get {words[0]} failed: {error.what}",
                code="APT",
                where=str(self.directory),
                hint="check the network and the mirror in this machine's apt sources",
            ) from error

    def _configuration(self) -> str:
        root = self.directory
        settings = {
            "APT::Architecture": self.architecture,
            "APT::Architectures": self.architecture,
            "APT::Sandbox::User": "root",
            "APT::Get::List-Cleanup": "false",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            "Dir::State": root / "state",
            "Dir::State::status": root / "status",
            "Dir::Cache": root / "cache",
            "Dir::Etc::sourcelist": root / "etc" / "sources.list",
            "Dir::Etc::sourceparts": root / "etc" / "parts",
            "Dir::Etc::preferencesparts": root / "etc" / "parts",
            "Dir::Etc::parts": root / "etc" / "parts",
            "Dir::Etc::main": root / "etc" / "none",
            **_host_proxies(),
        }
        return "".join(f"{name} {json.dumps(str(value))};\n" for name, value in settings.items())


def mirror() -> str:
    """The Debian mirror this machine itself uses, or ``VOIDIMG_TEST_MIRROR``.

    Raises:
        FetchError: there is none in the host's apt sources.
    """
    given = os.environ.get("VOIDIMG_TEST_MIRROR")
    if given:
        return given
    for uri in _host_uris():
        if uri.rstrip("/").endswith("/debian"):
            return uri
    raise FetchError(
        "this machine's apt sources name no Debian mirror",
        code="MIRROR",
        where="/etc/apt",
        hint="set VOIDIMG_TEST_MIRROR to the URL of one",
    )


def _host_uris() -> Iterator[str]:
    base = Path("/etc/apt")
    for file in [base / "sources.list", *sorted((base / "sources.list.d").glob("*"))]:
        if not file.is_file() or file.suffix not in (".list", ".sources"):
            continue
        for line in file.read_text("utf-8").splitlines():
            if file.suffix == ".sources" and line.startswith("URIs:"):
                yield from line.split()[1:]
            elif line.startswith("deb "):
                yield from (word for word in line.split() if "://" in word)


def _host_proxies() -> dict[str, str]:
    dumped = run(["apt-config", "dump"]).stdout.decode("utf-8", "replace")
    pattern = re.compile(r'^(Acquire::https?::Proxy\S*) "(.*)";$', re.MULTILINE)
    return {name: value for name, value in pattern.findall(dumped) if value}


def _entries(text: str) -> Iterator[DebEntry]:
    for stanza in text.split("\n\n"):
        fields = dict(_FIELD.findall(stanza))
        if "Package" not in fields:
            continue
        depends = ", ".join(filter(None, (fields.get("Pre-Depends"), fields.get("Depends"))))
        yield DebEntry(
            name=fields["Package"],
            version=fields["Version"],
            summary=fields.get("Description", ""),
            depends_text=depends,
            provides_text=fields.get("Provides", ""),
        )


def _parse_depends(text: str) -> Iterator[tuple[Term, ...]]:
    for clause in filter(None, (part.strip() for part in text.split(","))):
        matches = (_TERM.match(alternative) for alternative in clause.split("|"))
        yield tuple(Term(m[1], m[2] or "", m[3] or "") for m in matches if m is not None)
