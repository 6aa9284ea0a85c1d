"""The title bar: what runs where, whether it is the demo, the language, the time."""

from __future__ import annotations

from datetime import datetime

from medgemma_tui.i18n import _
from medgemma_tui.safetext import clean_line
from medgemma_tui.tui.ink import MUTED, STRONG, Ink, Line, Panel
from medgemma_tui.tui.profile import Profile
from medgemma_tui.tui.wrap import cells, truncate


class TitleBar(Panel):
    """One row: ``MedGemma · box-3 ── DEMO, NOT MEDICAL ── zh ─ 14:02``. The clock ticks once a minute."""

    def __init__(self, profile: Profile, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._glyphs = profile.glyphs
        self._left = ""
        self._demo = False
        self._language = ""

    def on_mount(self) -> None:
        """Start the clock, in step with the minutes."""
        self.set_timer(60 - datetime.now().second, self._tick)

    def show(self, left: str, demo: bool, language: str) -> None:
        """``left`` is the title; ``demo`` keeps DEMO, NOT MEDICAL in sight; ``language`` is zh or en."""
        self._left, self._demo, self._language = left, demo, language
        self.redraw()

    def compose_lines(self, width: int) -> list[Line]:
        """One line; the title is cut before anything else."""
        rule = self._glyphs.rule
        right = f" {self._language} {rule} {datetime.now():%H:%M} "
        demo = f" {_('DEMO, NOT MEDICAL')} " if self._demo else ""
        room = width - cells(right) - cells(demo) - 4
        left = ""
        if room > 2:
            left = (
                " "
                + truncate(clean_line(self._left).replace("·", self._glyphs.dot), room - 2, self._glyphs.ellipsis)
                + " "
            )
        fill = max(0, width - 1 - cells(left) - cells(demo) - cells(right))
        half = fill // 2 if demo else fill
        return [
            [
                (rule, MUTED),
                (left, STRONG),
                (rule * half, MUTED),
                *([(demo, Ink("demo", bold=True))] if demo else []),
                (rule * (fill - half), MUTED),
                (right, MUTED),
            ]
        ]

    def _tick(self) -> None:
        self.redraw()
        self.set_timer(60 - datetime.now().second, self._tick)
