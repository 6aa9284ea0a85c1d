"""Entities."""

from __future__ import annotations

from medgemma_tui.clinical.findings import Entity


def find_entities(text: str) -> tuple[Entity, ...]:
    return ()
