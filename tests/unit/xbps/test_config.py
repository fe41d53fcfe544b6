"""Configuration lines, noextract patterns and repository directories agree with xbps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from voidimg.xbps import config

TABLES = Path(__file__).parents[2] / "vectors/xbps/tables"
LINES = json.loads((TABLES / "conf-lines.json").read_text())
NOEXTRACT = json.loads((TABLES / "noextract.json").read_text())
DIRECTORIES = json.loads((TABLES / "remote-dirnames.json").read_text())

BESIDE = {
    "/etc/xbps.d/inc.conf": "repository=/from/include\ninclude=inc2.conf\n",
    "/etc/xbps.d/inc2.conf": "repository=/from/include2\n",
}
HERE = "@ROOT@/etc/xbps.d/t.conf: "


def said(setting: config.Setting | None) -> str:
    """What the debug output of xbps says about a line."""
    if setting is None:
        return ""
    on = "enabled" if setting.enabled else "disabled"
    if setting.key == "virtualpkg":
        provider = setting.provider
        if provider is None:
            return HERE + "ignoring invalid virtualpkg option at line 1"
        return HERE + f"added virtualpkg {provider[0]} for {provider[1]}"
    return {
        "repository": HERE + f"added repository {setting.value}",
        "architecture": HERE + f"native architecture set to {setting.value}",
        "bestmatching": HERE + f"pkg best matching {on}",
        "cachedir": HERE + f"cachedir set to {setting.value}",
        "rootdir": HERE + f"rootdir set to {setting.value}",
        "ignorepkg": f"Added ignored package: {setting.value}",
        "noextract": setting.value and f"Added noextract pattern: {setting.value}",
        "preserve": f"Added preserved file: {setting.value}",
        "keepconf": HERE + f"config preservation {on}",
        "syslog": HERE + f"syslog {on}",
        "staging": HERE + f"repository stage {on}",
        "include": "",
    }[setting.key]


@pytest.mark.parametrize("row", LINES, ids=lambda r: r["line"])
def test_lines_mean_what_xbps_says(row: dict[str, Any]) -> None:
    """52 lines: the debug output and the resulting list of repositories."""
    debug = [line for line in row["debug"] if not line.startswith(("Parsing", "[repo]", "Repo"))]
    spoken = {said(config.parse_line(line)) for line in row["line"].split("\n")}
    if not row["line"].startswith("include"):
        assert set(debug) - {HERE + "ignoring invalid option at line 1"} == spoken - {""}
    beside = BESIDE if row["line"].startswith("include") else {}
    combined = config.parse_files({"/etc/xbps.d/t.conf": row["line"] + "\n"} | beside)
    listed = [line.partition("=")[2] for line in row["debug"] if line.startswith("Repository[")]
    assert list(combined.repositories) == listed


def test_settings_add_up() -> None:
    """Lists are appended to, single values replaced, files masked by name."""
    files = {
        "/usr/share/xbps.d/a.conf": "repository=/masked",
        "/usr/share/xbps.d/b.conf": "ignorepkg=x\nignorepkg=y\nvirtualpkg=v:p\nbestmatching=true",
        "/etc/xbps.d/a.conf": "",
        "/etc/xbps.d/c.conf": "noextract=/a\nnoextract=!/b\nkeepconf=true\narchitecture=i686",
        "/etc/xbps.d/readme": "repository=/no",
    }
    assert config.parse_files(files) == config.Configuration(
        ignorepkg=("x", "y"),
        virtualpkg={"v": "p"},
        noextract=("/a", "!/b"),
        architecture="i686",
        bestmatching=True,
        keepconf=True,
    )


@pytest.mark.parametrize("row", NOEXTRACT, ids=lambda r: f"{r['patterns']} {r['path']}")
def test_noextract_excludes_as_recorded(row: dict[str, Any]) -> None:
    """31 verdicts."""
    assert config.is_excluded(row["path"], row["patterns"]) is row["match"]


@pytest.mark.parametrize("row", DIRECTORIES, ids=lambda r: r["url"])
def test_repositories_have_their_directory(row: dict[str, str]) -> None:
    """Ten URLs."""
    assert config.remote_directory(row["url"]) == row["directory"]
