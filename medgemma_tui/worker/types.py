"""What goes into the decoder and what comes out, without torch: requests and events.

Everything here is token ids; text is made from them in ``detokenize.py`` and put on the wire in ``server.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Thinking(StrEnum):
    """Whether the model is made to write a reasoning trace before it answers."""

    AUTO = "auto"  # the model decides; the parser is on
    FORCE = "force"  # the trace is opened by forced tokens
    SKIP = "skip"  # the trace is closed before it begins; measurably less safe


class FinishReason(StrEnum):
    """Why an answer ended. The screen explains each."""

    STOP = "stop"  # the model ended its turn, or a stop string was met
    LENGTH = "length"  # max_tokens or the end of the context window
    CANCELLED = "cancelled"  # the person pressed stop, or the client went away
    SECOND_TRACE = "second_trace"  # the model opened a trace again after it had closed one
    NEXT_SPEAKER = "next_speaker"  # the model began to write the other side's turn
    REPETITION = "repetition"  # the answer went round in a loop
    NON_FINITE = "non_finite"  # logits were NaN or infinite: the numbers cannot be trusted


class TraceClosed(StrEnum):
    """Who closed the reasoning trace."""

    MODEL = "model"
    BUDGET = "budget"  # the thinking budget was used up; the close was forced
    REPETITION = "repetition"  # the trace went round in a loop; the close was forced
    SKIPPED = "skipped"  # thinking=skip
    NEVER = "never"  # no trace was opened, or it was still open when the answer ended


class Channel(StrEnum):
    """Which part of the reply a token belongs to."""

    REASONING = "reasoning"
    CONTENT = "content"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is drawn. ``temperature`` 0 is greedy."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0  # 0: no limit
    seed: int | None = None  # None: a fresh seed for each request


class TokenMask(Protocol):
    """A grammar that says which tokens may come next (constrained decoding).

    It is consulted for content tokens only, never inside the trace.
    """

    def allowed(self) -> Sequence[int] | None:
        """Packed 32-bit words, one bit a token id (bit ``i % 32`` of word ``i // 32``); ``None`` allows all."""
        ...

    def accept(self, token_id: int) -> bool:
        """Advance by one token that was chosen. False if the grammar does not allow it."""
        ...

    @property
    def finished(self) -> bool:
        """True when the text so far is complete under the grammar and nothing may follow."""
        ...


@dataclass(frozen=True, slots=True)
class DecodeRequest:
    """One reply to be written.

    ``prompt_ids`` holds the whole conversation rendered by the chat template, ending with the opening of the
    model's turn. ``sections`` holds each heading's token ids; the decoder writes them, in order, into the answer.
    """

    id: str
    prompt_ids: tuple[int, ...]
    max_new_tokens: int
    thinking: Thinking = Thinking.AUTO
    thinking_budget: int | None = None  # tokens of trace after which its close is forced
    sections: tuple[tuple[int, ...], ...] = ()
    section_budget: int | None = None  # tokens of one section after which the next heading is forced
    sampling: Sampling = field(default_factory=Sampling)
    mask: TokenMask | None = None
    owner: str = ""  # who asked; the queue is fair between owners


@dataclass(frozen=True, slots=True)
class QueueEvent:
    """The request waits; ``position`` 1 is next."""

    id: str
    position: int


@dataclass(frozen=True, slots=True)
class PrefillEvent:
    """Prompt tokens read so far. ``cached`` of them came from a prefix checkpoint."""

    id: str
    done: int
    total: int
    cached: int


@dataclass(frozen=True, slots=True)
class TokenEvent:
    """One token of the reply. Trace markers and end-of-turn are consumed by the parser and not reported."""

    id: str
    token_id: int
    channel: Channel
    forced: bool = False


@dataclass(frozen=True, slots=True)
class FinishEvent:
    """The reply is complete. Counts are tokens."""

    id: str
    reason: FinishReason
    prompt_tokens: int
    cached_tokens: int
    reasoning_tokens: int
    answer_tokens: int
    trace_closed: TraceClosed


DecodeEvent = QueueEvent | PrefillEvent | TokenEvent | FinishEvent
