"""Help where memory is short: what happened, who holds the card, what would fit and how to take it.

It changes nothing by itself. Where the service says that this person may, a process of the list can be ended, after
a question that shows its whole command line.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static

from medgemma_tui import i18n, memory_words, problems
from medgemma_tui.i18n import N_, _
from medgemma_tui.protocol import ErrorInfo, EventBody, GpuProcess
from medgemma_tui.protocol.memory import MemoryHelp
from medgemma_tui.safetext import clean_line
from medgemma_tui.tui.ending import CannotEnd, Target, Why, take
from medgemma_tui.tui.link import Link
from medgemma_tui.tui.screens.dialogs import HELP
from medgemma_tui.tui.screens.end_process import EndProcess

PATIENCE_S = 5.0
"""Seconds from the first signal until ending by force is offered."""
_LOOK_S = 0.1
_UNREACHABLE = ErrorInfo(type="unreachable", message="not connected")

_CANNOT: dict[Why, str] = {
    "gone": N_("Process {pid} has ended already."),
    "changed": N_("Process {pid} is not the one of this list any more: nothing was done. The list was asked for anew."),
    "own": N_("Process {pid} belongs to this service and is not ended from here."),
    "not_allowed": N_(
        "Process {pid} belongs to {user}, and your account may not end it. Ask {user}; or whoever may, on this box: "
        "sudo kill {pid}"
    ),
    "hidden": N_("The command line of process {pid} cannot be seen from here, so it is not ended from here."),
    "not_supported": N_("This system does not let a process be held while one decides, so none is ended from here."),
}


class MemoryScreen(ModalScreen[None]):
    """``happened``: the sentence that led here; empty: nothing has. ``note`` takes what the audit log is told."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,Q", "dismiss", N_("Close"), priority=True, show=False),
        Binding("r,R", "ask", N_("Ask again"), show=False),
        Binding("pageup", "page(-1)", show=False, priority=True),
        Binding("pagedown", "page(1)", show=False, priority=True),
        HELP,
    ]

    class Told(Message):
        """What the service says, or why it does not."""

        def __init__(self, help_: MemoryHelp | None, error: ErrorInfo | None = None) -> None:
            self.help = help_
            self.error = error
            super().__init__()

    class Waited(Message):
        """A process that was asked to end has ended, or has had its time."""

    def __init__(self, link: Link, note: Callable[[EventBody], None], happened: str = "") -> None:
        super().__init__()
        self._link, self._note, self._happened = link, note, happened
        self._help: MemoryHelp | None = None
        self._error: ErrorInfo | None = None
        self._done = ""  # what became of an ending
        self._asking = False
        self._target: Target | None = None
        self._process: GpuProcess | None = None
        self._forced = False
        self._listed: list[GpuProcess] = []

    def compose(self) -> ComposeResult:
        """What happened and the figures; the holders; the choices."""
        with VerticalScroll(classes="window") as frame:
            frame.border_title = _("GPU memory")
            yield Static(markup=False, id="figures")
            yield OptionList(id="holders", markup=False, compact=True)
            yield Static(markup=False, id="choices")

    def on_mount(self) -> None:
        """Ask the service."""
        self.action_ask()

    def on_unmount(self) -> None:
        """Let go of a process that is held."""
        self._let_go()

    # --- what the service says ---

    def action_ask(self) -> None:
        """Ask now, or again."""
        if not self._asking:
            self._asking = True
            self.run_worker(self._ask())
            self._show()

    async def _ask(self) -> None:
        from medgemma_tui.client import ServiceError

        service = await self._link.reached()
        if service is None:
            self.post_message(self.Told(None, self._link.given_up or _UNREACHABLE))
            return
        try:
            self.post_message(self.Told(await service.memory_help()))
        except ServiceError as failure:
            self.post_message(self.Told(None, failure.info))

    def on_memory_screen_told(self, message: Told) -> None:
        """It said this."""
        self._asking = False
        self._error = message.error
        self._help = message.help or self._help
        self._show()

    # --- what is shown ---

    def _show(self) -> None:
        help_ = self._help
        may_end = help_ is not None and help_.may_end
        listing = self.query_one("#holders", OptionList)
        if help_ is not None:
            self._list(listing, help_, may_end=may_end)
        listing.display = may_end and bool(self._listed)
        self.query_one("#figures", Static).update(self._above(listed=bool(listing.display)))
        self.query_one("#choices", Static).update(self._below())
        frame = self.query_one(".window", VerticalScroll)
        keys = _("Enter ends a process, R asks again, Esc closes") if listing.display else _("R asks again, Esc closes")
        frame.border_subtitle = keys
        (listing if listing.display else frame).focus(scroll_visible=False)  # what happened stays in sight

    def _list(self, listing: OptionList, help_: MemoryHelp, *, may_end: bool) -> None:
        """The holders as something to choose from; the mark stays on the process that it was on."""
        at = listing.highlighted
        before = self._listed[at].pid if at is not None and at < len(self._listed) else None
        self._listed = list(help_.holders or ()) if may_end else []
        listing.clear_options()
        listing.add_options(memory_words.holder_lines(help_) if self._listed else [])
        pids = [one.pid for one in self._listed]
        if pids:
            first = next((n for n, one in enumerate(self._listed) if not one.is_worker), 0)
            listing.highlighted = pids.index(before) if before in pids else first

    def _above(self, *, listed: bool) -> str:
        happened = self._happened or _("Nothing has run out of memory just now. This is how things stand.")
        parts = [happened]
        if self._happened:
            parts.append(_("Kept: the conversation and the draft on this screen."))
        if self._done:
            parts.append(self._done)
        if self._error is not None:
            parts.append(problems.sentence(self._error))
        if self._help is None:
            return "\n".join(parts) if self._error is not None else "\n".join([*parts, _("Asking the service …")])
        parts += ["", *memory_words.need_lines(self._help)]
        holders = memory_words.holder_lines(self._help)
        if holders:
            parts += ["", _("Who holds the card's memory:")]
            parts += [] if listed else [f"  {line}" for line in holders]
        return i18n.own("\n".join(parts))

    def _below(self) -> str:
        help_ = self._help
        if help_ is None:
            return ""
        lines = [""]
        if help_.choices:
            lines.append(_("What would fit, and how to take it:"))
        for number, choice in enumerate(help_.choices, start=1):
            lines.append(f"{number}. {memory_words.choice_text(choice)}")
            lines += [f"     {line}" for line in memory_words.settings_lines(choice)]
        if any(choice.settings for choice in help_.choices):
            lines.append(memory_words.who_sets(help_, by_staff=self._link.stays))
        lines += [text for text in (memory_words.nothing_fits(help_), memory_words.unknown(help_)) if text]
        if help_.notes:
            lines += ["", _("What would not help:"), *(memory_words.note_text(note) for note in help_.notes)]
        if help_.holders and not help_.may_end:
            lines += ["", _("Ending a process of somebody else's is for the box's staff.")]
        return i18n.own("\n".join(lines))

    def action_page(self, by: int) -> None:
        """The whole text, while the list has the arrows."""
        frame = self.query_one(".window", VerticalScroll)
        (frame.scroll_page_down if by > 0 else frame.scroll_page_up)(animate=False)

    # --- ending a process ---

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter on a holder: hold it, and ask."""
        help_ = self._help
        if help_ is None or not help_.may_end or self._target is not None:
            return
        process = self._listed[event.option_index]
        try:
            self._target = take(process, help_.at, help_.own)
        except CannotEnd as failure:
            self._told(failure)
            return
        self._process = process
        self._question(forced=False)

    def _question(self, *, forced: bool) -> None:
        if self._target is None or self._process is None:
            return
        self._forced = forced
        self.app.push_screen(EndProcess(self._target, self._process, forced=forced), self._answered)

    def _answered(self, yes: bool | None) -> None:
        target = self._target
        if target is None:
            return
        if not yes:
            self._say(_("Process {pid} was left alone."), target.pid)
            self._let_go()
            return
        number = signal.SIGKILL if self._forced else signal.SIGTERM
        counts = {"pid": target.pid, "signal": int(number)}
        try:
            target.send(number)
        except CannotEnd as failure:
            self._note(EventBody(event="end_process", outcome="failed", counts=counts))
            self._told(failure)
            self._let_go()
            return
        self._note(EventBody(event="end_process", outcome="ok", counts=counts))
        self._say(_("Process {pid} was asked to end."), target.pid)
        self.run_worker(self._wait(target))

    async def _wait(self, target: Target) -> None:
        for _look in range(round(PATIENCE_S / _LOOK_S)):
            if target.ended:
                break
            await asyncio.sleep(_LOOK_S)
        self.post_message(self.Waited())

    def on_memory_screen_waited(self) -> None:
        """It has ended; or it is asked whether it is to be ended by force."""
        target = self._target
        if target is None:
            return
        if target.ended:
            told = _("Process {pid} has ended. Where the service still tries, the model loads by itself now; where it "
                     "has given up, the service has to be restarted.")  # fmt: skip
            self._say(told, target.pid)
            self._let_go()
            self.action_ask()
        elif self._forced:
            told = _("Process {pid} is still there: the kernel cannot end it now. Tell the box's staff; the card is "
                     "not reset from here.")  # fmt: skip
            self._say(told, target.pid)
            self._let_go()
        else:
            self._question(forced=True)

    def _told(self, failure: CannotEnd) -> None:
        user = clean_line(failure.owner) or _("somebody else")
        self._done = _(_CANNOT[failure.why]).format(pid=failure.pid, user=user)
        self._show()
        if failure.why in ("gone", "changed"):
            self.action_ask()

    def _say(self, text: str, pid: int) -> None:
        self._done = text.format(pid=pid)
        self._show()

    def _let_go(self) -> None:
        if self._target is not None:
            self._target.close()
        self._target = self._process = None
