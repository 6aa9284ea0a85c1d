"""One question's two records: that it was asked, before the engine sees it, and how its answer ended."""

from __future__ import annotations

import asyncio
import hmac
import json
import time

from medgemma_tui.audit.record import Entry
from medgemma_tui.gateway.auditing import Auditor
from medgemma_tui.gateway.metrics import OUTCOMES
from medgemma_tui.gateway.peers import Peer
from medgemma_tui.gateway.upstream import Event
from medgemma_tui.protocol import ChatMessage, ChatRequest, Usage

_FINISHES = frozenset(
    {"stop", "length", "cancelled", "second_trace", "next_speaker", "repetition", "non_finite", "content_filter"}
)
"""The engine's words for an end that are written as they are; any other could be anything."""
_LINE = 200
"""Characters of a line that are looked at for a heading."""
_MARKUP = " \t\r#*_>:：.、．0123456789"


def canonical(messages: list[ChatMessage]) -> str:
    """The one form of a question with its conversation that the ``input`` of a record is a keyed hash of."""
    return json.dumps([[message.role, message.text] for message in messages], separators=(",", ":"))


class Account:
    """The records of one request. ``position``: the first place in the queue that it was told, 0 for none.

    ``checks``: a health run asks, not a person.
    """

    def __init__(self, auditor: Auditor, peer: Peer, owner: str, chat: ChatRequest, *, checks: bool = False) -> None:
        self._auditor = auditor
        self._peer, self._owner, self._chat = peer, owner, chat
        self._marks = {"health": 1} if checks else {}
        self._written: asyncio.Future[int] | None = None
        self._asked_at = time.monotonic()
        self._began = time.monotonic()
        self._first_s: float | None = None
        self._usage: Usage | None = None
        self._finish = ""
        self._output: hmac.HMAC | None = None
        self._reasons: bool | None = None
        self._characters = 0
        self._missing = {heading.strip(_MARKUP) for heading in chat.sections or ()}
        self._asked = len(self._missing)
        self._line = ""
        self.position = 0

    async def ask(self) -> None:
        """Record the question, once, however often the engine has to be tried. Raises AuditFull."""
        if self._written is not None:
            return
        chat = self._chat
        counters: dict[str, int | float | str] = {
            "messages": len(chat.messages),
            "characters": sum(len(message.text) for message in chat.messages),
            "sections_asked": self._asked,
            "thinking": chat.thinking,
            **self._marks,
        }
        digest = (await self._auditor.opened()).digest(canonical(chat.messages))
        entry = Entry("question", "asked", self._peer.uid, self._peer.name, input=digest, counters=counters)
        written = self._auditor.submit(entry, self._owner)
        self._written = written
        try:
            await asyncio.shield(written)
        except Exception:
            self._written = None
            raise
        self._asked_at = time.monotonic()

    def passed_on(self, events: list[Event]) -> None:
        """These were given to the client."""
        for event in events:
            if event.reasoning:
                self._add(event.reasoning, reasons=True)
            if event.content:
                self._add(event.content, reasons=False)
                if self._missing:
                    self._look_for_headings(event.content)
            if event.finish:
                self._finish = event.finish
            if event.usage is not None:
                self._usage = event.usage

    def ended(self, outcome: str) -> None:
        """Record the answer. ``outcome`` is ``ok``, ``cancelled``, ``dropped`` or an error's type."""
        if self._written is None:
            return
        if self._written.done():
            self._record_end(outcome)
        else:  # the client left in the moment of writing
            self._written.add_done_callback(lambda _: self._record_end(outcome))

    def _record_end(self, outcome: str) -> None:
        if self._written is None or self._written.exception() is not None:
            return
        peer = self._peer
        if outcome == "dropped":
            self._auditor.later(Entry("dropped", "slow_reader", peer.uid, peer.name), self._owner)
        words = {"ok": "finished", "cancelled": "stopped", "dropped": "dropped"}
        counters: dict[str, int | float | str] = {
            "question": self._written.result(),
            "seconds": round(time.monotonic() - self._asked_at, 3),
            "characters": self._characters,
            "sections": self._asked - len(self._missing),
            "sections_asked": self._asked,
            "position": self.position,
            **self._marks,
        }
        if outcome not in words:
            counters["error"] = outcome if outcome in OUTCOMES else "error"
        if self._first_s is not None:
            counters["first_token_ms"] = round(self._first_s * 1000)
        if self._finish:
            counters["finish"] = self._finish if self._finish in _FINISHES else "other"
        if (usage := self._usage) is not None:
            reasoning = usage.completion_tokens_details.reasoning_tokens
            counters |= {
                "prompt_tokens": usage.prompt_tokens,
                "cached_tokens": usage.prompt_tokens_details.cached_tokens,
                "reasoning_tokens": reasoning,
                "answer_tokens": usage.answer_tokens or max(0, usage.completion_tokens - reasoning),
            }
        self._auditor.later(
            Entry(
                "answer", words.get(outcome, "failed"), peer.uid, peer.name,
                output=self._output.hexdigest() if self._output is not None else "", counters=counters,
            ),
            self._owner,
            always=True,
        )  # fmt: skip

    def _add(self, text: str, *, reasons: bool) -> None:
        """To the keyed hash of the reply: its reasoning, an empty line, its answer."""
        if self._output is None:
            if self._auditor.key is None:
                return
            self._first_s = time.monotonic() - self._began
            self._output = self._auditor.key.hasher()
        elif reasons is not self._reasons:
            self._output.update(b"\n\n")
        self._reasons = reasons
        self._output.update(text.encode("utf-8", "surrogatepass"))
        self._characters += len(text)

    def _look_for_headings(self, text: str) -> None:
        """A heading asked for stands in the answer where a line holds it and nothing else but markup."""
        *lines, last = (self._line + text).split("\n")
        for line in [*lines, last]:
            if len(line) <= _LINE:
                self._missing.discard(line.strip(_MARKUP))
        self._line = last[: _LINE + 1]
