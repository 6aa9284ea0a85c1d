"""The context window as the screen uses it: what is counted, the plan for a text, how large the window may be."""

from __future__ import annotations

from medgemma_tui.clinical.budget import BudgetPlan
from medgemma_tui.protocol import TokenizeReply
from medgemma_tui.tui.conversation import Turn
from medgemma_tui.tui.desk import Desk
from medgemma_tui.tui.ledger import Ledger, mark_left
from medgemma_tui.tui.link import Link

SMALLEST = 2048
"""The smallest window that is offered."""


class Window:
    """Counts through the link, plans with the ledger."""

    def __init__(self, desk: Desk, link: Link) -> None:
        self._desk = desk
        self._link = link
        self._ledger = Ledger(most=desk.settings.max_tokens, cap=desk.settings.context_window)

    @property
    def answer_room(self) -> int:
        """Tokens kept for trace and answer."""
        return self._ledger.answer_room

    def plan(self, text: str, live: Turn | None = None) -> BudgetPlan:
        """The plan for a question with this text. A ``live`` turn is taken as if it were answered by now."""
        return self._ledger.plan(self._desk.remaining, self._desk.instructions, text.strip(), live)

    def count(self, text: str, *, now: bool = False) -> bool:
        """Have what is not counted yet counted. False where everything is, or nothing can be."""
        what = self._desk.remaining, self._desk.instructions, text.strip()
        if not self._desk.ready or self._ledger.settled(*what):
            return False
        wanted = self._ledger.request(*what)
        if wanted is not None:
            self._link.count(*wanted, now=now)
        return True

    def take(self, ticket: int, reply: TokenizeReply | None) -> None:
        """A count arrived, or could not be had."""
        self._ledger.take(ticket, reply)

    def forget(self) -> None:
        """Drop the counts of a patient's texts."""
        self._ledger.forget()

    # --- its size ---

    def known(self, window: int | None) -> bool:
        """The model said how large its window is. True where that is news."""
        if window is None or self._ledger.window == window:
            return False
        self._ledger.window = window
        return True

    @property
    def size(self) -> int:
        """Tokens that are used at most."""
        return self._ledger.used_window

    @property
    def whole(self) -> int:
        """Tokens of the model's own window; a guess until the model has said it."""
        return self._ledger.whole_window

    @property
    def cap(self) -> int | None:
        """Tokens that were chosen to be used at most; None: all of the model's own."""
        return self._ledger.cap

    @cap.setter
    def cap(self, cap: int | None) -> None:
        self._ledger.cap = cap

    def cycle(self) -> None:
        """The next larger window, 2,048, 4,096 … up to the model's own, and then the smallest again."""
        sizes, size = [], SMALLEST
        while size < self.whole:
            sizes.append(size)
            size *= 2
        larger = [size for size in sizes if size > self.size]
        if self._ledger.cap is None or self.size >= self.whole:
            self._ledger.cap = sizes[0] if sizes else None
        else:
            self._ledger.cap = larger[0] if larger else None

    def mark_left(self, plan: BudgetPlan) -> tuple[list[Turn], list[Turn]]:
        """Mark the turns that leave by this plan, and show them so: those newly out, and those that are back."""
        before = {turn.id for turn in self._desk.conversation.turns if turn.left_context}
        left = mark_left(self._desk.remaining, plan.dropped_turns)
        back = [turn for turn in self._desk.conversation.turns if turn.id in before and not turn.left_context]
        for turn in [*left, *back]:
            self._desk.view.changed(turn)
        return left, back
