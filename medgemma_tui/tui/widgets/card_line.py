"""One line above the transcript: that there is a patient card, and how it begins."""

from __future__ import annotations

from medgemma_tui.i18n import _
from medgemma_tui.safetext import clean_line
from medgemma_tui.tui.ink import TEXT, Ink, Line, Panel, width_of
from medgemma_tui.tui.profile import Profile
from medgemma_tui.tui.wrap import truncate


class CardLine(Panel):
    """Hidden where there is no card."""

    def __init__(self, profile: Profile, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._glyphs = profile.glyphs
        self._text = ""
        self.display = False

    def show(self, text: str) -> None:
        """Show this card from now on."""
        rows = [row.strip() for row in text.split("\n") if row.strip()]
        text = self._glyphs.shown(clean_line(f" {self._glyphs.dot} ".join(rows)))
        if text != self._text:
            self._text = text
            self.display = bool(text)
            self._laid_for = 0
            self.redraw()

    def compose_lines(self, width: int) -> list[Line]:
        """The line."""
        head: Line = [(_("Card"), Ink("demo", bold=True)), ("  ", TEXT)]
        room = width - width_of(head)
        return [[*head, (truncate(self._text, room, self._glyphs.ellipsis), TEXT)]] if room > 4 else [head[:1]]
