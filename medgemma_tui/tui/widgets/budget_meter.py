"""The context-budget meter: how the window would be used by the next question."""

from __future__ import annotations

from typing import NamedTuple

from medgemma_tui.clinical.budget import BudgetPlan
from medgemma_tui.i18n import _, ngettext
from medgemma_tui.tui.ink import MUTED, STRONG, TEXT, Ink, Line, Panel, fields, width_of
from medgemma_tui.tui.profile import Profile
from medgemma_tui.tui.wrap import wrap

_WARN = Ink("warn", bold=True)
_BAD = Ink("bad", bold=True)


class _Segment(NamedTuple):
    """A named part of the window."""

    name: str
    tokens: int
    glyph: str
    ink: Ink


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
        plan = self._plan
        if plan is None:
            return wrap([(_("Context"), TEXT), (f" {self._glyphs.dash}", MUTED)], width)[:1]
        taken = plan.used + plan.reserve
        percent = 100 * taken / plan.window if plan.window else 0.0
        if self._compact:
            return [self._one_line(plan, percent, width)]
        share = f"  {percent:.0f} %"
        bar = self._bar(plan, max(4, width - len(share)))
        lines = [
            *wrap(self._figures(plan), width),
            [*bar, (share, _BAD if plan.over_by else STRONG)],
            *fields(self._legend(plan), width, (" ", TEXT)),
        ]
        if plan.over_by:
            lines += wrap([(self._over(plan), _BAD)], width)
        if plan.dropped_turns:
            lines += wrap([(self._dropped(plan), _WARN)], width)
        return lines

    def _figures(self, plan: BudgetPlan) -> Line:
        about = "" if plan.exact else f"{self._glyphs.approx} "
        taken = f" {about}{plan.used + plan.reserve:,}"
        return [(_("Context"), TEXT), (taken, STRONG), (f" / {plan.window:,} tok", TEXT)]

    def _segments(self, plan: BudgetPlan) -> list[_Segment]:
        glyphs = self._glyphs
        return [
            _Segment(_("rules"), plan.instructions, glyphs.fill_instructions, Ink("question")),
            _Segment(_("card"), plan.card, glyphs.fill_card, Ink("demo")),
            _Segment(_("history"), plan.history, glyphs.fill_history, Ink("heading")),
            _Segment(_("draft"), plan.draft, glyphs.fill_draft, Ink("ok")),
            _Segment(_("reserve"), plan.reserve, glyphs.fill_reserve, MUTED),
        ]

    def _bar(self, plan: BudgetPlan, width: int) -> Line:
        """The segments in ``width`` cells: what is there has at least one cell; what does not fit is cut at the end."""
        whole = max(plan.window, plan.used + plan.reserve, 1)
        line: Line = []
        done, filled = 0, 0
        for segment in self._segments(plan):
            if segment.tokens <= 0:
                continue
            done += segment.tokens
            end = min(width, max(filled + 1, round(done * width / whole)))
            if end > filled:
                line.append((segment.glyph * (end - filled), segment.ink))
            filled = end
        if filled < width:
            line.append((self._glyphs.fill_free * (width - filled), MUTED))
        return line

    def _legend(self, plan: BudgetPlan) -> list[Line]:
        return [
            [(f"{segment.glyph} ", segment.ink), (segment.name, TEXT if segment.tokens else MUTED)]
            for segment in self._segments(plan)
        ]

    def _one_line(self, plan: BudgetPlan, percent: float, width: int) -> Line:
        """Figures first, then what is wrong, then as much of a bar as there is room for."""
        line: Line = [*self._figures(plan), (f"  {percent:.0f} %", _BAD if plan.over_by else STRONG)]
        if plan.over_by:
            line.append((f"  {self._glyphs.bad} {self._over(plan)}", _BAD))
        elif plan.dropped_turns:
            line.append((f"  {self._glyphs.warn} {self._dropped(plan)}", _WARN))
        room = width - width_of(line) - 2
        if room >= 8:
            line += [("  ", TEXT), *self._bar(plan, min(room, 40))]
        return wrap(line, width)[0]

    def _over(self, plan: BudgetPlan) -> str:
        return _("over by {n} tok: shorten the draft or the card").format(n=f"{plan.over_by:,}")

    def _dropped(self, plan: BudgetPlan) -> str:
        count = plan.dropped_turns
        return ngettext("{n} oldest turn left", "{n} oldest turns left", count).format(n=count)
