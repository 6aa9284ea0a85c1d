"""Checks of the audit log: the chain, its anchors, its space and its key."""

from __future__ import annotations

from medgemma_tui.health.check import Check
from medgemma_tui.health.checks.audit import anchor, chain, key, space

CHECKS: tuple[Check, ...] = (chain.CHECK, anchor.CHECK, space.CHECK, key.CHECK)
