"""The main screen: transcript, composer, side panel, status. It lays out and shows; the controller decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import Static

from medgemma_tui.clinical.budget import BudgetPlan, estimate
from medgemma_tui.i18n import _, own
from medgemma_tui.protocol import Telemetry
from medgemma_tui.settings import Settings
from medgemma_tui.tui.conversation import Entry
from medgemma_tui.tui.guarding import Choice, Guarded
from medgemma_tui.tui.keymap import bindings
from medgemma_tui.tui.profile import Profile
from medgemma_tui.tui.reading import Reading
from medgemma_tui.tui.screens.guard import Guard
from medgemma_tui.tui.view import Level
from medgemma_tui.tui.widgets.budget_meter import BudgetMeter
from medgemma_tui.tui.widgets.card_line import CardLine
from medgemma_tui.tui.widgets.chips import Chips
from medgemma_tui.tui.widgets.coach_line import CoachLine
from medgemma_tui.tui.widgets.composer import Composer
from medgemma_tui.tui.widgets.gpu_panel import GpuPanel
from medgemma_tui.tui.widgets.key_bar import KeyBar
from medgemma_tui.tui.widgets.remark import Remark
from medgemma_tui.tui.widgets.status_bar import Statement, StatusBar
from medgemma_tui.tui.widgets.suggestions import Suggestions, Welcome
from medgemma_tui.tui.widgets.title_bar import TitleBar
from medgemma_tui.tui.widgets.transcript import Transcript

WIDE = 100


class Banner(Static):
    """A sentence above the composer about what is wrong or awaited; gone when there is nothing to say."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, markup=False)
        self._said = ""

    def show(self, text: str, level: str = "warn") -> None:
        """Say this; empty hides it."""
        if text != self._said:
            self._said = text
            self.display = bool(text)
            self.update(text)
        self.set_class(level == "bad", "-bad")


class ChatScreen(Screen[None]):
    """``offers`` gives the questions to suggest now."""

    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings(),
        Binding("tab", "next_place(1)", show=False, priority=True),  # at once: what is typed after it brings it back
        Binding("shift+tab", "next_place(-1)", show=False, priority=True),
    ]
    AUTO_FOCUS = "#composer"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (WIDE, "-wide")]  # noqa: RUF012 (declared so in the base class)
    VERTICAL_BREAKPOINTS = [(0, "-tiny"), (10, "-short"), (18, "-tall")]  # noqa: RUF012

    def __init__(self, settings: Settings, profile: Profile, offers: Callable[[], list[str]]) -> None:
        super().__init__()
        self._offers = offers
        self._empty = True
        self.title_bar = TitleBar(profile, id="title")
        self.welcome = Welcome(id="welcome")
        self.card_line = CardLine(profile, id="card-line")
        self.transcript = Transcript(profile, id="transcript")
        self.transcript.full_names = settings.full_names
        self.remark = Remark(profile, id="remark")
        self.banner = Banner(id="banner")
        self.suggestions = Suggestions(id="suggestions")
        self.composer = Composer(id="composer")
        self.chips = Chips(profile, id="chips")
        self.coach = CoachLine(profile, settings.keymap, id="coach")
        self.gpu = GpuPanel(profile, id="gpu")
        self.meter = BudgetMeter(profile, id="meter")
        self.gpu_line = GpuPanel(profile, id="gpu-line")
        self.meter_line = BudgetMeter(profile, id="meter-line")
        self.status_bar = StatusBar(profile, id="status")
        self.key_bar = KeyBar(settings.keymap, id="keys")
        self.gpu_line.compact = self.meter_line.compact = True

    def compose(self) -> ComposeResult:
        """The layout of DESIGN section 8; ``styles/chat.tcss`` shows the side panel or the lines that replace it."""
        yield self.title_bar
        with Horizontal(id="body"):
            with Vertical(id="main"):
                yield self.welcome
                yield self.card_line
                yield self.transcript
                yield self.remark
                yield self.suggestions
                yield self.banner
                with Vertical(id="lines"):
                    yield self.gpu_line
                    yield self.meter_line
                yield self.composer
                yield self.chips
                yield self.coach
            with Vertical(id="side"):
                yield self.gpu
                yield self.meter
        yield self.status_bar
        yield self.key_bar

    def on_mount(self) -> None:
        """Begin empty."""
        self.banner.display = False
        self.set_class(True, "-empty")
        self._say_how()
        self.composer.focus()

    # --- what the controller shows ---

    @property
    def draft(self) -> str:
        """The text in the composer."""
        return self.composer.text

    @property
    def history(self) -> tuple[str, ...]:
        """Earlier questions, as Up brings them back, oldest first."""
        return self.composer.sent

    def recall(self, history: list[str]) -> None:
        """Earlier questions of a conversation that was taken back."""
        for text in history:
            self.composer.remember(text)

    def set_draft(self, text: str) -> None:
        """Replace the draft."""
        self.composer.set_draft(text)
        self.composer.focus()

    def accepted(self, text: str) -> None:
        """What Enter took from the composer is being sent."""
        self.composer.accepted(text)

    def give_back(self, text: str) -> None:
        """What was not sent, or was set aside, stands in the composer again, before what was typed since."""
        self.composer.give_back(text)

    def rewrite(self, text: str) -> None:
        """Change the draft so that it can be undone."""
        self.composer.rewrite(text)

    def remember(self, text: str) -> None:
        """A text that leaves the composer unsent stays in the history."""
        self.composer.remember(text)

    def insert_pasted(self, text: str) -> None:
        """A long paste was found to fit."""
        self.composer.insert_counted(text)

    def added(self, entry: Entry) -> None:
        """An entry came at the end."""
        self._set_empty(False)
        self.transcript.append(entry)
        self.transcript.follow()

    def changed(self, entry: Entry) -> None:
        """An entry has more text or another state."""
        self.transcript.changed(entry)

    def removed(self, entry: Entry) -> None:
        """An entry went."""
        self.transcript.remove_entry(entry)

    def wiped(self) -> None:
        """Nothing of the patient stays in any widget, in the undo history or in the app's clipboard."""
        self.transcript.clear()
        self.composer.wipe()
        self.suggestions.offer(())
        self.remark.clear()
        self.show_card("")
        self.app._clipboard = ""
        self.clear_selection()
        self._set_empty(True)
        self.composer.focus()

    def planned(self, plan: BudgetPlan) -> None:
        """The context budget changed."""
        self.meter.show(plan)
        self.meter_line.show(plan)

    def offer(self) -> None:
        """Offer what may be asked now."""
        questions = self._offers()
        self.suggestions.offer(questions)
        self.set_class(bool(questions), "-offering")

    def say(self, text: str, level: Level = "information") -> None:
        """A passing remark, in the place of the last one."""
        self.remark.say(text, level)

    def on_screen_suspend(self) -> None:
        """A window opens: what was said belongs to what was done before."""
        self.remark.clear()

    def show_modes(self, thinking: str, sections: str) -> None:
        """What the next question asks of the model, where it is not the usual."""
        words = [
            {"force": _("reasoning: always"), "skip": _("reasoning: skipped, less safe")}.get(thinking, ""),
            {"always": _("four parts: always"), "off": _("four parts: never")}.get(sections, ""),
        ]
        self.composer.border_title = own(" · ".join(filter(None, words)))

    def show_card(self, text: str) -> None:
        """The patient card, as it is from now on."""
        self.card_line.show(text)

    def understood(self, reading: Reading | None) -> None:
        """What was found in the draft; None: it is empty."""
        if reading is None:
            self.chips.show(None)
            self.coach.show(None)
        else:
            self.chips.show(reading.asking.analysis)
            self.coach.show(reading.coaching, estimate("".join(each.text for each in reading.fillers)))

    def guard(self, guarded: Guarded, decided: Callable[[Choice], None]) -> None:
        """Ask what is to become of what could tell who the patient is."""
        self.app.push_screen(Guard(guarded), lambda choice: decided(choice or "edit"))

    def editing(self, active: bool) -> None:
        """The draft will replace the last question."""
        self.composer.set_class(active, "-editing")
        self.composer.border_subtitle = _("editing: Enter replaces the last answer, Esc leaves it") if active else ""

    # --- what the app shows ---

    def show_telemetry(self, telemetry: Telemetry | None, reason: str, device: str | None, age_s: float) -> None:
        """New figures, or none and why; ``device``: where the model runs, None where that is not known."""
        self.gpu.show(telemetry, reason, device, age_s)
        self.gpu_line.show(telemetry, reason, device, age_s)

    def show_status(self, gpu: Statement, model: Statement, privacy: Statement, health: Statement) -> None:
        """The statements of the status bar."""
        self.status_bar.show(gpu, model, privacy, health)

    def relabel(self) -> None:
        """Say everything again in the language in use."""
        for widget in (
            self.title_bar, self.welcome, self.transcript, self.gpu, self.gpu_line, self.meter, self.meter_line,
            self.status_bar, self.key_bar, self.card_line, self.chips, self.coach,
        ):  # fmt: skip
            widget.relabel()
        self.remark.clear()
        self._say_how()
        self.editing(self.composer.has_class("-editing"))

    def _say_how(self) -> None:
        self.composer.placeholder = _("Type a question. Enter sends, Ctrl+J begins a new line.")

    def _set_empty(self, empty: bool) -> None:
        if empty != self._empty:
            self._empty = empty
            self.set_class(empty, "-empty")

    # --- focus ---

    def action_next_place(self, step: int) -> None:
        """Tab: from the question to the suggestions, to the transcript, and round."""
        places = [place for place in (self.composer, self.suggestions, self.transcript) if place.display]
        places = [place for place in places if place is not self.transcript or not self._empty]
        at = next((index for index, place in enumerate(places) if place is self.focused), 0)
        self.set_focus(places[(at + step) % len(places)])

    def take_typing(self) -> None:
        """A character or a paste belongs to the question wherever the focus is: a click must lose no text.

        The app calls this before it hands the event on, so that a burst stays in order.
        """
        if self.focused is not self.composer:
            self.set_focus(self.composer)

    def on_descendant_focus(self) -> None:
        """The key bar speaks of the place that has the keyboard."""
        self.key_bar.show("transcript" if self.focused is self.transcript else "screen")

    def on_composer_left_upward(self) -> None:
        """Up from the composer's first line: to the suggestions, or to the transcript."""
        if self.suggestions.display:
            self.suggestions.focus()
        elif not self._empty:
            self.transcript.focus()

    def on_suggestions_left(self) -> None:
        """Back to the composer."""
        self.composer.focus()

    def on_suggestions_picked(self, event: Suggestions.Picked) -> None:
        """A question was picked: it becomes the draft; what was there is in the history."""
        self.composer.remember(self.draft)
        self.set_draft(event.question)
