"""The repositories of aarch64 and i686 have exactly what the base live ISOs are made of."""

from __future__ import annotations

import pytest

from tests.testrepo import provide
from tests.testrepo.target import Arch
from voidimg.catalog.catalog import Catalog
from voidimg.supply.resolve import stage_requests
from voidimg.xbps.repository.local import read_repodata
from voidimg.xbps.resolve.pool import Repository
from voidimg.xbps.resolve.resolver import resolve

# 100 MB to fetch at first for each: not part of every run.
pytestmark = pytest.mark.smoke

OTHERS = (
    *("base-container-full", "cloud-guest-utils", "curl", "dhclient", "dracut-network"),
    *("grub", "jq", "openresolv", "wsl-base", "zstd"),
)
"""What the sets have beside: for other artifacts and other ways to start."""
MB = 10**6


@pytest.mark.parametrize("arch", ["aarch64", "i686"])
def test_the_package_sets_resolve(arch: Arch) -> None:
    """Nothing is missing, and no package is left over; the set stays small."""
    repository = provide(arch=arch, live=True)
    recipe = Catalog().recipe(arch, "base").recipe
    index = read_repodata(repository.path, arch).index
    requests = [*stage_requests(recipe, "live"), *stage_requests(recipe, "live-build")]
    steps = resolve([*requests, *OTHERS], [Repository(str(repository.path), index)]).steps
    assert {step.pkgname for step in steps} == set(index)
    sizes = [step.entry["installed_size"] for step in steps]
    assert sum(size for size in sizes if isinstance(size, int)) < 350 * MB
