"""Token counts of the conversation's parts, as the model's own tokenizer gave them, and the plan made of them.

Holds no text but that of a count under way. What has not been counted yet is estimated, and the plan then says that
it is not exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from medgemma_tui.clinical.budget import BudgetPlan, estimate, plan
from medgemma_tui.protocol import ChatMessage, TokenizeReply, TokenizeRequest
from medgemma_tui.tui.conversation import Conversation, Turn, pinned

UNKNOWN_WINDOW = 8192
LIVE_STEP = 16


@dataclass(frozen=True)
class _Asked:
    """What a count that is under way will tell; the turns by their keys."""

    system: str
    turns: tuple[tuple[int, int], ...]
    draft: str


@dataclass
class Ledger:
    """Counts by the hash of a text or by turn. Ask ``request`` what to count, give ``take`` the answer."""

    most: int
    """Tokens a reply may take, as the site set it."""
    window: int | None = None
    """The model's own; None: no model has said it yet."""
    cap: int | None = None
    """Use at most so many tokens of it; None: all."""
    _systems: dict[int, int] = field(default_factory=dict)
    _turns: dict[tuple[int, int], int] = field(default_factory=dict)
    _drafts: dict[tuple[int, bool], int] = field(default_factory=dict)  # whether turns stand before it
    _frame: int | None = None  # tokens of an empty question and the opening of the answer
    _asked: dict[int, _Asked] = field(default_factory=dict)
    _ticket: int = 0
    _countable: bool = True  # False: another engine, whose tokenizer does not count by message

    def settled(self, conversation: Conversation, instructions: str, draft: str) -> bool:
        """True where nothing is left to count, or nothing can be counted."""
        return not self._countable or self._wanted(conversation, instructions, draft) is None

    def request(self, conversation: Conversation, instructions: str, draft: str) -> tuple[int, TokenizeRequest] | None:
        """The next thing to count, with its ticket; None when that has been asked for already, or there is nothing."""
        wanted = self._wanted(conversation, instructions, draft) if self._countable else None
        if wanted is None or wanted in self._asked.values():
            return None
        messages = [ChatMessage(role="system", content=wanted.system)] if wanted.system else []
        for turn in _sent(conversation):
            if _key(turn) in wanted.turns:
                messages.append(ChatMessage(role="user", content=turn.given))
                messages.append(ChatMessage(role="assistant", content=turn.answer.strip()))
        messages.append(ChatMessage(role="user", content=wanted.draft))
        self._ticket += 1
        self._asked[self._ticket] = wanted
        return self._ticket, TokenizeRequest(messages=messages)

    def _wanted(self, conversation: Conversation, instructions: str, draft: str) -> _Asked | None:
        if self._frame is None or hash(instructions) not in self._systems:
            return _Asked(instructions, (), "")
        system = conversation.system_text(instructions)
        turns = _sent(conversation)
        uncounted = tuple(_key(turn) for turn in turns if _key(turn) not in self._turns)
        known = not draft or (hash(draft), bool(turns)) in self._drafts
        if hash(system) in self._systems and not uncounted and known:
            return None
        # behind the system text alone it would be counted without the opening of its own turn
        return _Asked(system, uncounted or tuple(map(_key, turns[-1:])), draft)

    def take(self, ticket: int, reply: TokenizeReply | None) -> None:
        """Enter what a count told; None: it could not be had. An answer to a count that was forgotten is ignored."""
        asked = self._asked.get(ticket)
        for earlier in [number for number in self._asked if number <= ticket]:  # given up for this one
            del self._asked[earlier]
        if asked is None or reply is None:
            return
        self.window = reply.max_model_len
        counts = list(reply.message_counts)
        if len(counts) != 1 + 2 * len(asked.turns) + bool(asked.system):
            self._countable = False
            return
        self._systems[hash(asked.system)] = counts.pop(0) if asked.system else 0
        for index, key in enumerate(asked.turns):
            self._turns[key] = counts[2 * index] + counts[2 * index + 1]
        opened = counts[-1] + reply.generation_prompt_tokens
        if not asked.draft and not asked.turns:
            self._frame = opened
        elif asked.draft and self._frame is not None:
            self._drafts = {(hash(asked.draft), bool(asked.turns)): opened - self._frame}

    def plan(self, conversation: Conversation, instructions: str, draft: str, live: Turn | None = None) -> BudgetPlan:
        """The plan for the next question with this draft. A ``live`` turn is taken as if it were answered by now."""
        whole = conversation.system_text(instructions)
        bare, system = self._systems.get(hash(instructions)), self._systems.get(hash(whole))
        turns: list[tuple[int | None, Turn]] = [(self._turns.get(_key(turn)), turn) for turn in _sent(conversation)]
        frame = self._frame
        draft_count = self._drafts.get((hash(draft), bool(turns))) if draft else 0
        if live is not None:
            turns.append((None, live))
        known = (self.window, bare, system, frame, draft_count, *(count for count, _turn in turns))
        if bare is None:
            bare = estimate(instructions)
        card = (system - bare) if system is not None else estimate(pinned(conversation.card))
        return plan(
            self.used_window,
            self.answer_room,
            bare + (frame or 0),
            max(0, card),
            [_estimate(turn) if count is None else count for count, turn in turns],
            estimate(draft) if draft_count is None else max(0, draft_count),
            exact=None not in known,
        )

    @property
    def whole_window(self) -> int:
        """Tokens of the model's own window."""
        return self.window or UNKNOWN_WINDOW

    @property
    def used_window(self) -> int:
        """Tokens of the window that are used: the model's own, or fewer where that is set."""
        return self.whole_window if self.cap is None else min(self.whole_window, self.cap)

    @property
    def answer_room(self) -> int:
        """Tokens kept for trace and answer: what the site set, but at most half of a small window."""
        return min(self.most, self.used_window // 2)

    def forget(self) -> None:
        """Drop the counts of a patient's texts; those of the instructions alone may stay with the window."""
        self._turns.clear()
        self._drafts.clear()
        self._systems.clear()
        self._asked.clear()
        self._frame = None


def _estimate(turn: Turn) -> int:
    """A guess at a turn; while it grows in steps, so that the meter is painted a few times a second at most."""
    tokens = estimate(turn.given + turn.answer)
    return tokens - tokens % LIVE_STEP if turn.live else tokens


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
