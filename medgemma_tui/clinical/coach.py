"""Coach."""

from __future__ import annotations

from medgemma_tui.clinical.findings import Coaching, Entity, Language, QuestionKind, Term


def coach(text: str, entities: tuple[Entity, ...], terms: tuple[Term, ...]) -> Coaching:
    return Coaching("other")


def template(kind: QuestionKind, lang: Language) -> str:
    return ""
