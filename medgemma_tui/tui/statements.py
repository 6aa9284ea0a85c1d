"""The three statements of the status bar. Each says what was measured, and "unknown" where nothing was."""

from __future__ import annotations

from dataclasses import dataclass

from medgemma_tui import problems
from medgemma_tui.i18n import N_, _
from medgemma_tui.protocol import GpuSample, Health, ModelCard, Telemetry
from medgemma_tui.safetext import clean_line
from medgemma_tui.tui.widgets.status_bar import Level, Statement

STALE_AFTER_S = 5.0

_NVML = {
    "starting": N_("NVML: starting"),
    "library_not_found": N_("NVML: no driver library"),
    "driver_not_loaded": N_("NVML: driver not loaded"),
    "no_permission": N_("NVML: no permission"),
    "version_mismatch": N_("NVML: driver and library differ"),
    "no_device": N_("NVML: no card"),
    "gpu_lost": N_("the card is lost"),
    "reset_required": N_("the card needs a reset"),
    "timeout": N_("NVML does not answer"),
    "unknown": N_("NVML: unknown error"),
}

THROTTLES = {
    "hw_thermal": N_("too hot"),
    "sw_thermal": N_("too hot"),
    "hw_power_brake": N_("power brake"),
    "sw_power_cap": N_("power limit"),
    "hw_slowdown": N_("hardware slowdown"),
    "sync_boost": N_("sync boost"),
    "unknown": N_("unknown reason"),
}  # idle and clocks that somebody set are no faults


@dataclass(frozen=True, slots=True)
class Link:
    """What the screen knows of the service. ``demo`` is known before any model answers where we started it."""

    connected: bool
    lost: bool = False
    health: Health | None = None
    model: ModelCard | None = None
    demo: bool = False


def nvml_reason(code: str | None) -> str:
    """Why NVML tells nothing, in a few words."""
    return _(_NVML.get(code or "unknown", _NVML["unknown"]))


def gpu(telemetry: Telemetry | None, link: Link) -> Statement:
    """The state of the cards: the worst of them in words."""
    if telemetry is None or not link.connected:
        return Statement(_("unknown, no figures from the service"), "unknown")
    if telemetry.gpu_age_s is not None and telemetry.gpu_age_s > STALE_AFTER_S:
        return Statement(_("unknown, figures {age} s old").format(age=f"{telemetry.gpu_age_s:.0f}"), "unknown")
    if not telemetry.gpus:
        if telemetry.nvml_error_code is None and telemetry.nvml_error is None:
            return Statement(_("unknown, not measured yet"), "unknown")
        reason = nvml_reason(telemetry.nvml_error_code)
        device = link.model.device if link.model is not None else None
        if telemetry.nvml_error_code == "starting":
            return Statement(reason, "unknown")
        if device == "cpu":
            text = _("none ({reason}); the model runs on the CPU").format(reason=reason)
            return Statement(text, "warn", short=_("none · CPU"))
        return Statement(_("none ({reason})").format(reason=reason), "warn")
    unused = link.model is not None and link.model.device == "cpu"
    ranked = sorted((_card(sample) for sample in telemetry.gpus), key=lambda one: _RANK.index(one.level))
    worst = ranked[0]
    if len(telemetry.gpus) > 1:
        text = _("{count} cards, {worst}").format(count=len(telemetry.gpus), worst=worst.text)
        worst = Statement(text, worst.level)
    if unused and worst.level != "bad":
        text = _("{card}; the model runs on the CPU").format(card=worst.text)
        return Statement(text, "warn", short=_("not used · CPU"))
    return worst


_RANK = ["bad", "warn", "unknown", "ok"]


def _card(sample: GpuSample) -> Statement:
    name = clean_line(sample.name) or _("GPU {index}").format(index=sample.index)
    if sample.error is not None or sample.error_code is not None:
        reason = nvml_reason(sample.error_code)
        return Statement(_("failed: {reason} ({name})").format(reason=reason, name=name), "bad")
    if sample.ecc_uncorrected:
        return Statement(
            _("memory errors: {count} uncorrected ({name})").format(count=sample.ecc_uncorrected, name=name), "bad"
        )
    slowed = [THROTTLES[reason] for reason in sample.throttle or () if reason in THROTTLES]
    if slowed:
        return Statement(_("slowed: {reason} ({name})").format(reason=_(slowed[0]), name=name), "warn")
    measured = (sample.utilization, sample.memory_total, sample.temperature)
    if all(figure is None for figure in measured):
        return Statement(_("unknown, {name} tells no figures").format(name=name), "unknown")
    size = f", {sample.memory_total / 2**30:.1f} GiB" if sample.memory_total else ""
    if sample.throttle is None:
        return Statement(_("{name}{size}, slowing not told").format(name=name, size=size), "ok")
    return Statement(_("OK ({name}{size})").format(name=name, size=size), "ok")


def model(link: Link) -> Statement:
    """The model's state. The demo's words come first and are never cut."""
    demo = link.demo if link.model is None else link.model.demo
    prefix = _("DEMO, NOT MEDICAL") if demo else ""
    text, level = _model_state(link, named=not demo)
    return Statement(" · ".join(part for part in (prefix, text) if part), level, short=prefix)


def _model_state(link: Link, *, named: bool) -> tuple[str, Level]:
    if link.lost:
        return _("unknown, the service does not answer"), "bad"
    if not link.connected or link.health is None:
        return _("the service is starting"), "unknown"
    health = link.health
    if health.reason == "ready":
        if link.model is None:
            return _("unknown"), "unknown"
        kind = link.model.quantization or link.model.dtype or ""
        if not named:
            return clean_line(kind) or _("loaded"), "warn"
        name = clean_line(link.model.id)
        return _("{name} loaded, {kind}").format(name=name, kind=clean_line(kind)) if kind else _(
            "{name} loaded"
        ).format(name=name), "ok"
    if health.reason == "loading":
        if health.percent is None:
            return _("loading"), "warn"
        return _("loading {percent} %").format(percent=f"{health.percent:.0f}"), "warn"
    if health.reason == "starting":
        return _("starting"), "warn"
    if health.reason == "worker_lost":
        return _("stopped, being restarted"), "bad"
    return _("not loaded: {reason}").format(reason=short_reason(health)), "bad"


def short_reason(health: Health) -> str:
    """Why there is no model, in two or three words; the banner has the sentence."""
    return {
        "out_of_memory": _("out of GPU memory"),
        "model_invalid": _("model directory unusable"),
        "failed": _("it kept failing"),
        "audit_full": _("the audit log is full"),
    }.get(health.reason, problems.health_sentence(health))


def privacy(telemetry: Telemetry | None, own_sockets: int | None, link: Link) -> Statement:
    """Network sockets held by screen, gateway and worker, as measured in each."""
    if telemetry is None or not link.connected:
        return Statement(_("unknown, the service does not answer"), "unknown")
    facts = telemetry.privacy
    parts = [own_sockets, facts.gateway_inet_sockets]
    names = _("screen, gateway")
    if telemetry.service.worker_pid is not None:
        parts.append(facts.worker_inet_sockets)
        names = _("screen, gateway, worker")
    known = [part for part in parts if part is not None]
    total = sum(known)
    if total:
        return Statement(_("{total} network sockets open ({names})").format(total=total, names=names), "bad")
    if len(known) < len(parts):
        return Statement(_("unknown, not every process could be measured"), "unknown")
    text = _("local-only · 0 network sockets ({names})").format(names=names)
    return Statement(text, "ok", short=_("local-only"))
