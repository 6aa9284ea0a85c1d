"""What the screen has before it: the service it calls, and the gateway that is reached, started and stopped."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Protocol

from medgemma_tui.protocol import (
    ChatChunk,
    ChatRequest,
    EventBody,
    Health,
    HealthProgress,
    HealthRecord,
    ModelCard,
    SessionBody,
    SessionReply,
    Telemetry,
    TokenizeReply,
    TokenizeRequest,
)
from medgemma_tui.protocol.memory import MemoryHelp


class Service(Protocol):
    """What the screen needs of ``client.Client``."""

    async def health(self) -> Health: ...
    async def model(self) -> ModelCard | None: ...
    async def tokenize(self, request: TokenizeRequest) -> TokenizeReply: ...
    def stream(self, request: ChatRequest) -> AsyncIterator[ChatChunk]: ...
    def telemetry(self) -> AsyncIterator[Telemetry]: ...
    async def memory_help(self) -> MemoryHelp: ...
    async def health_record(self) -> HealthRecord: ...
    def run_health(self, full: bool = False) -> AsyncGenerator[HealthProgress]: ...
    async def note(self, event: EventBody) -> None: ...
    async def park(self, body: SessionBody) -> None: ...
    async def parked(self) -> SessionReply | None: ...
    async def drop(self, id: str) -> bool: ...
    async def forget(self) -> None: ...
    async def leave(self) -> None: ...
    async def close(self) -> None: ...


class Gateway(Protocol):
    """Where the gateway is: ``launch.PrivateGateway``, or one that is already there."""

    def start(self) -> Path: ...
    def exit_code(self) -> int | None: ...
    def last_error(self) -> str: ...
    def stop(self) -> None: ...


class ExistingGateway:
    """A gateway that somebody else runs."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    def start(self) -> Path:
        """The socket's path."""
        return self._socket

    def exit_code(self) -> int | None:
        """Not ours to know."""
        return None

    def last_error(self) -> str:
        """Not ours to read."""
        return ""

    def stop(self) -> None:
        """Not ours to stop."""


def connect(socket: Path) -> Service:
    """The real client. Imported here, so that the first frame does not wait for httpx."""
    from medgemma_tui.client import Client

    return Client(socket)
