"""The last line: the keys of the place that has the focus, as many as fit."""

from __future__ import annotations

from collections.abc import Mapping

from rich.cells import cell_len
from rich.text import Text
from textual.widget import Widget

from medgemma_tui.i18n import _
from medgemma_tui.tui.keymap import COMMANDS, Place, keys_of


class KeyBar(Widget):
    """One line of keys and what they do. What does not fit is left out, the least needed first."""

    def __init__(self, overrides: Mapping[str, str], *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._overrides = overrides
        self._place: Place = "screen"

    def show(self, place: Place) -> None:
        """Show the keys of this place."""
        if place != self._place:
            self._place = place
            self.refresh()

    def relabel(self) -> None:
        """Say it in the language in use."""
        self.refresh()

    def render(self) -> Text:
        """The line, in the commands' order, fitted to the width."""
        ranked = sorted(
            (command for command in COMMANDS if command.bar and command.place in ("screen", self._place)),
            key=lambda command: (command.place != self._place, command.bar),
        )
        room, chosen = self.size.width, []
        for command in ranked:
            keys = keys_of(command, self._overrides)
            if not keys:
                continue
            width = cell_len(f"{keys[0]} {_(command.label)}") + 2
            if width > room:
                break
            room -= width
            chosen.append(command)
        line = Text(no_wrap=True, overflow="crop", end="")
        for command in COMMANDS:
            if command in chosen:
                line.append(keys_of(command, self._overrides)[0], style="bold")
                line.append(f" {_(command.label)}  ")
        return line
