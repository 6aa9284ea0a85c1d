"""The CUDA that the installed PyTorch was built with, and what that needs. PyTorch itself is not imported: it is slow,
and a health check has no use for a CUDA context."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict

_TABLE = Path(__file__).parents[2] / "data" / "cuda.toml"
_CUDA = re.compile(r"^cuda\b[^=\n]*=\s*(?:'([^'\n]*)'|\"([^\"\n]*)\"|None)", re.MULTILINE)


class CudaNeeds(BaseModel):
    """What a series of CUDA needs: ``12`` or, longer, ``12.8``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    series: str
    driver: str
    capability: str


class CudaTable(BaseModel):
    """``data/cuda.toml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    source: str
    reviewer: str
    cuda: tuple[CudaNeeds, ...]


@dataclass(frozen=True, slots=True)
class Torch:
    """The installed PyTorch. ``cuda``: the version it was built with; None: built without."""

    cuda: str | None


@cache
def table() -> CudaTable:
    """The needs of every series."""
    return CudaTable.model_validate(tomllib.loads(_TABLE.read_text(encoding="utf-8")))


def installed() -> Torch | None:
    """By the text of ``torch/version.py``; None where PyTorch is not installed, or says nothing of CUDA."""
    found = importlib.util.find_spec("torch")
    if found is None or found.origin is None:
        return None
    try:
        text = Path(found.origin).with_name("version.py").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    said = _CUDA.search(text)
    return None if said is None else Torch(said[1] or said[2] or None)


def needs_of(cuda: str) -> CudaNeeds | None:
    """What this CUDA needs, None where the table does not have it."""
    matching = [row for row in table().cuda if cuda == row.series or cuda.startswith(row.series + ".")]
    return max(matching, key=lambda row: len(row.series), default=None)


def number_of(version: str) -> tuple[int, ...]:
    """A version that can be compared. Raises ValueError."""
    return tuple(int(part) for part in version.split("."))
