"""A passing remark: one line of its own, so that it covers nothing, and one at a time."""

from __future__ import annotations

from textual.timer import Timer
from textual.widgets import Static

from medgemma_tui.safetext import clean
from medgemma_tui.tui.profile import Profile

SHOWN_S = 8.0
"""Seconds after which a remark goes by itself."""


class Remark(Static):
    """What was said last, until something else is said or its time is over. ``say("")`` takes it back."""

    def __init__(self, profile: Profile, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        glyphs = profile.glyphs
        self._marks = {"information": glyphs.dot, "warning": glyphs.warn, "error": glyphs.bad}
        self._timer: Timer | None = None
        self.display = False

    def say(self, text: str, level: str = "information") -> None:
        """Say this in the place of what was said before. Its language cannot change later: it is cleared then."""
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(SHOWN_S, self.clear) if text else None
        self.set_class(level == "warning", "-warning")
        self.set_class(level == "error", "-error")
        self.update(f"{self._marks[level]} {clean(text)}" if text else "")
        self.display = bool(text)

    def clear(self) -> None:
        """Nothing is said any more."""
        self.say("")
