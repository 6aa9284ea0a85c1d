"""``service.worker``: the model is loaded and its process stays up, by what the gateway knows of it."""

from __future__ import annotations

import time
from typing import Final

import psutil

from medgemma_tui.client import ServiceError
from medgemma_tui.health.check import RUNNING, Check, Outcome
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import Figure, Health, Item, Telemetry

_RECENT_S: Final = 24 * 3600.0


def run(context: Context) -> Outcome:
    """By the gateway's health: a code for each of its reasons; a ready one is looked at for its restarts."""
    try:
        health = context.health()
    except ServiceError:
        return Outcome("no_service")
    told = {"restarts": str(health.restarts), "detail": health.detail}
    figures: tuple[Figure, ...] = (Figure(name="worker_restarts", value=health.restarts),)
    if _is_foreign(context):
        if health.reason == "worker_lost":
            return Outcome("engine_lost", told)
        return Outcome("engine", {"model": health.model.id if health.model else "?"})
    if health.reason in ("ready", "audit_full") or health.model is not None:  # those hold a ready worker's answers back
        return _ready(context, health, figures)
    if health.reason == "loading":
        return Outcome("loading", {"percent": f"{health.percent or 0:.0f}"}, figures)
    if health.reason == "out_of_memory":
        code = health.code if health.code in ("gpu_loading", "host_loading") else ""
        return Outcome(f"out_of_memory_{code}" if code else "out_of_memory", told, figures)
    if health.reason == "model_invalid":
        items = (Item(code=f"worker_model_{health.code}", params=health.params),) if health.code else ()
        return Outcome("model_invalid", told, figures, items)
    if health.reason == "failed":
        return Outcome("given_up", told, figures)
    if health.reason == "worker_lost":
        return Outcome("lost", told, figures)
    return Outcome("starting", told, figures)


def _ready(context: Context, health: Health, figures: tuple[Figure, ...]) -> Outcome:
    params = {"model": health.model.id if health.model else "?", "restarts": str(health.restarts)}
    up = _up_s(health.worker_pid)
    memory = _memory(context)
    if up is not None:
        figures += (Figure(name="worker_up_seconds", value=round(up), unit="s"),)
    if memory is not None:
        figures += (Figure(name="worker_memory", value=memory, unit="B"),)
    if _beside_card(context, health):
        return Outcome("on_cpu", params, figures)
    if health.restarts and (up is None or up < _RECENT_S):
        return Outcome("restarted", {**params, "hours": "?" if up is None else f"{up / 3600:.1f}"}, figures)
    return Outcome("ok", params, figures)


def _beside_card(context: Context, health: Health) -> bool:
    """Whether a model of the site's own runs on the CPU although a GPU answers."""
    sample = _sample(context)
    on_cpu = health.model is not None and health.model.device == "cpu"
    return context.installed and on_cpu and sample is not None and any(gpu.error is None for gpu in sample.gpus)


def _up_s(pid: int | None) -> float | None:
    """How long the worker has been up: a restart longer ago is no news."""
    try:
        return None if pid is None else max(0.0, time.time() - psutil.Process(pid).create_time())
    except psutil.Error:
        return None


def _sample(context: Context) -> Telemetry | None:
    try:
        return context.telemetry()
    except ServiceError:
        return None


def _is_foreign(context: Context) -> bool:
    """Whether another program answers in the worker's place: the gateway knows; else by the settings."""
    sample = _sample(context)
    return context.settings.uses_engine if sample is None else sample.privacy.foreign_engine


def _memory(context: Context) -> int | None:
    sample = _sample(context)
    return sample.service.worker_rss if sample is not None else None


CHECK = Check("service.worker", run, RUNNING, timeout_s=20.0)
