"""Setting the PIN of this session: typed twice, kept as a hash, in memory. It covers the screen while it asks."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Literal

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Static

from medgemma_tui.i18n import N_, _
from medgemma_tui.tui.pin import LEAST, Pin, hashed, same
from medgemma_tui.tui.profile import Profile
from medgemma_tui.tui.screens.dialogs import HELP
from medgemma_tui.tui.widgets.pin_field import PinField

PinChoice = Pin | Literal["without"] | None


class SetPin(ModalScreen[PinChoice]):
    """Gives the PIN; "without" where the screen is to be locked without one; None where all stays as it was.

    ``without`` says what locking without a PIN means; empty: nothing is to be locked, only a PIN set.
    """

    ALLOW_SELECT = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", N_("Close"), priority=True, show=False),
        HELP,
    ]

    class Hashed(Message):
        """The hash is there; None: this system cannot make one."""

        def __init__(self, pin: Pin | None) -> None:
            self.pin = pin
            super().__init__()

    def __init__(self, profile: Profile, without: str = "") -> None:
        super().__init__()
        self._without = without
        self._field = PinField(profile)
        self._asked = Static(markup=False)
        self._remark = Static(markup=False, classes="remark")
        self._first = ""
        self._busy = False

    def compose(self) -> ComposeResult:
        """What it is for, the line, what else can be done."""
        with Vertical(classes="dialog") as frame:
            frame.border_title = _("PIN for this session")
            frame.border_subtitle = _("Esc goes back")
            yield Static(_("It opens the locked screen. It is kept in memory only, until you leave."), markup=False)
            yield self._asked
            yield self._field
            yield self._remark
            if self._without:
                yield Static(self._without, markup=False, classes="without")

    def on_mount(self) -> None:
        """Ask."""
        self._ask()

    def _ask(self, remark: str = "") -> None:
        again, new = _("The same again:"), _("New PIN, at least {n} characters:").format(n=LEAST)
        self._asked.update(again if self._first else new)
        self._remark.update(remark)
        self._remark.display = bool(remark)

    def on_key(self, event: events.Key) -> None:
        """A character, or Enter."""
        if self._busy or event.key == "tab":
            return
        event.stop()
        if event.key == "enter":
            self._entered(self._field.take_away())
        else:
            self._field.take_key(event)

    def on_paste(self, event: events.Paste) -> None:
        """A PIN may be pasted."""
        event.stop()
        if not self._busy:
            self._field.take_paste(event.text)

    def _entered(self, text: str) -> None:
        first, self._first = self._first, ""
        if not text and not first and self._without:
            self.dismiss("without")
        elif not first and len(text) < LEAST:
            self._ask(_("Too short."))
        elif not first:
            self._first = text
            self._ask()
        elif not same(text, first):
            self._ask(_("These two were not the same. Type a new one."))
        else:
            self._busy = True
            self._ask(_("One moment …"))
            self.run_worker(self._hash(text))

    async def _hash(self, text: str) -> None:
        try:
            self.post_message(self.Hashed(await asyncio.to_thread(hashed, text)))
        except ValueError:
            self.post_message(self.Hashed(None))

    def on_set_pin_hashed(self, message: Hashed) -> None:
        """It is set."""
        self._busy = False
        if message.pin is not None:
            self.dismiss(message.pin)
        else:
            self._ask(_("This system's OpenSSL does not offer scrypt: no PIN can be set."))
