"""The two kinds of wire model: what a client sends is strict, what an engine sends is read leniently."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Wire(BaseModel):
    """A model that refuses unknown fields: for what comes from a client."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Reply(BaseModel):
    """A model that ignores unknown fields: for what comes from an engine."""

    model_config = ConfigDict(extra="ignore", frozen=True)
