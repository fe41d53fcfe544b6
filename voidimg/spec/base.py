"""What all models of platform and profile files have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Base of all models: frozen, strict, unknown keys refused."""

    # Not use_attribute_docstrings: pydantic would read all sources again at every start (0.2 s).
    # `voidimg.spec.schema` puts the docstrings of attributes into the schemas.
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")
