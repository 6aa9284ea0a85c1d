"""The conversation: what was asked and answered, in memory only. No widgets, no I/O.

Message handlers of the app are the only callers that change it; widgets read it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from typing import Literal

from medgemma_tui.clinical.findings import Analysis
from medgemma_tui.clinical.textform import question_language
from medgemma_tui.protocol import ChatChunk, ChatMessage, ChatRequest, ErrorInfo, Usage

_ids = count(1)


def new_id() -> int:
    """An id that no other entry of this process has."""
    return next(_ids)


@dataclass(frozen=True)
class Sent:
    """What went to the model for one turn, kept so that it can be shown as it was.

    ``left`` are the earlier questions that had no room. ``quantization`` is what the service said of its model.
    """

    request: ChatRequest
    instructions: str
    card: str
    left: tuple[str, ...] = ()
    quantization: str = ""


@dataclass
class Turn:
    """One question and its reply. Text is as the model gave it; the screen makes it safe where it shows it."""

    question: str
    asked_at: datetime
    id: int = field(default_factory=new_id)
    state: Literal["waiting", "reasoning", "answering", "done"] = "waiting"
    waiting_for: str = ""
    """While waiting, in plain words: queued behind n, loading n %, reading the prompt n %."""
    reasoning: str = ""
    answer: str = ""
    finish_reason: str | None = None
    usage: Usage | None = None
    error: ErrorInfo | None = None
    model: str = ""
    unknown_to_demo: bool = False
    """The demo model was asked something that is not in its corpus."""
    left_context: bool = False
    """This turn no longer fits the context window and is not sent any more."""
    analysis: Analysis | None = None
    """What was found in the question; None where nobody looked."""
    sections: list[str] | None = None
    """The headings that the answer had to have; None where it was free."""
    prompt: str = ""
    """What the model is given for the question, with the line of standard terms; empty: the question as it is."""
    sent: Sent | None = None
    """What went to the model for this turn; None before it did."""

    @property
    def live(self) -> bool:
        """True until the reply has ended."""
        return self.state != "done"

    @property
    def given(self) -> str:
        """The text that the model is given for the question."""
        return self.prompt or self.question

    @property
    def wrote(self) -> bool:
        """True where the model wrote anything at all."""
        return bool(self.answer.strip() or self.reasoning.strip())

    @property
    def sent_on(self) -> bool:
        """True where the model is sent this turn with the questions after it."""
        return bool(self.answer.strip()) and not self.left_context

    def take(self, chunk: ChatChunk) -> None:
        """Add what one chunk of the reply brings. Its ``progress`` is for the caller to word."""
        self.model = chunk.model or self.model
        self.usage = chunk.usage or self.usage
        for choice in chunk.choices:
            if choice.delta.reasoning:
                self.reasoning += choice.delta.reasoning
                self.state = "reasoning"
            if choice.delta.content:
                self.answer += choice.delta.content
                self.state = "answering"
            self.finish_reason = choice.finish_reason or self.finish_reason

    def end(self, error: ErrorInfo | None = None) -> None:
        """The reply is over; what came is kept. Ended before its finish without an error, it was stopped."""
        self.state = "done"
        self.waiting_for = ""
        self.error = error
        if error is None and self.finish_reason is None:
            self.finish_reason = "cancelled"


@dataclass
class Notice:
    """A line of the program's own in the transcript: what left the context, what was lost, what to do."""

    text: str
    level: Literal["info", "warning", "error"] = "info"
    id: int = field(default_factory=new_id)


Entry = Turn | Notice


@dataclass
class Conversation:
    """The entries in order, the patient card, and what of it goes to the model."""

    entries: list[Entry] = field(default_factory=list)
    card: str = ""

    @property
    def turns(self) -> list[Turn]:
        """The turns alone, in order."""
        return [entry for entry in self.entries if isinstance(entry, Turn)]

    @property
    def live_turn(self) -> Turn | None:
        """The turn whose reply has not ended, if there is one."""
        last = self.turns[-1] if self.turns else None
        return last if last is not None and last.live else None

    def questions_before(self, turn: Turn | None = None) -> list[str]:
        """The questions that the model sees before this turn (None: before the next one).

        "" stands for one whose answer was cut or ended oddly: the demo model was taught no answer like that.
        """
        turns = self.turns
        before = turns if turn is None else turns[: turns.index(turn)]
        return [each.question if each.finish_reason == "stop" else "" for each in before if each.sent_on]

    def system_text(self, instructions: str) -> str:
        """What is prefixed to the first user turn: the instructions, then the patient card."""
        return "\n\n".join(part for part in (instructions.strip(), pinned(self.card)) if part)

    def messages_about(self, turn: Turn, instructions: str, question: str) -> list[ChatMessage]:
        """The messages that ask one thing more about a turn's answer, as if nothing had been asked after it.

        The turn itself is sent even where it has left the context. The question becomes no turn.
        """
        before = self.entries[: self.entries.index(turn)]
        kept = replace(turn, left_context=False)
        return Conversation([*before, kept], self.card).messages(instructions, question)

    def messages(self, instructions: str, question: str | None = None) -> list[ChatMessage]:
        """The messages to send: instructions and card, the answered turns still in context, the question.

        Traces are never sent. A turn without an answer (failed, stopped before it wrote one) is left out, since
        roles must alternate. ``question`` None sends the last turn's own question.
        """
        turns = self.turns
        if question is None and turns:
            question = turns[-1].given
            turns = turns[:-1]
        messages = []
        system = self.system_text(instructions)
        if system:
            messages.append(ChatMessage(role="system", content=system))
        for turn in turns:
            if turn.sent_on:
                messages.append(ChatMessage(role="user", content=turn.given))
                messages.append(ChatMessage(role="assistant", content=turn.answer.strip()))
        if question is not None:
            messages.append(ChatMessage(role="user", content=question))
        return messages


def pinned(card: str) -> str:
    """The card as the model is given it, labelled in the card's own language. The demo model was taught this form."""
    text = card.strip()
    if not text:
        return ""
    return f"患者资料：{text}" if question_language(text) == "zh" else f"Patient: {text}"
