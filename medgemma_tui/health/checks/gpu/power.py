"""gpu.power: what the card draws, and whether somebody has lowered what it may draw."""

from __future__ import annotations

from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.gpu.cards import each_card, figure, named
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import GpuSample

ID = "gpu.power"
_LOWERED = 0.95  # of the usual limit; less is somebody's setting, and no rounding


def run(context: Context) -> Outcome:
    """The outcome on this box."""
    usual = {card.index: card.power_limit_default for card in context.upkeep()}
    return each_card(ID, context, lambda card: _judged(card, usual.get(card.index)))


def _judged(card: GpuSample, usual: float | None) -> Outcome:
    figures = figure(card, "gpu_power", card.power, "W") + figure(card, "gpu_power_limit", card.power_limit, "W")
    if card.power is None or card.power_limit is None:
        return Outcome("not_told", named(card), figures)
    params = named(card, watts=f"{card.power:.0f}", limit=f"{card.power_limit:.0f}")
    if usual is not None and card.power_limit < usual * _LOWERED:
        return Outcome("limited", {**params, "usual": f"{usual:.0f}"}, figures)
    return Outcome("ok", params, figures)


CHECK = Check(ID, run)
