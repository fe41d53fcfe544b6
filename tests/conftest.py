"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# Fixed examples and no time limit on one: a busy machine must not turn a test red.
settings.register_profile("voidimg", deadline=None, derandomize=True, database=None)
settings.load_profile("voidimg")
