"""Memory help for ``ask`` and plain mode: asked of the service after a failure of that kind, told in a few lines."""

from __future__ import annotations

import asyncio

from medgemma_tui import memory_words
from medgemma_tui.client import Client, ServiceError
from medgemma_tui.protocol import ErrorInfo, Health

_WITHIN_S = 5.0


async def lines(client: Client, about: Health | ErrorInfo, *, by_staff: bool) -> list[str]:
    """Who holds the memory and what would fit; nothing where it is about something else or nobody answers.

    ``by_staff``: the service is not this user's own.
    """
    if not memory_words.concerns(about):
        return []
    try:
        async with asyncio.timeout(_WITHIN_S):
            return memory_words.short_lines(await client.memory_help(), by_staff=by_staff)
    except (ServiceError, TimeoutError):
        return []
