"""Plain mode waits for the model: how far it is, and where memory is short, what would help."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from medgemma_tui import memory_told, problems
from medgemma_tui.client import Client, ServiceError
from medgemma_tui.protocol import ErrorInfo, Health

_FINAL = ("model_invalid", "failed", "unfit")
_GIVEN_UP_S = 5.0
"""Seconds without memory and without another try planned after which no other comes."""
_LOOK_S = 0.25


async def wait_until_ready(client: Client, tell: Callable[[str], None], *, by_staff: bool) -> Health:
    """Wait while the model loads, telling how far it is; its health when it is ready.

    Raises ServiceError when it cannot become ready.
    """
    shown, hopeless_s = "", 0.0
    while (health := await client.health()).status != "ok":
        short = health.reason == "out_of_memory"
        hopeless_s = hopeless_s + _LOOK_S if short and health.retry_in_s is None else 0.0
        if health.reason in _FINAL or hopeless_s > _GIVEN_UP_S:
            raise ServiceError(
                503, ErrorInfo(type=health.reason, message=health.detail, code=health.code, params=health.params)
            )
        text = problems.health_sentence(health)
        if text != shown and (not shown or short or (health.percent or 0) % 25 < 5):
            tell(text)
            for line in await memory_told.lines(client, health, by_staff=by_staff):
                tell(line)
            shown = text
        await asyncio.sleep(_LOOK_S)
    return health
