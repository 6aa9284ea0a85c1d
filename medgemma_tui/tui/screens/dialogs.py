"""Small windows over the chat: a question to confirm, a text to read, the patient card, the palette.

Keys that close a window have priority: the app then closes it before it looks at the next key, which otherwise still
goes to the window that is about to close, and is lost.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static, TextArea
from textual.widgets.option_list import Option

from medgemma_tui.i18n import N_, _
from medgemma_tui.safetext import clean
from medgemma_tui.tui.keymap import Command
from medgemma_tui.tui.widgets.composer import SafeTextArea

HELP = Binding("f1,ctrl+g", "app.help", N_("Help"), id="help", priority=True, show=False)


class Confirm(ModalScreen[bool]):
    """A question with two answers; the mark stands on the safe one. Y and N answer too."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n,N", "answer(False)", N_("No"), priority=True, show=False),
        Binding("y,Y", "answer(True)", N_("Yes"), priority=True, show=False),
        HELP,
    ]

    def __init__(self, question: str, yes: str, no: str) -> None:
        super().__init__()
        self._question, self._yes, self._no = clean(question), yes, no

    def compose(self) -> ComposeResult:
        """The question above its two answers."""
        with Vertical(classes="dialog"):
            yield Static(self._question, markup=False)
            yield OptionList(f"N  {self._no}", f"Y  {self._yes}", markup=False, compact=True)

    def on_mount(self) -> None:
        """Nothing happens by an Enter too many."""
        self.query_one(OptionList).highlighted = 0

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click."""
        self.dismiss(event.option_index == 1)

    def action_answer(self, answer: bool) -> None:
        """A key."""
        self.dismiss(answer)


class Reader(ModalScreen[None]):
    """A text to read and scroll through; Esc, or a key that may have opened it, closes."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,f1,ctrl+g,f3,ctrl+o", "dismiss", N_("Close"), priority=True, show=False),
    ]

    def __init__(self, title: str, text: str) -> None:
        super().__init__()
        self._title, self._text = title, clean(text)

    def compose(self) -> ComposeResult:
        """A frame with the text in it."""
        with VerticalScroll(classes="window") as frame:
            frame.border_title = self._title
            frame.border_subtitle = _("Esc closes")
            yield Static(self._text, markup=False, id="text")

    def on_mount(self) -> None:
        """The arrows scroll at once."""
        self.query_one(VerticalScroll).focus()

    def show(self, text: str) -> None:
        """Show another text in its place, without moving."""
        text = clean(text)
        if text != self._text:
            self._text = text
            for shown in self.query("#text").results(Static):  # none while it opens or closes
                shown.update(text)


class RawText(ModalScreen[None]):
    """A message letter for letter, to select and copy from."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,v", "dismiss", N_("Close"), priority=True, show=False),
        Binding("c", "copy", N_("Copy"), show=False),
        HELP,
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = clean(text)

    def compose(self) -> ComposeResult:
        """A read-only text area."""
        area = TextArea(self._text, read_only=True, classes="window", highlight_cursor_line=False)
        area.cursor_blink = False
        area.border_title = _("Raw text")
        area.border_subtitle = _("Esc closes, C copies the selection or all of it")
        yield area

    def action_copy(self) -> None:
        """Send the selection, or everything, to the terminal's clipboard."""
        area = self.query_one(TextArea)
        self.app.copy_to_clipboard(area.selected_text or self._text)
        area.border_subtitle = sent_to_clipboard()


def sent_to_clipboard() -> str:
    """What can honestly be said of a copy."""
    return _("Sent to your terminal's clipboard, if it allows that.")


class CardEditor(ModalScreen[str]):
    """The patient card. What is written is pinned when the window closes, so that nothing is lost."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,f4,ctrl+f", "close", N_("Pin and close"), priority=True, show=False),
        HELP,
    ]

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        """What it is for, and the text."""
        with Vertical(classes="window"):
            yield Static(
                _("These facts go with every question of this patient and never leave the context window."),
                markup=False,
            )
            yield SafeTextArea(self._text)

    def on_mount(self) -> None:
        """Write at once."""
        window = self.query_one(".window")
        window.border_title = _("Patient card")
        window.border_subtitle = _("Esc pins it and closes, Ctrl+Z undoes")
        area = self.query_one(TextArea)
        area.focus()
        area.move_cursor(area.document.end)

    @property
    def text(self) -> str:
        """What is written."""
        return clean(self.query_one(TextArea).text) if self.is_mounted else self._text

    def action_close(self) -> None:
        """Close with what is written."""
        self.dismiss(self.text)


class Palette(ModalScreen[str]):
    """Every command by name: type a part of it, choose with the arrows. Gives the command's action."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+p", "dismiss('')", N_("Close"), priority=True, show=False),
        Binding("down", "move(1)", show=False),
        Binding("up", "move(-1)", show=False),
        HELP,
    ]

    def __init__(self, commands: Sequence[tuple[Command, str]]) -> None:
        """``commands``: each with the keys as a person reads them."""
        super().__init__()
        self._commands = commands

    def compose(self) -> ComposeResult:
        """A line to type in above the list."""
        with Vertical(classes="window"):
            yield Input(placeholder=_("Type a part of a command's name"), compact=True)
            yield OptionList(id="commands", markup=False, compact=True)

    def on_mount(self) -> None:
        """Show everything until something is typed."""
        self.query_one(".window").border_title = _("Commands")
        self.query_one(Input).cursor_blink = False
        self._fill("")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow the list."""
        self._fill(event.value)

    def on_input_submitted(self) -> None:
        """Enter takes the command under the mark."""
        listing = self.query_one(OptionList)
        if listing.highlighted is not None:
            self._choose(listing.highlighted)

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click in the list."""
        self._choose(event.option_index)

    def action_move(self, by: int) -> None:
        """The arrows move the mark while the line keeps the keyboard."""
        listing = self.query_one(OptionList)
        if by > 0:
            listing.action_cursor_down()
        else:
            listing.action_cursor_up()

    def _choose(self, index: int) -> None:
        self.dismiss(self.query_one(OptionList).get_option_at_index(index).id or "")

    def _fill(self, wanted: str) -> None:
        """In either language: the label, its English id and the longer text are searched."""
        words = wanted.casefold().split()
        listing = self.query_one(OptionList)
        listing.clear_options()
        for command, keys in self._commands:
            searched = " ".join((command.id, command.label, _(command.label), command.help, _(command.help))).casefold()
            if all(word in searched for word in words):
                shown = f"  ({keys})" if keys else ""
                listing.add_option(Option(f"{_(command.label)}{shown}  {_(command.help)}", id=command.action))
        if listing.option_count:
            listing.highlighted = 0
