"""One reply as it grows: which tokens are fed, which are reported, and when it ends. No tensors here.

The model proposes a token; :meth:`Reply.propose` answers with what is really fed: that token, that token and forced
ones after it, or forced ones in its place.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from medgemma_tui.worker.guards import LoopDetector
from medgemma_tui.worker.sections import SectionPlan
from medgemma_tui.worker.thinking import SpecialTokens, TraceParser, TraceState
from medgemma_tui.worker.types import (
    Channel,
    DecodeRequest,
    FinishEvent,
    FinishReason,
    Thinking,
    TokenEvent,
    TraceClosed,
)

ANSWER_RESERVE = 512  # tokens kept for the answer when the trace would use up everything …
ANSWER_SHARE = 4  # … or this part of the limit, if that is less


@dataclass(slots=True)
class Move:
    """What follows a proposal. ``feed`` goes into the cache next; ``events`` are reported; ``finish`` ends it."""

    feed: list[int] = field(default_factory=list)
    events: list[TokenEvent] = field(default_factory=list)
    finish: FinishReason | None = None


class Reply:
    """The state of one reply. ``limit`` is how many tokens it may have, markers and forced ones included."""

    def __init__(
        self, request: DecodeRequest, ids: SpecialTokens, limit: int, *, guard_repetition: bool = True
    ) -> None:
        self.trace_closed = TraceClosed.NEVER
        self.reasoning_tokens = 0
        self.answer_tokens = 0
        self._request = request
        self._ids = ids
        self._limit = limit
        self._generated = 0
        self._last: int | None = None  # the answer's last token
        self._parser = TraceParser(ids)
        self._sections = SectionPlan(request.sections, request.section_budget, ids)
        self._loop = LoopDetector() if guard_repetition else None
        self._reserve = min(ANSWER_RESERVE, limit // ANSWER_SHARE) + self._sections.cost()

    @property
    def allowed_beside_grammar(self) -> tuple[int, ...] | None:
        """Where the request's grammar holds now: the ids allowed beside it; ``None`` where it does not (the trace)."""
        if self._request.mask is None or self._parser.in_trace:
            return None
        may_think = self._parser.state is TraceState.START and not self._parser.closed
        return (self._ids.trace_open,) if may_think else ()

    @property
    def banned(self) -> tuple[int, ...]:
        """Ids that may not come next: a trace that was skipped is not opened before there is any answer."""
        return (self._ids.trace_open,) if self.trace_closed is TraceClosed.SKIPPED and not self.answer_tokens else ()

    def begin(self) -> Move:
        """Forced tokens that follow the prompt at once."""
        move = Move()
        if self._request.thinking is Thinking.FORCE:
            for token in self._ids.force:
                self._write(move, token, forced=True)
            if self._spent():
                self._close(move, TraceClosed.BUDGET, forced=True)
        elif self._request.thinking is Thinking.SKIP:
            self._close(move, TraceClosed.SKIPPED, forced=True)
        return self._checked(move)

    def propose(self, token: int) -> Move:
        """The model's choice for the next token."""
        move = Move()
        if self._parser.in_trace:
            self._in_trace(move, token)
        else:
            self._in_content(move, token)
        return self._checked(move)

    def finished(self, reason: FinishReason, cached: int) -> FinishEvent:
        """The last event, with what the reply has come to; ``cached`` prompt tokens came from a checkpoint."""
        return FinishEvent(
            id=self._request.id,
            reason=reason,
            prompt_tokens=len(self._request.prompt_ids),
            cached_tokens=cached,
            reasoning_tokens=self.reasoning_tokens,
            answer_tokens=self.answer_tokens,
            trace_closed=self.trace_closed,
        )

    def _in_trace(self, move: Move, token: int) -> None:
        leaves = token == self._ids.start_of_turn
        if leaves and not self._sections.remaining:
            move.finish = FinishReason.NEXT_SPEAKER
        elif leaves or token == self._ids.trace_close or self._ids.ends_turn(token):
            # A turn that ends inside the trace has no answer in it yet: close the trace and let it be written.
            self._close(move, TraceClosed.MODEL, forced=token != self._ids.trace_close)
        else:
            self._write(move, token)
            if self._looping(token):
                self._close(move, TraceClosed.REPETITION, forced=True)
            elif self._spent():
                self._close(move, TraceClosed.BUDGET, forced=True)

    def _in_content(self, move: Move, token: int) -> None:
        ids, mask = self._ids, self._request.mask
        begun = self._parser.state is TraceState.CONTENT
        if self._parser.reopens(token):
            self._end(move, FinishReason.SECOND_TRACE)
        elif token == ids.start_of_turn:
            self._end(move, FinishReason.NEXT_SPEAKER)
        elif ids.ends_turn(token):
            self._end(move, FinishReason.STOP)
        elif token == ids.trace_open:
            self._write(move, token)
            if self._spent():
                self._close(move, TraceClosed.BUDGET, forced=True)
        elif token == ids.trace_close:
            self._write(move, token)  # swallowed: there was no trace to close
            if not begun:
                self._begin_content(move)
            elif self._looping(token):
                self._end(move, FinishReason.REPETITION)
        elif self._sections.interrupts(token, self._last) or (not begun and self._sections.remaining):
            self._heading(move)
        elif mask is not None and not mask.accept(token):
            self._end(move, FinishReason.STOP)
        else:
            self._write(move, token)
            self._sections.wrote()
            if self._looping(token):
                self._end(move, FinishReason.REPETITION)
            elif mask is not None and mask.finished:
                move.finish = FinishReason.STOP

    def _close(self, move: Move, by: TraceClosed, *, forced: bool) -> None:
        self.trace_closed = by
        self._write(move, self._ids.trace_close, forced=forced)
        self._begin_content(move)

    def _begin_content(self, move: Move) -> None:
        self._last = None
        if self._loop is not None:
            self._loop.reset()
        if self._sections.remaining:
            self._heading(move)

    def _end(self, move: Move, reason: FinishReason) -> None:
        """The answer is over, unless headings are still to come."""
        if self._sections.remaining:
            self._heading(move)
        else:
            move.finish = reason

    def _heading(self, move: Move) -> None:
        if self._loop is not None:
            self._loop.reset()
        for token in self._sections.advance(self._last, self._limit - self._generated):
            self._write(move, token, forced=True)

    def _write(self, move: Move, token: int, *, forced: bool = False) -> None:
        """Feed one token, as far as the limit allows, and report what the parser lets through."""
        if self._generated >= self._limit:
            return
        self._generated += 1
        move.feed.append(token)
        for reported, channel in self._parser.feed(token):
            if channel is Channel.REASONING:
                self.reasoning_tokens += 1
            else:
                self.answer_tokens += 1
                self._last = reported
            move.events.append(TokenEvent(self._request.id, reported, channel, forced))

    def _checked(self, move: Move) -> Move:
        if move.finish is None and self._generated >= self._limit:
            move.finish = FinishReason.LENGTH
        return move

    def _spent(self) -> bool:
        """Whether the trace has had its tokens: its budget, or all but what an answer needs."""
        budget = self._request.thinking_budget
        over = budget is not None and self.reasoning_tokens >= budget
        return over or self._limit - self._generated <= self._reserve

    def _looping(self, token: int) -> bool:
        return self._loop is not None and self._loop.feed(token)
