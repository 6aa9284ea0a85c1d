"""What the screen does with the conversation: paste, send, stop, ask again, edit, wipe; and what the service tells.

Called from the app's handlers only. It decides and changes the conversation, tells the view what to show, and gives
the slow work to the link.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from medgemma_tui import instructions
from medgemma_tui.clinical.budget import BudgetPlan
from medgemma_tui.demo import corpus
from medgemma_tui.i18n import Language, _
from medgemma_tui.protocol import ChatChunk, ChatMessage, ErrorInfo, TokenizeReply
from medgemma_tui.settings import Settings, SettingsError
from medgemma_tui.tui import budget_words
from medgemma_tui.tui.conversation import Conversation
from medgemma_tui.tui.conversation import Turn as Turn
from medgemma_tui.tui.desk import Desk, Sections, Thinking
from medgemma_tui.tui.drafting import Drafting
from medgemma_tui.tui.errands import Errands
from medgemma_tui.tui.keeping import Keeper, Kept
from medgemma_tui.tui.link import Link
from medgemma_tui.tui.pasting import Paster
from medgemma_tui.tui.patient_card import PatientCard
from medgemma_tui.tui.reading import Reader, Reading
from medgemma_tui.tui.sending import Sender
from medgemma_tui.tui.view import View
from medgemma_tui.tui.window import Window

_NEXT_THINKING: dict[Thinking, Thinking] = {"auto": "force", "force": "skip", "skip": "auto"}
_NEXT_SECTIONS: dict[Sections, Sections] = {"auto": "always", "always": "off", "off": "auto"}


class Controller:
    """The conversation of one screen. ``ready`` and ``demo`` are kept by the app as the service tells them."""

    def __init__(self, settings: Settings, language: Language, link: Link, errands: Errands, view: View) -> None:
        self._settings = settings
        self._link = link
        self._errands = errands
        self._view = view
        self._desk = Desk(
            settings,
            view,
            instructions.load(settings, language),
            thinking=settings.thinking,
            sections=settings.sections,
            report=errands.note,
        )
        self.window = Window(self._desk, link)
        self._reader = Reader(self._desk, link)
        self._drafting = Drafting(self._desk, self._reader, self._draft_read)
        self.card = PatientCard(self._desk, self._card_changed)
        self._sender = Sender(self._desk, self.window, self._reader, self.card, link, self.draft_changed)
        self._paster = Paster(self._desk, self.window, self.draft_changed)
        self._keeper = Keeper(self._desk, self.window, self.card, self._sender, self._paster)
        self._forget_owed = False

    @property
    def conversation(self) -> Conversation:
        """The conversation."""
        return self._desk.conversation

    @property
    def thinking(self) -> Thinking:
        """Whether the next question asks for a trace."""
        return self._desk.thinking

    @property
    def sections(self) -> Sections:
        """Which of the next questions ask for the four parts."""
        return self._desk.sections

    @property
    def ready(self) -> bool:
        """Whether the model can be asked."""
        return self._desk.ready

    @ready.setter
    def ready(self, ready: bool) -> None:
        self._desk.ready = ready

    @property
    def demo(self) -> bool:
        """Whether the demo model answers."""
        return self._desk.demo

    @demo.setter
    def demo(self, demo: bool) -> None:
        self._desk.demo = demo

    # --- the draft and the budget ---

    @property
    def plan(self) -> BudgetPlan:
        """The plan for the draft as it is now."""
        return self._plan()

    def _plan(self, live: Turn | None = None) -> BudgetPlan:
        plan = self.window.plan(self._drafting.text, live)
        # until the draft has been read, nobody knows which standard terms will go with it
        return plan if self._drafting.is_read else replace(plan, exact=False)

    def draft_changed(self) -> None:
        """The draft, the card or the turns changed: show the plan and have it counted."""
        self._show_plan()
        if not self._view.draft.strip():
            self._drafting.emptied()
        self._count_draft()

    def _count_draft(self) -> None:
        if not self._paster.counting and not self._sender.counting:  # a question on its way is counted first
            self.window.count(self._drafting.text)

    def _show_plan(self) -> None:
        plan = self._plan(self.conversation.live_turn)
        self._view.planned(plan)
        self._drafting.planned(plan)

    def read_draft(self) -> None:
        """The draft has rested: see what is in it."""
        self._drafting.read()

    def _draft_read(self) -> None:
        self._show_plan()
        self._count_draft()

    def warm_up(self) -> None:
        """The first frame is drawn: have the clinical layer ready before the first question."""
        self._reader.warm_up()

    def text_read(self, ticket: int, reading: Reading | None, problem: str) -> None:
        """A text was read in the background."""
        if problem:
            self._view.say(problem, "error")
        self._reader.take(ticket, reading)

    def window_known(self, window: int | None) -> None:
        """The model said how large its window is."""
        if self.window.known(window):
            self.draft_changed()

    def cycle_window(self) -> None:
        """Use another part of the model's window from now on; what leaves or is back is marked at once."""
        self.window.cycle()
        plan = self.plan
        left, back = self.window.mark_left(plan)
        self._view.say(budget_words.window(self.window.size, self.window.whole, len(left), len(back)))
        self._view.offer()
        self.draft_changed()

    def counted(self, ticket: int, reply: TokenizeReply | None) -> None:
        """A count arrived, or could not be had: go on with what waited for it."""
        self.window.take(ticket, reply)
        if self._sender.counting or self._paster.counting:
            more = reply is not None and self.window.count(self._candidate, now=True)
            if not more:
                self._decide()
        elif reply is not None:
            self.window.count(self._drafting.text, now=True)
        self._show_plan()

    @property
    def _candidate(self) -> str:
        """The text whose count is awaited."""
        return self._sender.candidate if self._sender.counting else self._paster.candidate

    def _decide(self) -> None:
        """The awaited count is there, or cannot be had: the question goes first, then a paste."""
        if not self._sender.counting:
            self._paster.decide()
            return
        self._sender.counted()
        if self._sender.counting:  # the card took up what leaves, and is counted first
            return
        if self._paster.counting and not self.window.count(self._candidate, now=True):
            self._paster.decide()

    def pasted(self, text: str) -> None:
        """A long text was pasted."""
        self._paster.take(text, later=self._sender.counting)

    # --- sending ---

    def submit(self, text: str) -> None:
        """Send what Enter took from the composer; give it back, and say why, where that cannot be."""
        refusal = self._why_not_now()
        if refusal:
            self._view.give_back(text)
            self._view.say(refusal, "warning")
        else:
            self._sender.take(text, self._desk.edited)

    def _why_not_now(self) -> str:
        if self.conversation.live_turn is not None or self._sender.preparing:
            return _("An answer is being written: wait for it, or stop it with Esc. Your question is kept.")
        if self._paster.counting:
            return _("The pasted text is still being counted. Press Enter again when it is there.")
        if self._desk.edited is not None and not self.ready:
            return self._not_ready()
        return ""

    def _not_ready(self) -> str:
        return _("The model is not ready: the answer stays as it is. Ask again when the model is there.")

    def arrived(self, turn_id: int, chunks: list[ChatChunk]) -> None:
        """More of a reply came."""
        if self._sender.arrived(turn_id, chunks):
            self._show_plan()

    def ended(self, turn_id: int, error: ErrorInfo | None) -> None:
        """A reply is over."""
        self._sender.ended(turn_id, error)

    def offers(self, language: Language) -> list[str]:
        """Questions to suggest: the demo's own at the start, then what it can answer next; none for a real model."""
        if not self.demo or self.conversation.live_turn is not None or self._desk.edited is not None:
            return []
        if not self.conversation.turns:
            return corpus.suggestions(language)
        seen = self.conversation.questions_before()
        card = self.conversation.card
        following = corpus.followups(seen, card)
        # with this question the oldest turns may leave the window, and with them what it follows
        return [each for each in following if corpus.is_known(each, seen[self._leaving(each) :], card)]

    def _leaving(self, question: str) -> int:
        """How many of the turns that the model sees now would leave for this question."""
        gone = sum(1 for turn in self.conversation.turns if turn.answer.strip() and turn.left_context)
        return max(0, self.window.plan(question).dropped_turns - gone)

    def stop(self) -> bool:
        """Stop the answer that is being written, or leave the edit. False where there is neither."""
        if self._sender.stop():
            return True
        if self._desk.edited is not None:
            self._leave_edit()
            return True
        return False

    # --- again, edit, wipe ---

    def regenerate(self) -> None:
        """Ask the last question again, in the place of its answer."""
        if self._sender.counting or self._sender.preparing:
            return  # it is being asked
        if self._desk.last is None:
            self._view.say(_("There is no question yet."))
            return
        if not self.ready:
            self._view.say(self._not_ready(), "warning")
            return
        if self.conversation.live_turn is not None:
            self.stop()
        if self._desk.edited is not None:  # the edited question is the last one, which goes now
            self._leave_edit()
        turn = self._desk.last
        if turn is not None:
            self._sender.again(turn)

    def edit_last(self) -> None:
        """Put the last question into the composer; sending replaces it and its answer, Esc leaves both."""
        if self._sender.counting or self._sender.preparing:
            self.stop()  # the question goes back to the composer
            return
        if self.conversation.live_turn is not None:
            self.stop()  # which goes on with the edit itself where an edited question was on its way
        elif self._desk.edited is not None:
            self._view.say(_("You are editing it."))
        turn = self._desk.last
        if turn is None:
            self._view.say(_("There is no question yet."))
        elif self._desk.edited is None:
            self._desk.edited, self._desk.set_aside = turn, self._view.draft
            self._view.set_draft(turn.question)
            self._view.editing(True)
            self._view.offer()

    def _leave_edit(self) -> None:
        """Back to the draft that was there before. What was edited stays in the history."""
        if self._desk.edited is not None and self._view.draft != self._desk.edited.question:
            self._view.remember(self._view.draft)
        self._desk.stop_editing()
        self._view.set_draft(self._desk.set_aside)
        self._desk.set_aside = ""
        self._view.offer()

    @property
    def holds_text(self) -> bool:
        """True where leaving or a new patient would lose something."""
        return bool(self.conversation.entries or self.conversation.card or self._view.draft.strip())

    def wipe(self) -> None:
        """New patient: forget conversation, card, draft and counts, here and in the service."""
        self.clear()
        self._forget_owed = True
        self._errands.forget()

    def clear(self) -> None:
        """Forget it here. What the service keeps stays."""
        self._link.stop_reply()
        self._desk.conversation = Conversation()
        self.window.forget()
        self._reader.drop()
        self.card.forget()
        self._sender.drop()
        self._paster.drop()
        self._desk.set_aside = ""
        # what was chosen for the patient before
        self._desk.thinking, self._desk.sections = self._settings.thinking, self._settings.sections
        self._view.show_modes(self.thinking, self.sections)
        self._desk.stop_editing()
        self._view.wiped()
        self._drafting.emptied()
        self._view.offer()
        self.draft_changed()

    def gather(self, card_draft: str | None = None) -> Kept:
        """Everything of this patient, to be kept elsewhere. ``card_draft``: what stands in the card's editor."""
        return self._keeper.gather(card_draft)

    def take_back(self, kept: Kept) -> None:
        """Everything as it was, in the place of what is here; what was typed meanwhile stays behind its draft."""
        typed = self._view.draft
        if self.conversation.entries:
            self.clear()
            self._view.set_draft(typed)
        self._keeper.put_back(kept)
        self._view.offer()
        self.read_draft()
        self.draft_changed()

    def forgotten(self, error: ErrorInfo | None) -> None:
        """The service forgot too, or could not say so; then it is asked again when it is back."""
        self._forget_owed = error is not None
        if error is None:
            self._view.say(_("New patient: everything was wiped, here and in the service."))
        else:
            message = _("Wiped here. The service could not confirm that it forgot; it is asked again when it answers.")
            self._desk.note(message, "warning")

    # --- how the next question is asked ---

    def request_about(self, turn: Turn, question: str) -> list[ChatMessage] | None:
        """The messages that ask one thing more about an answer; None where that cannot be asked now."""
        if not self.ready or self.conversation.live_turn is not None or not turn.answer.strip():
            return None
        return self.conversation.messages_about(turn, self._desk.instructions, question)

    def cycle_thinking(self) -> None:
        """Automatic, always, never: what the next question asks for."""
        self._desk.thinking = _NEXT_THINKING[self.thinking]

    def cycle_sections(self) -> None:
        """The four parts where the question is of that kind, always, never."""
        self._desk.sections = _NEXT_SECTIONS[self.sections]
        self.read_draft()

    def template(self) -> str:
        """A template to fill in."""
        return self._drafting.template()

    def trim(self) -> None:
        """Take out of the draft what tells nothing about the illness."""
        self._drafting.trim(self.plan, self.window.plan)

    def set_card(self, text: str, again: Callable[[str], None] = lambda _text: None) -> None:
        """Pin this text to every question from now on; ``again`` where the person wants to go on writing it."""
        self.card.write(text, again)

    def _card_changed(self) -> None:
        self.read_draft()
        self.draft_changed()

    # --- service and language ---

    def connected(self) -> None:
        """The service is back."""
        if self._forget_owed:
            self._errands.forget()

    def service_ready(self, *, ready: bool, demo: bool, model: str, quantization: str = "") -> None:
        """What the service says of itself; counts are taken up again when it becomes ready."""
        became_ready = ready and not self.ready
        desk = self._desk
        desk.ready, desk.demo, desk.model, desk.quantization = ready, demo, model, quantization
        if became_ready:
            self.draft_changed()

    def speak(self, language: Language) -> None:
        """Give the model the instructions of this language from the next question on."""
        try:
            self._desk.instructions = instructions.load(self._settings, language)
        except SettingsError as error:
            self._view.say("; ".join(error.problems), "error")
        self.read_draft()
        self.draft_changed()
