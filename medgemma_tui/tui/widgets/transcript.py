"""The transcript: one line-API scroll view over the conversation's entries."""

from __future__ import annotations

from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView

from medgemma_tui.tui.conversation import Entry, Turn
from medgemma_tui.tui.profile import Profile


class Transcript(ScrollView, can_focus=True):
    """The conversation, one line at a time; only what is visible is laid out, only what changed is painted."""

    trace_open: reactive[bool] = reactive(False)
    """Whether traces are shown; a turn may differ (Enter)."""

    class Selected(Message):
        """A turn was selected with the keyboard or the mouse; None: no turn is."""

        def __init__(self, transcript: Transcript, turn: Turn | None) -> None:
            super().__init__()
            self.transcript = transcript
            self.turn = turn

    def __init__(self, profile: Profile, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._profile = profile

    @property
    def selected(self) -> Turn | None:
        """The turn under the selection mark."""
        return None

    @property
    def following(self) -> bool:
        """True while the end of the conversation is kept in view."""
        return True

    def append(self, entry: Entry) -> None:
        """Add an entry at the end."""

    def changed(self, entry: Entry) -> None:
        """An entry has more text or another state. Cheap: it is laid out again at most every 100 ms."""

    def remove_entry(self, entry: Entry) -> None:
        """Take one entry out."""

    def clear(self) -> None:
        """Take every entry out and forget all that was laid out."""

    def follow(self) -> None:
        """Go to the end and stay there."""

    def relabel(self) -> None:
        """The language changed: say everything again."""
