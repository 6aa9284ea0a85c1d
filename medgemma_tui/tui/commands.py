"""What the keys do: the actions of ``keymap.COMMANDS``, on top of the application."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medgemma_tui import i18n
from medgemma_tui.clinical.textform import question_language
from medgemma_tui.i18n import N_, _
from medgemma_tui.tui import keymap, messages
from medgemma_tui.tui.app import MedgemmaApp
from medgemma_tui.tui.conversation import Turn
from medgemma_tui.tui.help_text import help_text
from medgemma_tui.tui.screens import dialogs
from medgemma_tui.tui.screens.end_process import EndProcess
from medgemma_tui.tui.screens.guard import Guard
from medgemma_tui.tui.screens.memory import MemoryScreen
from medgemma_tui.tui.screens.pin import SetPin
from medgemma_tui.tui.screens.prompt import PromptView
from medgemma_tui.tui.screens.take_back import TakeBack
from medgemma_tui.tui.system_text import system_text
from medgemma_tui.tui.widgets.pieces import is_demo

if TYPE_CHECKING:
    from medgemma_tui.tui.screens.health import HealthScreen
    from medgemma_tui.tui.screens.teaching import TeachingScreen

_THINKING = {
    "auto": N_("Reasoning: the model decides."),
    "force": N_("Reasoning: the model is made to reason before it answers."),
    "skip": N_("Reasoning: skipped. Answers without it were measured to be less safe."),
}

_SECTIONS = {
    "auto": N_("Four parts: where the question is of that kind."),
    "always": N_("Four parts: in every answer."),
    "off": N_("Four parts: never asked for."),
}

_WINDOWS = {
    dialogs.CardEditor: "card",
    dialogs.Palette: "palette",
    dialogs.RawText: "raw",
    dialogs.Confirm: "confirm",
    Guard: "guard",
    SetPin: "pin",
    TakeBack: "take_back",
    PromptView: "prompt",
    MemoryScreen: "memory",
    EndProcess: "end_process",
}
"""Windows that have a help of their own."""


class Screen(MedgemmaApp):
    """The application with its commands."""

    _system: dialogs.Reader | None = None
    _teaching: TeachingScreen | None = None
    _taught: Turn | None = None  # the turn whose chain is shown

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Ctrl+D leaves only where there is nothing to delete."""
        if action == "in_turn" and parameters == ("quit_if_empty",):
            return self.chat.focused is not self.chat.composer or not self.chat.draft
        return super().check_action(action, parameters)

    # --- windows ---

    def action_help(self) -> None:
        """Keys and words of the window or the focused place."""
        focused = self.chat.focused
        place = focused.id if focused is not None and focused.id else "composer"
        place = _WINDOWS.get(type(self.screen), place)
        if self._teaching is not None:
            place = "teaching"
        elif self.checkup.is_open and type(self.screen) not in _WINDOWS:
            place = "health"
        self.push_screen(dialogs.Reader(_("Help"), help_text(place, self.settings.keymap)))

    def action_health(self) -> None:
        """Whether this box is fit."""
        self.checkup.open()

    def on_health_screen_wanted(self, message: HealthScreen.Wanted) -> None:
        """A health run is wanted."""
        self.checkup.run(full=message.full)

    def on_record_came(self, message: messages.RecordCame) -> None:
        """What the service has of its health runs."""
        self.checkup.told(message.record, message.error)

    def on_run_went(self, message: messages.RunWent) -> None:
        """A health run went on."""
        self.checkup.went(message.progress)

    def on_run_ended(self, message: messages.RunEnded) -> None:
        """A health run is over."""
        self.checkup.ended(message.error)

    def action_memory(self) -> None:
        """Help where memory is short."""
        self.push_screen(MemoryScreen(self.wire, self.errands.note, self.ran_out))

    def action_system(self) -> None:
        """Every figure, live."""
        self._system = dialogs.Reader(_("System"), self._system_text())
        self.push_screen(self._system, self._system_closed)

    def _system_closed(self, _nothing: None) -> None:
        self._system = None

    def _system_text(self) -> str:
        socket = str(self.wire.socket or "")
        return system_text(self.telemetry, self.own_sockets, self.state, socket, self.plan, self.age_s, self.own_seal)

    def _show_state(self) -> None:
        super()._show_state()
        self.checkup.heard(self.fitness, connected=self.state.connected)
        if self._system is not None and self._system.is_mounted:
            self._system.show(self._system_text())

    def action_card(self) -> None:
        """The patient card."""
        self.edit_card(self.controller.card.text)

    def edit_card(self, text: str) -> None:
        """The patient card, with this text in its editor."""
        self.push_screen(dialogs.CardEditor(text), self._card_closed)

    def _card_closed(self, text: str | None) -> None:
        if text is not None:
            self.controller.set_card(text, self.edit_card)

    def action_raw(self) -> None:
        """The message letter for letter."""
        text = self.message_in_view()
        if text is not None:
            self.push_screen(dialogs.RawText(text))

    def action_palette(self) -> None:
        """Every command by name."""
        overrides = self.settings.keymap
        commands = [
            (command, " / ".join(keymap.keys_of(command, overrides)))
            for command in keymap.COMMANDS
            if command.id not in ("palette", "quit.empty", "interrupt")
        ]
        self.push_screen(dialogs.Palette(commands), self._palette_closed)

    async def _palette_closed(self, action: str | None) -> None:
        if action:
            await self.run_action(action)

    # --- the teaching view ---

    def action_teaching(self) -> None:
        """The causal chain of the selected answer, or the last one: by the model where it can be asked."""
        turns = self.controller.conversation.turns
        turn = self.chat.transcript.selected or (turns[-1] if turns else None)
        if turn is None or not turn.answer.strip():
            self.chat.say(_("There is no answer yet whose causal chain could be shown."))
            return
        from medgemma_tui.clinical import causal  # this and the view: not before the first frame
        from medgemma_tui.tui.chain import request
        from medgemma_tui.tui.screens.teaching import TeachingScreen

        self._taught = turn
        self._teaching = TeachingScreen(self.profile, turn.question, demo=is_demo(turn))
        self.push_screen(self._teaching, self._teaching_closed)
        language = question_language(turn.answer)
        asked = self.controller.request_about(turn, causal.request_text(language))
        if asked is None:
            self._extract()
        else:
            self.wire.fetch(turn.id, request(asked))

    def _teaching_closed(self, _nothing: None) -> None:
        self.wire.stop_fetch()
        self._teaching = self._taught = None

    def on_answer_arrived(self, message: messages.AnswerArrived) -> None:
        """The model's chain, or what it wrote instead."""
        turn, view = self._taught, self._teaching
        if turn is None or view is None or turn.id != message.ticket or not view.waiting:
            return
        from medgemma_tui.clinical import causal

        chain = causal.parse(message.text, turn.answer) if message.error is None else None
        if chain:
            view.take(chain, "model")
        else:
            self._extract()

    def on_teaching_screen_impatient(self) -> None:
        """Nobody waits for the model."""
        self.wire.stop_fetch()
        self._extract()

    def _extract(self) -> None:
        if self._teaching is not None and self._taught is not None:
            self._teaching.extract(self._taught.answer)

    # --- the conversation ---

    def action_full_names(self) -> None:
        """Show or hide the full names behind abbreviations."""
        transcript = self.chat.transcript
        transcript.full_names = not transcript.full_names
        shown = _("Full names behind abbreviations are shown, marked as the program's.")
        self.chat.say(shown if transcript.full_names else _("Answers are shown with the model's own words only."))

    def action_toggle_trace(self) -> None:
        """Show or hide every trace."""
        self.chat.transcript.toggle_traces()

    def action_thinking(self) -> None:
        """Whether the next question asks for a trace."""
        self.controller.cycle_thinking()
        mode = self.controller.thinking
        self.chat.say(_(_THINKING[mode]), "warning" if mode == "skip" else "information")
        self.chat.show_modes(mode, self.controller.sections)

    def action_sections(self) -> None:
        """Which of the next questions ask for the four parts."""
        self.controller.cycle_sections()
        self.chat.say(_(_SECTIONS[self.controller.sections]))
        self.chat.show_modes(self.controller.thinking, self.controller.sections)

    def action_window(self) -> None:
        """How much of the model's window is used."""
        self.controller.cycle_window()

    def action_template(self) -> None:
        """A template to fill in, under the draft; where the draft has blanks, the next of them."""
        composer = self.chat.composer
        composer.focus()
        if not composer.next_blank():
            composer.put_below(self.controller.template())
            composer.next_blank()

    def action_trim(self) -> None:
        """Take the filler out of the draft."""
        self.controller.trim()

    def action_prompt(self) -> None:
        """What the model was given for the selected answer, or the last one."""
        turns = self.controller.conversation.turns
        turn = self.chat.transcript.selected or (turns[-1] if turns else None)
        if turn is None or turn.sent is None:
            self.chat.say(_("Nothing was sent to the model yet."))
            return
        self.push_screen(PromptView(turn))

    def action_stop(self) -> None:
        """Stop the answer or leave an edit; in any case back to the composer."""
        self.controller.stop()
        self.chat.composer.focus()

    def action_interrupt(self) -> None:
        """Ctrl+C: stop; else copy what is selected; else say how to leave."""
        if self.controller.stop():
            return
        selected = self.chat.composer.selected_text or self.chat.get_selected_text()
        if selected:
            self.copy_to_clipboard(selected)
            self.chat.say(dialogs.sent_to_clipboard())
            return
        keys = keymap.keys_of(keymap.command("quit"), self.settings.keymap)
        message = _("Nothing is being written. To leave: {keys}, or Ctrl+D with an empty question.")
        self.chat.say(message.format(keys=" / ".join(keys)))

    def action_regenerate(self) -> None:
        """Ask again."""
        self.controller.regenerate()

    def action_edit_last(self) -> None:
        """Edit the last question."""
        self.controller.edit_last()

    def action_copy(self) -> None:
        """Send the message to the terminal's clipboard."""
        text = self.message_in_view()
        if text is not None:
            self.copy_to_clipboard(text)
            self.chat.say(dialogs.sent_to_clipboard())

    def action_new_patient(self) -> None:
        """Wipe everything, after asking where there is something, here or kept in the service."""
        if not self.controller.holds_text and not self.taking_back.left:
            self.controller.wipe()
            return
        question = _("New patient: wipe conversation, patient card and draft, here and in the service?")
        self.push_screen(dialogs.Confirm(question, _("Wipe"), _("Keep")), self._wipe_answered)

    def _wipe_answered(self, wipe: bool | None) -> None:
        if wipe:
            self.controller.wipe()

    # --- language, leaving ---

    def action_language(self) -> None:
        """The other language, everywhere at once; the instructions to the model too."""
        i18n.set_language("en" if i18n.language() == "zh" else "zh")
        self.controller.speak(i18n.language())
        self.chat.relabel()
        self.chat.show_modes(self.controller.thinking, self.controller.sections)
        self.chat.offer()
        self._show_state()

    def action_quit_asked(self) -> None:
        """Leave, after asking where there is a conversation."""
        if not self.controller.holds_text:
            self.exit()
            return
        question = _("Leave? The conversation is in memory only and will be gone.")
        self.push_screen(dialogs.Confirm(question, _("Leave"), _("Stay")), self._quit_answered)

    def _quit_answered(self, leave: bool | None) -> None:
        if leave:
            self.exit()

    def action_quit_if_empty(self) -> None:
        """Ctrl+D; with nothing to delete it leaves."""
        if self.chat.focused is self.chat.composer and self.chat.draft:  # typed in the same burst
            self.chat.composer.action_delete_right()
        else:
            self.action_quit_asked()
