"""gpu.ecc: errors of the card's memory, those that were corrected and those that could not be."""

from __future__ import annotations

from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.gpu.cards import each_card, figure, named
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import GpuSample, Item

ID = "gpu.ecc"


def run(context: Context) -> Outcome:
    """The outcome on this box."""
    return each_card(ID, context, _judged)


def _judged(card: GpuSample) -> Outcome:
    if card.ecc_enabled is None:
        return Outcome("no_ecc", named(card))
    if not card.ecc_enabled:
        return Outcome("off", named(card))
    if card.ecc_uncorrected is None:
        return Outcome("not_told", named(card))
    figures = figure(card, "gpu_ecc_uncorrected", card.ecc_uncorrected, critical=0) + figure(
        card, "gpu_ecc_corrected", card.ecc_corrected
    )
    corrected = "?" if card.ecc_corrected is None else str(card.ecc_corrected)
    params = named(card, uncorrected=str(card.ecc_uncorrected), corrected=corrected)
    code = "uncorrected" if card.ecc_uncorrected else "ok"
    return Outcome(code, params, figures, _lifetime(card))


def _lifetime(card: GpuSample) -> tuple[Item, ...]:
    if not card.ecc_uncorrected_lifetime:
        return ()
    return (Item(code="ecc_lifetime", params=named(card, uncorrected=str(card.ecc_uncorrected_lifetime))),)


CHECK = Check(ID, run)
