"""A health run's own questions to the model: through the gateway, as anybody's, within a time, with typed failures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from medgemma_tui.client import Client, ServiceError
from medgemma_tui.health.check import Outcome
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import ChatMessage, ChatRequest, Health, Progress, Usage

Why = Literal[
    "no_service", "loading", "worker_lost", "out_of_memory", "model_invalid", "failed_to_start", "audit_full",
    "busy", "no_answer", "unreachable", "forbidden", "refused",
]  # fmt: skip
"""Why there is no answer. ``busy``: it waited in the queue all the time. ``no_answer``: the model had it, and was
silent or not done in time. ``refused``: anything else, which ``params["reason"]`` names."""

LASTING: Final[frozenset[Why]] = frozenset(
    {"loading", "worker_lost", "out_of_memory", "model_invalid", "failed_to_start", "audit_full", "no_answer"}
)
"""Where the next question of the run would wait as long for nothing."""
_HEALTH_S: Final = 5.0
_REASONS: dict[str, Why] = {
    "loading": "loading",
    "starting": "loading",
    "worker_lost": "worker_lost",
    "out_of_memory": "out_of_memory",
    "model_invalid": "model_invalid",
    "failed": "failed_to_start",
    "audit_full": "audit_full",
    "queue_full": "busy",
    "user_queue_full": "busy",
    "too_many_calls": "busy",
    "unreachable": "unreachable",
    "forbidden": "forbidden",
    "interrupted": "unreachable",
}


class NotAnswered(Exception):
    """There is no answer. ``params``: the values of the sentence as text."""

    def __init__(self, why: Why, **params: str) -> None:
        self.why: Why = why
        self.params = params
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole reply. ``first_token_s``: from the sending to the first text or trace, by our clock, None where there was
    none. ``rate``: tokens a second by the engine, else by our clock; None where neither knows."""

    text: str
    reasoning: str
    finish: str
    usage: Usage
    first_token_s: float | None
    rate: float | None


def decode(
    context: Context,
    messages: Sequence[ChatMessage],
    *,
    within_s: float,
    max_tokens: int,
    thinking: Literal["auto", "skip"] = "auto",
    thinking_budget: int | None = None,
) -> Reply:
    """Ask greedily, and wait ``within_s`` for the whole reply. Raises NotAnswered.

    How it ended is noted in ``context.finishes``, and in ``context.no_answer`` why there is none where that will last.
    """
    if context.socket is None:
        raise NotAnswered("no_service")
    if context.no_answer:
        raise NotAnswered("refused", reason=context.no_answer)
    request = ChatRequest(
        messages=list(messages),
        max_tokens=max_tokens,
        temperature=0.0,
        thinking=thinking,
        thinking_budget=thinking_budget,
        wait=True,  # so that the queue tells where the question stands
    )
    try:
        reply = context.call(lambda client: _asked(client, request, within_s))
    except ServiceError as error:
        failure = _of_error(error)
    except NotAnswered as known:
        failure = known
    else:
        context.finishes.append(reply.finish)
        return reply
    if failure.why in LASTING:
        context.no_answer = failure.why
    raise failure


def not_answered(failure: NotAnswered) -> Outcome:
    """The outcome of a check that only needed the model for something else: not asked, and why."""
    if failure.why == "no_service":
        return Outcome("no_service")
    if failure.why == "busy":
        return Outcome("busy")
    return Outcome("not_asked", {"reason": failure.params.get("reason", failure.why)})


async def _asked(client: Client, request: ChatRequest, within_s: float) -> Reply:
    try:
        async with asyncio.timeout(_HEALTH_S):
            health = await client.health()
    except TimeoutError:
        raise NotAnswered("unreachable") from None
    if health.status != "ok":
        raise _of_health(health)
    reading = _Reading(client, request)
    try:
        async with asyncio.timeout(within_s):
            await reading.read()
    except TimeoutError:
        if reading.queued:
            raise NotAnswered("busy") from None
        raise NotAnswered("no_answer", seconds=f"{within_s:.0f}") from None
    return reading.reply()


class _Reading:
    """One reply as it comes."""

    def __init__(self, client: Client, request: ChatRequest) -> None:
        self._client = client
        self._request = request
        self._began = time.monotonic()
        self._first: float | None = None
        self._last = self._began
        self._text: list[str] = []
        self._reasoning: list[str] = []
        self._finish = ""
        self._usage = Usage()
        self.queued = False

    async def read(self) -> None:
        """To the end. Raises NotAnswered and ServiceError."""
        stream = self._client.stream(self._request)
        try:
            async for chunk in stream:
                if chunk.progress is not None:
                    await self._waits(chunk.progress)
                self._usage = chunk.usage or self._usage
                for choice in chunk.choices:
                    self._finish = choice.finish_reason or self._finish
                    self._text.append(choice.delta.content or "")
                    self._reasoning.append(choice.delta.reasoning or "")
                    if choice.delta.content or choice.delta.reasoning:
                        self._last = time.monotonic()
                        self._first = self._first or self._last
        finally:
            await stream.aclose()

    async def _waits(self, progress: Progress) -> None:
        self.queued = progress.phase == "queued"
        if progress.phase in ("loading", "audit"):  # it was ready a moment ago
            health = await self._client.health()
            raise _of_health(health) if health.status != "ok" else NotAnswered("worker_lost")

    def reply(self) -> Reply:
        """What has come."""
        return Reply(
            text="".join(self._text),
            reasoning="".join(self._reasoning),
            finish=self._finish,
            usage=self._usage,
            first_token_s=None if self._first is None else self._first - self._began,
            rate=self._usage.tokens_per_second or self._own_rate(),
        )

    def _own_rate(self) -> float | None:
        if self._first is None or self._last <= self._first or self._usage.completion_tokens < 2:
            return None
        return (self._usage.completion_tokens - 1) / (self._last - self._first)


def _of_health(health: Health) -> NotAnswered:
    why = _REASONS.get(health.reason)
    percent = "" if health.percent is None else f"{health.percent:.0f}"
    return NotAnswered(why or "refused", reason=health.code or health.reason, percent=percent)


def _of_error(error: ServiceError) -> NotAnswered:
    why = _REASONS.get(error.info.type) or _REASONS.get(str(error.info.code))
    return NotAnswered(why or "refused", reason=str(error.info.code or error.info.type))
