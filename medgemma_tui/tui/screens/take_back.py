"""The question at the start, where the service keeps a conversation of this user: take it back, wipe it, leave it?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from time import monotonic
from typing import ClassVar, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static

from medgemma_tui.clinical_words import sentences
from medgemma_tui.i18n import N_, _
from medgemma_tui.tui.screens.dialogs import HELP
from medgemma_tui.tui.screens.guard import DEAF_S

TakeBackChoice = Literal["take", "wipe", "leave"]


@dataclass(frozen=True, slots=True)
class Offer:
    """What is kept. ``kept_at``: since when; None: it is of another version, which this one cannot read.

    ``replaces``: there is a conversation here, which it would replace.
    """

    kept_at: datetime | None
    until: datetime
    replaces: bool = False


class TakeBack(ModalScreen[TakeBackChoice]):
    """It shows nothing of the conversation. What was typed for the question before decides nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,l", "choose('leave')", N_("Leave it"), priority=True, show=False),
        Binding("t", "choose('take')", N_("Take it back"), priority=True, show=False),
        Binding("w", "choose('wipe')", N_("Wipe"), priority=True, show=False),
        HELP,
    ]

    def __init__(self, offer: Offer) -> None:
        super().__init__()
        self._offer = offer
        take = _("take it back, in the place of what is here") if offer.replaces else _("take it back")
        self._choices: list[tuple[str, TakeBackChoice]] = [(f"T  {take}", "take")] if offer.kept_at else []
        wipe, leave = _("wipe it"), _("leave it where it is")
        self._choices += [(f"W  {wipe}", "wipe"), (f"L  {leave}", "leave")]
        self._opened = monotonic()

    def compose(self) -> ComposeResult:
        """What is kept, and the answers."""
        until = f"{self._offer.until:%H:%M}"
        if self._offer.kept_at is not None:
            text = _("A conversation of {time} is kept for you until {until}.")
            text = text.format(time=f"{self._offer.kept_at:%H:%M}", until=until)
        else:
            text = sentences(
                _("A conversation is kept for you until {until}.").format(until=until),
                _("Another version of this program put it there, and this one cannot read it."),
            )
        with Vertical(classes="dialog") as frame:
            frame.border_title = _("Kept for you")
            yield Static(text, markup=False)
            yield OptionList(*(text for text, _choice in self._choices), markup=False, compact=True)

    def on_mount(self) -> None:
        """An Enter too many takes it back, or leaves it."""
        self._opened = monotonic()
        listing = self.query_one(OptionList)
        listing.highlighted = 0 if self._offer.kept_at is not None else len(self._choices) - 1
        listing.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click."""
        self.action_choose(self._choices[event.option_index][1])

    def action_choose(self, choice: TakeBackChoice) -> None:
        """A key."""
        if choice != "leave" and monotonic() - self._opened < DEAF_S:
            return
        if any(choice == offered for _text, offered in self._choices):
            self.dismiss(choice)
