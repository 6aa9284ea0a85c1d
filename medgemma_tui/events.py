"""What only the screen, plain mode and ``ask`` know, as the audit log takes it: words of fixed sets and counts."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from medgemma_tui.clinical.findings import Identifier
from medgemma_tui.protocol import EventBody

if TYPE_CHECKING:
    from medgemma_tui.client import Client

_WITHIN_S = 1.0


def guard(found: Iterable[Identifier], outcome: Literal["sent", "masked", "edited", "blocked"]) -> EventBody:
    """The guard fired: what became of it, and how many of each kind there were; never what they say."""
    return EventBody(event="guard", outcome=outcome, counts=dict(Counter(each.kind for each in found)))


async def report(client: Client, event: EventBody) -> None:
    """Tell the audit log, for commands without a screen. That it cannot be told is no trouble of the person's."""
    from medgemma_tui.client import ServiceError

    with contextlib.suppress(ServiceError, TimeoutError):
        async with asyncio.timeout(_WITHIN_S):
            await client.note(event)
