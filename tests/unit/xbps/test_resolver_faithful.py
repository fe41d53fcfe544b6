"""The stand-in for xbps-install agrees with the recorded dry runs of xbps-install."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests.xbps_install.errors import XbpsRefusedError
from tests.xbps_install.options import XbpsInstallOptions
from tests.xbps_install.resolve import resolve_as_xbps_install
from voidimg.xbps import config
from voidimg.xbps.repository.repodata import Repodata
from voidimg.xbps.resolve.resolver import Repository

VECTORS = Path(__file__).parents[2] / "vectors/xbps"
ROWS = json.loads((VECTORS / "tables/solver.json").read_text())
GIGABYTE = 2**30


@cache
def repository(url: str) -> Repository | None:
    """The repository that a row calls `url`; None if it does not exist."""
    directory = Path(url.replace("@REPOS@", str(VECTORS / "repos")))
    try:
        data = (directory / "x86_64-repodata").read_bytes()
    except FileNotFoundError:
        return None
    repodata = Repodata.decode(data, url)
    return Repository(url, repodata.index, repodata.stage)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_dry_runs_come_out_as_recorded(row: dict[str, Any]) -> None:
    """157 cases: exit code, ordered plan with actions and repositories, messages."""
    settings = filter(None, map(config.parse_line, row.get("conf", [])))
    configuration = config.combine(settings)
    options = XbpsInstallOptions(
        ignorepkg=frozenset(configuration.ignorepkg),
        virtualpkg=configuration.virtualpkg,
        bestmatching=configuration.bestmatching,
        update="-u" in row["args"],
        force="-f" in row["args"],
        free_bytes=211 * GIGABYTE,
    )
    installed = {entry["pkgver"].rpartition("-")[0]: entry for entry in row.get("installed", [])}
    repositories = [found for url in row["repos"] if (found := repository(url)) is not None]
    requests = [argument for argument in row["args"] if not argument.startswith("-")]
    if row["exit_code"]:
        with pytest.raises(XbpsRefusedError) as caught:
            resolve_as_xbps_install(requests, repositories, installed, options)
        refusal = caught.value
        assert refusal.status == row["exit_code"]
        assert list(refusal.lines) == row["stderr"]
        assert list(refusal.notes) == row.get("other_stdout", [])
        assert list(refusal.plan) == [step["pkgver"] for step in row["plan"]]
        return
    resolved = resolve_as_xbps_install(requests, repositories, installed, options)
    assert list(resolved.notes) == row["stderr"]
    assert [
        {"pkgver": one.pkgver, "action": one.action, "repository": one.repository or "-"}
        for one in resolved.transaction.steps
    ] == row["plan"]
