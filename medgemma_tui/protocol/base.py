"""The two kinds of wire model: what a client sends is strict, what an engine sends is read leniently."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationInfo

_T = TypeVar("_T")


class Wire(BaseModel):
    """A model that refuses unknown fields: for what comes from a client."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Reply(BaseModel):
    """A model that ignores unknown fields: for what comes from an engine."""

    model_config = ConfigDict(extra="ignore", frozen=True)


def null_is_default(kind: type[BaseModel], value: _T, info: ValidationInfo) -> _T:
    """For a validator in mode "before": the field's default instead of a null, as other engines send for "none"."""
    if value is not None or info.field_name is None:
        return value
    default: _T = kind.model_fields[info.field_name].get_default(call_default_factory=True, validated_data=info.data)
    return default
