"""The lock: a full screen that shows nothing of the conversation, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Static

from medgemma_tui.i18n import _
from medgemma_tui.tui.profile import Profile
from medgemma_tui.tui.widgets.pin_field import PinField


@dataclass(frozen=True, slots=True)
class Told:
    """What the lock says. ``asks``: for the PIN. ``deaf``: what is typed just now does not count."""

    name: str
    demo: bool
    since: str
    how: str
    until: str
    asks: bool = False
    remark: str = ""
    deaf: bool = False


class LockScreen(ModalScreen[None]):
    """It covers everything; the app takes it away. Keys of the program mean nothing here."""

    ALLOW_SELECT = False

    class Tried(Message):
        """Enter behind a PIN."""

        def __init__(self, text: str) -> None:
            self.text = text
            super().__init__()

    class Entered(Message):
        """Enter where no PIN is asked for."""

    def __init__(self, profile: Profile, told: Told) -> None:
        super().__init__()
        self._told = told
        self._dot = profile.glyphs.dot
        self._frame = Vertical(classes="dialog")
        self._field = PinField(profile)
        self._lines = {name: Static(markup=False, id=f"lock-{name}") for name in ("demo", "how", "remark", "until")}

    def compose(self) -> ComposeResult:
        """A box in the middle."""
        with self._frame:
            yield self._lines["demo"]
            yield self._lines["how"]
            yield self._field
            yield self._lines["remark"]
            yield self._lines["until"]

    def on_mount(self) -> None:
        """Say it."""
        self._show()

    def show(self, told: Told) -> None:
        """Say this from now on."""
        if told != self._told:
            self._told = told
            if self.is_mounted:
                self._show()

    def _show(self) -> None:
        told = self._told
        self._frame.border_title = f"{told.name} · {told.since}".replace("·", self._dot)
        self._field.display = told.asks
        texts = {"demo": _("DEMO, NOT MEDICAL") if told.demo else "", "how": told.how}
        for name, text in {**texts, "remark": told.remark, "until": told.until}.items():
            self._lines[name].update(text)
            self._lines[name].display = bool(text)

    def on_key(self, event: events.Key) -> None:
        """The PIN, or Enter."""
        event.stop()
        event.prevent_default()
        if self._told.deaf:
            return
        if event.key != "enter":
            if self._told.asks:
                self._field.take_key(event)
        elif not self._told.asks:
            self.post_message(self.Entered())
        elif text := self._field.take_away():
            self.post_message(self.Tried(text))

    def on_paste(self, event: events.Paste) -> None:
        """A PIN may be pasted."""
        event.stop()
        if self._told.asks and not self._told.deaf:
            self._field.take_paste(event.text)
