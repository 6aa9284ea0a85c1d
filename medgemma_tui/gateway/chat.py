"""``POST /v1/chat/completions``: from the body's checks through the queue to the engine, and its reply back."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable, Coroutine

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from medgemma_tui.gateway.account import Account
from medgemma_tui.gateway.admission import Admission
from medgemma_tui.gateway.auditing import AuditFull, Auditor
from medgemma_tui.gateway.board import Board, Signal
from medgemma_tui.gateway.metrics import OUTCOMES, Metrics
from medgemma_tui.gateway.peers import Peer, of_health_run
from medgemma_tui.gateway.upstream import EngineLost, EngineUnreachable, Event, Upstream, engine_error, refusal
from medgemma_tui.http_errors import ApiError, read_body
from medgemma_tui.protocol import ChatChunk, ChatRequest, Progress

log = logging.getLogger(__name__)

STALL_S = 60.0
"""Seconds that a client may leave a full buffer unread before its place at the engine is given to another."""
BEAT_S = 10.0
"""Seconds of silence after which a client that waits for its stream is told that we live. Ours give up after 40."""
_RETRY_S = 0.2
_VERDICT_S = 1.0


class Chat:
    """The endpoint, as an ASGI application."""

    def __init__(
        self,
        admission: Admission,
        board: Board,
        signal: Signal,
        upstream: Upstream,
        metrics: Metrics,
        auditor: Auditor,
        judged: Callable[[], Awaitable[None]],
    ) -> None:
        """``judged`` returns once it is known whether the box was found fit."""
        self._admission = admission
        self._board = board
        self._signal = signal
        self._upstream = upstream
        self._metrics = metrics
        self._auditor = auditor
        self._judged = judged

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises ApiError while nothing has been sent."""
        peer: Peer = scope["state"]["peer"]
        request = Request(scope, receive)
        out = _Out(scope, receive, send, peer)
        outcome = "error"
        account: Account | None = None
        try:
            chat = await read_body(request, ChatRequest)
            owner = peer.owner(request.headers.get("x-medgemma-session"))
            checks = of_health_run(peer, request)
            account = Account(self._auditor, peer, owner, chat, checks=checks)
            work = self._answer(chat, peer, owner, account, out, checks=checks)
            stayed = await until_hangup(receive, out.beating(work) if chat.wait and chat.stream else work)
            outcome = "ok" if stayed or out.ended else "cancelled"  # a reply's end is told as a hang-up is
        except asyncio.CancelledError:  # the server ends; a hang-up cancels the work only
            outcome = "shutting_down"
            raise
        except ApiError as error:
            outcome = error.type
            told = error.type if error.type in OUTCOMES else "error"  # another engine's word could be anything
            log.info("%s: refused or failed: %s", peer.name, told)
            if not out.started:
                raise
            await out.fail(error)
        finally:
            self._metrics.count(outcome)
            if account is not None:
                account.ended("dropped" if out.dropped else outcome)

    async def _answer(
        self, chat: ChatRequest, peer: Peer, owner: str, account: Account, out: _Out, *, checks: bool
    ) -> None:
        began = time.monotonic()
        reply = self._stream if chat.stream else self._whole
        await self._judged()
        with self._admission.ticket(peer.uid, patient=chat.wait, checks=checks) as ticket:
            while True:
                async for progress in self._admission.turn(ticket):
                    account.position = account.position or progress.position or 0
                    if chat.wait and chat.stream:
                        await out.progress(progress)
                try:
                    await account.ask()
                    await reply(chat, owner, account, out, began)
                    return
                except AuditFull:
                    if not chat.wait:
                        raise
                    self._admission.put_back(ticket)
                except EngineUnreachable:
                    if not chat.wait:
                        raise await self._lost() from None
                    await asyncio.sleep(_RETRY_S)
                    self._admission.put_back(ticket)
                except EngineLost as error:
                    log.warning("the engine was lost while it answered: %s", error)
                    raise await self._lost() from None

    async def _whole(self, chat: ChatRequest, owner: str, account: Account, out: _Out, began: float) -> None:
        answer = await self._upstream.call("POST", "/v1/chat/completions", chat, owner=owner, timeout_s=None)
        if answer.status != 200:
            raise refusal(answer)
        reply = self._upstream.whole(answer)
        self._note(reply, began, first=False)
        account.passed_on([reply])
        await out.whole(reply.data)

    async def _stream(self, chat: ChatRequest, owner: str, account: Account, out: _Out, began: float) -> None:
        wants_usage = chat.wait or (chat.stream_options is not None and chat.stream_options.include_usage)
        first = True
        async with self._upstream.events(chat, owner) as reads:
            await out.start()
            async for events in reads:
                account.passed_on(events)
                passed: list[bytes] = []
                for event in events:
                    self._note(event, began, first=first and event.has_text)
                    first = first and not event.has_text
                    if event.error is not None:
                        await out.write(passed)
                        raise engine_error(500, event.error)
                    if (chat.wait or not event.only_progress) and (wants_usage or not event.only_usage):
                        passed.append(event.data)
                await out.write(passed)
        await out.done()

    def _note(self, event: Event, began: float, *, first: bool) -> None:
        if first:
            self._metrics.first_token(time.monotonic() - began)
        if event.usage is not None:
            self._metrics.usage(event.usage)

    async def _lost(self) -> ApiError:
        """Why the engine is gone, as far as it is known a moment later: a stream breaks before its process's end."""
        try:
            async with asyncio.timeout(_VERDICT_S):
                while self._board.ready_for(checks=True):
                    await self._signal.wait()
        except TimeoutError:
            pass
        if self._board.engine.reason in ("out_of_memory", "model_invalid", "failed"):
            return self._board.refusal(checks=True)
        return ApiError(503, "worker_lost", "the model process was lost before its answer was whole", retry_after_s=1)


async def until_hangup(receive: Receive, work: Coroutine[None, None, None]) -> bool:
    """Do the work; False where the client hung up first, and the work was cancelled."""
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_hangup(receive))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
            return True
        return False
    finally:
        for task in (working, watching):
            task.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _hangup(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class _Out:
    """The reply on its way to the client. Each write waits until the client has read enough of the last."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, peer: Peer) -> None:
        self._scope, self._receive, self._send, self._peer = scope, receive, send, peer
        self._id = f"chatcmpl-{secrets.token_hex(8)}"
        self._created = int(time.time())
        self.started = False
        self._quiet = False
        self.dropped = False
        """True once the client was given up, because it does not read."""
        self.ended = False
        """True once the last of the reply was handed over."""

    async def whole(self, body: bytes) -> None:
        """The whole reply, as JSON."""
        self.started = True
        await Response(body, media_type="application/json")(self._scope, self._receive, self._send)
        self.ended = True

    async def start(self) -> None:
        """Begin the stream, once."""
        if not self.started:
            self.started = True
            headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store")]
            await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def progress(self, progress: Progress) -> None:
        """A ``progress`` chunk of the gateway's own."""
        await self.start()
        chunk = ChatChunk(id=self._id, created=self._created, progress=progress)
        await self.write([chunk.model_dump_json(exclude_none=True).encode()])

    async def write(self, payloads: list[bytes]) -> None:
        """These events, in one piece."""
        if payloads:
            await self._push(b"".join(b"data: %b\n\n" % payload for payload in payloads))

    async def done(self) -> None:
        """The ordinary end."""
        await self._push(b"data: [DONE]\n\n", more=False)
        self.ended = True

    async def fail(self, error: ApiError) -> None:
        """The other end: an error event."""
        await self._push(b"data: %b\n\n" % error.body(), more=False)

    async def beating(self, work: Coroutine[None, None, None]) -> None:
        """Do the work; while it has nothing to send, a comment is sent instead."""
        beat = asyncio.ensure_future(self._beat())
        try:
            await work
        finally:
            beat.cancel()
            await asyncio.gather(beat, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            self._quiet = True
            await asyncio.sleep(BEAT_S)
            if self._quiet:
                await self.start()
                await self._push(b": waiting\n\n")

    async def _push(self, body: bytes, *, more: bool = True) -> None:
        self._quiet = False
        try:
            async with asyncio.timeout(STALL_S):
                await self._send({"type": "http.response.body", "body": body, "more_body": more})
        except TimeoutError:
            log.warning("%s did not read its reply for %.0f s; dropped", self._peer.name, STALL_S)
            self.dropped = True
            self._peer.abort()
            await asyncio.sleep(_VERDICT_S)  # the hang-up that this makes ends us here
            raise ApiError(408, "timeout", "the client does not read") from None
