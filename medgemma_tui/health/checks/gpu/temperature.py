"""gpu.temperature: how far the card is from the temperature at which it slows itself down."""

from __future__ import annotations

from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.gpu.cards import each_card, figure, named
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import GpuSample

ID = "gpu.temperature"
_USUAL_LIMIT = 90.0  # where the card does not tell its own; those of data centre cards are 85 to 95
_MARGIN = 7.0


def run(context: Context) -> Outcome:
    """The outcome on this box."""
    return each_card(ID, context, _judged)


def _judged(card: GpuSample) -> Outcome:
    if card.temperature is None:
        return Outcome("not_told", named(card))
    told = card.temperature_slowdown
    limit = told or _USUAL_LIMIT
    near = limit - _MARGIN
    params = named(card, celsius=f"{card.temperature:.0f}", limit=f"{limit:.0f}")
    figures = figure(card, "gpu_temperature", card.temperature, "C", warning=near, critical=told)
    if not told:  # nobody knows that it is too hot: gpu.throttle tells when it slows down
        return Outcome("hot_usual" if card.temperature >= near else "ok_usual", params, figures)
    if card.temperature >= limit:
        return Outcome("too_hot", params, figures)
    return Outcome("hot" if card.temperature >= near else "ok", params, figures)


CHECK = Check(ID, run)
