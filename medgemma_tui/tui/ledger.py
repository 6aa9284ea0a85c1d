"""Token counts of the conversation's parts, as the model's own tokenizer gave them, and the plan made of them.

Holds no text. What has not been counted yet is estimated, and the plan then says that it is not exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from medgemma_tui.clinical.budget import BudgetPlan, estimate, plan
from medgemma_tui.protocol import ChatMessage, TokenizeReply, TokenizeRequest
from medgemma_tui.tui.conversation import Conversation, Turn

UNKNOWN_WINDOW = 8192


@dataclass
class _Asked:
    """What a count that is under way will tell."""

    system: int | None
    turns: list[tuple[int, int]]
    draft: int


@dataclass
class Ledger:
    """Counts by the hash of a text (within this process) or by turn. ``window`` None: no model has said it yet."""

    most: int
    """Tokens a reply may take, as the site set it."""
    window: int | None = None
    _systems: dict[int, int] = field(default_factory=dict)
    _turns: dict[tuple[int, int], int] = field(default_factory=dict)
    _drafts: dict[int, int] = field(default_factory=dict)
    _frame: int | None = None  # tokens of an empty question and the opening of the answer
    _asked: dict[int, _Asked] = field(default_factory=dict)
    _ticket: int = 0
    _countable: bool = True  # False: another engine, whose tokenizer does not count by message

    def request(self, conversation: Conversation, instructions: str, draft: str) -> tuple[int, TokenizeRequest] | None:
        """The next thing to count, with its ticket; None when everything is counted, or cannot be."""
        if not self._countable:
            return None
        messages: list[ChatMessage] = []
        asked = _Asked(system=None, turns=[], draft=hash(draft))
        bare = hash(instructions)
        if self._frame is None or bare not in self._systems:
            system, draft, asked.draft = instructions, "", hash("")
        else:
            system = conversation.system_text(instructions)
            uncounted = [turn for turn in _sent(conversation) if _key(turn) not in self._turns]
            if hash(system) in self._systems and not uncounted and asked.draft in self._drafts:
                return None
            asked.turns = [_key(turn) for turn in uncounted]
            for turn in uncounted:
                messages.append(ChatMessage(role="user", content=turn.question))
                messages.append(ChatMessage(role="assistant", content=turn.answer.strip()))
        if system:
            asked.system = hash(system)
            messages.insert(0, ChatMessage(role="system", content=system))
        messages.append(ChatMessage(role="user", content=draft))
        self._ticket += 1
        self._asked = {self._ticket: asked}
        return self._ticket, TokenizeRequest(messages=messages)

    def take(self, ticket: int, reply: TokenizeReply) -> None:
        """Enter what a count told. An answer to a count that was given up is ignored."""
        asked = self._asked.pop(ticket, None)
        counts = list(reply.message_counts)
        expected = 1 + 2 * len(asked.turns) + (asked.system is not None) if asked else 0
        if asked is None:
            return
        self.window = reply.max_model_len
        if len(counts) != expected:
            self._countable = False
            return
        if asked.system is not None:
            self._systems[asked.system] = counts.pop(0)
        else:
            self._systems[hash("")] = 0
        for index, key in enumerate(asked.turns):
            self._turns[key] = counts[2 * index] + counts[2 * index + 1]
        if asked.draft == hash(""):
            self._frame = counts[-1] + reply.generation_prompt_tokens
            self._drafts = {hash(""): 0}
        elif self._frame is not None:
            self._drafts = {hash(""): 0, asked.draft: counts[-1] + reply.generation_prompt_tokens - self._frame}

    def plan(self, conversation: Conversation, instructions: str, draft: str) -> BudgetPlan:
        """The plan for the next question with this draft."""
        whole = conversation.system_text(instructions)
        bare, system = self._systems.get(hash(instructions)), self._systems.get(hash(whole))
        frame, draft_count = self._frame, self._drafts.get(hash(draft))
        turns = [(self._turns.get(_key(turn)), turn) for turn in _sent(conversation)]
        known = (self.window, bare, system, frame, draft_count, *(count for count, _turn in turns))
        if bare is None:
            bare = estimate(instructions)
        card = (system - bare) if system is not None else estimate(conversation.card)
        return plan(
            self.window or UNKNOWN_WINDOW,
            self.answer_room,
            bare + (frame or 0),
            max(0, card),
            [estimate(turn.question + turn.answer) if count is None else count for count, turn in turns],
            estimate(draft) if draft_count is None else max(0, draft_count),
            exact=None not in known,
        )

    @property
    def answer_room(self) -> int:
        """Tokens kept for trace and answer: what the site set, but at most half of a small window."""
        return min(self.most, (self.window or UNKNOWN_WINDOW) // 2)

    def forget(self) -> None:
        """Drop the counts of a patient's texts; those of the instructions alone may stay with the window."""
        self._turns.clear()
        self._drafts.clear()
        self._systems.clear()
        self._asked.clear()
        self._frame = None


def _key(turn: Turn) -> tuple[int, int]:
    return turn.id, len(turn.answer)


def _sent(conversation: Conversation) -> list[Turn]:
    """The turns that count as history: those with an answer, oldest first, the live one not among them."""
    return [turn for turn in conversation.turns if not turn.live and turn.answer.strip()]


def mark_left(conversation: Conversation, dropped: int) -> list[Turn]:
    """Mark the oldest ``dropped`` turns as out of context and all others as in it; returns those newly out."""
    newly = []
    for index, turn in enumerate(_sent(conversation)):
        if index < dropped and not turn.left_context:
            newly.append(turn)
        turn.left_context = index < dropped
    return newly
