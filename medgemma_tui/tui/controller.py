"""What the screen does with the conversation: send, stop, ask again, edit, wipe; and what a reply brings.

Called from the app's handlers only. It decides and changes the conversation, tells the view what to show, and gives
the slow work to the link. Nothing typed is lost: what Enter took from the composer and cannot be sent goes back
there, and an answer that was to be replaced comes back where nothing replaced it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from medgemma_tui import instructions, problems
from medgemma_tui.clinical.budget import BudgetPlan
from medgemma_tui.demo import corpus
from medgemma_tui.i18n import Language, _
from medgemma_tui.protocol import ChatChunk, ChatMessage, ChatRequest, ErrorInfo, TokenizeReply
from medgemma_tui.settings import Settings, SettingsError
from medgemma_tui.tui import budget_words, keymap
from medgemma_tui.tui.conversation import Conversation, Notice, Turn
from medgemma_tui.tui.ledger import Ledger, mark_left
from medgemma_tui.tui.link import Link
from medgemma_tui.tui.view import View

Thinking = Literal["auto", "force", "skip"]
_NEXT_THINKING: dict[Thinking, Thinking] = {"auto": "force", "force": "skip", "skip": "auto"}
LARGEST_PASTE_BYTES = 2 * 1024 * 1024


@dataclass
class _Sending:
    """A question on its way, from Enter until its reply has ended."""

    turn: Turn
    replaced: Turn | None = None
    """The turn in whose place it is asked."""
    text: str = ""
    """What Enter took from the composer; empty where the question is asked again."""
    sent: bool = False
    """False while it is counted."""


class Controller:
    """The conversation of one screen. ``ready`` and ``demo`` are kept by the app as the service tells them."""

    def __init__(self, settings: Settings, language: Language, link: Link, view: View) -> None:
        self._settings = settings
        self._link = link
        self._view = view
        self.conversation = Conversation()
        self.thinking: Thinking = settings.thinking
        self.ready = False
        self.demo = False
        self._instructions = instructions.load(settings, language)
        self._ledger = Ledger(most=settings.max_tokens)
        self._model = ""  # the model's name, where the service has told it
        self._sending: _Sending | None = None
        self._paste: str | None = None  # pasted text that is being counted
        self._edited: Turn | None = None  # the turn that the draft will replace
        self._set_aside = ""  # the draft that was there before an edit
        self._forget_owed = False

    # --- the budget ---

    @property
    def plan(self) -> BudgetPlan:
        """The plan for the draft as it is now."""
        return self._plan_for(self._view.draft)

    def _plan_for(self, draft: str, live: Turn | None = None) -> BudgetPlan:
        return self._ledger.plan(self._remaining, self._instructions, draft.strip(), live)

    @property
    def _remaining(self) -> Conversation:
        """The conversation without the turn that is being edited."""
        if self._edited is None:
            return self.conversation
        kept = [entry for entry in self.conversation.entries if entry is not self._edited]
        return Conversation(kept, self.conversation.card)

    def draft_changed(self) -> None:
        """The draft, the card or the turns changed: show the plan and have it counted."""
        self._show_plan()
        if self._paste is None and not self._counting:  # a question on its way is counted first
            self._count(self._view.draft)

    def _show_plan(self) -> None:
        self._view.planned(self._plan_for(self._view.draft, self.conversation.live_turn))

    @property
    def _counting(self) -> bool:
        """True while Enter was pressed and the question is not sent yet."""
        return self._sending is not None and not self._sending.sent

    def _count(self, draft: str, *, now: bool = False) -> bool:
        """Have what is not counted yet counted. False where everything is, or nothing can be."""
        what = self._remaining, self._instructions, draft.strip()
        if not self.ready or self._ledger.settled(*what):
            return False
        wanted = self._ledger.request(*what)
        if wanted is not None:
            self._link.count(*wanted, now=now)
        return True

    def window_known(self, window: int | None) -> None:
        """The model said how large its window is."""
        if window is not None and self._ledger.window != window:
            self._ledger.window = window
            self.draft_changed()

    def counted(self, ticket: int, reply: TokenizeReply | None) -> None:
        """A count arrived, or could not be had: go on with what waited for it."""
        self._ledger.take(ticket, reply)
        if self._counting or self._paste is not None:
            more = reply is not None and self._count(self._candidate, now=True)
            if not more:
                self._decide()
        elif reply is not None:
            self._count(self._view.draft, now=True)
        self._show_plan()

    @property
    def _candidate(self) -> str:
        """The text whose count is awaited."""
        if self._sending is not None and not self._sending.sent:
            return self._sending.turn.question
        return self._view.draft + (self._paste or "")

    def _decide(self) -> None:
        """The awaited count is there, or cannot be had: the question goes first, then a paste."""
        if not self._counting:
            self._decide_paste()
            return
        self._send_counted()
        if self._paste is not None and not self._count(self._candidate, now=True):
            self._decide_paste()

    # --- paste ---

    def pasted(self, text: str) -> None:
        """Take a pasted text into the draft if it fits; else refuse it with its count, and keep the draft."""
        if len(text.encode("utf-8", "replace")) > LARGEST_PASTE_BYTES:
            self._note(budget_words.not_pasted(len(text), None), "warning")
        elif self._paste is not None:
            self._view.say(_("A paste is still being counted."), "warning")
        else:
            self._paste = text
            if self._counting or self._count(self._candidate, now=True):
                self._view.say(_("Counting the pasted text …"))
            else:
                self._decide_paste()

    def _decide_paste(self) -> None:
        text, plan = self._paste or "", self._plan_for(self._candidate)
        self._paste = None
        self._view.say("")  # it is not being counted any more
        if plan.fits:
            self._view.insert_pasted(text)
        else:
            self._note(budget_words.not_pasted(len(text), plan), "warning")
        self.draft_changed()

    # --- sending ---

    def submit(self, text: str) -> None:
        """Send what Enter took from the composer; give it back, and say why, where that cannot be."""
        refusal = self._why_not_now()
        if refusal:
            self._view.give_back(text)
            self._view.say(refusal, "warning")
            return
        self._view.accepted(text)
        edited = self._edited
        self._stop_editing()
        self._begin(_Sending(self._new_turn(text.strip()), edited, text))

    def _why_not_now(self) -> str:
        if self.conversation.live_turn is not None:
            return _("An answer is being written: wait for it, or stop it with Esc. Your question is kept.")
        if self._paste is not None:
            return _("The pasted text is still being counted. Press Enter again when it is there.")
        if self._edited is not None and not self.ready:
            return self._not_ready()
        return ""

    def _not_ready(self) -> str:
        return _("The model is not ready: the answer stays as it is. Ask again when the model is there.")

    def _new_turn(self, question: str) -> Turn:
        """A turn that waits. Its model is known already, so that a reply that fails is labelled too."""
        turn = Turn(question, datetime.now(), model=self._model or ("demo" if self.demo else ""))
        turn.waiting_for = _("taken, its tokens are being counted")
        return turn

    def _begin(self, sending: _Sending) -> None:
        """Show the question at once, and send it when it has been counted."""
        if sending.replaced is not None:
            self._remove(sending.replaced)
        self._sending = sending
        self.conversation.entries.append(sending.turn)
        self._view.added(sending.turn)
        self._view.offer()
        if not self._count(sending.turn.question, now=True):
            self._send_counted()

    def _send_counted(self) -> None:
        sending = self._sending
        assert sending is not None
        plan = self._plan_for(sending.turn.question)
        if plan.fits:
            sending.sent = True
            self._give_back_set_aside()
            self._ask(sending.turn, plan)
            return
        self._undo(sending)
        self._note(budget_words.not_sent(plan), "warning")
        self.draft_changed()

    def _give_back_set_aside(self) -> None:
        text, self._set_aside = self._set_aside, ""
        if text:
            self._view.give_back(text)

    def _undo(self, sending: _Sending) -> None:
        """Nothing came of this question: take it out, put back what it was to replace, and what was typed for it."""
        self._sending = None
        self._remove(sending.turn)
        old = sending.replaced
        if old is not None:
            self.conversation.entries.append(old)
            self._view.added(old)
        if sending.text and old is not None and sending.sent and self._view.draft.strip():
            self._view.say(_("Your edited question is in the history: Up brings it back."))
        elif sending.text:
            if old is not None:
                self._edited = old
                self._view.editing(True)
            self._view.give_back(sending.text)
        self._view.offer()

    def _ask(self, turn: Turn, plan: BudgetPlan) -> None:
        left = mark_left(self.conversation, plan.dropped_turns)
        for gone in left:
            self._view.changed(gone)
        if left:
            self._note(budget_words.left(len(left)), "warning")
        turn.waiting_for = _("sent")
        self._mark_unknown(turn)
        self._view.changed(turn)
        request = ChatRequest(
            messages=self.conversation.messages(self._instructions),
            stream=True,
            max_tokens=self._ledger.answer_room,
            temperature=self._settings.temperature,
            thinking=self.thinking,
            thinking_budget=self._settings.thinking_budget,
            wait=True,
        )
        self._link.ask(turn.id, request)
        self.draft_changed()

    def _mark_unknown(self, turn: Turn) -> None:
        before = self.conversation.questions_before(turn)
        turn.unknown_to_demo = self.demo and not corpus.is_known(turn.question, before)

    def offers(self, language: Language) -> list[str]:
        """Questions to suggest: the demo's own at the start, then what it can answer next; none for a real model."""
        if not self.demo or self.conversation.live_turn is not None or self._edited is not None:
            return []
        if not self.conversation.turns:
            return corpus.suggestions(language)
        seen = self.conversation.questions_before()
        following = corpus.followups(seen)
        # with this question the oldest turns may leave the window, and with them what it follows
        return [each for each in following if corpus.is_known(each, seen[self._leaving(each) :])]

    def _leaving(self, question: str) -> int:
        """How many of the turns that the model sees now would leave for this question."""
        gone = sum(1 for turn in self.conversation.turns if turn.answer.strip() and turn.left_context)
        return max(0, self._plan_for(question).dropped_turns - gone)

    # --- the reply ---

    def arrived(self, turn_id: int, chunks: list[ChatChunk]) -> None:
        """More of a reply came."""
        turn = self.conversation.live_turn
        if turn is None or turn.id != turn_id:
            return
        for chunk in chunks:
            turn.take(chunk)
            if chunk.progress is not None and turn.state == "waiting":
                turn.waiting_for = problems.progress_sentence(chunk.progress)
        self._view.changed(turn)
        self._show_plan()

    def ended(self, turn_id: int, error: ErrorInfo | None) -> None:
        """A reply is over."""
        turn = self.conversation.live_turn
        if turn is not None and turn.id == turn_id:
            self._end(turn, error)

    def _end(self, turn: Turn, error: ErrorInfo | None) -> None:
        turn.end(error)
        self._mark_unknown(turn)  # which model answers may have been told only now
        sending, self._sending = self._sending, None
        nothing = not turn.wrote and (error is not None or turn.finish_reason == "cancelled")
        if sending is not None and nothing and (not sending.sent or _holds_text(sending.replaced)):
            self._undo(sending)
            if error is not None:
                self._note(problems.sentence(error), "error")
                self._view.say(_("The answer from before was put back."))
        else:
            self._view.changed(turn)
            self._view.offer()
        if error is not None:
            keys = " / ".join(keymap.keys_of(keymap.command("regenerate"), self._settings.keymap))
            self._view.say(_("{keys} asks the question again.").format(keys=keys))
        self.draft_changed()

    def stop(self) -> bool:
        """Stop the answer that is being written, or leave the edit. False where there is neither."""
        turn = self.conversation.live_turn
        if turn is not None:
            self._link.stop_reply()
            self._end(turn, None)
            return True
        if self._edited is not None:
            self._leave_edit()
            return True
        return False

    # --- again, edit, wipe ---

    def regenerate(self) -> None:
        """Ask the last question again, in the place of its answer."""
        if self._last() is None:
            self._view.say(_("There is no question yet."))
            return
        if not self.ready:
            self._view.say(self._not_ready(), "warning")
            return
        if self._counting:
            return  # it is being asked
        if self.conversation.live_turn is not None:
            self.stop()
        if self._edited is not None:  # the edited question is the last one, which goes now
            self._leave_edit()
        turn = self._last()
        if turn is not None:
            self._begin(_Sending(self._new_turn(turn.question), turn))

    def edit_last(self) -> None:
        """Put the last question into the composer; sending replaces it and its answer, Esc leaves both."""
        if self._counting:
            self.stop()  # the question goes back to the composer
            return
        if self.conversation.live_turn is not None:
            self.stop()  # which goes on with the edit itself where an edited question was on its way
        elif self._edited is not None:
            self._view.say(_("You are editing it."))
        turn = self._last()
        if turn is None:
            self._view.say(_("There is no question yet."))
        elif self._edited is None:
            self._edited, self._set_aside = turn, self._view.draft
            self._view.set_draft(turn.question)
            self._view.editing(True)
            self._view.offer()

    def _leave_edit(self) -> None:
        """Back to the draft that was there before. What was edited stays in the history."""
        if self._edited is not None and self._view.draft != self._edited.question:
            self._view.remember(self._view.draft)
        self._stop_editing()
        self._view.set_draft(self._set_aside)
        self._set_aside = ""
        self._view.offer()

    def _stop_editing(self) -> None:
        self._edited = None
        self._view.editing(False)

    def _last(self) -> Turn | None:
        turns = self.conversation.turns
        return turns[-1] if turns else None

    def _remove(self, turn: Turn) -> None:
        self.conversation.entries.remove(turn)
        self._view.removed(turn)

    @property
    def holds_text(self) -> bool:
        """True where leaving or a new patient would lose something."""
        return bool(self.conversation.entries or self.conversation.card or self._view.draft.strip())

    def wipe(self) -> None:
        """New patient: forget conversation, card, draft and counts, here and in the service."""
        self._link.stop_reply()
        self.conversation = Conversation()
        self._ledger.forget()
        self._sending = None
        self._paste = None
        self._edited, self._set_aside = None, ""
        self.thinking = self._settings.thinking  # "skip" was chosen for the patient before
        self._view.show_thinking(self.thinking)
        self._view.editing(False)
        self._view.wiped()
        self._view.offer()
        self._forget_owed = True
        self._link.forget()
        self.draft_changed()

    def forgotten(self, error: ErrorInfo | None) -> None:
        """The service forgot too, or could not say so; then it is asked again when it is back."""
        self._forget_owed = error is not None
        if error is None:
            self._view.say(_("New patient: everything was wiped, here and in the service."))
        else:
            message = _("Wiped here. The service could not confirm that it forgot; it is asked again when it answers.")
            self._note(message, "warning")

    def request_about(self, turn: Turn, question: str) -> list[ChatMessage] | None:
        """The messages that ask one thing more about an answer; None where that cannot be asked now."""
        if not self.ready or self.conversation.live_turn is not None or not turn.answer.strip():
            return None
        return self.conversation.messages_about(turn, self._instructions, question)

    def cycle_thinking(self) -> None:
        """Automatic, always, never: what the next question asks for."""
        self.thinking = _NEXT_THINKING[self.thinking]

    def set_card(self, text: str) -> None:
        """Pin this text to every question from now on."""
        if text != self.conversation.card:
            self.conversation.card = text
            self.draft_changed()

    # --- service and language ---

    def connected(self) -> None:
        """The service is back."""
        if self._forget_owed:
            self._link.forget()

    def service_ready(self, *, ready: bool, demo: bool, model: str) -> None:
        """What the service says of itself; counts are taken up again when it becomes ready."""
        became_ready = ready and not self.ready
        self.ready, self.demo, self._model = ready, demo, model
        if became_ready:
            self.draft_changed()

    def speak(self, language: Language) -> None:
        """Give the model the instructions of this language from the next question on."""
        try:
            self._instructions = instructions.load(self._settings, language)
        except SettingsError as error:
            self._view.say("; ".join(error.problems), "error")
        self.draft_changed()

    def _note(self, text: str, level: Literal["info", "warning", "error"]) -> None:
        notice = Notice(text, level)
        self.conversation.entries.append(notice)
        self._view.added(notice)


def _holds_text(turn: Turn | None) -> bool:
    return turn is not None and turn.wrote
