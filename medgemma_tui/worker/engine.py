"""The thread that owns the decoder, and the way to it from asyncio.

Commands go in under a condition the thread sleeps on; events come out with one ``call_soon_threadsafe`` a step.
Text is handed out at most every ``FLUSH_S`` seconds a reply (its first piece and its end at once): at thousands of
tokens a second the wire then carries a hundred events, and nobody can see the difference.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from transformers import PreTrainedTokenizerBase

from medgemma_tui.http_errors import ApiError, prompt_too_long, queue_full
from medgemma_tui.protocol import CompletionDetails, Progress, PromptDetails, Usage
from medgemma_tui.worker.decoder import Decoder, PromptTooLong, QueueFull
from medgemma_tui.worker.faults import describe, is_out_of_memory, memory_code
from medgemma_tui.worker.outbox import Done, EngineEvent, Failed, Text
from medgemma_tui.worker.textstream import ReplyText
from medgemma_tui.worker.types import (
    DecodeEvent,
    DecodeRequest,
    FinishEvent,
    FinishReason,
    PrefillEvent,
    QueueEvent,
    TokenEvent,
)

log = logging.getLogger(__name__)

FLUSH_S = 0.009
RETRY_S = 5
_MOST_OUT_OF_MEMORY = 8
"""Steps in a row that may run out of memory before the process is given up."""

Sink = Callable[[EngineEvent], None]
"""Takes a reply's events on the event loop; must not block."""


@dataclass(slots=True, eq=False)
class _Job:
    """A reply in flight. Times are ``time.perf_counter`` seconds."""

    request: DecodeRequest
    sink: Sink
    accepted: asyncio.Future[None]
    text: ReplyText
    arrived: float
    started: float | None = None
    first: float | None = None
    last: float = 0.0
    tokens: int = 0
    flushed: float = 0.0
    stopped: bool = False  # a stop string is complete: what the decoder says is only waited for
    exhausted: bool = False  # it was taken out because memory ran out
    events: list[EngineEvent] = field(default_factory=list)


_Command = Callable[[], None]


class Engine:
    """Runs a decoder in a thread of its own. Make it on the event loop that its sinks live on.

    ``on_fatal`` is called on the loop after an error that the process must not survive (a CUDA error poisons the
    context for good); every reply has had its error event by then.
    """

    def __init__(
        self,
        decoder: Decoder,
        tokenizer: PreTrainedTokenizerBase,
        loop: asyncio.AbstractEventLoop,
        on_fatal: Callable[[], None],
    ) -> None:
        self._decoder = decoder
        self._tokenizer = tokenizer
        self._loop = loop
        self._on_fatal = on_fatal
        self._wake = threading.Condition()
        self._commands: list[_Command] = []
        self._closing = False
        self._jobs: dict[str, _Job] = {}
        self._out_of_memory = 0
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    # -- from the event loop ---------------------------------------------------------------------------------

    async def submit(self, request: DecodeRequest, sink: Sink, *, stops: tuple[str, ...], arrived: float) -> None:
        """Start a reply; its events go to ``sink``, the last one ``Done`` or ``Failed``.

        ``arrived`` (perf_counter) is when it was asked for: times in its usage count from there. Raises ApiError
        when the decoder refuses it: 413, 429, 400.
        """
        accepted: asyncio.Future[None] = self._loop.create_future()
        job = _Job(request, sink, accepted, ReplyText(self._tokenizer, stops), arrived)
        self._command(lambda: self._submit(job))
        try:
            await accepted
        except asyncio.CancelledError:
            self.cancel(request.id)
            raise

    def cancel(self, request_id: str) -> None:
        """Take the reply out before the next step; its sink hears nothing more."""
        self._command(lambda: self._cancel(request_id))

    async def forget(self, owner: str) -> None:
        """Zero what the decoder keeps of ``owner``'s conversations."""
        done: asyncio.Future[None] = self._loop.create_future()

        def forget() -> None:
            self._decoder.forget(owner)
            self._loop.call_soon_threadsafe(_resolve, done, None)

        self._command(forget)
        await done

    def close(self) -> None:
        """Stop after the step that is running; replies in flight end with an error event."""
        with self._wake:
            self._closing = True
            self._wake.notify()

    def _command(self, command: _Command) -> None:
        with self._wake:
            self._commands.append(command)
            self._wake.notify()

    # -- in the thread ---------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while self._wait():
                events = self._step()
                now = time.perf_counter()
                for event in events:
                    self._take(event, now)
                self._hand_out(now)
            self._fail_all(ApiError(503, "shutting_down", "the model process is being stopped"))
        except Exception as error:
            log.critical("the decode loop failed: %s", describe(error))
            self._fail_all(ApiError(500, "engine_failed", "the model process failed and is being restarted"))
            self._loop.call_soon_threadsafe(self._on_fatal)

    def _wait(self) -> bool:
        """Sleep while there is nothing to do, then obey the commands. False when it is time to stop."""
        while True:
            with self._wake:
                while not self._commands and not self._closing and self._decoder.idle:
                    self._wake.wait()
                if self._closing:
                    return False
                commands, self._commands = self._commands, []
            for command in commands:
                command()
            if not self._decoder.idle:
                return True

    def _submit(self, job: _Job) -> None:
        error: ApiError | None = None
        try:
            self._decoder.submit(job.request)
        except PromptTooLong as refused:
            error = prompt_too_long(refused.count, refused.limit)
        except QueueFull as refused:
            error = queue_full(refused.waiting + 1, RETRY_S)
        except ValueError as refused:
            error = ApiError(400, "invalid_request_error", str(refused))
        if error is None:
            self._jobs[job.request.id] = job
        self._loop.call_soon_threadsafe(_resolve, job.accepted, error)

    def _cancel(self, request_id: str) -> None:
        if self._jobs.pop(request_id, None) is not None:
            self._decoder.cancel(request_id)

    def _step(self) -> list[DecodeEvent]:
        exhausted = False
        try:
            events = self._decoder.step()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            exhausted = True
        if not exhausted:
            self._out_of_memory = 0
            return events
        # Outside the except: its traceback would keep alive the tensors that there is no room for.
        self._out_of_memory += 1
        if self._out_of_memory > _MOST_OUT_OF_MEMORY:
            raise MemoryError
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        for request_id in self._decoder.shed():
            log.error("out of memory: one reply was taken out, %d go on", self._decoder.active)
            if request_id in self._jobs:
                self._jobs[request_id].exhausted = True
        return []

    def _take(self, event: DecodeEvent, now: float) -> None:
        job = self._jobs.get(event.id)
        if job is None:
            return  # cancelled: nobody listens
        match event:
            case TokenEvent():
                self._token(job, event, now)
            case FinishEvent():
                del self._jobs[event.id]
                self._finish(job, event, now)
            case QueueEvent():
                job.events.append(Progress(phase="queued", position=event.position))
            case PrefillEvent():
                job.started = job.started or now
                percent = round(100 * event.done / event.total, 1)
                job.events.append(Progress(phase="prefill", percent=percent))

    def _token(self, job: _Job, event: TokenEvent, now: float) -> None:
        if job.stopped:
            return
        job.first = job.first or now
        job.last = now
        job.tokens += 1
        if job.text.add(event.token_id, event.channel):
            job.stopped = True
            self._decoder.cancel(event.id)

    def _finish(self, job: _Job, event: FinishEvent, now: float) -> None:
        job.events += [Text(*piece) for piece in job.text.end()]
        if job.exhausted:
            error = ApiError(
                500,
                "out_of_memory",
                "there was not enough memory for this answer: ask something shorter",
                code=memory_code(self._decoder.device.type, "answering"),
            )
            job.events.append(Failed(error))
        else:
            reason = FinishReason.STOP if job.stopped else event.reason
            job.events.append(Done(reason, _usage(job, event)))
        self._post([(job.sink, job.events)])

    def _hand_out(self, now: float) -> None:
        """Everything that is due, in one call to the loop."""
        due = []
        for job in self._jobs.values():
            if now - job.flushed >= FLUSH_S and (pieces := job.text.take()):
                job.events += [Text(*piece) for piece in pieces]
                job.flushed = now
            if job.events:
                due.append((job.sink, job.events))
                job.events = []
        if due:
            self._post(due)

    def _fail_all(self, error: ApiError) -> None:
        jobs, self._jobs = list(self._jobs.values()), {}
        self._post([(job.sink, [*job.events, Failed(error)]) for job in jobs])

    def _post(self, batch: list[tuple[Sink, list[EngineEvent]]]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens any more
            self._loop.call_soon_threadsafe(_give, batch)


def _give(batch: list[tuple[Sink, list[EngineEvent]]]) -> None:
    for sink, events in batch:
        for event in events:
            sink(event)


def _resolve(future: asyncio.Future[None], error: ApiError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


def _usage(job: _Job, event: FinishEvent) -> Usage:
    completion = event.reasoning_tokens + event.answer_tokens
    span = job.last - job.first if job.first is not None else 0.0
    return Usage(
        prompt_tokens=event.prompt_tokens,
        completion_tokens=completion,
        total_tokens=event.prompt_tokens + completion,
        prompt_tokens_details=PromptDetails(cached_tokens=event.cached_tokens),
        completion_tokens_details=CompletionDetails(reasoning_tokens=event.reasoning_tokens),
        answer_tokens=event.answer_tokens,
        time_to_first_token=None if job.first is None else round(job.first - job.arrived, 4),
        tokens_per_second=round((job.tokens - 1) / span, 1) if job.tokens > 1 and span > 0 else None,
        queue_seconds=None if job.started is None else round(job.started - job.arrived, 4),
        trace_closed=event.trace_closed.value,
    )
