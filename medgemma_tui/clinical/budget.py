"""The context budget: what is sent, what leaves, and what does not fit. Pure; all figures are tokens.

What no longer fits leaves oldest first. The instructions, the patient card and the draft never leave: when they and
the reserve alone are more than the window, nothing can be sent and ``over_by`` says by how much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """How the context window would be used by the next question; every figure in tokens.

    ``history`` counts the turns that stay. ``reserve`` is kept free for the trace and the answer. ``exact`` is False
    where the counts are estimates (no model has counted them yet). ``over_by`` is 0 where it fits.
    """

    window: int
    instructions: int
    card: int
    history: int
    draft: int
    reserve: int
    exact: bool = True
    dropped_turns: int = 0
    over_by: int = 0

    @property
    def used(self) -> int:
        """Tokens of the prompt: everything but the reserve."""
        return self.instructions + self.card + self.history + self.draft

    @property
    def free(self) -> int:
        """Tokens that nothing claims, never below 0."""
        return max(0, self.window - self.used - self.reserve)

    @property
    def fits(self) -> bool:
        """True where the question can be sent."""
        return self.over_by == 0


def plan(
    window: int,
    reserve: int,
    instructions: int,
    card: int,
    turns: Sequence[int],
    draft: int,
    *,
    exact: bool = True,
) -> BudgetPlan:
    """Plan the next question. ``turns`` holds the tokens of each answered turn, oldest first.

    The plan's ``dropped_turns`` oldest turns leave. Raises ValueError for a negative count.
    """
    if min(window, reserve, instructions, card, draft, *turns) < 0:
        raise ValueError("a token count is negative")
    room = window - reserve - instructions - card - draft
    history = sum(turns)
    dropped = 0
    while history > max(room, 0) and dropped < len(turns):
        history -= turns[dropped]
        dropped += 1
    return BudgetPlan(
        window=window,
        instructions=instructions,
        card=card,
        history=history,
        draft=draft,
        reserve=reserve,
        exact=exact,
        dropped_turns=dropped,
        over_by=max(0, -room),
    )


def estimate(text: str) -> int:
    """A guess at the tokens of a text until a tokenizer has counted it: four letters a token, a Chinese sign each."""
    wide = sum(1 for char in text if ord(char) >= 0x2E80)
    return wide + (len(text) - wide + 3) // 4
