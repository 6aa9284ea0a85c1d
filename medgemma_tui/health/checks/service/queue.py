"""``service.queue``: questions are taken from the queue, and it does not stay full."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from medgemma_tui.client import Client, ServiceError
from medgemma_tui.health.check import RUNNING, Check, Outcome
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import ErrorInfo, Figure, ServiceSample

_WATCHED_S: Final = 3.0
"""Seconds for which a queue must stay as it is, to be judged by it; longer where samples are rare."""
_LONGEST_S: Final = 12.0


def run(context: Context) -> Outcome:
    """One look where all is well; a queue that is full, or that nobody is served from, is watched for a while."""
    try:
        context.health()
    except ServiceError:
        return Outcome("no_service")
    limit = context.settings.queue_limit
    seconds = min(_LONGEST_S, max(_WATCHED_S, 2.5 * context.settings.telemetry_interval_s))
    try:
        seen = context.call(lambda client: _watched(client, limit, seconds))
    except ServiceError as error:
        if error.info.type == "forbidden":
            return Outcome("forbidden")
        raise
    last = seen[-1]
    params = {
        "waiting": str(last.queued), "limit": str(limit), "active": str(last.active),
        "slots": str(context.settings.slots), "seconds": f"{seconds:.0f}",
    }  # fmt: skip
    figures = (
        Figure(name="queue_waiting", value=last.queued, warning=limit - 1),
        Figure(name="queue_active", value=last.active),
    )
    if len(seen) > 1 and all(map(_is_stuck, seen)):
        return Outcome("stuck", params, figures)
    if len(seen) > 1 and all(sample.queued >= limit for sample in seen):
        return Outcome("full", params, figures)
    return Outcome("ok", params, figures)


def _is_stuck(sample: ServiceSample) -> bool:
    return bool(sample.queued and not sample.active and sample.ready)


async def _watched(client: Client, limit: int, seconds: float) -> list[ServiceSample]:
    """Samples until one is well, or for these seconds. Raises ServiceError where none comes."""
    seen: list[ServiceSample] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), contextlib.aclosing(client.telemetry()) as stream:
            async for sample in stream:
                seen.append(sample.service)
                if sample.service.queued < limit and not _is_stuck(sample.service):
                    break
    if not seen:
        raise ServiceError(0, ErrorInfo(type="interrupted", message="no sample came", code="silent"))
    return seen


CHECK = Check("service.queue", run, RUNNING, timeout_s=20.0)
