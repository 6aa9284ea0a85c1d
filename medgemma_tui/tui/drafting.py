"""What the program knows of the draft and does with it: what is found in it, templates, trimming."""

from __future__ import annotations

from collections.abc import Callable

from medgemma_tui import i18n
from medgemma_tui.clinical.budget import BudgetPlan
from medgemma_tui.clinical.textform import question_language
from medgemma_tui.i18n import _
from medgemma_tui.tui import budget_words
from medgemma_tui.tui.desk import Desk
from medgemma_tui.tui.reading import Reader, Reading


class Drafting:
    """``read_through`` is called where the draft, as it stands, has been read."""

    def __init__(self, desk: Desk, reader: Reader, read_through: Callable[[], None]) -> None:
        self._desk = desk
        self._view = desk.view
        self._reader = reader
        self._read_through = read_through
        self._reading: Reading | None = None  # of the draft, as it was when it was read last
        self._busy = self._stale = False  # it is being read; it changed since
        self._trimmed: tuple[str, BudgetPlan] | None = None  # what was left of it, and the plan before

    @property
    def text(self) -> str:
        """What would be sent for the draft, as far as it has been read."""
        return self._reader.prompt_of(self._view.draft)

    @property
    def is_read(self) -> bool:
        """Whether it is known what would be sent for the draft."""
        draft = self._view.draft
        return not draft.strip() or self._reader.has_read(draft)

    def read(self) -> None:
        """The draft has rested, or what its reading depends on has changed: see what is in it."""
        draft = self._view.draft
        if not draft.strip():
            return
        self._stale = self._busy  # one in the thread at a time: when it is there, what is new is read
        if not self._busy:
            self._busy = True
            self._reader.read(draft, self._was_read)

    def _was_read(self, reading: Reading | None) -> None:
        self._busy = False
        if reading is not None and self._view.draft.strip():
            if self.is_read and reading.what.text != self._view.draft.strip():
                return  # of a draft before this one, which was read already
            self._understood(reading)
            if self.is_read:  # else it was typed on meanwhile; what was found is shown until then
                self._read_through()
        if self._stale:
            self.read()

    def emptied(self) -> None:
        """There is no draft any more."""
        self._trimmed = None
        self._busy = self._stale = False
        self._understood(None)

    def _understood(self, reading: Reading | None) -> None:
        if reading is not self._reading:
            self._reading = reading
            self._view.understood(reading)

    def template(self) -> str:
        """A template to fill in: of the draft's kind and language, or of the screen's. Empty where there is none."""
        from medgemma_tui.clinical.coach import template

        draft = self._view.draft.strip()
        kind = self._reading.coaching.question_kind if draft and self._reading is not None else "treatment"
        return template(kind, question_language(draft) if draft else i18n.language())

    def trim(self, before: BudgetPlan, after: Callable[[str], BudgetPlan]) -> None:
        """Take out of the draft what tells nothing, and say how many tokens that saves.

        ``before`` is the plan for the draft; ``after`` gives the plan for another text.
        """
        from medgemma_tui.clinical.filler import find_filler, trim

        draft = self._view.draft
        fillers = find_filler(draft)
        if not fillers:
            self._view.say(_("There is no filler in the question."))
            return
        text = trim(draft, fillers)
        self._view.say(budget_words.trimmed(before, after(text)))
        self._trimmed = text, before
        self._view.rewrite(text)

    def planned(self, plan: BudgetPlan) -> None:
        """A plan for the draft is there: where it was trimmed and both were counted, what that saved is known."""
        if self._trimmed is None or not plan.exact:
            return
        (text, before), self._trimmed = self._trimmed, None
        if before.exact and text == self._view.draft:
            self._view.say(budget_words.trimmed(before, plan))
