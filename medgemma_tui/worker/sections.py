"""An answer with given headings: when the next one is forced, whatever the model does."""

from __future__ import annotations

from medgemma_tui.worker.thinking import SpecialTokens


class SectionPlan:
    """Walks through the headings of one answer, in order.

    The next heading is due when the model ends its turn, begins a heading of its own, or has used up the section's
    tokens: ``budget``, or an equal share of what is left of the answer if that is less, so that all headings fit.
    """

    def __init__(self, headings: tuple[tuple[int, ...], ...], budget: int | None, ids: SpecialTokens) -> None:
        self._headings = headings
        self._budget = budget
        self._ids = ids
        self._next = 0
        self._allowed = 0
        self._used = 0
        self._firsts = frozenset(_without_leading(heading, ids.newlines)[0] for heading in headings)

    @property
    def remaining(self) -> bool:
        """True while there is a heading that has not been written."""
        return self._next < len(self._headings)

    def cost(self) -> int:
        """Tokens that the headings still to come take, with the blank line before each."""
        return sum(len(heading) + len(self._ids.blank_line) for heading in self._headings[self._next :])

    def advance(self, last: int | None, left: int) -> list[int]:
        """The next heading's tokens, begun on a line of its own.

        ``last`` is the answer's last token (None at its beginning), ``left`` the tokens left to the answer.
        """
        cost = self.cost()
        heading = list(self._headings[self._next])
        sections = len(self._headings) - self._next
        self._next += 1
        self._used = 0
        self._allowed = max(1, (left - cost) // sections)
        if self._budget is not None:
            self._allowed = min(self._allowed, self._budget)
        begins_line = last is None or last in self._ids.newlines or heading[0] in self._ids.newlines
        return heading if begins_line else [*self._ids.blank_line, *heading]

    def interrupts(self, token: int, last: int | None) -> bool:
        """Whether ``token``, chosen after ``last``, is to be replaced by the next heading."""
        own_heading = token in self._firsts and last in self._ids.newlines
        return self.remaining and (own_heading or self._used >= self._allowed)

    def wrote(self) -> None:
        """One token of the current section was written by the model."""
        self._used += 1


def _without_leading(heading: tuple[int, ...], newlines: frozenset[int]) -> tuple[int, ...]:
    start = next((at for at, token in enumerate(heading) if token not in newlines), 0)
    return heading[start:]
