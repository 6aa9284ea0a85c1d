"""``service.gateway``: it answers, in time, and takes questions."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from medgemma_tui.client import Client, ServiceError
from medgemma_tui.health.check import RUNNING, Check, Outcome
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import Figure, Health, Item

_SLOW_S: Final = 1.0
_HUNG_S: Final = 5.0


def run(context: Context) -> Outcome:
    """Its health, asked once more and timed. What keeps the model from answering is ``service.worker``'s to tell."""
    if context.socket is None:
        return Outcome("not_running")
    where = {"socket": str(context.socket)}
    begun = time.monotonic()
    try:
        health = context.call(_asked)
    except TimeoutError:
        return Outcome("hung", {**where, "seconds": f"{_HUNG_S:.0f}"}, (_figure(time.monotonic() - begun),))
    except ServiceError as error:
        return _refused(error, where)
    seconds = time.monotonic() - begun
    if health.reason == "audit_full":  # ``unfit`` is no finding: it is what an earlier run found
        items = (Item(code=f"audit_full_{health.code}", params=health.params),) if health.code else ()
        return Outcome("audit_full", {"path": health.params.get("path", "")}, (_figure(seconds),), items)
    return Outcome("slow" if seconds > _SLOW_S else "ok", {"seconds": f"{seconds:.2f}"}, (_figure(seconds),))


async def _asked(client: Client) -> Health:
    async with asyncio.timeout(_HUNG_S):
        return await client.health()


def _refused(error: ServiceError, where: dict[str, str]) -> Outcome:
    if error.info.type == "unreachable":
        return Outcome("unreachable", where)
    if error.info.type == "forbidden":
        return Outcome("forbidden", where)
    return Outcome("bad_reply", {**where, "type": error.info.type})


def _figure(seconds: float) -> Figure:
    return Figure(name="gateway_answer_seconds", value=round(seconds, 4), unit="s", warning=_SLOW_S, critical=_HUNG_S)


CHECK = Check("service.gateway", run, RUNNING)
