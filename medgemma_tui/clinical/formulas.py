"""Formulas."""

from __future__ import annotations

from medgemma_tui.clinical.findings import Derived, Entity


def derive(entities: tuple[Entity, ...]) -> tuple[Derived, ...]:
    return ()
