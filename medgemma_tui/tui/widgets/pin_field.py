"""A line for a PIN: a dot for each character, and how many there are. What was typed is given away once, then gone."""

from __future__ import annotations

from textual import events
from textual.widgets import Static

from medgemma_tui.i18n import ngettext
from medgemma_tui.safetext import clean_line
from medgemma_tui.tui.pin import MOST
from medgemma_tui.tui.profile import Profile

_DOTS = 32


class PinField(Static):
    """Its screen hands it the keys: it never has the focus, so that nothing is pasted or undone behind its back."""

    def __init__(self, profile: Profile) -> None:
        super().__init__(markup=False, classes="pin")
        self._dot = "*" if profile.name == "ascii" else "•"
        self._prompt = profile.glyphs.prompt
        self._typed: list[str] = []

    def on_mount(self) -> None:
        """Begin empty."""
        self._show()

    def take_key(self, event: events.Key) -> None:
        """A key, if it is one of its own."""
        if event.key in ("backspace", "ctrl+h") and self._typed:
            self._typed.pop()
        elif event.key in ("ctrl+u", "escape"):
            self._typed.clear()
        elif event.is_printable and event.character is not None:
            self._add(event.character)
        self._show()

    def take_paste(self, text: str) -> None:
        """A pasted PIN: what stands in its first line."""
        self._add(text.strip().partition("\n")[0])
        self._show()

    def take_away(self) -> str:
        """What was typed; the line is empty then."""
        text = "".join(self._typed)
        self._typed.clear()
        self._show()
        return text

    def _add(self, text: str) -> None:
        self._typed += clean_line(text)[: max(0, MOST - len(self._typed))]

    def _show(self) -> None:
        count = len(self._typed)
        told = "  " + ngettext("{n} character", "{n} characters", count).format(n=count) if count else ""
        self.update(f"{self._prompt} {self._dot * min(count, _DOTS)}{told}")
