"""The prompt view: what the model was given for one turn, exactly."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from medgemma_tui.i18n import N_, _
from medgemma_tui.tui.conversation import Turn
from medgemma_tui.tui.prompt_text import prompt_text
from medgemma_tui.tui.screens.dialogs import HELP, Reader


class PromptView(Reader):
    """A text to read; its help is its own."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,ctrl+e", "dismiss", N_("Close"), priority=True, show=False),
        HELP,
    ]

    def __init__(self, turn: Turn) -> None:
        super().__init__(_("What the model was given"), prompt_text(turn))
