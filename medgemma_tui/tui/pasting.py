"""A long paste: it is counted before it is let in, and refused with its count where it does not fit."""

from __future__ import annotations

from collections.abc import Callable

from medgemma_tui.i18n import _
from medgemma_tui.tui import budget_words
from medgemma_tui.tui.desk import Desk
from medgemma_tui.tui.window import Window

LARGEST_PASTE_BYTES = 2 * 1024 * 1024


class Paster:
    """One paste at a time. ``changed`` is called when it was decided."""

    def __init__(self, desk: Desk, window: Window, changed: Callable[[], None]) -> None:
        self._desk = desk
        self._view = desk.view
        self._window = window
        self._changed = changed
        self._text: str | None = None

    @property
    def counting(self) -> bool:
        """True while a pasted text is not in the draft yet."""
        return self._text is not None

    @property
    def candidate(self) -> str:
        """The draft as it would be with the pasted text."""
        return self._view.draft + (self._text or "")

    def drop(self) -> None:
        """Forget it: everything is wiped."""
        self._text = None

    def take(self, text: str, *, later: bool) -> None:
        """Take a pasted text into the draft if it fits; else refuse it with its count, and keep the draft.

        ``later``: something else is being counted first.
        """
        if len(text.encode("utf-8", "replace")) > LARGEST_PASTE_BYTES:
            self._desk.note(budget_words.not_pasted(len(text), None), "warning")
        elif self._text is not None:
            self._view.say(_("A paste is still being counted."), "warning")
        else:
            self._text = text
            if later or self._window.count(self.candidate, now=True):
                self._view.say(_("Counting the pasted text …"))
            else:
                self.decide()

    def decide(self) -> None:
        """Its count is there, or cannot be had."""
        text, plan = self._text or "", self._window.plan(self.candidate)
        self._text = None
        self._view.say("")  # it is not being counted any more
        if plan.fits:
            self._view.insert_pasted(text)
        else:
            self._desk.note(budget_words.not_pasted(len(text), plan), "warning")
        self._changed()
