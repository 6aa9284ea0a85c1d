"""gpu.clocks: the card's clock is not stuck low while it works."""

from __future__ import annotations

import time

from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.gpu.cards import each_card, figure, named
from medgemma_tui.health.checks.gpu.throttle import CHOICES, FAULTS
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import GpuSample
from medgemma_tui.telemetry.gpu import GpuReader

ID = "gpu.clocks"
_LOW = 0.5  # of the maximum
_FULL = 0.8  # of the power limit
_BUSY, _SOME_WORK = 50.0, 10.0  # percent of the time
_WORKING_STATES = frozenset({0, 1, 2})
_AGAIN_S = 0.5


def run(context: Context) -> Outcome:
    """The outcome on this box. A clock that is low is read once more: one that was just rising is none."""
    found = each_card(ID, context, _judged)
    if found.code not in ("stuck", "held_down"):
        return found
    time.sleep(_AGAIN_S)
    reader = GpuReader()
    try:
        again = {card.index: card for card in reader.read().samples if card.error is None}
    finally:
        reader.close()
    return each_card(ID, context, lambda card: _judged(again.get(card.index, card)))


def _judged(card: GpuSample) -> Outcome:
    clock, most = card.clock_sm, card.clock_sm_max
    if clock is None or not most:
        return Outcome("not_told", named(card))
    params = named(card, mhz=str(clock), most=str(most), percent=f"{100 * clock / most:.0f}")
    low = clock < most * _LOW
    figures = figure(card, "gpu_clock_sm", clock, "MHz") + figure(card, "gpu_clock_sm_max", most, "MHz")
    if not low or not _works(card):
        return Outcome("low_idle" if low else "ok", params, figures)
    told = set(card.throttle or ()).intersection((*FAULTS, *CHOICES, "sw_power_cap"))
    if told == {"sw_power_cap"} and _draws_its_limit(card):
        return Outcome("capped", params, figures)
    return Outcome("held_down" if told else "stuck", params, figures)


def _draws_its_limit(card: GpuSample) -> bool:
    """Whether it really takes the power that it may take. Small cards (T4, L4) run at half their clock then."""
    return card.power is not None and bool(card.power_limit) and card.power >= _FULL * (card.power_limit or 0)


def _works(card: GpuSample) -> bool:
    """Whether the card has something to do. Some keep the state of work, P0, for a while with nothing to do."""
    if "idle" in (card.throttle or ()):
        return False
    if card.utilization is None:
        return card.performance_state in _WORKING_STATES
    enough = _SOME_WORK if card.performance_state in _WORKING_STATES else _BUSY
    return card.utilization >= enough


CHECK = Check(ID, run)
