"""A window that asks for the name of a new file."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from medgemma_tui.i18n import N_, _
from medgemma_tui.tui.screens.dialogs import HELP


class FileName(ModalScreen[str]):
    """Gives what was typed; empty where it was left. Nothing is suggested: the person says where it goes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss('')", N_("Close"), priority=True, show=False),
        HELP,
    ]

    def __init__(self, title: str, explanation: str) -> None:
        super().__init__()
        self._title, self._explanation = title, explanation

    def compose(self) -> ComposeResult:
        """What will be written, above a line to type in."""
        with Vertical(classes="dialog"):
            yield Static(self._explanation, markup=False)
            yield Input(placeholder=_("A path, for example ~/chain.cast"), compact=True)

    def on_mount(self) -> None:
        """Type at once."""
        window = self.query_one(".dialog")
        window.border_title = self._title
        window.border_subtitle = _("Enter writes, Esc leaves it")
        line = self.query_one(Input)
        line.cursor_blink = False
        line.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter."""
        if event.value.strip():
            self.dismiss(event.value)
