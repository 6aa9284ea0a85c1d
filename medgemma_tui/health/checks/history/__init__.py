"""Checks of the group ``history``, one file each, in the order of a report."""

from __future__ import annotations

from medgemma_tui.health.check import Check
from medgemma_tui.health.checks.history import last_success, timer

CHECKS: tuple[Check, ...] = (last_success.CHECK, timer.CHECK)
