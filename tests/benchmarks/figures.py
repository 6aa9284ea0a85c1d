"""A measured figure and the target it is held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Figure:
    """``value`` in ``unit``; ``target`` with the side that is good, None where it is only told."""

    what: str
    value: float
    unit: str = ""
    target: float | None = None
    good: Literal["at least", "at most"] = "at least"

    @property
    def shown(self) -> str:
        """The value with its unit."""
        return f"{self.value:,.2f} {self.unit}".strip()

    @property
    def against(self) -> str:
        """Whether the target is reached, in words."""
        if self.target is None:
            return ""
        reached = self.value >= self.target if self.good == "at least" else self.value <= self.target
        return f"{'reached' if reached else 'MISSED '}  ({self.good} {self.target:g})"
