"""A check: an id, a function that measures, and what it found. What an outcome means is in ``health.meanings``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from medgemma_tui.protocol import Figure, Item, Phase

if TYPE_CHECKING:
    from medgemma_tui.health.context import Context

BOTH: frozenset[Phase] = frozenset({"preflight", "health"})
RUNNING: frozenset[Phase] = frozenset({"health"})
"""For checks that need a running service."""

Lane = Literal["", "model"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a check found: a code of its meanings, the values of the sentence as text, numbers, and lines under it."""

    code: str
    params: Mapping[str, str] = field(default_factory=dict)
    figures: tuple[Figure, ...] = ()
    items: tuple[Item, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """One check. ``run`` is called on a thread of its own and may block; what it raises makes the result UNKNOWN, as
    does not returning within ``timeout_s``. Checks of one ``lane`` run one after another, in the registry's order; all
    others side by side.
    """

    id: str
    """``group.name``; stable: scripts use it."""
    run: Callable[[Context], Outcome]
    phases: frozenset[Phase] = BOTH
    timeout_s: float = 10.0
    lane: Lane = ""

    @property
    def group(self) -> str:
        """The part of the id before the dot."""
        return self.id.partition(".")[0]
