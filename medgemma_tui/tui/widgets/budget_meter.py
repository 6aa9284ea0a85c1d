"""The context-budget meter: how the window would be used by the next question."""

from __future__ import annotations

from medgemma_tui.clinical.budget import BudgetPlan
from medgemma_tui.i18n import _, ngettext
from medgemma_tui.tui.ink import MUTED, STRONG, TEXT, Ink, Line, Panel, width_of
from medgemma_tui.tui.profile import Profile
from medgemma_tui.tui.wrap import wrap

_INKS = {
    "instructions": Ink("question"),
    "card": Ink("demo"),
    "history": Ink("heading"),
    "draft": Ink("ok"),
    "reserve": MUTED,
    "free": MUTED,
}


class BudgetMeter(Panel):
    """Figures, a bar of named segments told apart by their characters, and a legend. ``compact``: one line."""

    def __init__(self, profile: Profile, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._glyphs = profile.glyphs
        self._plan: BudgetPlan | None = None
        self._compact = False

    @property
    def compact(self) -> bool:
        """One line, for narrow screens."""
        return self._compact

    @compact.setter
    def compact(self, compact: bool) -> None:
        if compact != self._compact:
            self._compact = compact
            self.redraw()

    def show(self, plan: BudgetPlan) -> None:
        """Show this plan from now on."""
        if plan != self._plan:
            self._plan = plan
            self.redraw()

    def compose_lines(self, width: int) -> list[Line]:
        """The meter for this width."""
        return []
