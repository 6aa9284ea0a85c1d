"""Waiting for a model that starts or loads, with a line of progress."""

from __future__ import annotations

import asyncio

from medgemma_tui import problems
from medgemma_tui.client import Client
from medgemma_tui.progress_line import ProgressLine
from medgemma_tui.protocol import Health

_POLL_S = 0.2
_PATIENCE_S = 300.0
"""Seconds for which a worker may be in one such state."""


async def loaded(client: Client) -> Health:
    """The service's health once its worker is loaded, cannot be, or has had time enough. Raises ServiceError."""
    progress = ProgressLine()
    clock = asyncio.get_running_loop().time
    reason, since = "", clock()
    try:
        while True:
            health = await client.health()
            if health.reason != reason:
                reason, since = health.reason, clock()
            coming = health.reason in ("starting", "loading") or health.retry_in_s is not None
            if not coming or clock() - since >= _PATIENCE_S:
                return health
            progress.show(problems.health_sentence(health))
            await asyncio.sleep(_POLL_S)
    finally:
        progress.clear()
