"""gpu.present: cards are there, and each of them answers."""

from __future__ import annotations

from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.gpu.cards import beside, graded, name_of, named, nothing_to_judge, worst
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import Figure, GpuSample, Item, NvmlErrorCode

ID = "gpu.present"
_CODES: dict[NvmlErrorCode, str] = {
    "gpu_lost": "lost",
    "reset_required": "reset_required",
    "no_permission": "no_permission",
}


def run(context: Context) -> Outcome:
    """The outcome on this box."""
    reading = context.gpu()
    if reading.error == "no_device":
        return Outcome(graded(context, "no_device"), figures=(Figure(name="gpus", value=0),))
    if reading.error is not None:
        return nothing_to_judge(context)
    found = worst(ID, [beside(ID, context, card, _judged(card)) for card in reading.samples])
    names = ", ".join(name_of(card) for card in reading.samples)
    answering = sum(card.error is None for card in reading.samples)
    return Outcome(
        found.code,
        {**found.params, "count": str(len(reading.samples)), "answering": str(answering), "cards": names},
        (Figure(name="gpus", value=answering),),
        found.items,
    )


def _judged(card: GpuSample) -> Outcome:
    if card.error is None:
        return Outcome("ok", named(card))
    code = _CODES.get(card.error_code or "unknown", "card_error")
    silent = Item(code="card_silent", params={"card": name_of(card)})
    return Outcome(code, named(card, error=card.error.removeprefix("NVML: ")), items=(silent,))


CHECK = Check(ID, run)
