"""Virtual names are found by version as patterns mean them, and thousands of them quickly."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voidimg.errors import CollectedError
from voidimg.xbps.plist import PlistDict
from voidimg.xbps.query import parse_query
from voidimg.xbps.resolve.errors import UnresolvedError
from voidimg.xbps.resolve.provides import Offers
from voidimg.xbps.resolve.resolver import Options, Repository, resolve

MANY = 2000

VERSIONS = st.sampled_from(
    ["", "0", "1", "1.0", "1.0_1", "1.0_2", "1rc1_1", "1.0.1_1", "1.0.rc1", "1.alpha", "2_1", "1-2"]
)
ELEMENTS = st.builds(
    "{}{}{}".format, st.sampled_from(["v", "v-w", "w", ""]), st.sampled_from(["-", ""]), VERSIONS
)
PATTERNS = st.one_of(
    ELEMENTS,
    st.builds("{}>={}<{}".format, st.sampled_from(["v", "v-", "w"]), VERSIONS, VERSIONS),
    st.builds(
        "{}{}{}".format,
        st.sampled_from(["v", "v-w", "v*", "v-"]),
        st.sampled_from(["<", "<=", ">", ">=", "-[0-9]*", "-1.?", "*", "\\"]),
        VERSIONS,
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.lists(ELEMENTS, max_size=4), max_size=20), st.lists(PATTERNS, max_size=4))
def test_offers_are_found_as_if_each_were_compared(
    provided: list[list[str]], patterns: list[str]
) -> None:
    """However they come in, queried in between or not: what matches, in the order of adding."""
    offers: Offers[int] = Offers()
    for number, elements in enumerate(provided):
        offers.add(number, tuple(elements))
        for query in map(parse_query, patterns):
            expected = [
                index
                for index, one in enumerate(provided[: number + 1])
                if any(
                    query.name == element.rpartition("-")[0] and query.matches_provided(element)
                    for element in one
                )
            ]
            assert offers.fitting(query) == expected


def entry(pkgver: str, **arrays: list[str]) -> PlistDict:
    """An index entry."""
    made: PlistDict = {"pkgver": pkgver, "architecture": "noarch"}
    for key, values in arrays.items():
        made[key] = list(values)
    return made


PROVIDERS = {
    f"p{number:04}": entry(f"p{number:04}-1_1", provides=[f"virt-1.{number}_1"])
    for number in range(MANY)
}


@pytest.mark.parametrize(
    "pattern",
    ["virt>=1.{0}_1", "virt>=1.{0}_1<1.{1}_1", "virt-1.{0}_*"],
    ids=["rising", "one-each", "glob"],
)
def test_thousands_of_demands_on_one_name_are_met_quickly(pattern: str) -> None:
    """2000 patterns and 2000 providers: each with each would take half a minute."""
    needs = [pattern.format(number, number + 1) for number in range(MANY)]
    index = {**PROVIDERS, "app": entry("app-1_1", run_depends=needs)}
    started = time.process_time()
    plan = resolve(["app"], [Repository("r", index)])
    assert time.process_time() - started < 10
    assert len(plan.steps) > MANY - 5


def test_of_missing_packages_without_end_not_all_are_looked_for() -> None:
    """The first hundred are told."""
    needs = [f"virt>=0.{number}_1" for number in range(MANY // 4)]
    some = list(PROVIDERS.items())[: MANY // 4]
    foreign = {name: {**one, "architecture": "ppc"} for name, one in some}
    index = {**foreign, "app": entry("app-1_1", run_depends=needs)}
    with pytest.raises(CollectedError) as caught:
        resolve(["app"], [Repository("r", index)], {}, Options(arch="noarch"))
    assert len(caught.value.errors) == 100


def numbered(count: int, **arrays: list[str]) -> dict[str, PlistDict]:
    """So many packages that all say the same, and `app`, which needs each of them."""
    index = {f"q{number}": entry(f"q{number}-1_1", **arrays) for number in range(count)}
    index["app"] = entry("app-1_1", run_depends=[f"{name}>=0" for name in index])
    return index


def entangled(kind: str, count: int) -> dict[str, PlistDict]:
    """An index whose resolution is work that grows with the square of `count`."""
    if kind == "globs":
        needs = [f"virt-?.{number}_*" for number in range(count)]
        return {**PROVIDERS, "app": entry("app-1_1", run_depends=needs)}
    if kind == "globs for any name":
        needs = [f"virt*-1.{number}_?" for number in range(count)]
        return {**PROVIDERS, "app": entry("app-1_1", run_depends=needs)}
    if kind == "one package of many names":
        index = numbered(count)
        index["app"]["provides"] = [f"v{number}-1_1" for number in range(count)]
        return index
    return numbered(count, provides=["v-1_1"], run_depends=["v>=0"])


@pytest.mark.parametrize(
    "kind", ["globs", "globs for any name", "one package of many names", "all need all"]
)
def test_work_that_grows_with_the_square_is_bounded(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A little of it is done, much is refused, with what to do."""
    assert resolve(["app"], [Repository("r", entangled(kind, 20))]).steps
    monkeypatch.setattr("voidimg.xbps.resolve.provides._MOST_STEPS", 100_000)
    with pytest.raises(UnresolvedError, match="another mirror") as caught:
        resolve(["app"], [Repository("r", entangled(kind, 400))])
    assert caught.value.code == "E-RESOLVE-TOO-HARD"


def test_of_conflicts_without_end_not_all_are_told() -> None:
    """Each with each would be 125,000."""
    index = numbered(500, provides=["v-1_1"], conflicts=["v>=0"])
    with pytest.raises(CollectedError) as caught:
        resolve(["app"], [Repository("r", index)])
    assert len(caught.value.errors) == 100


def test_of_libraries_without_end_not_all_are_told() -> None:
    """And who has them is looked up once."""
    needs = [f"lib{number}.so.1" for number in range(3000)]
    index = {f"q{number}": entry(f"q{number}-1_1") for number in range(5000)}
    index["q7"]["shlib-provides"] = ["lib0.so.1"]
    index["app"] = entry("app-1_1", **{"shlib-requires": needs})
    with pytest.raises(CollectedError) as caught:
        resolve(["app"], [Repository("r", index)])
    assert len(caught.value.errors) == 100
    assert "it is in q7-1_1" in str(caught.value.errors[0])
    assert "no repository has it" in str(caught.value.errors[1])


def test_of_candidates_without_end_not_all_are_told() -> None:
    """How many there are is."""
    index = {f"q{number}": entry(f"q{number}-1_1", provides=["v-1_1"]) for number in range(500)}
    index["app"] = entry("app-1_1", run_depends=["v>=2"])
    with pytest.raises(UnresolvedError) as caught:
        resolve(["app"], [Repository("r", index)])
    assert len(caught.value.candidates) == 50
    assert caught.value.omitted == 450
    assert caught.value.reasons[-1] == "and 492 more"


def test_packages_that_replace_each_other_without_end_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every replacement makes the choice begin anew; there is an end to that."""
    monkeypatch.setattr("voidimg.xbps.resolve.strict._MOST_WANTS", 10_000)
    count = 200
    index = {f"q{number}": entry(f"q{number}-1_1") for number in range(count)}
    index |= {
        f"r{number}": entry(f"r{number}-1_1", replaces=[f"q{number}>=0"]) for number in range(count)
    }
    index["app"] = entry("app-1_1", run_depends=[f"{name}>=0" for name in index])
    with pytest.raises(UnresolvedError) as caught:
        resolve(["app"], [Repository("r", index)])
    assert caught.value.code == "E-RESOLVE-TOO-HARD"
