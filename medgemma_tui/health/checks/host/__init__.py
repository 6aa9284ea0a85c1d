"""Checks of the group ``host``, one file each, in the order of a report."""

from __future__ import annotations

from medgemma_tui.health.check import Check

CHECKS: tuple[Check, ...] = ()
