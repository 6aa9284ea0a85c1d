"""Calls on the engine's socket: our worker's, or another engine's with its few differences evened out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError, ValidationInfo, field_validator

from medgemma_tui.gateway.exchange import Broken, Exchange, NotConnected, exchange
from medgemma_tui.http_errors import ApiError
from medgemma_tui.protocol import ChatRequest, ErrorBody, ErrorInfo, Reply, StreamOptions, Usage
from medgemma_tui.protocol.base import null_is_default

MAX_REPLY_BYTES = 16 * 1024 * 1024
"""The largest whole reply, and the largest single event, taken from an engine."""

_OURS = {"thinking", "thinking_budget", "sections", "wait"}
"""What only our worker understands."""

_OBJECT = TypeAdapter(dict[str, JsonValue])


class EngineUnreachable(Exception):
    """The engine's socket did not take the connection: it has not seen the request."""


class EngineLost(Exception):
    """The engine went away, or stopped making sense, after it had taken the request."""


class _Delta(Reply):
    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class _Choice(Reply):
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None

    @property
    def part(self) -> _Delta:
        """The delta of a chunk, the message of a whole reply."""
        return self.delta or self.message or _Delta()


class _Body(Reply):
    """What the gateway looks at in a chunk or in a whole reply."""

    choices: tuple[_Choice, ...] = ()
    usage: Usage | None = None
    progress: JsonValue = None
    error: ErrorInfo | None = None

    @field_validator("choices", mode="before")
    @classmethod
    def _null(cls, value: JsonValue, info: ValidationInfo) -> JsonValue:
        return null_is_default(cls, value, info)


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a reply: the JSON to pass on, and what the gateway needs to know of it."""

    data: bytes
    usage: Usage | None = None
    reasoning: str = ""
    content: str = ""
    finish: str = ""
    """The engine's own word for the reply's end."""
    only_usage: bool = False
    only_progress: bool = False
    error: ErrorInfo | None = None

    @property
    def has_text(self) -> bool:
        """Whether it adds to the reply."""
        return bool(self.content or self.reasoning)


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole reply, of any status."""

    status: int
    body: bytes
    retry_after_s: int | None = None


class Upstream:
    """The engine behind one Unix socket. ``foreign`` is True for an engine that is not our worker."""

    def __init__(self, socket: Path, *, foreign: bool = False) -> None:
        self._socket = socket
        self._foreign = foreign

    async def call(
        self, method: str, path: str, body: BaseModel | None = None, *, owner: str = "", timeout_s: float | None = 30.0
    ) -> Answer:
        """One call with its whole reply. Raises EngineUnreachable, EngineLost."""
        content = b"" if body is None else self._content(body)
        async with (
            _mapped(),
            asyncio.timeout(timeout_s),
            exchange(self._socket, _head(method, path, owner), content) as response,
        ):
            return await _whole(response)

    @asynccontextmanager
    async def events(self, request: ChatRequest, owner: str) -> AsyncIterator[AsyncIterator[list[Event]]]:
        """The reply's events as they come, those of one read together; leaving closes the connection at once.

        Raises ApiError with the engine's refusal, EngineUnreachable, and, also while iterating, EngineLost, when
        the stream ends before its ``[DONE]``.
        """
        async with (
            _mapped(),
            exchange(self._socket, _head("POST", "/v1/chat/completions", owner), self._content(request)) as response,
        ):
            if response.status != 200:
                raise refusal(await _whole(response))
            async with aclosing(self._read(response)) as reads:
                yield reads

    async def _read(self, response: Exchange) -> AsyncGenerator[list[Event], None]:
        splitter = EventSplitter()
        async for chunk in response.chunks():
            events: list[Event] = []
            for data in splitter.feed(chunk):
                if data == b"[DONE]":
                    if events:
                        yield events
                    return
                events.append(self._event(data))
            if events:
                yield events
        raise EngineLost("the stream ended before its last event")

    def _event(self, data: bytes) -> Event:
        try:
            body = _Body.model_validate_json(data)
        except ValidationError:
            raise EngineLost("an event that is not valid") from None
        reasoning = content = finish = ""
        for choice in body.choices:  # one, but for engines that ignore what they are asked
            part = choice.part
            reasoning += part.reasoning or part.reasoning_content or ""
            content += part.content or ""
            finish = choice.finish_reason or finish
        return Event(
            data=self._even_out(data, body) if self._foreign else data,
            usage=body.usage,
            reasoning=reasoning,
            content=content,
            finish=finish,
            only_usage=not body.choices and body.usage is not None,
            only_progress=not body.choices and body.progress is not None,
            error=body.error,
        )

    def whole(self, answer: Answer) -> Event:
        """A reply to a request without ``stream``. Raises EngineLost where it is not a reply."""
        return self._event(answer.body)

    def _even_out(self, data: bytes, body: _Body) -> bytes:
        """``reasoning_content``, the field's older name, becomes ``reasoning``."""
        if all(choice.part.reasoning_content is None for choice in body.choices):
            return data
        reply = _OBJECT.validate_json(data)
        choices = reply["choices"]
        assert isinstance(choices, list)
        for choice in choices:
            part = choice.get("delta") or choice.get("message") if isinstance(choice, dict) else None
            if isinstance(part, dict) and (reasoning := part.pop("reasoning_content", None)) is not None:
                part.setdefault("reasoning", reasoning)
        return _OBJECT.dump_json(reply)

    def _content(self, body: BaseModel) -> bytes:
        """The request as it goes on. Usage is always asked for: the gateway counts by it."""
        without: set[str] = set()
        if isinstance(body, ChatRequest):
            if body.stream:
                body = body.model_copy(update={"stream_options": StreamOptions(include_usage=True)})
            without = _OURS if self._foreign else without
        return body.model_dump_json(exclude=without, exclude_none=True, exclude_unset=True, by_alias=True).encode()


class EventSplitter:
    """Cuts a byte stream into the data of its server-sent events. Comments and other fields are dropped."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that ``chunk`` completes. Raises EngineLost where one grows too large."""
        events: list[bytes] = []
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif not line and self._data:
                events.append(b"\n".join(self._data))
                self._data = []
        if len(self._rest) + sum(map(len, self._data)) > MAX_REPLY_BYTES:
            raise EngineLost("an event that is too large")
        return events


def refusal(answer: Answer) -> ApiError:
    """The engine's own refusal, to be passed on with its status and words."""
    try:
        info = ErrorBody.model_validate_json(answer.body).error
    except ValidationError:
        info = ErrorInfo(type="bad_reply", message=f"the engine answered HTTP {answer.status}")
    return engine_error(answer.status if answer.status >= 400 else 502, info, answer.retry_after_s)


def engine_error(status: int, info: ErrorInfo, retry_after_s: int | None = None) -> ApiError:
    """An engine's error as one of ours."""
    return ApiError(
        status,
        info.type,
        info.message,
        code=None if info.code is None else str(info.code),
        param=info.param,
        position=info.position,
        percent=info.percent,
        params=info.params,
        retry_after_s=retry_after_s,
    )


async def _whole(response: Exchange) -> Answer:
    body = bytearray()
    async for chunk in response.chunks():
        body += chunk
        if len(body) > MAX_REPLY_BYTES:
            raise EngineLost("a reply that is too large")
    retry = response.headers.get(b"retry-after", b"")
    return Answer(response.status, bytes(body), int(retry) if retry.isdigit() else None)


def _head(method: str, path: str, owner: str) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: engine", "Content-Type: application/json", "Accept-Encoding: identity"]
    if owner:  # digits, colon and [A-Za-z0-9._-] only: see Peer.owner
        lines.append(f"X-Medgemma-Owner: {owner}")
    return "".join(f"{line}\r\n" for line in lines).encode()


@asynccontextmanager
async def _mapped() -> AsyncIterator[None]:
    try:
        yield
    except NotConnected:
        raise EngineUnreachable from None
    except Broken:
        raise EngineLost("the connection broke") from None
    except TimeoutError:
        raise EngineLost("no answer in time") from None
