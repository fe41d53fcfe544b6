"""A small shop with four packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.pipeline.shop import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """base needs lib; kernel needs firmware."""
    shop = Shop(tmp_path / "shop")
    shop.put("lib", index=False)
    shop.put("base", needs=["lib>=1"], index=False)
    shop.put("firmware", index=False)
    shop.put("kernel", needs=["firmware>=0"])
    return shop
