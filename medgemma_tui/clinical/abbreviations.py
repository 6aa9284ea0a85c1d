"""Abbreviations."""

from __future__ import annotations

from dataclasses import dataclass

from medgemma_tui.clinical.findings import Language


@dataclass(frozen=True, slots=True)
class Expansion:
    """A bare abbreviation that ends at ``end`` and the full name to show behind it."""

    end: int
    abbreviation: str
    full: str


def expansions(text: str, lang: Language) -> tuple[Expansion, ...]:
    return ()
