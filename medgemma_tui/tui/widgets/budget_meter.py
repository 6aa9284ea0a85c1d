"""The context-budget meter: how the window would be used by the next question."""

from __future__ import annotations

from typing import NamedTuple

from medgemma_tui.clinical.budget import BudgetPlan
from medgemma_tui.i18n import _, ngettext
from medgemma_tui.tui.ink import MUTED, STRONG, TEXT, Ink, Line, Panel, Run, fields, width_of
from medgemma_tui.tui.profile import Profile
from medgemma_tui.tui.wrap import cells, wrap

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
        text, ink = self._taken(plan)
        return [(_("Context"), TEXT), (f" {text}", ink), (f" / {plan.window:,} tok", TEXT)]

    def _segments(self, plan: BudgetPlan) -> list[_Segment]:
        glyphs = self._glyphs
        drawn = [
            (glyphs.fill_instructions, Ink("question")),
            (glyphs.fill_card, Ink("demo")),
            (glyphs.fill_history, Ink("heading")),
            (glyphs.fill_draft, Ink("ok")),
            (glyphs.fill_reserve, MUTED),
        ]
        return [_Segment(name, tokens, *look) for (name, tokens), look in zip(segments(plan), drawn, strict=True)]

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

    def _legend(self, plan: BudgetPlan, *, some: bool = False) -> list[Line]:
        """Each segment's mark, name and tokens; ``some``: of those that have any."""
        return [
            [(f"{each.glyph} ", each.ink), (f"{each.name} {each.tokens:,}", TEXT if each.tokens else MUTED)]
            for each in self._segments(plan)
            if each.tokens or not some
        ]

    def _one_line(self, plan: BudgetPlan, percent: float, width: int) -> Line:
        """Figures, what is wrong, then the segments with their names: closer where there is little room.

        What has no tokens is left out before a name of what has some.
        """
        whole: Line = [*self._figures(plan), (f"  {percent:.0f} %", _BAD if plan.over_by else STRONG)]
        close: Line = [self._taken(plan), (f"/{plan.window:,} {percent:.0f} %", STRONG)]
        long, short = self._faults(plan)
        every, some, tight = self._legend(plan), self._legend(plan, some=True), self._tight(plan)
        tries = [
            ([*whole, *long], every), ([*whole, *long], some), ([*whole, *short], tight), ([*close, *short], tight),
        ]  # fmt: skip
        for head, parts in tries:
            line = _fitted(head, parts, width)
            if len(line) == len(head) + sum(len(part) + 1 for part in parts):
                room = width - width_of(line) - 2
                return [*line, ("  ", TEXT), *self._bar(plan, min(room, 40))] if room >= 10 else line
        return _fitted([*(close if short else whole), *short], tight, width)

    def _taken(self, plan: BudgetPlan) -> Run:
        about = "" if plan.exact else f"{self._glyphs.approx} "
        return (f"{about}{plan.used + plan.reserve:,}", STRONG)

    def _tight(self, plan: BudgetPlan) -> list[Line]:
        return [[(part[0][0].strip(), part[0][1]), *part[1:]] for part in self._legend(plan, some=True)]

    def _faults(self, plan: BudgetPlan) -> tuple[Line, Line]:
        """What is wrong, in full and in few words."""
        glyphs, count = self._glyphs, plan.dropped_turns
        if plan.over_by:
            short = _("over by {n} tok").format(n=f"{plan.over_by:,}")
            return [(f"  {glyphs.bad} {self._over(plan)}", _BAD)], [(f"  {glyphs.bad} {short}", _BAD)]
        if count:
            short = ngettext("{n} turn not sent", "{n} turns not sent", count).format(n=count)
            return [(f"  {glyphs.warn} {self._dropped(plan)}", _WARN)], [(f"  {glyphs.warn} {short}", _WARN)]
        return [], []

    def _over(self, plan: BudgetPlan) -> str:
        return _("over by {n} tok: shorten the draft or the card").format(n=f"{plan.over_by:,}")

    def _dropped(self, plan: BudgetPlan) -> str:
        count = plan.dropped_turns
        return ngettext("{n} oldest turn no longer sent", "{n} oldest turns no longer sent", count).format(n=count)


def segments(plan: BudgetPlan) -> list[tuple[str, int]]:
    """The named parts of the window, in the order in which they are sent."""
    return [
        (_("rules"), plan.instructions),
        (_("card"), plan.card),
        (_("history"), plan.history),
        (_("draft"), plan.draft),
        (_("reserve"), plan.reserve),
    ]


def _fitted(head: Line, parts: list[Line], width: int) -> Line:
    """The head, then as many whole parts as there is room for; a head that is too wide ends at a word."""
    line = wrap(head, width)[0]
    for at, part in enumerate(parts):
        gap = "  " if at == 0 else " "
        if width_of(line) + cells(gap) + width_of(part) > width:
            break
        line = [*line, (gap, TEXT), *part]
    return line
