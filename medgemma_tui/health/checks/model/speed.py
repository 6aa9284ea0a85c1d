"""Tokens a second of a fixed question against what this box once did with the same model on the same device."""

from __future__ import annotations

import os
import time
from typing import Annotated, Final

from pydantic import BaseModel, Field

from medgemma_tui.client import ServiceError
from medgemma_tui.health import identity
from medgemma_tui.health.check import RUNNING, Check, Outcome
from medgemma_tui.health.context import Context, sample_in_time
from medgemma_tui.health.decoding import NotAnswered, decode, not_answered
from medgemma_tui.health.identity import Identity
from medgemma_tui.health.store import StoreError
from medgemma_tui.protocol import ChatMessage, Figure, Item, Telemetry, ThrottleReason

RECORD: Final = "baseline.json"
SLOW: Final = 0.7
"""Below this part of the baseline is slow."""
FASTER: Final = 1 / SLOW
"""Above this part of a card's baseline it is the baseline that was slow: it was recorded on a bad day."""
QUESTION: Final = "糖尿病肾病的GFR分期标准是什么？"
"""One that the demo model writes long enough about, too."""
TOKENS: Final = 64
_LEAST: Final = 32
_WITHIN_S: Final = 60.0
_LONGEST_SAMPLE_S: Final = 125.0
_HOLD_BACK: Final[frozenset[ThrottleReason]] = frozenset({"hw_slowdown", "sw_thermal", "hw_thermal", "hw_power_brake"})
"""What no card does in good order. The power limit is not among them: many cards reach it under every full load."""


class Baseline(BaseModel):
    """``baseline.json``: what was measured, with what, and when."""

    tokens_per_second: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    identity: Identity
    at: float


def run(context: Context) -> Outcome:
    """The better of two replies; judged where nobody else was being answered meanwhile."""
    if context.socket is None:
        return Outcome("no_service")
    question = [ChatMessage(role="user", content=QUESTION)]
    rates, tokens = list[float](), 0
    try:
        before = _fresh_sample(context)
        for _turn in range(2):
            reply = decode(context, question, within_s=_WITHIN_S, max_tokens=TOKENS)
            tokens = max(tokens, reply.usage.completion_tokens)
            rates += [reply.rate] if reply.rate and reply.usage.completion_tokens >= _LEAST else []
        after = _fresh_sample(context)
    except NotAnswered as failure:
        return not_answered(failure)
    except ServiceError as error:
        return Outcome("not_asked", {"reason": str(error.info.code or error.info.type)})
    if not rates:
        return Outcome("too_short", {"tokens": str(tokens)})
    others = max(sample.service.active + sample.service.queued for sample in (before, after))
    rate = max(rates)
    if others:
        return Outcome("shared", {"rate": f"{rate:.1f}", "count": str(others)}, _figures(rate))
    return _judged(context, rate, after)


def _judged(context: Context, rate: float, sample: Telemetry) -> Outcome:
    now = identity.of(context)
    throttle = _throttle(sample) if now.on_card else frozenset[ThrottleReason]()
    held_back = bool(throttle & _HOLD_BACK)
    base = context.store.get(RECORD, Baseline)
    reasons = tuple(Item(code=f"speed_{reason}") for reason in sorted(throttle))
    shown = {"rate": f"{rate:.1f}"}
    if base is not None and base.identity.on_card and not now.on_card and not context.new_baseline:
        shown |= {"baseline": f"{base.tokens_per_second:.1f}", "device": base.identity.device}
        return Outcome("off_card", shown, _figures(rate, base.tokens_per_second))
    if base is None or context.new_baseline or not now.same_box(base.identity):
        if held_back:
            return Outcome("throttled", shown, _figures(rate), reasons)
        return _record(context, rate, now)
    part = rate / base.tokens_per_second
    shown |= {
        "percent": f"{100 * part:.0f}",
        "baseline": f"{base.tokens_per_second:.1f}",
        "date": time.strftime("%Y-%m-%d", time.localtime(base.at)),
    }
    figures = _figures(rate, base.tokens_per_second)
    if part < SLOW:
        items = (*reasons, *_changed(base.identity, now), *(() if now.on_card else _busy(sample)))
        return Outcome("slow_throttled" if held_back else "slow", shown, figures, items)
    bad_day = part >= FASTER and now.on_card  # a card keeps its pace, a CPU that others use does not
    if not held_back and (bad_day or (part >= 1 and now.versions != base.identity.versions)):
        return _record(context, rate, now)  # compared with the best: it is never lowered by itself
    return Outcome("ok", shown, figures)


def _record(context: Context, rate: float, now: Identity) -> Outcome:
    shown = {"rate": f"{rate:.1f}"}
    try:
        context.store.put(RECORD, Baseline(tokens_per_second=rate, identity=now, at=context.started))
    except StoreError as error:
        return Outcome("not_kept", {**shown, "problem": str(error)}, _figures(rate))
    return Outcome("recorded", shown, _figures(rate, rate))


def _figures(rate: float, baseline: float | None = None) -> tuple[Figure, ...]:
    warning = None if baseline is None else round(SLOW * baseline, 2)
    return (Figure(name="tokens_per_second", value=round(rate, 2), unit="tok/s", warning=warning, below=True),)


def _throttle(sample: Telemetry) -> frozenset[ThrottleReason]:
    """Why the worker's card holds back, by a sample taken right after the replies; why any does, where that one is not
    known."""
    told = (*_HOLD_BACK, "sw_power_cap")
    ours = [gpu for gpu in sample.gpus if any(process.is_worker for process in gpu.processes or ())]
    return frozenset(reason for gpu in ours or sample.gpus for reason in gpu.throttle or () if reason in told)


def _changed(before: Identity, now: Identity) -> tuple[Item, ...]:
    names = [name for name in now.versions if now.versions[name] != before.versions.get(name, "")]
    if not names:
        return ()
    was = ", ".join(f"{name} {before.versions.get(name, '-')}" for name in names)
    return (Item(code="speed_versions", params={"before": was, "now": _list(now, names)}),)


def _list(now: Identity, names: list[str]) -> str:
    return ", ".join(f"{name} {now.versions[name]}" for name in names)


def _busy(sample: Telemetry) -> tuple[Item, ...]:
    """A model that runs on the processors shares them with everything else on the box."""
    load, cores = sample.host.load_1m, os.cpu_count() or 1
    if load is None or load <= cores:
        return ()
    return (Item(code="speed_cpu_busy", params={"load": f"{load:.1f}", "cores": str(cores)}),)


def _fresh_sample(context: Context) -> Telemetry:
    """One that is taken from now on: an older one could count this run's own question before. Raises ServiceError."""
    begun = time.time()
    patience = min(_LONGEST_SAMPLE_S, 5.0 + 2 * context.settings.telemetry_interval_s)
    return context.call(lambda client: sample_in_time(client, patience, begun))


CHECK = Check("model.speed", run, RUNNING, 2 * (_WITHIN_S + _LONGEST_SAMPLE_S) + 30, "model")
