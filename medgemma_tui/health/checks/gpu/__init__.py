"""Checks of the group ``gpu``, one file each, in the order of a report."""

from __future__ import annotations

from medgemma_tui.health.check import Check
from medgemma_tui.health.checks.gpu import (
    capability,
    clocks,
    driver,
    ecc,
    holders,
    memory,
    persistence,
    power,
    present,
    rows,
    temperature,
    throttle,
    xid_events,
)

CHECKS: tuple[Check, ...] = (
    driver.CHECK,
    present.CHECK,
    capability.CHECK,
    memory.CHECK,
    holders.CHECK,
    temperature.CHECK,
    power.CHECK,
    throttle.CHECK,
    clocks.CHECK,
    ecc.CHECK,
    rows.CHECK,
    xid_events.CHECK,
    persistence.CHECK,
)
