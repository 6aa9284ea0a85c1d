"""Outcomes of the checks of the group ``history``."""

from __future__ import annotations

from medgemma_tui.health.meanings.meaning import Meaning, Words
from medgemma_tui.i18n import N_

GROUP = "history"
TITLE = N_("History")
TITLES: dict[str, str] = {}
MEANINGS: dict[str, dict[str, Meaning]] = {}
ITEMS: dict[str, Words] = {}
