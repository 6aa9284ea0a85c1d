"""Checks of what is sealed."""

from __future__ import annotations

from medgemma_tui.health.check import Check
from medgemma_tui.health.checks.privacy import seal

CHECKS: tuple[Check, ...] = (seal.CHECK,)
