"""The coach's line under the composer: what a good question of this kind would also say, and what could be left out."""

from __future__ import annotations

from collections.abc import Mapping

from medgemma_tui import clinical_words
from medgemma_tui.clinical.findings import Coaching
from medgemma_tui.i18n import _, own
from medgemma_tui.tui import keymap
from medgemma_tui.tui.ink import MUTED, Ink, Line, Panel, width_of
from medgemma_tui.tui.profile import Profile
from medgemma_tui.tui.wrap import cells, truncate

_HINT = Ink("warn")


class CoachLine(Panel):
    """One line, which never stands in the way. The row it has once taken stays until it is emptied."""

    def __init__(self, profile: Profile, overrides: Mapping[str, str], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._glyphs = profile.glyphs
        self._overrides = overrides
        self._coaching: Coaching | None = None
        self._spare = 0
        self.display = False

    def show(self, coaching: Coaching | None, spare: int = 0) -> None:
        """Say what is missing. ``spare``: about how many tokens tell nothing. None: the draft is empty."""
        if (coaching, spare) == (self._coaching, self._spare):
            return
        self._coaching, self._spare = coaching, spare
        wanted = coaching is not None and (self.display or bool(coaching.missing or spare))
        if wanted != self.display:
            self.display = wanted
            self._laid_for = 0
        self.redraw()

    def compose_lines(self, width: int) -> list[Line]:
        """The line: the hint, then the filler, then the template's key, as far as there is room."""
        if self._coaching is None:
            return []
        line: Line = []
        if hint := clinical_words.hint(self._coaching):
            line.append((truncate(self._glyphs.shown(hint), width, self._glyphs.ellipsis), _HINT))
        if self._spare:
            text = _("about {n} tok of filler: {key} trims").format(n=self._spare, key=self._key("trim"))
            self._add(line, text, width)
        if hint:
            self._add(line, _("{key} template").format(key=self._key("template")), width)
        return [line]

    def _add(self, line: Line, text: str, width: int) -> None:
        text = own(f"  {text}" if line else text)
        if width_of(line) + cells(text) <= width:
            line.append((text, MUTED))

    def _key(self, command: str) -> str:
        keys = keymap.keys_of(keymap.command(command), self._overrides)
        return keys[0] if keys else _("palette")
