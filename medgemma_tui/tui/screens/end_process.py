"""The question before a process of somebody's is ended: all that is known of it, its whole command line among it."""

from __future__ import annotations

from datetime import datetime
from time import monotonic
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static

from medgemma_tui.clinical_words import sentences
from medgemma_tui.i18n import N_, _
from medgemma_tui.memory_words import size
from medgemma_tui.protocol import GpuProcess
from medgemma_tui.tui.ending import Target
from medgemma_tui.tui.screens.dialogs import HELP
from medgemma_tui.tui.screens.guard import DEAF_S


class EndProcess(ModalScreen[bool]):
    """The mark stands on the safe answer. What was typed before it opened decides nothing.

    ``forced``: it was asked to end, has not, and would now be ended by force.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,n,N", "answer(False)", N_("No"), priority=True, show=False),
        Binding("y,Y", "answer(True)", N_("Yes"), priority=True, show=False),
        Binding("pageup", "page(-1)", show=False, priority=True),
        Binding("pagedown", "page(1)", show=False, priority=True),
        HELP,
    ]

    def __init__(self, target: Target, process: GpuProcess, *, forced: bool) -> None:
        super().__init__()
        self._target, self._process, self._forced = target, process, forced
        self._opened = monotonic()

    def compose(self) -> ComposeResult:
        """What it is, and the two answers."""
        target = self._target
        started = f"{datetime.fromtimestamp(target.started):%Y-%m-%d %H:%M:%S}"
        if self._forced:
            asked = sentences(
                _("It was asked to end and is still there."),
                _("End it by force (SIGKILL)? What it has not saved is lost."),
            )
            yes = _("end it by force")
        else:
            asked = sentences(
                _("Ask this process to end (SIGTERM)?"),
                _("Whatever it does for somebody stops. The audit log records that you did it."),
            )
            yes = _("ask it to end")
        facts = [
            _("Process {pid} of {user}, started {time}").format(pid=target.pid, user=target.owner, time=started),
            _("Holds {size} on the card").format(size=size(self._process.used_bytes)),
            _("Command line:"),
        ]
        no = _("leave it alone")
        with Vertical(classes="dialog"):
            yield Static(asked, markup=False)
            with VerticalScroll(id="facts"):
                yield Static("\n".join([*facts, target.command]), markup=False)
            yield OptionList(f"N  {no}", f"Y  {yes}", markup=False, compact=True)

    def on_mount(self) -> None:
        """Nothing happens by an Enter too many."""
        self._opened = monotonic()
        listing = self.query_one(OptionList)
        listing.highlighted = 0
        listing.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter or a click."""
        self.action_answer(event.option_index == 1)

    def action_page(self, by: int) -> None:
        """A long command line is read to its end."""
        facts = self.query_one("#facts", VerticalScroll)
        (facts.scroll_page_down if by > 0 else facts.scroll_page_up)(animate=False)

    def action_answer(self, answer: bool) -> None:
        """A key."""
        if answer and monotonic() - self._opened < DEAF_S:
            return
        self.dismiss(answer)
