"""Causal chain."""

from __future__ import annotations

from medgemma_tui.clinical.findings import Language

SCHEMA: dict[str, object] = {}


def request_text(lang: Language) -> str:
    return ""


def parse(reply: str, answer: str) -> tuple[str, ...] | None:
    return None


def chain_from_answer(answer: str) -> tuple[str, ...]:
    return ()
