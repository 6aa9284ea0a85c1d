"""gpu.memory: there is room for the configured window, with the sum shown."""

from __future__ import annotations

from medgemma_tui import vram
from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.gpu.cards import (
    answering,
    figure,
    gib,
    name_of,
    named,
    nothing_to_judge,
    worst,
)
from medgemma_tui.health.checks.gpu.need import Need, loaded, need_on
from medgemma_tui.health.checks.gpu.used import used
from medgemma_tui.health.context import Context
from medgemma_tui.model_dir import ModelDirError
from medgemma_tui.protocol import Figure, GpuSample, Item

ID = "gpu.memory"
_NO_ROOM = frozenset({"does_not_fit", "too_small"})


def run(context: Context) -> Outcome:
    """The outcome on this box."""
    if not answering(context):
        return nothing_to_judge(context)
    if context.settings.uses_engine:
        return Outcome("another_engine")
    try:
        context.model()
    except ModelDirError:
        return Outcome("no_model")
    cards = used(context)
    outcomes = [_judged(context, card) for card in cards]
    found = worst(ID, outcomes)
    without = [card for card, outcome in zip(cards, outcomes, strict=True) if outcome.code in _NO_ROOM]
    if without and len(without) < len(cards):  # CUDA picks the fastest card, which nobody can foresee by NVML
        names = ", ".join(name_of(card) for card in without)
        return Outcome("some_cards", {"cards": names}, found.figures, found.items)
    return found


def _judged(context: Context, card: GpuSample) -> Outcome:
    if card.mig_enabled and not card.mig:
        return Outcome("mig_empty", named(card))
    if loaded(context) and any(process.is_worker and process.used_bytes is None for process in card.processes or ()):
        free = figure(card, "vram_free", card.memory_free, "B") + figure(card, "vram_total", card.memory_total, "B")
        return Outcome("loaded", named(card), free)
    need = need_on(context, card)
    if need is None:
        return Outcome("not_told", named(card))
    heading = Item(code="memory_card", params=named(card))
    params = named(
        card,
        window=str(need.asked),
        slots=str(need.slots),
        needed=gib(need.needed),
        usable=gib(need.room.usable),
        total=gib(need.room.total),
        fits=str(need.window_that_fits),
        usual=str(vram.DEFAULT_WINDOW),
    )
    return Outcome(
        _code(need, loaded(context)), params, _figures(card, need), (heading, *need.items(), *_instead(need))
    )


def _code(need: Need, is_loaded: bool) -> str:
    if need.short and is_loaded:  # it answers, and may run out in the middle of a long one
        return "tight"
    if not need.window_that_fits:
        return "too_small"
    if need.short:
        return "does_not_fit"
    if not need.chosen and need.window < min(vram.DEFAULT_WINDOW, need.model.context_limit):
        return "small_window"
    return "ok"


def _instead(need: Need) -> tuple[Item, ...]:
    """How many conversations would fit, where fewer than configured do."""
    fit = need.slots_that_fit
    return (Item(code="memory_fewer_slots", params={"slots": str(fit)}),) if need.short and fit else ()


def _figures(card: GpuSample, need: Need) -> tuple[Figure, ...]:
    wanted = max(0, need.needed - need.room.held)
    return (
        *figure(card, "vram_free", need.room.free, "B", critical=wanted, below=True),
        *figure(card, "vram_total", need.room.total, "B"),
        *figure(card, "vram_needed", need.needed, "B"),
    )


CHECK = Check(ID, run)
