"""Terms."""

from __future__ import annotations

from medgemma_tui.clinical.findings import Language, Term


def find_terms(text: str) -> tuple[Term, ...]:
    return ()


def standard_terms_line(terms: tuple[Term, ...], lang: Language) -> str:
    return ""
