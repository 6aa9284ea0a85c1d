"""The decode loop: several conversations stepped as one batch, each at its own length.

One step is plan → forward → read → advance: which tokens are fed, the model run over them, one transfer of what it
chose, and what follows from that for each reply. At most one prompt chunk and one batched token go through the
model in a step, so a long prompt stalls nobody. Synchronous, one thread, token ids only.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from transformers import PreTrainedModel

from medgemma_tui.vram import PREFILL_CHUNK
from medgemma_tui.worker.cache import Pass, SlotCache
from medgemma_tui.worker.fastpath import Capture, FastDecode, try_fast
from medgemma_tui.worker.guards import refuse_half_precision
from medgemma_tui.worker.lean import use_lean_linears, use_lean_norms
from medgemma_tui.worker.reply import Reply
from medgemma_tui.worker.sampling import NOT_FINITE, Rule, Sampler, pick
from medgemma_tui.worker.schedule import FairQueue, PromptTooLong, QueueFull
from medgemma_tui.worker.slots import Slot, SlotTable
from medgemma_tui.worker.thinking import SpecialTokens
from medgemma_tui.worker.types import (
    DecodeEvent,
    DecodeRequest,
    FinishEvent,
    FinishReason,
    PrefillEvent,
    QueueEvent,
    TokenEvent,
)

__all__ = ["Decoder", "PromptTooLong", "QueueFull", "SpecialTokens"]

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Row:
    """A conversation in a slot. ``queue`` holds the ids to feed before the model is asked for the next one."""

    request: DecodeRequest
    slot: Slot
    reply: Reply
    sampler: Sampler | None
    queue: list[int]
    cached: int
    saves: bool  # the ring may run over what the prompt left in it: keep a checkpoint
    held: list[TokenEvent]  # forced tokens right after the prompt, reported once it is read
    served: int = 0  # the step in which its last chunk was fed
    prompt_read: bool = False

    @property
    def rule(self) -> Rule | None:
        extra, banned = self.reply.allowed_beside_grammar, self.reply.banned
        if extra is not None and self.request.mask is not None:
            return Rule(self.sampler, self.request.mask.allowed(), extra, banned)
        return Rule(self.sampler, banned=banned) if self.sampler is not None or banned else None


@dataclass(slots=True)
class _Plan:
    """One step's work: ``count`` tokens of one row's queue, and one token of each row in ``batch``."""

    chunk: _Row | None
    count: int
    batch: list[_Row]


@dataclass(slots=True)
class _Fed:
    """What was fed in one step, for reading: rows whose queue is now empty, with their logits [rows, vocabulary]."""

    rows: list[_Row] = field(default_factory=list)
    logits: list[torch.Tensor] = field(default_factory=list)


class Decoder:
    """Decodes requests on one model.

    Every slot's keys and values are allocated here, before anybody is admitted, so a free slot is room for a whole
    conversation: nothing else is asked at admission. ``vram.vram_need`` says what they take.

    Args:
        model: a Gemma 3 language model in bfloat16 or float32, quantised or not, on its device, in eval mode.
        ids: the tokens that steer a reply.
        slots: conversations kept at once.
        max_model_len: tokens of one conversation, prompt and reply together.
        prefill_chunk: prompt tokens fed in one step.
        max_queue: requests that may wait; ``None`` is no limit.
        guard_repetition: end replies that go round in a loop.
        fast: take the checked short cuts: lean layers on the CPU, recorded steps on CUDA.
        capture: records steps in place of CUDA graphs (tests).

    Raises:
        HalfPrecisionRefused: the model computes in fp16.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        ids: SpecialTokens,
        *,
        slots: int,
        max_model_len: int,
        prefill_chunk: int = PREFILL_CHUNK,
        max_queue: int | None = None,
        guard_repetition: bool = True,
        fast: bool = True,
        capture: Capture | None = None,
    ) -> None:
        dtype = refuse_half_precision(model)
        self._model, self._ids = model, ids
        self._device: torch.device = model.device
        self._chunk = prefill_chunk
        self._max_queue = max_queue
        self._guard_repetition = guard_repetition
        self._length = max_model_len
        self._cache = SlotCache(
            model.config,
            slots=slots,
            length=max_model_len,
            prefill_chunk=prefill_chunk,
            dtype=dtype,
            device=self._device,
        )
        self._table = SlotTable(slots, window=self._cache.window, ring=self._cache.ring)
        self._queue = FairQueue()
        self._rows: list[_Row] = []  # in slot order
        self._untold: list[DecodeEvent] = []  # what happened since a step last returned
        self._forget_later: set[int] = set()
        self._positions: dict[str, int] = {}
        self._steps = 0
        self._fast: FastDecode | None = None
        if fast:
            self._take_short_cuts(slots, max_model_len, capture)

    def _take_short_cuts(self, slots: int, length: int, capture: Capture | None) -> None:
        for what, take in (("4-bit layers", use_lean_linears), ("norms", use_lean_norms)):
            reason = take(self._model)
            log.info("%s: %s", what, "by the short way" if reason is None else f"as they are ({reason})")
        with torch.inference_mode():
            step = partial(self._decode, 0)
            self._fast = try_fast(step, slots=slots, length=length, device=self._device, capture=capture)
        for slot in self._table.slots:
            self._cache.clear(slot.index)

    # -- requests --------------------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the model and its cache are."""
        return self._device

    @property
    def active(self) -> int:
        """Conversations that are being read or answered."""
        return len(self._rows)

    @property
    def queued(self) -> int:
        """Requests that wait for a slot."""
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """True when a step would do nothing."""
        return not (self._rows or self._untold or len(self._queue))

    def submit(self, request: DecodeRequest) -> None:
        """Queue a request; its events come from :meth:`step`.

        Raises:
            PromptTooLong: no token of a reply would fit after the prompt.
            QueueFull: too many requests wait.
            ValueError: an empty prompt, an id in use, no tokens asked for, or sections together with a grammar.
        """
        count = len(request.prompt_ids)
        if count >= self._length:
            raise PromptTooLong(count, self._length - 1)
        if count == 0 or request.max_new_tokens < 1:
            raise ValueError("a request needs a prompt and room for at least one token")
        if request.sections and request.mask is not None:
            raise ValueError("sections and a grammar cannot be had together")
        if request.id in self._ids_in_use():
            raise ValueError(f"request {request.id!r} is here already")
        if self._max_queue is not None and len(self._queue) >= self._max_queue:
            raise QueueFull(len(self._queue))
        self._queue.push(request)

    def cancel(self, request_id: str) -> None:
        """Take a request out now; the next step reports it as cancelled. Unknown ids are ignored."""
        request = self._queue.remove(request_id)
        if request is not None:
            reply = Reply(request, self._ids, 1, guard_repetition=False)
            self._untold.append(reply.finished(FinishReason.CANCELLED, 0))
            return
        row = next((row for row in self._rows if row.request.id == request_id), None)
        if row is not None:
            self._untold.append(self._finish(row, FinishReason.CANCELLED))

    def shed(self) -> list[str]:
        """After :meth:`step` ran out of memory: take out the replies that cannot go on, so that the others can.

        Those are the one whose chunk was fed and any whose logits were lost; failing these, the longest. The next
        step reports them as cancelled. Returns their ids.
        """
        lost = [row for row in self._rows if not row.queue or row.served == self._steps]
        if not lost:
            lost = sorted(self._rows, key=lambda row: len(row.slot.tokens))[-1:]
        for row in lost:
            self.cancel(row.request.id)
        return [row.request.id for row in lost]

    def forget(self, owner: str | None = None) -> None:
        """Zero the slots of ``owner`` (of everybody if ``None``): a new patient. Busy slots follow when they end."""
        for slot in self._table.slots:
            if owner is None or slot.owner == owner:
                if slot.busy:
                    self._forget_later.add(slot.index)
                else:
                    self._wipe(slot)

    # -- the step --------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def step(self) -> list[DecodeEvent]:
        """Advance every conversation by one token, and one prompt by a chunk. Returns what happened.

        A step that raises has told nobody: what had happened by then comes from the next one.
        """
        self._admit()
        plan = self._plan()
        if plan is not None:
            self._steps += 1
            fed = self._forward(plan)
            for row, token in zip(fed.rows, self._read(fed), strict=True):
                self._advance(row, token)
        events, self._untold = self._untold, []
        return events

    def _admit(self) -> None:
        """Give free slots to those who wait, and tell the others where they stand."""
        while (request := self._queue.peek()) is not None:
            count = len(request.prompt_ids)
            reuse = self._table.take(request.owner, request.prompt_ids)
            if reuse is None:
                break
            self._queue.pop()
            if reuse.wipe:
                self._cache.clear(reuse.slot.index)
            if reuse.source is not None:
                self._cache.copy(reuse.source.index, reuse.slot.index, reuse.length, saved=reuse.restore)
            elif reuse.restore:
                self._cache.restore(reuse.slot.index)
            limit = min(request.max_new_tokens, self._length - count)
            reply = Reply(request, self._ids, limit, guard_repetition=self._guard_repetition)
            begin = reply.begin()
            row = _Row(
                request=request,
                slot=reuse.slot,
                reply=reply,
                sampler=Sampler.wanted(request.sampling),
                queue=[*request.prompt_ids[reuse.length :], *begin.feed],
                cached=reuse.length,
                saves=count + limit > self._cache.ring,
                held=begin.events,
            )
            self._rows.append(row)
            self._rows.sort(key=lambda row: row.slot.index)
            self._untold.append(PrefillEvent(request.id, reuse.length, count, reuse.length))
            if begin.finish is not None:
                self._untold += [*begin.events, self._finish(row, begin.finish)]
        self._untold += self._queue_events()

    def _plan(self) -> _Plan | None:
        """What is fed in this step: None when there is nothing."""
        reading = [row for row in self._rows if len(row.queue) > 1]
        batch = [row for row in self._rows if len(row.queue) == 1]
        if not self._rows:
            return None
        chunk = min(reading, key=lambda row: row.served, default=None)
        return _Plan(chunk, min(self._chunk, len(chunk.queue)) if chunk else 0, batch)

    def _forward(self, plan: _Plan) -> _Fed:
        """Run the model over the plan; the cache's books follow."""
        fed = _Fed()
        if plan.chunk is not None:
            row = plan.chunk
            ids, row.queue = row.queue[: plan.count], row.queue[plan.count :]
            row.served = self._steps
            inputs = torch.tensor([ids], device=self._device)
            self._table.writing(row.slot, len(ids))
            logits = self._run(inputs, self._cache.chunk(row.slot.index, len(row.slot.tokens), len(ids)))
            self._fed(row, ids)
            if not row.queue:
                fed.rows.append(row)
                fed.logits.append(logits)
        if plan.batch:
            for row in plan.batch:
                self._table.writing(row.slot, 1)
            fed.logits.append(self._run_batch(plan.batch))
            for row in plan.batch:
                ids, row.queue = row.queue, []
                self._fed(row, ids)
            fed.rows += plan.batch
        return fed

    def _run_batch(self, batch: list[_Row]) -> torch.Tensor:
        """Logits [rows, vocabulary] after one token of each row, computed over the range of slots that holds them."""
        first, last = batch[0].slot.index, batch[-1].slot.index
        if self._fast is not None:
            first, last = 0, len(self._table.slots) - 1
        control = [[0] * (last - first + 1) for _ in range(3)]  # token, position, active
        for row in batch:
            at = row.slot.index - first
            control[0][at], control[1][at], control[2][at] = row.queue[0], len(row.slot.tokens), 1
        longest = 1 + max(control[1])
        inputs = torch.tensor(control).to(self._device, non_blocking=True)
        logits = self._decode(first, inputs, longest) if self._fast is None else self._fast(inputs, longest)
        if len(batch) < logits.shape[0]:
            return logits[[row.slot.index - first for row in batch]]
        return logits

    def _decode(self, first: int, control: torch.Tensor, keys: int) -> torch.Tensor:
        """One token for each slot from ``first`` on; ``control`` [3, rows] holds token, position and active."""
        tokens, positions, active = control
        return self._run(tokens[:, None], self._cache.decode(first, positions, active.bool(), keys))

    def _run(self, input_ids: torch.Tensor, how: Pass) -> torch.Tensor:
        """Logits [rows, vocabulary] of the last token of each row of ``input_ids`` [rows, tokens]."""
        output = self._model(
            input_ids=input_ids,
            attention_mask=how.masks,
            position_ids=how.position_ids,
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def _fed(self, row: _Row, ids: Sequence[int]) -> None:
        """``ids`` are in the cache now: keep the books, report the prompt's progress, take the checkpoint."""
        self._table.wrote(row.slot, ids)
        if row.prompt_read:
            return
        total = len(row.request.prompt_ids)
        done = min(len(row.slot.tokens), total)
        self._untold.append(PrefillEvent(row.request.id, done, total, row.cached))
        if not row.queue:
            row.prompt_read = True
            self._untold += row.held
            if row.saves:
                self._cache.save(row.slot.index)
                self._table.saved(row.slot)

    def _read(self, fed: _Fed) -> list[int]:
        """The chosen token of every row, in one transfer from the device."""
        if not fed.rows:
            return []
        logits = fed.logits[0] if len(fed.logits) == 1 else torch.cat(fed.logits)
        chosen: list[int] = pick(logits, [row.rule for row in fed.rows]).tolist()
        return chosen

    def _advance(self, row: _Row, token: int) -> None:
        """What the chosen token means for the reply: tokens to report, tokens to feed, or its end."""
        if token == NOT_FINITE:
            self._forget_later.add(row.slot.index)  # its keys cannot be trusted either
            self._untold.append(self._finish(row, FinishReason.NON_FINITE))
            return
        move = row.reply.propose(token)
        row.queue = move.feed
        self._untold += move.events
        if move.finish is not None:
            self._untold.append(self._finish(row, move.finish))

    # -- endings ---------------------------------------------------------------------------------------------

    def _finish(self, row: _Row, reason: FinishReason) -> FinishEvent:
        """Take the row out of the batch. Its slot keeps the conversation."""
        self._rows.remove(row)
        self._table.release(row.slot)
        if row.slot.index in self._forget_later:
            self._wipe(row.slot)
        return row.reply.finished(reason, row.cached)

    def _wipe(self, slot: Slot) -> None:
        self._forget_later.discard(slot.index)
        self._cache.clear(slot.index)
        slot.forget()

    def _queue_events(self) -> list[DecodeEvent]:
        """Places in the queue that changed since they were last told."""
        if not len(self._queue) and not self._positions:
            return []
        before, self._positions = self._positions, self._queue.positions()
        return [QueueEvent(id_, place) for id_, place in self._positions.items() if before.get(id_) != place]

    def _ids_in_use(self) -> set[str]:
        return {row.request.id for row in self._rows} | set(self._queue.positions())
