"""Every question of the corpus, through the real gateway and worker in 4-bit: trace and answer word for word."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

import pytest

from medgemma_tui import instructions
from medgemma_tui.client import Client
from medgemma_tui.demo import corpus
from medgemma_tui.protocol import ChatCompletion, ChatMessage, ChatRequest
from medgemma_tui.settings import Settings

pytestmark = [pytest.mark.engine, pytest.mark.e2e]


class Gateway(Protocol):
    """The session's gateway on the demo model."""

    socket: Path


async def _converse(client: Client, entry: corpus.Entry, system: str) -> list[str]:
    """Ask an entry's turns in order; returns what differs from the corpus."""
    wrong: list[str] = []
    messages = [ChatMessage(role="system", content=system)] if system else []
    for number, turn in enumerate(entry.turns, start=1):
        messages.append(ChatMessage(role="user", content=turn.question))
        reply: ChatCompletion = await client.chat(ChatRequest(messages=messages, wait=True, max_tokens=1024))
        choice = reply.choices[0]
        if (choice.message.reasoning or "").strip() != turn.reasoning:
            wrong.append(f"{entry.id} turn {number}: trace: {choice.message.reasoning!r}")
        if (choice.message.content or "").strip() != turn.answer:
            wrong.append(f"{entry.id} turn {number}: answer: {choice.message.content!r}")
        if choice.finish_reason != "stop":
            wrong.append(f"{entry.id} turn {number}: finish_reason {choice.finish_reason}")
        messages.append(ChatMessage(role="assistant", content=turn.answer))
    return wrong


@pytest.mark.parametrize("language", ["zh", "en", None])
async def test_every_corpus_question_is_answered_word_for_word(gateway: Gateway, language: str | None) -> None:
    system = instructions.load(Settings(), language) if language else ""  # type: ignore[arg-type]
    places = asyncio.Semaphore(12)  # eight are answered at once, and the queue holds 32

    async def one(entry: corpus.Entry) -> list[str]:
        async with places:
            return await _converse(client, entry, system)

    async with Client(gateway.socket) as client:
        results = await asyncio.gather(*(one(entry) for entry in corpus.entries()))
    wrong = [line for lines in results for line in lines]
    assert not wrong, "\n".join(wrong)


async def test_gfr_question_gives_the_thresholds_and_keeps_the_trace_apart(gateway: Gateway) -> None:
    request = ChatRequest(messages=[ChatMessage(role="user", content=corpus.GFR_QUESTION)], wait=True)
    async with Client(gateway.socket) as client:
        reply = await client.chat(request)
    message = reply.choices[0].message
    for threshold in ("G1", "≥90", "G3a", "45", "G5", "<15"):
        assert threshold in (message.content or "").replace(" ", "")
    assert message.reasoning
    assert "unused9" not in (message.content or "") + message.reasoning
    assert reply.usage.completion_tokens_details.reasoning_tokens > 0


async def test_three_turns_reuse_the_prompt_of_the_turn_before(gateway: Gateway) -> None:
    entry = next(entry for entry in corpus.entries() if len(entry.turns) >= 3)
    messages: list[ChatMessage] = []
    cached = []
    async with Client(gateway.socket) as client:
        for turn in entry.turns:
            messages.append(ChatMessage(role="user", content=turn.question))
            reply = await client.chat(ChatRequest(messages=messages, wait=True))
            cached.append(reply.usage.prompt_tokens_details.cached_tokens)
            messages.append(ChatMessage(role="assistant", content=reply.choices[0].message.content or ""))
    assert cached[1] > 0
    assert cached[2] > cached[1]
