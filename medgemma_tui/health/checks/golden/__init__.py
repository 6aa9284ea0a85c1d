"""Checks of the group ``golden``: one for each built-in question, and one for the site's own list."""

from __future__ import annotations

from medgemma_tui.health.check import Check
from medgemma_tui.health.checks.golden import question, site

CHECKS: tuple[Check, ...] = (*question.CHECKS, site.CHECK)
