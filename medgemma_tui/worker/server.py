"""The worker's HTTP side: OpenAI chat completions and its companions, for the gateway on a private socket."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import Iterable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from medgemma_tui.http_errors import ApiError, error_handler, read_body
from medgemma_tui.protocol import (
    AssistantMessage,
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    Choice,
    ModelList,
    Progress,
    TokenizeRequest,
    Usage,
)
from medgemma_tui.quiet import Quiet, answers
from medgemma_tui.worker.outbox import Done, EngineEvent, Failed, Text
from medgemma_tui.worker.service import Service
from medgemma_tui.worker.types import Channel, FinishReason

log = logging.getLogger(__name__)

OWNER_HEADER = "x-medgemma-owner"
"""Set by the gateway, which alone reaches the socket: whose conversation this is."""
_LOAD_POLL_S = 0.05
_HEADERS = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]

Inbox = asyncio.Queue[EngineEvent | None]
"""A reply's events; None when the client has hung up."""


def make_app(service: Service) -> ASGIApp:
    """The application that answers for ``service``."""
    calls = _Calls(service)
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", _Chat(service), methods=["POST"]),
            Route("/tokenize", calls.tokenize, methods=["POST"]),
            Route("/v1/models", calls.models),
            Route("/health", calls.health),
            Route("/v1/privacy", calls.privacy),
            Route("/v1/session", calls.forget, methods=["DELETE"]),
        ],
        exception_handlers={ApiError: error_handler, Exception: answers("the model process")},
    )
    return Quiet(app, "the model process", log)


class _Calls:
    """The short calls."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def tokenize(self, request: Request) -> Response:
        reply = await self._service.tokenize(await read_body(request, TokenizeRequest))
        return _json(reply.model_dump_json())

    async def models(self, _request: Request) -> Response:
        ready = self._service.ready
        return _json(ModelList(data=[ready.card] if ready else []).model_dump_json(exclude_none=True))

    async def health(self, _request: Request) -> Response:
        health = self._service.health()
        return _json(health.model_dump_json(exclude_none=True), 200 if health.status == "ok" else 503)

    async def privacy(self, _request: Request) -> Response:
        whole = await asyncio.to_thread(self._service.watch.probe)
        return _json(whole.model_dump_json())

    async def forget(self, request: Request) -> Response:
        if self._service.ready is not None:
            await self._service.ready.engine.forget(_owner(request))
        return Response(status_code=204)


class _Chat:
    """``POST /v1/chat/completions``, as an ASGI application."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises ApiError while nothing has been sent."""
        arrived = time.perf_counter()
        request = Request(scope, receive)
        chat = await read_body(request, ChatRequest)
        inbox: Inbox = asyncio.Queue()
        out: _Stream | _Whole = _Stream(send, chat.wait) if chat.stream else _Whole(scope, receive, send)
        watching = asyncio.create_task(_watch(receive, inbox))
        try:
            await self._answer(chat, _owner(request), inbox, out, arrived)
        except ApiError as error:
            if not out.started:
                raise
            await out.fail(error)
        finally:
            watching.cancel()

    async def _answer(self, chat: ChatRequest, owner: str, inbox: Inbox, out: _Stream | _Whole, arrived: float) -> None:
        service = self._service
        if chat.wait and not await self._loaded(inbox, out):
            return
        if service.ready is None:
            raise service.not_ready()
        engine, out.model = service.ready.engine, service.ready.card.id
        request = await service.decode_request(chat, owner, out.id)
        await engine.submit(request, inbox.put_nowait, stops=chat.stops, arrived=arrived)
        ended = False
        try:
            while not ended:
                events = [await inbox.get()]
                while not inbox.empty():
                    events.append(inbox.get_nowait())
                if None in events:
                    return
                ended = await out.write([event for event in events if event is not None])
        finally:
            if not ended:
                engine.cancel(out.id)

    async def _loaded(self, inbox: Inbox, out: _Stream | _Whole) -> bool:
        """Wait until the model is loaded or cannot be; False where the client hung up first."""
        told = -1.0
        while self._service.reason in ("starting", "loading"):
            percent = self._service.percent or 0.0
            if percent > told:
                told = percent
                await out.write([Progress(phase="loading", percent=percent)])
            await asyncio.sleep(_LOAD_POLL_S)
            if not inbox.empty():
                return False
        return True


async def _watch(receive: Receive, inbox: Inbox) -> None:
    """Tell ``inbox`` when the client hangs up."""
    while (await receive())["type"] != "http.disconnect":
        pass
    inbox.put_nowait(None)


class _Whole:
    """A reply in one piece."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._texts: dict[Channel, list[str]] = {channel: [] for channel in Channel}
        self.id = _new_id()
        self.model = ""
        self.started = False

    async def write(self, events: Iterable[EngineEvent]) -> bool:
        """Take more of the reply; send it when it is complete, and return True. Raises ApiError where it failed."""
        for event in events:
            match event:
                case Text():
                    self._texts[event.channel].append(event.text)
                case Done():
                    await self._finish(event)
                    return True
                case Failed():
                    raise event.error
        return False

    async def fail(self, error: ApiError) -> None:
        """Never called: nothing is sent before the reply is complete."""
        raise error

    async def _finish(self, done: Done) -> None:
        message = AssistantMessage(
            content="".join(self._texts[Channel.CONTENT]),
            reasoning="".join(self._texts[Channel.REASONING]) or None,
        )
        reply = ChatCompletion(
            id=self.id,
            created=int(time.time()),
            model=self.model,
            choices=[Choice(message=message, finish_reason=done.reason.value)],
            usage=done.usage,
        )
        self.started = True
        await _json(reply.model_dump_json(exclude_none=True))(self._scope, self._receive, self._send)


class _Stream:
    """A reply as server-sent events. What chunks have in common is serialised once."""

    def __init__(self, send: Send, wants_progress: bool) -> None:
        self._send = send
        self._wants_progress = wants_progress
        self._created = int(time.time())
        self._frame = ""
        self.id = _new_id()
        self.model = ""
        self.started = False

    async def write(self, events: Iterable[EngineEvent]) -> bool:
        """Send more of the reply, in one piece; True when it is complete. Raises ApiError where it failed."""
        data: list[str] = []
        for event in events:
            match event:
                case Text():
                    data.append(self._delta(event))
                case Done():
                    data += [self._end(event.reason), self._usage(event.usage), "data: [DONE]\n\n"]
                    await self._push(data, more=False)
                    return True
                case Failed():
                    if data:
                        await self._push(data)
                    raise event.error
                case Progress() if self._wants_progress:
                    data.append(self._extra(ChatChunk(progress=event)))
        if data:
            await self._push(data)
        return False

    async def fail(self, error: ApiError) -> None:
        """End the stream with an error event."""
        await self._send({"type": "http.response.body", "body": b"data: " + error.body() + b"\n\n"})

    async def _push(self, data: list[str], *, more: bool = True) -> None:
        if not self.started:
            self.started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await self._send({"type": "http.response.body", "body": "".join(data).encode(), "more_body": more})

    def _delta(self, text: Text) -> str:
        return self._begin() + self._choice(f'"{text.channel.value}":{json.dumps(text.text, ensure_ascii=False)}')

    def _end(self, reason: FinishReason) -> str:
        return self._begin() + self._choice("", f'"{reason.value}"')

    def _begin(self) -> str:
        """The first chunk, before any text: it has the role."""
        return "" if self._frame else self._choice('"role":"assistant","content":""')

    def _choice(self, delta: str, finish_reason: str = "null") -> str:
        return f'{self._head()}{{{delta}}},"finish_reason":{finish_reason}}}]}}\n\n'

    def _head(self) -> str:
        """A chunk up to its delta."""
        if not self._frame:
            chunk = ChatChunk(id=self.id, created=self._created, model=self.model)
            before = chunk.model_dump_json(exclude={"choices", "usage", "progress"})
            self._frame = f'data: {before[:-1]},"choices":[{{"index":0,"delta":'
        return self._frame

    def _usage(self, usage: Usage) -> str:
        return self._extra(ChatChunk(usage=usage))

    def _extra(self, chunk: ChatChunk) -> str:
        """A chunk without choices."""
        whole = chunk.model_copy(update={"id": self.id, "created": self._created, "model": self.model})
        return f"data: {whole.model_dump_json(exclude_none=True)}\n\n"


def _owner(request: Request) -> str:
    return request.headers.get(OWNER_HEADER, "")


def _new_id() -> str:
    return f"chatcmpl-{secrets.token_hex(12)}"


def _json(body: str, status: int = 200) -> Response:
    return Response(body, status_code=status, media_type="application/json")
