"""The guard's question: something in the text could tell who the patient is. What is to become of it?"""

from __future__ import annotations

from time import monotonic
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static

from medgemma_tui import clinical_words
from medgemma_tui.i18n import N_, _
from medgemma_tui.safetext import clean_line
from medgemma_tui.tui.guarding import Choice, Guarded
from medgemma_tui.tui.screens.dialogs import HELP
from medgemma_tui.tui.wrap import truncate

DEAF_S = 0.4
"""Seconds for which no answer that sends is taken: it was typed for the question, before this window was there."""
_MOST = 60
_LONGEST = 30


class Guard(ModalScreen[Choice]):
    """What was found, and the answers; the mark stands on the mask."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,e", "choose('edit')", N_("Back to the question"), priority=True, show=False),
        Binding("m", "choose('mask')", N_("Mask"), priority=True, show=False),
        Binding("s", "choose('send')", N_("As it is"), priority=True, show=False),
        HELP,
    ]

    def __init__(self, guarded: Guarded) -> None:
        super().__init__()
        self._guarded = guarded
        self._choices: list[tuple[str, Choice]] = [(f"M  {guarded.mask}", "mask")]
        if guarded.keep:
            self._choices.append((f"S  {guarded.keep}", "send"))
        self._choices.append((f"E  {guarded.edit}", "edit"))
        self._opened = monotonic()

    def compose(self) -> ComposeResult:
        """The sentence, what was found and its mask, the answers."""
        with Vertical(classes="dialog") as frame:
            frame.border_title = self._guarded.title
            yield Static(self._guarded.sentence, markup=False)
            with VerticalScroll(id="found"):
                yield Static(self._listed(), markup=False)
            yield OptionList(*(text for text, _choice in self._choices), markup=False, compact=True)

    def _listed(self) -> str:
        found = self._guarded.found
        rows = [
            _("{kind}: {text}  becomes {mask}").format(
                kind=clinical_words.identifier_kinds([each]),
                text=truncate(clean_line(each.text), _LONGEST),
                mask=each.mask,
            )
            for each in found[:_MOST]
        ]
        if len(found) > _MOST:
            rows.append(f"+{len(found) - _MOST}")
        return "\n".join(rows)

    def on_mount(self) -> None:
        """An Enter too many masks."""
        self._opened = monotonic()
        listing = self.query_one(OptionList)
        listing.highlighted = 0
        listing.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click."""
        self.action_choose(self._choices[event.option_index][1])

    def action_choose(self, choice: Choice) -> None:
        """A key."""
        if choice != "edit" and monotonic() - self._opened < DEAF_S:
            return
        if any(choice == offered for _text, offered in self._choices):
            self.dismiss(choice)
