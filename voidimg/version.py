"""The version of this program, as `voidimg --version` and manifests say it."""

from __future__ import annotations

VERSION = "2026.11.0"
