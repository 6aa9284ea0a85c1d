"""The application: it owns the link and the controller, and its handlers are the only place where state changes."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePath
from time import monotonic
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.timer import Timer

from medgemma_tui import crash, fitness_words, i18n, memory_words, problems
from medgemma_tui.clinical.budget import BudgetPlan
from medgemma_tui.i18n import _
from medgemma_tui.protocol import EventBody, Fitness, Health, ProcessSeal, Telemetry
from medgemma_tui.safetext import clean, clean_line
from medgemma_tui.settings import Settings
from medgemma_tui.tui import keymap, messages, profile, statements, themes
from medgemma_tui.tui.checkup import Checkup
from medgemma_tui.tui.controller import Controller
from medgemma_tui.tui.driver import SafeDriver
from medgemma_tui.tui.errands import Errands
from medgemma_tui.tui.link import Link
from medgemma_tui.tui.lockable import LockableApp
from medgemma_tui.tui.locker import Locker
from medgemma_tui.tui.screens.chat import ChatScreen
from medgemma_tui.tui.service import ExistingGateway, Gateway, Service, connect
from medgemma_tui.tui.taking_back import TakingBack
from medgemma_tui.tui.widgets.composer import Composer

_PACKAGED_STYLES = Path(__file__).resolve().parent.parent / "styles"
STYLES = _PACKAGED_STYLES if _PACKAGED_STYLES.is_dir() else _PACKAGED_STYLES.parent.parent / "styles"
WARM_UP_AFTER_S = 0.3
"""Seconds after the first frame until the clinical layer is loaded: keys that were typed at once come first."""
RESTED_S = 0.12
"""Seconds after the last key until the draft is read."""
SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class MedgemmaApp(LockableApp):
    """The screen of one person, over one gateway."""

    CSS_PATH: ClassVar[list[str | PurePath]] = [*sorted(STYLES.glob("*.tcss"))]
    ENABLE_COMMAND_PALETTE = False  # ours is localised and offers no screenshot
    TITLE = "MedGemma"
    BINDINGS: ClassVar[list[BindingType]] = [  # over Textual's own: one quits without asking, one speaks of it
        Binding("ctrl+q", "quit_asked", show=False),
        Binding("ctrl+c", "interrupt", show=False),
    ]

    def __init__(
        self,
        settings: Settings,
        gateway: Gateway,
        console: profile.Profile,
        connector: Callable[[Path], Service] = connect,
    ) -> None:
        themes.use_scrollbars(console)
        i18n.set_ascii(console.name == "ascii")
        self.profile = console
        super().__init__(driver_class=SafeDriver)
        self.settings = settings
        self._gateway = gateway
        silent = max(30.0, 3 * settings.telemetry_interval_s)
        self.wire = Link(gateway, self.post_message, connector, silent)
        started_demo = settings.uses_demo and not isinstance(gateway, ExistingGateway)
        self.state = statements.Link(connected=False, demo=started_demo)
        self.telemetry: Telemetry | None = None
        self._heard_at = 0.0  # when it arrived
        self.own_sockets: int | None = None
        self.own_seal: ProcessSeal | None = None
        self.chat = ChatScreen(settings, console, self._offers)
        self.errands = Errands(self.wire)
        self.controller = Controller(settings, i18n.language(), self.wire, self.errands, self.chat)
        self.controller.demo = started_demo
        self.locker = Locker(self)
        self.taking_back = TakingBack(self)
        self.checkup = Checkup(self)
        self._resting: Timer | None = None  # runs while nothing is typed
        self._failure = ""
        self.final_code = 0
        """The exit code where the service was given up."""
        for theme in themes.THEMES:
            self.register_theme(theme)
        self.theme = console.theme if console.theme in self.available_themes else "clinic-dark"
        self.add_class(console.css_class, f"-{console.glyphs.border}")
        self.set_keymap(settings.keymap)

    # --- life ---

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our own roles of colour, under any theme."""
        return themes.variable_defaults(self.profile)

    async def on_mount(self) -> None:
        """Show the chat at once; reach the gateway after the first frame."""
        for number in SIGNALS if not self.is_headless else ():
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number)
        crash.watch(asyncio.get_running_loop())
        if not self.is_headless:
            threading.excepthook = self._thread_failed
        await self.push_screen(self.chat)
        self.chat.welcome.show(self.state.demo)
        self.chat.offer()
        self._show_state()
        self.controller.draft_changed()
        self.set_interval(1.0, self._each_second)
        self.chat.show_modes(self.controller.thinking, self.controller.sections)
        self.call_after_refresh(self._after_first_frame)

    def _after_first_frame(self) -> None:
        self.wire.start()
        self.errands.start()
        self.set_timer(WARM_UP_AFTER_S, self.controller.warm_up)

    async def on_unmount(self) -> None:
        """Hang up. The gateway of our own is stopped after the terminal is back as it was."""
        if self._exception is None:
            await self.say_goodbye()
        await self.wire.close()

    def _on_signal(self, number: int) -> None:
        self.locker.hang_up(128 + number)

    def _thread_failed(self, arguments: threading.ExceptHookArgs) -> None:
        """A thread of ours or of Textual's has died, perhaps the one that reads the keys: the screen cannot go on."""
        if isinstance(arguments.exc_value, Exception):
            self.post_message(messages.Broken(arguments.exc_value))

    def _handle_exception(self, error: Exception) -> None:
        self._return_code = 1
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        self._exit_renderables[:] = [crash.report(error)]
        self._close_messages_no_wait()

    def _print_error_renderables(self) -> None:
        for text in self._exit_renderables[:1]:
            print(text, file=sys.__stderr__)
        self._exit_renderables.clear()

    def on_terminal_takes(self, message: messages.TerminalTakes) -> None:
        """Draw everything: nobody knows what the terminal has of it."""
        self.screen.refresh()

    # --- keys in the order they were typed ---

    async def on_event(self, event: events.Event) -> None:
        """What is typed or pasted outside the composer goes there, and nothing typed behind it overtakes it."""
        if self.locker.sees(event):
            return
        typed = isinstance(event, events.Paste) or (isinstance(event, events.Key) and event.is_printable)
        if typed and not event.is_forwarded and self.screen is self.chat:
            self.chat.take_typing()
        await super().on_event(event)

    def action_in_turn(self, action: str) -> None:
        """Run a command when the keys before it have been dealt with: they wait in the focused place's own queue."""
        place = self.chat.focused or self.chat
        place.call_later(self.run_action, f"app.{action}")

    # --- what the link tells ---

    def on_connected(self, message: messages.Connected) -> None:
        """The gateway answers."""
        self.state = replace(self.state, connected=True, lost=False)
        self._failure = ""
        self.errands.note(EventBody(event="login", outcome="ok"))
        self.controller.connected()
        self.taking_back.connected()
        self._show_state()

    def on_disconnected(self, message: messages.Disconnected) -> None:
        """The gateway is gone; the conversation is kept and the link goes on trying."""
        self.state = replace(self.state, connected=False, lost=True, health=None)
        self.telemetry = None
        self._failure = problems.sentence(message.error)
        self.final_code = message.exit_code or 0
        self._tell_controller(ready=False)
        self._show_state()

    def on_health_arrived(self, message: messages.HealthArrived) -> None:
        """The service's state changed, or was asked for."""
        self.state = replace(self.state, health=message.health, model=message.model or self.state.model)
        if message.model is not None:
            self.controller.window_known(message.model.max_model_len)
        self._tell_controller(ready=message.health.reason == "ready")
        self.chat.welcome.show(self.is_demo)
        self.chat.offer()
        self._show_state()

    def _tell_controller(self, *, ready: bool) -> None:
        card = self.state.model
        quantization = card.quantization or "" if card is not None else ""
        self.controller.service_ready(ready=ready, demo=self.is_demo, model=self._model_id, quantization=quantization)

    def on_telemetry_arrived(self, message: messages.TelemetryArrived) -> None:
        """A second went by."""
        before = self.telemetry.service.worker_pid if self.telemetry is not None else None
        self.telemetry, self.own_sockets, self._heard_at = message.telemetry, message.own_sockets, monotonic()
        self.own_seal = message.own_seal
        known = self.state.health.reason == "ready" if self.state.health is not None else None
        if message.telemetry.service.worker_pid != before or message.telemetry.service.ready not in (known, None):
            self.wire.check_health()
        self._show_state()

    def on_reply_arrived(self, message: messages.ReplyArrived) -> None:
        """More of the answer."""
        self.controller.arrived(message.turn_id, message.chunks)

    def on_reply_ended(self, message: messages.ReplyEnded) -> None:
        """The answer is over."""
        self.controller.ended(message.turn_id, message.error)
        self.locker.answer_ended()

    def on_counted(self, message: messages.Counted) -> None:
        """Tokens were counted."""
        self.controller.counted(message.ticket, message.reply)

    def on_text_read(self, message: messages.TextRead) -> None:
        """A text was read in the background."""
        self.controller.text_read(message.ticket, message.reading, message.problem)

    def on_forgotten(self, message: messages.Forgotten) -> None:
        """The service forgot this user's conversations, or could not say so."""
        self.controller.forgotten(message.error)
        if message.error is None:
            self.taking_back.left = False

    def on_broken(self, message: messages.Broken) -> None:
        """An error of our own in the background is a crash like any other."""
        if isinstance(message.error, Exception):
            self._handle_exception(message.error)

    # --- what the composer tells ---

    def on_composer_submitted(self, message: Composer.Submitted) -> None:
        """Enter."""
        self.controller.submit(message.text)

    def on_composer_pasted(self, message: Composer.Pasted) -> None:
        """A paste."""
        self.controller.pasted(message.text)

    def on_text_area_changed(self, message: Composer.Changed) -> None:
        """A key in the draft."""
        if message.text_area is not self.chat.composer:
            return
        self.controller.draft_changed()
        if self._resting is not None:
            self._resting.stop()
        self._resting = self.set_timer(RESTED_S, self.controller.read_draft)

    # --- showing ---

    @property
    def age_s(self) -> float:
        """Seconds since the figures arrived, where they ought to have been followed by others; else 0."""
        age = monotonic() - self._heard_at
        expected = max(statements.STALE_AFTER_S, 2 * self.settings.telemetry_interval_s)
        return age if self.telemetry is not None and age > expected else 0.0

    def _each_second(self) -> None:
        self.locker.tick()
        self._watch_age()
        self.checkup.tick()
        if isinstance(self._driver, SafeDriver):
            self._driver.look()

    def _watch_age(self) -> None:
        """A gateway that says nothing more: its last figures are told to be old."""
        if self.age_s:
            self._show_state()

    @property
    def name_shown(self) -> str:
        """The program's and the box's name."""
        return f"MedGemma · {clean_line(self.settings.box_name or socket.gethostname())}"

    @property
    def is_demo(self) -> bool:
        """Whether the demo model answers."""
        return self.state.model.demo if self.state.model is not None else self.state.demo

    @property
    def _model_id(self) -> str:
        return self.state.model.id if self.state.model is not None else ""

    def _offers(self) -> list[str]:
        return self.controller.offers(i18n.language())

    def _show_state(self) -> None:
        if not self.chat.is_mounted:
            return
        state, telemetry = self.state, self.telemetry
        age = self.age_s
        gpu = statements.gpu(telemetry, state, age)
        privacy = statements.privacy(telemetry, self.own_sockets, state, age, self.own_seal)
        fitness = statements.fitness(self.fitness, state, time.time())
        self.chat.show_status(gpu, statements.model(state), privacy, fitness)
        shown = telemetry if state.connected else None
        self.chat.show_telemetry(shown, gpu.text, statements.device(state), age)
        self.chat.title_bar.show(self.name_shown, self.is_demo, i18n.language())
        self._show_banner()

    def _show_banner(self) -> None:
        """What keeps from answering now; where that is only a wait or nothing, that the box is not fit, too."""
        health, way = self.state.health, keymap.way_to(keymap.command("health"), self.settings.keymap)
        unfit = fitness_words.unfit(self.fitness, way)
        if unfit and health is not None and health.reason == "unfit":
            health = None  # said at more length
        waiting = health is not None and health.reason in ("loading", "starting")
        if self.state.lost:
            self.chat.banner.show(self._failure, "bad")
        elif health is not None and health.reason != "ready" and not waiting:
            self.chat.banner.show(self._why_not(health), "bad")
        else:
            parts = [unfit, problems.health_sentence(health) if health is not None else ""]
            self.chat.banner.show("\n".join(filter(None, parts)), "bad" if unfit else "warn")

    @property
    def fitness(self) -> Fitness | None:
        """The last health run's verdict, as the service tells it; None where none is known."""
        return self.telemetry.service.fitness if self.telemetry is not None else None

    @property
    def ran_out(self) -> str:
        """What has run out of memory: the model as it was loaded, or the last answer; empty where nothing has."""
        health, turns = self.state.health, self.controller.conversation.turns
        if health is not None and memory_words.concerns(health):
            return problems.health_sentence(health)
        failed = turns[-1].error if turns else None
        return problems.sentence(failed) if failed is not None and memory_words.concerns(failed) else ""

    def _why_not(self, health: Health) -> str:
        """Why nothing is answered; where memory is short, with the way to the help."""
        way = keymap.way_to(keymap.command("memory"), self.settings.keymap)
        return memory_words.advised(problems.health_sentence(health), health, way)

    @property
    def plan(self) -> BudgetPlan:
        """The context budget as it stands."""
        return self.controller.plan

    def message_in_view(self) -> str | None:
        """The selected turn, or the last one, letter for letter; None where there is none."""
        turns = self.controller.conversation.turns
        turn = self.chat.transcript.selected or (turns[-1] if turns else None)
        if turn is None:
            return None
        parts = [(_("Question"), turn.question), (_("Reasoning"), turn.reasoning), (_("Answer"), turn.answer)]
        return clean("\n\n".join(f"[{name}]\n{text.strip()}" for name, text in parts if text.strip()))
