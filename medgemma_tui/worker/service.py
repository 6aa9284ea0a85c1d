"""What the worker can answer at this moment, from its start to its end. Touched on the event loop only."""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from medgemma_tui.http_errors import ApiError, prompt_too_long
from medgemma_tui.privacy.watch import Watch
from medgemma_tui.protocol import (
    ChatMessage,
    ChatRequest,
    Health,
    HealthReason,
    ModelCard,
    ResponseFormat,
    TokenizeReply,
    TokenizeRequest,
)
from medgemma_tui.worker.types import DecodeRequest, Sampling, Thinking, TokenMask

if TYPE_CHECKING:  # these import torch or transformers; the server answers before they are there
    from medgemma_tui.worker.engine import Engine
    from medgemma_tui.worker.grammar import GrammarCompiler
    from medgemma_tui.worker.prompt import PromptRenderer

_P = ParamSpec("_P")
_T = TypeVar("_T")

DEFAULT_MAX_TOKENS = 2048
_LARGE = 4000
"""Characters of text from which encoding is done beside the event loop."""
_HUGE = 100_000
"""Characters from which one encoding at a time is done: each takes a core for a while."""
_COUNTED = 500_000
"""Characters up to which what cannot fit is counted all the same: a person is told by how much it is too long."""


@dataclass(frozen=True, slots=True)
class Words:
    """The tokenizer's part: there before the weights are."""

    renderer: PromptRenderer
    max_model_len: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The model's part: with it, questions are answered."""

    engine: Engine
    grammar: GrammarCompiler
    card: ModelCard


@dataclass(slots=True)
class Service:
    """The worker's state. ``words`` and ``ready`` come as loading goes on."""

    reason: HealthReason = "starting"
    percent: float | None = None
    detail: str = ""
    code: str = ""
    params: dict[str, str] = field(default_factory=dict)
    words: Words | None = None
    ready: Ready | None = None
    watch: Watch = field(default_factory=lambda: Watch("worker"))
    _huge: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))

    # -- how the loading goes --------------------------------------------------------------------------------

    def counting(self, words: Words) -> None:
        """Tokens can be counted from now on."""
        self.words = words

    def loading(self, percent: float) -> None:
        """So much of the weights is loaded."""
        self.reason, self.percent = "loading", percent

    def done(self, ready: Ready) -> None:
        """Questions can be answered from now on."""
        self.ready, self.reason, self.percent = ready, "ready", None

    def failed(
        self, reason: HealthReason, detail: str, code: str = "", params: Mapping[str, str] | None = None
    ) -> None:
        """There will be no model. ``detail`` is a sentence for the log, ``code`` and ``params`` make the screen's."""
        self.ready, self.percent, self.reason, self.detail = None, None, reason, detail
        self.code, self.params = code, dict(params or {})

    # -- answers ---------------------------------------------------------------------------------------------

    def health(self) -> Health:
        """``GET /health``."""
        return Health(
            status="ok" if self.ready else "not_ready",
            reason=self.reason,
            percent=self.percent,
            detail=self.detail,
            code=self.code,
            params=self.params,
            worker_pid=os.getpid(),
            model=self.ready.card if self.ready else None,
            privacy=self.watch.latest(),
        )

    def not_ready(self) -> ApiError:
        """503 with the reason."""
        waits = self.reason in ("starting", "loading")
        message = self.detail or ("the model is being loaded" if waits else "the model is not there")
        return ApiError(
            503, self.reason, message, code=self.code or None, percent=self.percent, retry_after_s=2 if waits else None
        )

    async def tokenize(self, request: TokenizeRequest) -> TokenizeReply:
        """Exact counts.

        Raises ApiError: 503 before the tokenizer is loaded, 400 for what the template refuses, 413 for what is too
        long at sight.
        """
        words = self._words()
        if request.prompt is not None:
            size = len(request.prompt)
            _refuse_at_sight(words, size, "prompt")
            ids = await self._beside(size, words.renderer.encode_text, request.prompt)
            return TokenizeReply(count=len(ids), max_model_len=words.max_model_len, tokens=ids)
        messages = request.messages or []
        size = _size(messages)
        _refuse_at_sight(words, size, "messages")
        try:
            counts = await self._beside(size, words.renderer.counts, messages, request.add_generation_prompt)
        except ValueError as error:
            raise _refused("messages", error) from None
        return TokenizeReply(
            count=counts.count,
            max_model_len=words.max_model_len,
            message_counts=list(counts.per_message),
            generation_prompt_tokens=counts.generation,
        )

    async def decode_request(self, chat: ChatRequest, owner: str, id_: str) -> DecodeRequest:
        """What the decoder is asked for one chat request.

        ``max_tokens`` is cut to what the window leaves. Raises ApiError: 413 where the prompt alone is too long,
        400 for what cannot be done, 503 while there is no model.
        """
        words = self._words()
        if chat.sections and chat.response_format is not None and chat.response_format.type != "text":
            raise ApiError(
                400, "invalid_request_error", "sections: cannot be had together with response_format", param="sections"
            )
        size = _size(chat.messages)
        _refuse_at_sight(words, size, "messages")
        try:
            prompt = await self._beside(size, words.renderer.render, chat.messages)
        except ValueError as error:
            raise _refused("messages", error) from None
        room = words.max_model_len - len(prompt)
        if room < 1:
            raise prompt_too_long(len(prompt), words.max_model_len - 1)
        return DecodeRequest(
            id=id_,
            prompt_ids=tuple(prompt),
            max_new_tokens=min(chat.limit or DEFAULT_MAX_TOKENS, room),
            thinking=Thinking(chat.thinking),
            thinking_budget=chat.thinking_budget,
            sections=tuple(
                # The decoder begins each on a line of its own, after a blank one where the text before needs it.
                tuple(words.renderer.encode_text(f"## {' '.join(heading.split())}\n"))
                for heading in chat.sections or ()
            ),
            sampling=Sampling(
                temperature=chat.temperature or 0.0,
                top_p=1.0 if chat.top_p is None else chat.top_p,
                top_k=chat.top_k or 0,
                seed=chat.seed,
            ),
            mask=await self._mask(chat.response_format),
            owner=owner,
        )

    async def _mask(self, wanted: ResponseFormat | None) -> TokenMask | None:
        if wanted is None or wanted.type == "text":
            return None
        if self.ready is None:
            raise self.not_ready()
        grammar = self.ready.grammar
        if wanted.json_schema is None:
            return await asyncio.to_thread(grammar.any_object)
        try:
            return await asyncio.to_thread(grammar.schema, dict(wanted.json_schema.schema_))
        except ValueError as error:
            raise _refused("response_format.json_schema.schema", error) from None

    async def _beside(self, size: int, function: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
        """What ``function`` returns, in a thread where ``size`` characters would hold up the other replies."""
        if size < _LARGE:
            return function(*arguments, **named)
        async with self._huge if size >= _HUGE else contextlib.nullcontext():
            return await asyncio.to_thread(function, *arguments, **named)

    def _words(self) -> Words:
        if self.words is None:
            raise self.not_ready()
        return self.words


def _size(messages: Sequence[ChatMessage]) -> int:
    """Characters that are sure to be encoded: a template may trim the white space around a message."""
    return sum(len(message.text.strip()) for message in messages)


def _refuse_at_sight(words: Words, size: int, param: str) -> None:
    """Raises ApiError (413) for a text of ``size`` characters that cannot fit, however it is cut into tokens.

    Encoding megabytes only to count what is refused anyway takes seconds from everybody else.
    """
    at_least = math.ceil(size / words.renderer.longest_token)
    if size > _COUNTED and at_least >= words.max_model_len:
        raise prompt_too_long(at_least, words.max_model_len - 1, at_least=True, param=param)


def _refused(param: str, error: ValueError) -> ApiError:
    return ApiError(400, "invalid_request_error", f"{param}: {error}", param=param)
