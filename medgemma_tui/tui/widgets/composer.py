"""The composer: several lines, history, paste. Enter sends, Ctrl+J begins a new line.

What comes in one burst stays in order: Enter takes the text away at once, before the next key is looked at, and a
paste is either put in at once or, where it is long, later at the place where the cursor was.
"""

from __future__ import annotations

import re
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widgets import TextArea
from textual.widgets.text_area import Selection

from medgemma_tui.i18n import N_
from medgemma_tui.safetext import clean

COUNTED_PASTE_CHARS = 2000
"""A paste longer than this is counted before it is let in."""

_BLANK = re.compile("＿{2,}|_{3,}")  # as templates have them


class SafeTextArea(TextArea):
    """A text area that foreign text enters through ``safetext`` only."""

    def __init__(self, text: str = "", *, id: str | None = None) -> None:
        super().__init__(text, id=id, soft_wrap=True, highlight_cursor_line=False)
        self.cursor_blink = False  # a blinking cursor costs terminal bytes for nothing

    def render_line(self, y: int) -> Strip:
        """One row; blank where there is no room even for a wide character, which Textual's wrapping trips over."""
        if self.wrap_width < 2 and not self.text:
            return Strip.blank(self.size.width)
        return super().render_line(y)

    def insert_pasted(self, text: str) -> None:
        """Put a text in at the cursor, over what is selected."""
        result = self._replace_via_keyboard(text, *self.selection)
        if result is not None:
            self.move_cursor(result.end_location)

    def take_paste(self, text: str) -> None:
        """What to do with a pasted text, made safe already."""
        self.insert_pasted(text)

    async def _on_key(self, event: events.Key) -> None:  # TextArea's own runs after this, unless prevented
        if event.character is not None and event.is_printable and not clean(event.character):
            event.stop()  # a paste without bracketing arrives as keys
            event.prevent_default()
            return
        for binding in self._bindings.key_to_bindings.get(event.key, ()):
            # at once: Textual would bring it to the app first, behind what was typed after it
            event.stop()
            event.prevent_default()
            await self.run_action(binding.action)

    async def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()
        text = clean(event.text)
        if text:
            self.take_paste(text)


class Composer(SafeTextArea):
    """A text area that sends, with the history of what was sent."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+j,shift+enter,alt+enter", "newline", N_("New line"), show=False),
    ]

    class Submitted(Message):
        """Enter was pressed on a draft, which left the composer. The app calls ``accepted`` or ``give_back``."""

        def __init__(self, text: str) -> None:
            self.text = text
            super().__init__()

    class Pasted(Message):
        """A long text was pasted; the app decides whether it fits and then calls ``insert_counted``."""

        def __init__(self, text: str) -> None:
            self.text = text
            super().__init__()

    class LeftUpward(Message):
        """Up was pressed where there is nothing above: no line and no older question."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._sent: list[str] = []
        self._at: int | None = None  # place in the history, None on the draft itself
        self._draft = ""
        self._unanswered = False  # a text was submitted and the app has not said yet what becomes of it
        self._before_paste = ""  # what stood before the cursor when a long text was pasted

    # --- what the app calls ---

    def set_draft(self, text: str) -> None:
        """Replace the draft; the cursor goes to its end."""
        if self._at is not None:  # what was being written when the history was opened
            self.remember(self._draft)
        self._replace(text)

    def _replace(self, text: str) -> None:
        self._at = None
        self.load_text(text)
        self.move_cursor(self.document.end)

    def accepted(self, text: str) -> None:
        """The submitted text is taken: it is the newest of the history."""
        self._unanswered = False
        self.remember(text)

    def give_back(self, text: str) -> None:
        """This text was not sent, or stood here before: in front of what was typed since."""
        self._unanswered = False
        self.set_draft(f"{text}\n{self.text}" if self.text else text)

    @property
    def sent(self) -> tuple[str, ...]:
        """The history, oldest first."""
        return tuple(self._sent)

    def remember(self, text: str) -> None:
        """Keep a text in the history, unless it is the newest already."""
        if text.strip() and self._sent[-1:] != [text]:
            self._sent.append(text)

    def take_paste(self, text: str) -> None:
        """One of usual size goes in before the next key is looked at; a long one the app has counted first."""
        if len(text) <= COUNTED_PASTE_CHARS:
            self.insert_pasted(text)
        else:
            self._before_paste = self.get_text_range(self.document.start, min(self.selection))
            self.post_message(self.Pasted(text))

    def insert_counted(self, text: str) -> None:
        """A long paste was found to fit: it goes where the cursor was, before what was typed since."""
        before, self._before_paste = self._before_paste, ""
        if self.selection.is_empty and self.text.startswith(before):
            self.insert(text, _location(before, len(before)))
        else:
            self.insert_pasted(text)

    def put_below(self, text: str) -> None:
        """Put a text under the draft, the cursor before it. It can be undone."""
        end = self.document.end
        start = self.insert(f"\n{text}" if self.text.strip() else text, end, maintain_selection_offset=False)
        self.move_cursor((end[0] + 1, 0) if self.text.strip() and start.end_location[0] > end[0] else end)

    def rewrite(self, text: str) -> None:
        """Replace the draft as a person would who types: it can be undone."""
        self.history.checkpoint()
        self.replace(text, self.document.start, self.document.end, maintain_selection_offset=False)
        self.history.checkpoint()
        self.move_cursor(self.document.end)

    def next_blank(self) -> bool:
        """Select the next blank to fill in, from the cursor on and then from the start. False where there is none."""
        text = self.text
        blank = _BLANK.search(text, len(self.get_text_range(self.document.start, self.selection.end)))
        blank = blank or _BLANK.search(text)
        if blank is None:
            return False
        self.selection = Selection(*(_location(text, index) for index in blank.span()))
        self.scroll_cursor_visible()
        return True

    def wipe(self) -> None:
        """Forget draft, history and everything that could be undone."""
        self._sent.clear()
        self._draft = self._before_paste = ""
        self._unanswered = False
        self._replace("")

    # --- keys ---

    async def _on_key(self, event: events.Key) -> None:
        if event.key == "enter":
            event.stop()
            event.prevent_default()
            self._submit()

    def _submit(self) -> None:
        text = self.text
        if self._unanswered:  # a second Enter in the same burst: its text may not overtake the first
            self.action_newline()
        elif text.strip():
            self._unanswered = True
            self.set_draft("")
            self.post_message(self.Submitted(text))

    def action_newline(self) -> None:
        """Begin a new line at the cursor."""
        self._replace_via_keyboard("\n", *self.selection)

    def action_cursor_up(self, select: bool = False) -> None:
        """Up a line; from the first line, the question before."""
        if select or not self.navigator.is_first_wrapped_line(self.cursor_location):
            super().action_cursor_up(select)
            return
        at = len(self._sent) if self._at is None else self._at
        if at == 0:
            self.post_message(self.LeftUpward())
            return
        if self._at is None:
            self._draft = self.text
        self._show(at - 1)

    def action_cursor_down(self, select: bool = False) -> None:
        """Down a line; from the last line, the question after, and at last the draft."""
        if select or self._at is None or not self.navigator.is_last_wrapped_line(self.cursor_location):
            super().action_cursor_down(select)
            return
        if self._at + 1 < len(self._sent):
            self._show(self._at + 1)
        else:
            self._replace(self._draft)

    def _show(self, at: int) -> None:
        self.load_text(self._sent[at])
        self.move_cursor(self.document.end)
        self._at = at


def _location(text: str, index: int) -> tuple[int, int]:
    """Row and column of a place in a text."""
    before = text[:index]
    return before.count("\n"), len(before.rpartition("\n")[2])
