"""gpu.persistence: the driver stays loaded while nobody uses the card."""

from __future__ import annotations

from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.gpu.cards import each_card, named
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import GpuSample

ID = "gpu.persistence"


def run(context: Context) -> Outcome:
    """The outcome on this box."""
    return each_card(ID, context, _judged)


def _judged(card: GpuSample) -> Outcome:
    if card.persistence is None:
        return Outcome("not_told", named(card))
    return Outcome("ok" if card.persistence else "off", named(card))


CHECK = Check(ID, run)
