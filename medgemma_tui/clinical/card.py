"""Patient card."""

from __future__ import annotations

from medgemma_tui.clinical.findings import Analysis, Language


def card_text(question: str, analysis: Analysis, lang: Language) -> str:
    return ""
