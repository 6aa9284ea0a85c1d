"""gpu.throttle: why the card's clocks are below their maximum."""

from __future__ import annotations

from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.gpu.cards import answering, each_card, named
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import GpuSample, Item, ThrottleReason

ID = "gpu.throttle"
FAULTS: tuple[ThrottleReason, ...] = ("hw_thermal", "sw_thermal", "hw_power_brake", "hw_slowdown", "unknown")
"""Reasons that something is wrong, worst first."""
CHOICES: tuple[ThrottleReason, ...] = ("applications_clocks", "sync_boost", "display_clocks")
"""Reasons that somebody has set."""


def run(context: Context) -> Outcome:
    """The outcome on this box."""
    several = len(answering(context)) > 1
    return each_card(ID, context, lambda card: _judged(card, several))


def _judged(card: GpuSample, several: bool) -> Outcome:
    if card.throttle is None:
        return Outcome("not_told", named(card))
    reasons = set(card.throttle)
    told = tuple(_item(reason) for reason in (*FAULTS, "sw_power_cap", *CHOICES, "idle") if reason in reasons)
    items = (Item(code="card", params=named(card)), *told) if several and told else told
    if reasons.intersection(FAULTS):
        return Outcome("slowed", named(card), items=items)
    if "sw_power_cap" in reasons:  # what a full load looks like; gpu.power tells a limit that was lowered
        return Outcome("power_cap", named(card), items=items)
    if reasons.intersection(CHOICES):
        return Outcome("set", named(card), items=items)
    return Outcome("idle" if "idle" in reasons else "ok", named(card), items=items)


def _item(reason: ThrottleReason) -> Item:
    return Item(code=f"throttle_{reason}")


CHECK = Check(ID, run)
