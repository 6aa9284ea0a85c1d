"""One connection, guarded against clients that send nonsense, too much, too slowly, or do not read.

uvicorn's protocol with the peer in ``scope["state"]["peer"]``, bounds on all that a client can make us keep, a time
limit for every state that a connection can be in, and our own JSON error where uvicorn has plain text.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from medgemma_tui.gateway.door import Door
from medgemma_tui.gateway.peers import Peer, peer_of
from medgemma_tui.http_errors import ApiError

MAX_HEADER_BYTES = 32 * 1024
"""The request line's target and all headers together; more gets 431."""
HEADERS_S = 10.0
"""Seconds from a request's first byte until its headers are whole, however steadily they trickle in."""
STALL_S = 70.0
"""Seconds that a client may leave a full buffer, or the last of a connection that we have ended, unread. A little more
than a question's own limit, which knows what it ends."""
IDLE_S = 75
"""Seconds that a connection may be open without a request."""
_PIPELINE = 8
"""Requests that may wait behind one that is being answered. None of our clients sends a second before its reply."""


class PeerProtocol(HttpToolsProtocol):
    """See the module. ``door`` is set by a subclass: see :func:`protocol_for`."""

    door: ClassVar[Door]
    peer: Peer | None = None

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)  # type: ignore[arg-type]  # uvicorn's own
        self.timeout_keep_alive = IDLE_S
        self._in_headers = self._in_body = False
        self._moved = False
        self._unparsed = self._header_bytes = 0
        self._fault: ApiError | None = None
        self._headers_since: float | None = None
        self._full_since: float | None = None
        self._answered: RequestResponseCycle | None = None  # ``cycle`` is the newest, this the one being answered

    # --- the connection ---

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """A connection came: ask the kernel who it is."""
        super().connection_made(transport)
        self.peer = peer_of(transport, self.door.policy)
        # A connection that never asks anything is an idle one; uvicorn cancels this with the first byte.
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        self.door.come(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone: whoever answers on it is told, also where another request waits behind."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._hang_up()
        self.door.leave(self)

    @property
    def idle(self) -> bool:
        """True while no call is being answered on it."""
        return (self._answered is None or self._answered.response_complete) and not self.pipeline

    def drop(self) -> None:
        """End it now, with what is still in its buffer."""
        self.transport.abort()

    def check(self, now: float) -> None:
        """Drop it where it has had its time. Called now and then."""
        if self.transport.is_closing() and self._full_since is None:
            self._full_since = now
        if self._full_since is not None and now - self._full_since > STALL_S:
            self.door.incidents.note("dropped", "slow_reader", self.peer)
            self.drop()
        elif self._in_headers and self.idle:
            self._headers_since = self._headers_since or now  # it began while another was being answered
            if now - self._headers_since > HEADERS_S:
                self._refuse(ApiError(408, "timeout", "the headers took too long to come", code="headers_timeout"))
        elif self._in_body and self.idle:
            self.transport.close()  # a reply that is whole, to a body that is not and that nobody wants

    # --- what the client sends ---

    def data_received(self, data: bytes) -> None:
        """More of a request, or of several."""
        self._unset_keepalive_if_required()
        if self.transport.is_closing():
            return
        self._moved = False
        self._unparsed += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            if self.cycle is not None:
                self.cycle.keep_alive = False  # no other protocol is spoken here: answered as if it had not asked
        except httptools.HttpParserError:
            malformed = ApiError(400, "invalid_request_error", "this is not HTTP", code="malformed_request")
            self._refuse(self._fault or malformed)
            return
        if self._unparsed > MAX_HEADER_BYTES:  # one name, value or chunk's extension that does not end
            self._refuse(_headers_too_large())
        elif not self._moved and not self._in_body:
            self._in_headers = True  # empty lines before a request are a part of it
        if self._in_headers and self.idle and self._headers_since is None:
            self._headers_since = self.loop.time()

    def on_message_begin(self) -> None:
        """A request begins."""
        self._move()
        if len(self.pipeline) >= _PIPELINE:
            self._stop(ApiError(429, "too_many_calls", f"more than {_PIPELINE} requests at once on one connection"))
        super().on_message_begin()
        self._in_headers = True
        self._header_bytes = 0
        self.scope["state"]["peer"] = self.peer

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        self._move()
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one of the trailers after a body in chunks."""
        self._move()
        self._count(len(name) + len(value))
        if not self._in_body:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The request's headers are whole: it begins to be answered."""
        self._move()
        self._in_headers, self._headers_since = False, None
        self._in_body = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._move()
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        self._move()
        self._in_body = False
        super().on_message_complete()

    def _move(self) -> None:
        self._moved = True
        self._unparsed = 0

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            self._stop(_headers_too_large())

    def _stop(self, error: ApiError) -> None:
        """Make the parser stop, for this reason."""
        self._fault = error
        raise ValueError(error.code)  # httptools makes it its own error, which ends feed_data

    def _refuse(self, error: ApiError) -> None:
        """Answer with this error, where no reply has begun, and end the connection."""
        if self.peer is None or not self.peer.roles:
            error = self.door.refusal(self.peer) or error
        else:
            self.door.incidents.note("dropped", error.code, self.peer)
        if self.transport.is_closing():
            return
        if self.idle or not (self._answered is None or self._answered.response_started or self.pipeline):
            body = error.body()
            head = b"content-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            self.transport.write(STATUS_LINE[error.status] + head + body)
        self._hang_up()
        self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answered = cycle
        super()._start_asgi_task(cycle, app)

    def _hang_up(self) -> None:
        """Tell whoever answers a request that nobody is there any more; nothing more is written."""
        self.pipeline.clear()
        if self._answered is not None and not self._answered.response_complete:
            self._answered.disconnected = True
            self._answered.message_event.set()

    # --- what the client reads ---

    def pause_writing(self) -> None:
        """The client does not read as fast as we write."""
        super().pause_writing()
        self._full_since = self.loop.time()

    def resume_writing(self) -> None:
        """It has read enough."""
        super().resume_writing()
        self._full_since = None


def protocol_for(door: Door) -> type[PeerProtocol]:
    """The protocol of the connections through this door: uvicorn makes them, and hands nothing of ours on."""
    return type("PeerProtocol", (PeerProtocol,), {"door": door})


async def watch(door: Door) -> None:
    """Check every connection's times, for ever."""
    while True:
        await asyncio.sleep(min(HEADERS_S, STALL_S) / 5)
        now = asyncio.get_running_loop().time()
        for connection in door.connections:
            if isinstance(connection, PeerProtocol):
                connection.check(now)


def _headers_too_large() -> ApiError:
    return ApiError(
        431, "too_large", f"target and headers are larger than {MAX_HEADER_BYTES:,} bytes", code="headers_too_large"
    )
