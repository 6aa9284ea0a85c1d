"""Checks of the group ``service``, one file each, in the order of a report."""

from __future__ import annotations

from medgemma_tui.health.check import Check
from medgemma_tui.health.checks.service import gateway, parked, queue, settings, socket, worker

CHECKS: tuple[Check, ...] = (
    settings.CHECK,
    socket.CHECK,
    gateway.CHECK,
    worker.CHECK,
    queue.CHECK,
    parked.CHECK,
)
