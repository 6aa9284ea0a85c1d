"""Outcomes of the checks of the group ``golden``."""

from __future__ import annotations

from medgemma_tui.health.meanings.meaning import Meaning, Words
from medgemma_tui.i18n import N_

GROUP = "golden"
TITLE = N_("Golden questions")
TITLES: dict[str, str] = {}
MEANINGS: dict[str, dict[str, Meaning]] = {}
ITEMS: dict[str, Words] = {}
