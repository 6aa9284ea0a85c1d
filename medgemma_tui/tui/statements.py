"""The statements of the status bar. Each says what was measured, and "unknown" where nothing was."""

from __future__ import annotations

from dataclasses import dataclass

from medgemma_tui import fitness_words, privacy_state, problems
from medgemma_tui.i18n import _, ngettext
from medgemma_tui.protocol import Fitness, GpuSample, Health, ModelCard, ProcessSeal, Telemetry
from medgemma_tui.safetext import clean_line
from medgemma_tui.tui.health_seen import is_old
from medgemma_tui.tui.widgets.gpu_words import THROTTLES, no_card, nvml_reason
from medgemma_tui.tui.widgets.status_bar import Level, Statement

STALE_AFTER_S = 5.0


@dataclass(frozen=True, slots=True)
class Link:
    """What the screen knows of the service. ``demo`` is known before any model answers where we started it."""

    connected: bool
    lost: bool = False
    health: Health | None = None
    model: ModelCard | None = None
    demo: bool = False


def device(link: Link) -> str | None:
    """Where the model runs ("cpu", "cuda:0"); None unless it answers now: a card of before tells nothing of today."""
    ready = link.health is not None and link.health.reason == "ready"
    return link.model.device if ready and link.model is not None else None


def gpu(telemetry: Telemetry | None, link: Link, age_s: float = 0.0) -> Statement:
    """The state of the cards: the worst of them in words. ``age_s``: how long ago these figures arrived."""
    if telemetry is None or not link.connected:
        return Statement(_("unknown, no figures from the service"), "unknown")
    age = (telemetry.gpu_age_s or 0.0) + age_s
    if age > STALE_AFTER_S:
        return Statement(_("unknown, figures {age} s old").format(age=f"{age:.0f}"), "unknown")
    if not telemetry.gpus:
        return _none(telemetry, on_cpu=device(link) == "cpu")
    ranked = sorted((_card(sample) for sample in telemetry.gpus), key=lambda one: _RANK.index(one.level))
    worst = ranked[0]
    if len(telemetry.gpus) > 1:
        text = _("{count} cards, {worst}").format(count=len(telemetry.gpus), worst=worst.text)
        worst = Statement(text, worst.level, short=worst.brief)
    if device(link) == "cpu" and worst.level != "bad":
        text = _("{card}; the model runs on the CPU").format(card=worst.text)
        return Statement(text, "warn", short=_("not used · CPU"), shortest=_("not used"))
    return worst


def _none(telemetry: Telemetry, *, on_cpu: bool) -> Statement:
    """There are no cards to tell of: because there is none, or because nobody knows."""
    code = telemetry.nvml_error_code
    if code is None and telemetry.nvml_error is None:
        return Statement(_("unknown, not measured yet"), "unknown")
    reason = nvml_reason(code)
    if code == "starting":
        return Statement(_("unknown ({reason})").format(reason=reason), "unknown")
    if code in ("gpu_lost", "reset_required"):
        return Statement(_("failed: {reason}").format(reason=reason), "bad")
    if no_card(code):
        if on_cpu:
            text = _("none ({reason}); the model runs on the CPU").format(reason=reason)
            return Statement(text, "warn", short=_("none · CPU"), shortest=_("none"))
        return Statement(_("none ({reason})").format(reason=reason), "warn")
    if on_cpu:
        text = _("unknown ({reason}); the model runs on the CPU").format(reason=reason)
        return Statement(text, "unknown", short=_("unknown · CPU"), shortest=_("unknown"))
    return Statement(_("unknown ({reason})").format(reason=reason), "unknown")


_RANK = ["bad", "warn", "unknown", "ok"]


def _card(sample: GpuSample) -> Statement:
    name = clean_line(sample.name) or _("GPU {index}").format(index=sample.index)
    if sample.error is not None or sample.error_code is not None:
        reason = nvml_reason(sample.error_code)
        return Statement(_("failed: {reason} ({name})").format(reason=reason, name=name), "bad", short=_("failed"))
    if sample.ecc_uncorrected:
        return Statement(
            _("memory errors: {count} uncorrected ({name})").format(count=sample.ecc_uncorrected, name=name),
            "bad",
            short=_("memory errors"),
            shortest=_("errors"),
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
    """The model's state. The demo's word comes first and is never cut; the state is in the short form too."""
    demo = link.demo if link.model is None else link.model.demo
    text, short, level = _model_state(link, named=not demo)
    if demo:
        return Statement(f"{_('DEMO, NOT MEDICAL')} · {text}", level, short=f"DEMO · {short}")
    return Statement(text, level, short=short, shortest=_("loaded") if level == "ok" else "")


def _model_state(link: Link, *, named: bool) -> tuple[str, str, Level]:
    """In full, in a word or two, and how bad it is."""
    if link.lost:
        return _("unknown, the service does not answer"), _("unknown"), "bad"
    if not link.connected or link.health is None:
        return _("the service is starting"), _("starting"), "unknown"
    health = link.health
    if health.reason == "ready":
        if link.model is None:
            return _("unknown"), _("unknown"), "unknown"
        kind = clean_line(link.model.quantization or link.model.dtype or "")
        short = _("loaded, {kind}").format(kind=kind) if kind else _("loaded")
        if not named:
            return short, _("loaded"), "warn"
        name = clean_line(link.model.id)
        long = _("{name} loaded, {kind}") if kind else _("{name} loaded")
        return long.format(name=name, kind=kind), short, "ok"
    if health.reason == "loading":
        if health.percent is None:
            return _("loading"), _("loading"), "warn"
        text = _("loading {percent} %").format(percent=f"{health.percent:.0f}")
        return text, text, "warn"
    if health.reason == "starting":
        return _("starting"), _("starting"), "warn"
    if health.reason == "worker_lost":
        return _("stopped, being restarted"), _("stopped"), "bad"
    if health.reason == "audit_full":  # the model is there; the banner says why it may not answer
        return _("loaded, but the audit log cannot be written"), _("audit log"), "bad"
    if health.reason == "unfit":  # as above
        return _("loaded, but the box is not fit"), _("held back"), "bad"
    return _("not loaded: {reason}").format(reason=short_reason(health)), _("not loaded"), "bad"


def short_reason(health: Health) -> str:
    """Why there is no model, in two or three words; the banner has the sentence."""
    return {
        "out_of_memory": _("out of GPU memory"),
        "model_invalid": _("model directory unusable"),
        "failed": _("it kept failing"),
    }.get(health.reason, problems.health_sentence(health))


def privacy(
    telemetry: Telemetry | None,
    own_sockets: int | None,
    link: Link,
    age_s: float = 0.0,
    own_seal: ProcessSeal | None = None,
) -> Statement:
    """What screen, gateway and worker could prove shut, and the network sockets each holds, measured ``age_s`` ago."""
    if telemetry is None or not link.connected:
        return Statement(_("unknown, the service does not answer"), "unknown")
    if age_s > STALE_AFTER_S:
        return Statement(_("unknown, last counted {age} s ago").format(age=f"{age_s:.0f}"), "unknown")
    running = telemetry.service.worker_pid is not None
    told = privacy_state.state(telemetry.privacy, own_seal, own_sockets, has_worker=running)
    return Statement(told.text, told.level, short=told.short, shortest=told.shortest)


def fitness(told: Fitness | None, link: Link, now: float) -> Statement:
    """The verdict of the last health run and when that was, in seconds since 1970; "old" where it tells no more."""
    if not link.connected:
        return Statement(_("unknown, the service does not answer"), "unknown")
    if told is None:
        return Statement(_("not checked yet"), "unknown", short=_("not checked"), shortest="?")
    from medgemma_tui.health import wording  # the words of every check: not before the first frame

    when = fitness_words.clock(told.at, now)
    word = wording.verdict_word(told.verdict)
    if told.verdict == "critical":
        what = wording.title(told.failing[0]) if told.failing else ""
        old = is_old(now - told.at)
        text = _("{verdict} ({what}), {when}") if what else _("{verdict}, {when}")
        short = _("{verdict}, old").format(verdict=word) if old else f"{word} {when}"
        return Statement(text.format(verdict=word, what=what, when=when), "bad", short=short, shortest=word)
    if is_old(now - told.at):
        if told.at > now:
            return Statement(
                _("checked at a time to come: is the clock right?"),
                "warn",
                short=_("clock wrong"),
                shortest=_("clock?"),
            )
        return Statement(_("old, last checked {when}").format(when=when), "warn", short=_("old"))
    if told.verdict == "ok":
        return Statement(f"{word} {when}", "ok", short=f"{word} {when}", shortest=word)
    count = len(told.failing)
    if told.verdict == "warning":
        text = ngettext("fit, {n} warning, {when}", "fit, {n} warnings, {when}", count).format(n=count, when=when)
        return Statement(text, "warn", short=_("warning {when}").format(when=when), shortest=_("warning"))
    return Statement(
        f"{word}, {when}", "unknown", short=_("not known {when}").format(when=when), shortest=_("not known")
    )
