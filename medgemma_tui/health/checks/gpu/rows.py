"""gpu.rows: parts of the card's memory that are out of use, or wait to be taken out of use."""

from __future__ import annotations

from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.gpu.cards import each_card, figure, named
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import GpuSample
from medgemma_tui.telemetry.gpu_upkeep import CardUpkeep

ID = "gpu.rows"
_PAGES = 60  # NVIDIA's guide to page retirement: a card retires 64 at most, and one with 60 is to be replaced


def run(context: Context) -> Outcome:
    """The outcome on this box."""
    upkeep = {card.index: card for card in context.upkeep()}
    return each_card(ID, context, lambda card: _judged(card, upkeep.get(card.index)))


def _judged(card: GpuSample, upkeep: CardUpkeep | None) -> Outcome:
    rows = _sum(upkeep.rows_corrected, upkeep.rows_uncorrected) if upkeep else None
    pages = _sum(upkeep.pages_corrected, upkeep.pages_uncorrected) if upkeep else None
    if upkeep is None or (rows is None and pages is None):
        return Outcome("not_told", named(card))
    figures = figure(card, "gpu_rows_remapped", rows) + figure(card, "gpu_pages_retired", pages, warning=_PAGES - 1)
    params = named(card, rows=str(rows or 0), pages=str(pages or 0))
    if upkeep.remap_failed:
        return Outcome("failed_remap", params, figures)
    if (pages or 0) >= _PAGES:
        return Outcome("many_pages", params, figures)
    if upkeep.pending:
        return Outcome("pending", params, figures)
    return Outcome("some" if rows or pages else "ok", params, figures)


def _sum(*counts: int | None) -> int | None:
    told = [count for count in counts if count is not None]
    return sum(told) if told else None


CHECK = Check(ID, run)
