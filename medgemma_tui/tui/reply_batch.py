"""The chunks of a reply on their way to the app, a few at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from textual.message import Message

from medgemma_tui.protocol import ChatChunk
from medgemma_tui.tui import messages

BATCH_S = 0.05


class ReplyBatch:
    """Chunks on their way to the app, at most one message every ``BATCH_S``."""

    def __init__(self, turn_id: int, post: Callable[[Message], object]) -> None:
        self._turn_id = turn_id
        self._post = post
        self._chunks: list[ChatChunk] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, chunk: ChatChunk) -> None:
        """One more."""
        self._chunks.append(chunk)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BATCH_S, self.flush)

    def flush(self) -> None:
        """Tell the app of those that wait."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._chunks:
            chunks, self._chunks = self._chunks, []
            self._post(messages.ReplyArrived(self._turn_id, chunks))
