"""One HTTP/1.1 exchange over a Unix socket: a connection, a request, its response as it comes.

uvicorn's own C parser on a bare asyncio protocol. Measured over 8 streams, it makes the gateway's cost of an event
37 us instead of the general client's 94 at 2,400 events a second, and 6.5 instead of 31 flat out; on a box whose
model runs on the CPU that counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

import httptools

_HIGH_WATER = 256 * 1024
"""Bytes that wait to be read here before the engine is held back."""
_CONNECT_S = 5.0


class NotConnected(Exception):
    """Nobody took the connection."""


class Broken(Exception):
    """The connection ended, or stopped being HTTP, before the response was whole."""


class Exchange(asyncio.Protocol):
    """The response: ``status`` and ``headers`` are there first, then ``chunks`` gives its body."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._changed = asyncio.Event()
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._begun = False
        self._whole = False
        self._lost = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body, all that has come since the last time in one piece. Raises Broken where it is not whole."""
        while True:
            if self._chunks:
                piece = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
                self._chunks.clear()
                if self._waiting > _HIGH_WATER and self._transport is not None and not self._lost:
                    self._transport.resume_reading()
                self._waiting = 0
                yield piece
            elif self._whole:
                return
            else:
                await self._change()

    async def begun(self) -> None:
        """Until status and headers are there. Raises Broken."""
        while not self._begun:
            await self._change()

    async def _change(self) -> None:
        if self._lost:
            raise Broken
        self._changed.clear()
        await self._changed.wait()

    # -- asyncio's callbacks -----------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """More of the response."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self._end()
        self._changed.set()

    def connection_lost(self, error: Exception | None) -> None:
        """The engine hung up, or we did."""
        self._lost = True
        self._changed.set()

    def _end(self) -> None:
        self._lost = True
        if self._transport is not None:
            self._transport.abort()

    # -- httptools' callbacks ----------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Status and headers are there; a 1xx is not the response yet."""
        status = self._parser.get_status_code()
        if status >= 200:
            self.status = status
            self._begun = True

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._chunks.append(body)
        before = self._waiting
        self._waiting += len(body)
        if before <= _HIGH_WATER < self._waiting and self._transport is not None:
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """The response is whole."""
        if self._begun:
            self._whole = True


@asynccontextmanager
async def exchange(socket: Path, head: bytes, body: bytes) -> AsyncIterator[Exchange]:
    """Send a request and give its response; leaving closes the connection at once.

    Raises NotConnected, and Broken before the response has begun.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_CONNECT_S):
            transport, protocol = await loop.create_unix_connection(Exchange, str(socket))
    except OSError:  # TimeoutError is one
        raise NotConnected from None
    try:
        transport.write(head + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        await protocol.begun()
        yield protocol
    finally:
        transport.abort()
