"""A question on its way: from Enter, through the guard and the count, to the end of its reply.

Nothing typed is lost: what Enter took from the composer and cannot be sent goes back there, and an answer that was to
be replaced comes back where nothing replaced it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from medgemma_tui import events, memory_words, problems
from medgemma_tui.clinical.budget import BudgetPlan
from medgemma_tui.demo import corpus
from medgemma_tui.i18n import _
from medgemma_tui.protocol import ChatChunk, ChatRequest, ErrorInfo
from medgemma_tui.tui import budget_words, guarding, keymap
from medgemma_tui.tui.conversation import Sent, Turn
from medgemma_tui.tui.desk import Desk
from medgemma_tui.tui.link import Link
from medgemma_tui.tui.patient_card import PatientCard
from medgemma_tui.tui.reading import Reader, Reading
from medgemma_tui.tui.window import Window

if TYPE_CHECKING:
    from medgemma_tui.asking import Asking
    from medgemma_tui.clinical.findings import Identifier


@dataclass
class _Taken:
    """A question that was taken and has no turn yet: it is read, or a person decides about what was found in it."""

    text: str
    """What Enter took from the composer; empty where the question is asked again."""
    replaced: Turn | None = None
    """The turn in whose place it is asked."""
    guarded: bool = False
    """It was decided what becomes of what could identify the patient."""
    masked: tuple[Identifier, ...] = ()
    """What was masked in it."""


@dataclass
class _Sending:
    """A question that is shown, from its count until its reply has ended."""

    turn: Turn
    taken: _Taken
    sent: bool = False
    """False while it is counted."""


class Sender:
    """One question at a time. ``changed`` is called where the plan is to be shown anew."""

    def __init__(
        self, desk: Desk, window: Window, reader: Reader, card: PatientCard, link: Link, changed: Callable[[], None]
    ) -> None:
        self._desk = desk
        self._view = desk.view
        self._window = window
        self._reader = reader
        self._card = card
        self._link = link
        self._changed = changed
        self._taken: _Taken | None = None
        self._waits = False  # it is read in the background
        self._sending: _Sending | None = None

    @property
    def counting(self) -> bool:
        """True while a question is shown and not sent yet."""
        return self._sending is not None and not self._sending.sent

    @property
    def preparing(self) -> bool:
        """True while a question was taken and is not shown yet."""
        return self._taken is not None

    @property
    def candidate(self) -> str:
        """The text whose count is awaited, while ``counting``."""
        return self._sending.turn.given if self._sending is not None else ""

    def drop(self) -> None:
        """Forget it: everything is wiped."""
        self._taken = self._sending = None

    def set_down(self) -> None:
        """What was not sent yet goes back where it came from. An answer that is being written stays as it is."""
        turn, sending = self._desk.conversation.live_turn, self._sending
        bare = turn is not None and not turn.wrote and sending is not None and sending.taken.replaced is not None
        if self.preparing or self.counting or bare:
            self.stop()

    # --- before it is shown ---

    def take(self, text: str, replaced: Turn | None) -> None:
        """Send what Enter took from the composer, in the place of a turn where one is given."""
        self._read(_Taken(text, replaced), text.strip())

    def again(self, turn: Turn) -> None:
        """Ask a turn's question again, in the place of its answer. What is in it was decided when it was sent."""
        self._read(_Taken("", turn, guarded=True), turn.question)

    def _read(self, taken: _Taken, question: str) -> None:
        self._taken = taken
        self._waits = not self._reader.read(question, self._was_read)
        if self._waits:
            self._view.say(_("Reading the text …"))

    def _was_read(self, reading: Reading | None) -> None:
        taken = self._taken
        if taken is None:
            return
        if self._waits:  # it is not being read any more
            self._waits = False
            self._view.say("")
        if reading is None:
            self._give_up(taken)
            self._view.say(_("Not sent: a list of the clinical layer cannot be used, so nothing was checked."), "error")
        elif taken.guarded or not reading.asking.identifiers:
            self._begin(taken, reading.asking)
        else:
            self._guard(taken, reading.asking)

    def _guard(self, taken: _Taken, asking: Asking) -> None:
        found = asking.identifiers
        if self._desk.settings.identifiers == "mask":
            self._desk.report(events.guard(found, "masked"))
            self._mask(taken, asking)
            return

        def decided(choice: guarding.Choice) -> None:
            if self._taken is not taken:
                return
            self._desk.report(guarding.event(found, choice, self._desk.settings.identifiers))
            if choice == "mask":
                self._mask(taken, asking)
            elif choice == "send" and self._desk.settings.identifiers == "warn":
                taken.guarded = True
                self._begin(taken, asking)
            else:
                self._give_up(taken)
                self._view.say(guarding.not_sent(found), "warning")

        self._view.guard(guarding.about_question(found, self._desk.settings.identifiers), decided)

    def _mask(self, taken: _Taken, asking: Asking) -> None:
        taken.guarded, taken.masked = True, asking.identifiers
        self._read(taken, asking.masked)

    def _give_up(self, taken: _Taken) -> None:
        """The text goes back as it was taken; an edit goes on."""
        self._taken = None
        if taken.text:
            self._view.give_back(taken.text)

    # --- counted and sent ---

    def _begin(self, taken: _Taken, asking: Asking) -> None:
        """Show the question at once, and send it when it has been counted."""
        self._taken = None
        if taken.text:
            self._view.accepted(asking.question if taken.masked else taken.text)  # the history keeps no more
            self._desk.stop_editing()
        if taken.replaced is not None:
            self._desk.remove(taken.replaced)
            self._card.turns_changed()
        turn = Turn(asking.question, datetime.now(), model=self._desk.model or ("demo" if self._desk.demo else ""))
        turn.prompt, turn.analysis, turn.sections = asking.prompt, asking.analysis, asking.sections
        turn.waiting_for = _("taken, its tokens are being counted")
        self._sending = _Sending(turn, taken)
        if taken.masked:
            self._view.say(guarding.masked(taken.masked), "warning")
        self._desk.conversation.entries.append(turn)
        self._view.added(turn)
        self._view.offer()
        if not self._window.count(turn.given, now=True):
            self.counted()

    def counted(self) -> None:
        """Its count is there, or cannot be had: send it if it fits, else give it back."""
        sending = self._sending
        assert sending is not None
        turn = sending.turn
        plan = self._window.plan(turn.given)
        if plan.fits and self._card.take_up(plan.dropped_turns):
            if self._window.count(turn.given, now=True):
                return  # the card grew: it is counted with it
            plan = self._window.plan(turn.given)
        if plan.fits:
            sending.sent = True
            self._give_back_set_aside()
            self._ask(turn, plan)
            return
        self._undo(sending)
        self._desk.note(budget_words.not_sent(plan), "warning")
        self._changed()

    def _give_back_set_aside(self) -> None:
        text, self._desk.set_aside = self._desk.set_aside, ""
        if text:
            self._view.give_back(text)

    def _undo(self, sending: _Sending) -> None:
        """Nothing came of this question: take it out, put back what it was to replace, and what was typed for it."""
        self._sending = None
        self._desk.remove(sending.turn)
        text, old = sending.taken.text, sending.taken.replaced
        if old is not None:
            self._desk.conversation.entries.append(old)
            self._view.added(old)
            self._card.turns_changed()
        if text and old is not None and sending.sent and self._view.draft.strip():
            self._view.say(_("Your edited question is in the history: Up brings it back."))
        elif text:
            if old is not None:
                self._desk.edited = old
                self._view.editing(True)
            self._view.give_back(text)
        self._view.offer()

    def _ask(self, turn: Turn, plan: BudgetPlan) -> None:
        desk = self._desk
        left, _back = self._window.mark_left(plan)
        if left:
            desk.note(budget_words.left(len(left)), "warning")
        turn.waiting_for = _("sent")
        self._mark_unknown(turn)
        request = ChatRequest(
            messages=desk.conversation.messages(desk.instructions),
            stream=True,
            max_tokens=self._window.answer_room,
            temperature=desk.settings.temperature,
            thinking=desk.thinking,
            thinking_budget=desk.settings.thinking_budget,
            sections=turn.sections,
            wait=True,
        )
        gone = tuple(each.question for each in desk.conversation.turns if each.left_context and each is not turn)
        turn.sent = Sent(request, desk.instructions, desk.conversation.card, gone, desk.quantization)
        self._view.changed(turn)
        self._link.ask(turn.id, request)
        self._changed()

    def _mark_unknown(self, turn: Turn) -> None:
        before = self._desk.conversation.questions_before(turn)
        card = turn.sent.card if turn.sent is not None else self._desk.conversation.card
        turn.unknown_to_demo = self._desk.demo and not corpus.is_known(turn.question, before, card)

    # --- the reply ---

    def arrived(self, turn_id: int, chunks: list[ChatChunk]) -> bool:
        """More of a reply came. False where nobody waits for it."""
        turn = self._desk.conversation.live_turn
        if turn is None or turn.id != turn_id:
            return False
        for chunk in chunks:
            turn.take(chunk)
            if chunk.progress is not None and turn.state == "waiting":
                turn.waiting_for = problems.progress_sentence(chunk.progress)
        self._view.changed(turn)
        return True

    def ended(self, turn_id: int, error: ErrorInfo | None) -> None:
        """A reply is over."""
        turn = self._desk.conversation.live_turn
        if turn is not None and turn.id == turn_id:
            self._end(turn, error)

    def _end(self, turn: Turn, error: ErrorInfo | None) -> None:
        turn.end(error)
        self._mark_unknown(turn)  # which model answers may have been told only now
        sending, self._sending = self._sending, None
        nothing = not turn.wrote and (error is not None or turn.finish_reason == "cancelled")
        replaced = sending.taken.replaced if sending is not None else None
        refused = error is not None and error.type == "unfit"  # for hours, perhaps: it waits where it was typed
        back = replaced is not None and replaced.wrote
        if sending is not None and nothing and (not sending.sent or back or refused):
            self._undo(sending)
            if error is not None:
                self._desk.note(problems.sentence(error), "error")
                if back:
                    self._view.say(_("The answer from before was put back."))
        else:
            self._card.answered(turn)
            self._view.changed(turn)
            self._view.offer()
        if error is not None and not refused:
            keys = " / ".join(keymap.keys_of(keymap.command("regenerate"), self._desk.settings.keymap))
            again = _("{keys} asks the question again.").format(keys=keys)
            way = keymap.way_to(keymap.command("memory"), self._desk.settings.keymap)
            self._view.say(memory_words.advised(again, error, way))
        self._changed()

    def stop(self) -> bool:
        """Stop the answer that is being written, or take back the question. False where there is neither."""
        if self._taken is not None:
            self._give_up(self._taken)
            self._view.say("")
            return True
        turn = self._desk.conversation.live_turn
        if turn is None:
            return False
        self._link.stop_reply()
        self._end(turn, None)
        return True
