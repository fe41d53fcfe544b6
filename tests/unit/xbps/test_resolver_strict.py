"""The strict mode: consistent plans whatever the order of requests, errors that explain."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voidimg.errors import CollectedError, PackageError, ResolveError
from voidimg.xbps import config
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.query import parse_query
from voidimg.xbps.repository.repodata import Repodata
from voidimg.xbps.resolve.differences import DIFFERENCES, RESOLVER
from voidimg.xbps.resolve.errors import Link, UnresolvedError
from voidimg.xbps.resolve.resolver import Options, Repository, Transaction, resolve, why

VECTORS = Path(__file__).parents[2] / "vectors/xbps"
ROWS = json.loads((VECTORS / "tables/solver.json").read_text())
INSTALLING = [row for row in ROWS if not any(one.startswith("-") for one in row["args"])]
DIFFERING = {row: difference.name for difference in RESOLVER for row in difference.rows}


@cache
def recorded(url: str) -> Repository | None:
    """The repository that a row calls `url`; None if it does not exist."""
    directory = Path(url.replace("@REPOS@", str(VECTORS / "repos")))
    try:
        data = (directory / "x86_64-repodata").read_bytes()
    except FileNotFoundError:
        return None
    repodata = Repodata.decode(data, url)
    return Repository(url, repodata.index, repodata.stage)


def entry(pkgver: str, depends: Sequence[str] = (), **arrays: Sequence[str]) -> PlistDict:
    """An index entry; underscores of the names of arrays stand for ``-``."""
    made: PlistDict = {"pkgver": pkgver, "architecture": "noarch", "run_depends": list(depends)}
    for key, values in arrays.items():
        made[key.replace("_", "-")] = list(values)
    return made


def repo(*entries: PlistDict, url: str = "r") -> Repository:
    """A repository of these entries."""
    return Repository(url, {str(one["pkgver"]).rpartition("-")[0]: one for one in entries})


def pkgvers(transaction: Transaction) -> list[str]:
    """The plan in short."""
    return [step.pkgver for step in transaction.steps]


def refused(requests: Sequence[str], *repositories: Repository) -> UnresolvedError:
    """The one error of resolving `requests`."""
    with pytest.raises(UnresolvedError) as caught:
        resolve(requests, repositories)
    return caught.value


@pytest.mark.parametrize("row", INSTALLING, ids=lambda row: row["name"])
def test_every_departure_from_xbps_install_is_listed(row: dict[str, Any]) -> None:
    """Recorded runs come out the same (plan, order, or refusal) unless a difference names them."""
    configuration = config.combine(filter(None, map(config.parse_line, row.get("conf", []))))
    options = Options(
        arch="x86_64",
        ignorepkg=frozenset(configuration.ignorepkg),
        virtualpkg=configuration.virtualpkg,
        bestmatching=configuration.bestmatching,
    )
    installed = {one["pkgver"].rpartition("-")[0]: one for one in row.get("installed", [])}
    repositories = [found for url in row["repos"] if (found := recorded(url)) is not None]
    plan: list[tuple[str, str, str]] | None
    try:
        transaction = resolve(row["args"], repositories, installed, options)
        plan = [(one.pkgver, one.action, one.repository or "-") for one in transaction.steps]
    except (ResolveError, CollectedError):
        plan = None
    expected = [(one["pkgver"], one["action"], one["repository"]) for one in row["plan"]]
    same = plan == (None if row["exit_code"] else expected)
    assert same is (row["name"] not in DIFFERING)


def test_differences_are_named_once_and_their_rows_exist() -> None:
    """The list that the documentation shows is sound."""
    names = [difference.name for difference in DIFFERENCES]
    assert len(names) == len(set(names))
    assert set(DIFFERING) <= {row["name"] for row in INSTALLING}


RPI = repo(
    entry("base-files-1_1"),
    entry("rpi-base-2_1", ["rpi-kernel>=0", "base-files>=0"]),
    entry("rpi-kernel-6.12_1", provides=["rpi5-kernel-6.12_1"], replaces=["rpi5-kernel>=0"]),
    entry("rpi5-kernel-6.12_1", provides=["rpi-kernel-6.12_1"], replaces=["rpi-kernel>=0"]),
)


def test_mutually_exclusive_requests_are_named() -> None:
    """Both kernels of the Raspberry Pi: each replaces the other."""
    error = refused(["rpi5-kernel", "rpi-base", "rpi-kernel"], RPI)
    assert error.code == "E-RESOLVE-EXCLUSIVE"
    assert "rpi-kernel-6.12_1 and rpi5-kernel-6.12_1 exclude one another" in str(error)
    assert "rpi-kernel was asked for; rpi5-kernel was asked for" in str(error)


def test_a_requested_replacement_takes_the_place_of_a_dependency() -> None:
    """Asking for the other kernel is enough to switch."""
    assert pkgvers(resolve(["rpi-base"], [RPI])) == [
        "base-files-1_1", "rpi-kernel-6.12_1", "rpi-base-2_1"]  # fmt: skip
    assert pkgvers(resolve(["rpi-base", "rpi5-kernel"], [RPI])) == [
        "base-files-1_1", "rpi5-kernel-6.12_1", "rpi-base-2_1"]  # fmt: skip


def test_a_request_wins_over_a_dependency_that_replaces_it_in_turn() -> None:
    """Only the order of names would have decided otherwise."""
    both = repo(
        entry("app-1_1", ["b>=2"]),
        entry("a-1_1", replaces=["b>=0"], provides=["b-1_1"]),
        entry("b-2_1", replaces=["a>=0"]),
    )
    error = refused(["a", "app"], both)
    assert error.code == "E-RESOLVE-MISSING"
    assert "b-2_1 (r) is replaced by a-1_1" in str(error)


def test_a_contradiction_names_both_demands_and_the_chain() -> None:
    """Asked for, needed by, candidates and why each was refused."""
    a = recorded("@REPOS@/solver/a")
    b = recorded("@REPOS@/solver/b")
    assert a is not None
    assert b is not None
    error = refused(["both-old"], a, b)
    assert error.code == "E-RESOLVE-CONTRADICTION"
    assert error.chain == (
        Link(None, "both-old", "both-old-1.0_1"),
        Link("both-old-1.0_1", "needs-old2>=0", "needs-old2-1.0_1"),
    )
    assert [(one.pkgver, one.refused) for one in error.candidates] == [
        ("old-1.0_1", "does not fit old>=2"),
        ("old-2.0_1", "does not fit old<2, which needs-old-lt2-1.0_1 needs"),
    ]
    assert error.as_json()["chain"]


def test_a_later_demand_changes_an_earlier_choice() -> None:
    """The first repository's version gives way to one that fits everybody."""
    first = repo(entry("lib-1_1"), entry("x-1_1", ["lib>=0"]), entry("y-1_1", ["lib>=2"]))
    second = repo(entry("lib-2_1"), url="s")
    assert pkgvers(resolve(["x", "y"], [first, second])) == ["lib-2_1", "x-1_1", "y-1_1"]


def test_a_chosen_package_may_provide_a_name_in_another_version() -> None:
    """The first repository's awk provides nothing; the other's does."""
    first = repo(entry("awk-1_1"), entry("app-1_1", ["vawk>=0"]))
    second = repo(entry("awk-2_1", provides=["vawk-1_1"]), url="s")
    assert pkgvers(resolve(["awk", "app"], [first, second])) == ["awk-2_1", "app-1_1"]


def test_demands_of_a_version_that_is_not_taken_do_not_count() -> None:
    """x-1 excludes lib-2, but x-2 is taken in the end."""
    first = repo(
        entry("x-1_1", ["lib<2"]), entry("lib-1_1"), entry("y-1_1", ["lib>=2", "z>=0"]),
        entry("z-1_1", ["x>=2"]),
    )  # fmt: skip
    second = repo(entry("x-2_1", ["lib>=2"]), entry("lib-2_1"), url="s")
    got = pkgvers(resolve(["x", "y"], [first, second]))
    assert got == ["lib-2_1", "x-2_1", "z-1_1", "y-1_1"]


def test_everything_that_is_missing_is_told_at_once() -> None:
    """Three needs, a request and a conflict."""
    a = recorded("@REPOS@/solver/a")
    assert a is not None
    with pytest.raises(CollectedError) as caught:
        resolve(["missall", "plane", "conf-a", "conf-b"], [a])
    said = str(caught.value)
    for text in ("nope>=1", "nope>=2", "nope2>=0", "did you mean 'plain'?", "conflicts with"):
        assert text in said
    assert len(caught.value.errors) == 5


def test_libraries_that_nothing_provides_are_found() -> None:
    """With a hint on who would have them."""
    pool = repo(
        entry("app-1_1", shlib_requires=["libx.so.1"]), entry("x-1_1", shlib_provides=["libx.so.1"])
    )
    assert "it is in x-1_1" in str(refused(["app"], pool))
    assert pkgvers(resolve(["app", "x"], [pool])) == ["app-1_1", "x-1_1"]


def test_installed_packages_stay_and_count() -> None:
    """The second stage of an image resolves on top of the first."""
    installed = {"lib": entry("lib-1_1"), "awk": entry("awk-1_1", provides=["vawk-1_1"])}
    pool = repo(entry("lib-2_1"), entry("app-1_1", ["lib>=1", "vawk>=0"]))
    assert pkgvers(resolve(["app", "lib"], [pool], installed)) == ["app-1_1"]
    strict = repo(entry("lib-2_1"), entry("app-1_1", ["lib>=2"]))
    steps = resolve(["app"], [strict], installed).steps
    assert [(one.pkgver, one.action) for one in steps] == [
        ("lib-2_1", "update"), ("app-1_1", "install")]  # fmt: skip


def test_an_update_that_breaks_an_installed_package_is_refused() -> None:
    """Named with what it needs."""
    installed = {"lib": entry("lib-1_1"), "old": entry("old-1_1", ["lib<2"])}
    pool = repo(entry("lib-2_1"), entry("app-1_1", ["lib>=2"]))
    with pytest.raises(UnresolvedError, match="the installed old-1_1 needs lib<2") as caught:
        resolve(["app"], [pool], installed)
    assert caught.value.code == "E-RESOLVE-BREAKS-INSTALLED"


def test_why_gives_the_shortest_chain() -> None:
    """Request first, then who needs what."""
    pool = repo(
        entry("app-1_1", ["mid>=0", "far>=0"]), entry("mid-1_1", ["lib>=1"]),
        entry("far-1_1", ["mid>=0"]), entry("lib-1_1", provides=["vlib-1_1"]),
    )  # fmt: skip
    chain = why(resolve(["app"], [pool]), "lib")
    assert [str(link) for link in chain] == ["app", "app-1_1 needs mid>=0", "mid-1_1 needs lib>=1"]
    with pytest.raises(ResolveError, match="not among"):
        why(resolve(["app"], [pool]), "nothing")


def test_flags_of_steps() -> None:
    """Dependencies are automatic, requests are not."""
    pool = repo(entry("app-1_1", ["lib>=0"]), entry("lib-1_1"))
    steps = resolve(["app"], [pool]).steps
    assert [(one.pkgname, one.automatic, one.repository) for one in steps] == [
        ("lib", True, "r"), ("app", False, "r")]  # fmt: skip


def test_dependencies_come_as_the_package_lists_them() -> None:
    """Of two packages that offer one alternative the first listed has it: dash is sh in Void."""
    shells = repo(
        entry("base-1_1", ["dash>=0", "bash>=0"]),
        entry("a-tool-1_1", ["bash>=0"]),
        entry("bash-5_1"),
        entry("dash-0.5_1"),
        url="shells",
    )
    assert pkgvers(resolve(["base", "base-files"], [shells, RPI]))[:3] == [
        "base-files-1_1", "dash-0.5_1", "bash-5_1"]  # fmt: skip


def test_first_names_come_first() -> None:
    """base-files and what it needs precede all that dependencies leave open."""
    pool = repo(entry("a-1_1"), entry("base-files-1_1", ["z>=0"]), entry("z-1_1"))
    got = pkgvers(resolve(["a", "base-files"], [pool]))
    assert got == ["z-1_1", "base-files-1_1", "a-1_1"]


def test_staged_packages_of_remote_repositories_are_seen_on_demand() -> None:
    """Those of local ones always."""
    staged = {"a": entry("a-2_1")}
    index = {"a": entry("a-1_1")}
    for remote, staging, expected in ((True, False, 1), (True, True, 2), (False, False, 2)):
        pool = Repository("r", index, staged, remote=remote)
        got = pkgvers(resolve(["a"], [pool], options=Options(staging=staging)))
        assert got == [f"a-{expected}_1"]


def test_a_malformed_entry_is_named() -> None:
    """An index is not to be trusted."""
    broken = repo({"pkgver": "a-1_1", "run_depends": "b>=0"})
    with pytest.raises(PackageError, match="a-1_1: run_depends"):
        resolve(["a"], [broken])


def test_a_long_chain_is_followed() -> None:
    """Longer than Python's stack."""
    chain = [entry(f"p{n}-1_1", [f"p{n + 1}>=0"]) for n in range(3000)]
    pool = repo(*chain, entry("p3000-1_1"))
    assert pkgvers(resolve(["p0"], [pool]))[0] == "p3000-1_1"


NAMES = ["a", "b", "c", "d", "e", "f"]
EDGES = st.dictionaries(
    st.sampled_from(NAMES), st.lists(st.sampled_from(NAMES), max_size=3, unique=True)
)


@settings(max_examples=150, deadline=None)
@given(EDGES, st.lists(st.sampled_from(NAMES), min_size=1, unique=True))
def test_plans_are_closed_and_ordered(edges: Mapping[str, list[str]], wishes: list[str]) -> None:
    """Every dependency is in the plan, before its user unless both are on one cycle."""
    pool = repo(*(entry(f"{n}-1_1", [f"{to}>=0" for to in edges.get(n, [])]) for n in NAMES))
    steps = resolve(wishes, [pool]).steps
    place = {step.pkgname: index for index, step in enumerate(steps)}
    reach = {name: _reached(edges, name) for name in NAMES}
    assert set(place) == set(wishes) | {one for wish in wishes for one in reach[wish]}
    for name, position in place.items():
        for needed in reach[name]:
            assert place[needed] <= position or name in reach[needed]
    for order in list(permutations(wishes))[:6]:
        assert resolve(order, [pool]).steps == steps


def _reached(edges: Mapping[str, list[str]], start: str) -> set[str]:
    seen: set[str] = set()
    waiting = list(edges.get(start, []))
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting += edges.get(name, [])
    return seen


@pytest.mark.parametrize("seed", range(40))
def test_random_pools_give_consistent_plans_or_errors(seed: int) -> None:
    """Versions, ranges, providers, replacements and conflicts at random: no plan is unsound."""
    dice = random.Random(seed)
    repositories = []
    for url in ("r", "s"):
        entries = []
        for name in dice.sample("abcdefghij", 8):
            wanted = [
                f"{other}{dice.choice(['>=1', '>=2', '<2', '<3', '>=0'])}"
                for other in dice.sample("abcdefghijv", dice.choice([0, 1, 2]))
                if other != name
            ]
            arrays: dict[str, list[str]] = {}
            if dice.random() < 0.3:
                arrays["provides"] = [f"v-{dice.randint(1, 3)}_1"]
            if dice.random() < 0.1:
                arrays["replaces"] = [f"{dice.choice('abcdefghij')}<2"]
            if dice.random() < 0.1:
                arrays["conflicts"] = [f"{dice.choice('abcdefghij')}>=3"]
            entries.append(entry(f"{name}-{dice.randint(1, 3)}_1", wanted, **arrays))
        repositories.append(repo(*entries, url=url))
    try:
        steps = resolve(dice.sample("abcdefghij", 3), repositories).steps
    except (ResolveError, CollectedError):
        return
    for step in steps:
        for text in step.strings("run_depends"):
            assert any(other.is_meant_by(parse_query(text)) for other in steps)
        for text in step.strings("conflicts") + step.strings("replaces"):
            assert not any(
                other.is_meant_by(parse_query(text)) for other in steps if other is not step
            )
