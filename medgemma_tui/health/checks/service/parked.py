"""``service.parked``: conversations parked in the gateway's memory leave room for the next one."""

from __future__ import annotations

from typing import Final

from medgemma_tui.client import ServiceError
from medgemma_tui.health.check import RUNNING, Check, Outcome
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import Figure

_WARNING: Final = 80.0
"""Percent of ``parked_total_bytes``."""


def run(context: Context) -> Outcome:
    """How many there are, and how much of what they may take together is taken."""
    try:
        context.health()
    except ServiceError as error:
        return Outcome("forbidden" if error.info.type == "forbidden" else "no_service")
    try:
        service = context.telemetry().service
    except ServiceError as error:
        if error.info.type == "forbidden":
            return Outcome("forbidden")
        raise
    total = context.settings.parked_total_bytes
    params = {"count": str(service.parked_sessions)}
    figures: tuple[Figure, ...] = (Figure(name="parked_sessions", value=service.parked_sessions),)
    if service.parked_bytes is None:
        return Outcome("counted", params, figures)
    share = 100.0 * service.parked_bytes / total
    figures += (
        Figure(name="parked_bytes", value=service.parked_bytes, unit="B", warning=total * _WARNING / 100),
        Figure(name="parked_share", value=round(share, 1), unit="%", warning=_WARNING),
    )
    params |= {"share": f"{share:.0f}", "total": f"{total / 2**20:.0f}"}
    return Outcome("nearly_full" if share >= _WARNING else "ok", params, figures)


CHECK = Check("service.parked", run, RUNNING, timeout_s=20.0)
