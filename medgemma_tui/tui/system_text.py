"""The system screen's text: every figure the service told, in full, with n/a for what nobody told."""

from __future__ import annotations

from medgemma_tui import i18n, privacy_words, problems
from medgemma_tui.clinical.budget import BudgetPlan
from medgemma_tui.i18n import _, ngettext
from medgemma_tui.protocol import (
    GpuProcess,
    GpuSample,
    MigInstance,
    PrivacyFacts,
    ProcessName,
    ProcessSeal,
    Telemetry,
)
from medgemma_tui.safetext import clean_line
from medgemma_tui.tui.statements import STALE_AFTER_S, Link
from medgemma_tui.tui.widgets.budget_meter import segments
from medgemma_tui.tui.widgets.gpu_words import THROTTLES, nvml_reason

Row = tuple[str, str]


def system_text(
    telemetry: Telemetry | None,
    own_sockets: int | None,
    link: Link,
    socket: str,
    plan: BudgetPlan,
    age_s: float = 0.0,
    own_seal: ProcessSeal | None = None,
) -> str:
    """GPU by GPU, then host, service, model, context, privacy. ``age_s``: how long ago the figures arrived."""
    sections: list[tuple[str, list[Row]]] = []
    age = age_s + ((telemetry.gpu_age_s or 0.0) if telemetry is not None else 0.0)
    if telemetry is not None and link.connected and age > STALE_AFTER_S:
        told = _("{n} s: nothing newer came, and this may no longer be so").format(n=f"{age:.0f}")
        sections.append((_("Old figures"), [(_("Age"), told)]))
    if telemetry is None or not link.connected:
        sections.append((_("GPU"), [(_("State"), _("unknown, no figures from the service"))]))
    else:
        if not telemetry.gpus:
            sections.append((_("GPU"), [(_("State"), nvml_reason(telemetry.nvml_error_code))]))
        sections += [(_("GPU {index}").format(index=gpu.index), _gpu(gpu)) for gpu in telemetry.gpus]
        driver = [(_("Driver"), _text(telemetry.driver_version)), (_("NVML"), _text(telemetry.nvml_version))]
        sections.append((_("Driver"), driver))
        sections.append((_("Host"), _host(telemetry)))
    sections.append((_("Service"), _service(telemetry, link, socket)))
    sections.append((_("Model"), _model(link)))
    sections.append((_("Context"), _context(plan)))
    sections.append((_("Privacy"), _privacy(telemetry, own_sockets, own_seal, link)))
    row = "  " + _("{name}: {value}")
    return i18n.own(
        "\n\n".join(
            "\n".join([title, *(row.format(name=name, value=value) for name, value in rows)])
            for title, rows in sections
        )
    )


def _gpu(gpu: GpuSample) -> list[Row]:
    if gpu.error is not None or gpu.error_code is not None:
        return [(_("Name"), _text(gpu.name)), (_("State"), nvml_reason(gpu.error_code))]
    rows = [
        (_("Name"), _text(gpu.name)),
        (_("Identity"), _text(gpu.uuid)),
        (_("Compute capability"), _text(gpu.compute_capability)),
        (_("Load"), _figure(gpu.utilization, "%")),
        (_("Memory bus"), _figure(gpu.memory_utilization, "%")),
        (_("Memory used"), f"{_bytes(gpu.memory_used)} / {_bytes(gpu.memory_total)}"),
        (_("Memory free"), _bytes(gpu.memory_free)),
        (_("Held by the driver"), _bytes(gpu.memory_reserved)),
        (
            _("Temperature"),
            _("{now}, slows at {limit}").format(
                now=_figure(gpu.temperature, "°C"), limit=_figure(gpu.temperature_slowdown, "°C")
            ),
        ),
        (_("Power"), f"{_figure(gpu.power, 'W')} / {_figure(gpu.power_limit, 'W')}"),
        (_("SM clock"), f"{_figure(gpu.clock_sm, 'MHz')} / {_figure(gpu.clock_sm_max, 'MHz')}"),
        (_("Memory clock"), f"{_figure(gpu.clock_memory, 'MHz')} / {_figure(gpu.clock_memory_max, 'MHz')}"),
        (_("Fan"), _figure(gpu.fan, "%")),
        (_("Performance state"), f"P{gpu.performance_state}" if gpu.performance_state is not None else _("n/a")),
        (_("Slowed by"), _throttle(gpu)),
        (_("ECC"), _ecc(gpu)),
        (_("MIG"), _yes_no(gpu.mig_enabled)),
        (_("Persistence mode"), _yes_no(gpu.persistence)),
    ]
    rows += [(_("MIG instance {index}").format(index=part.index), _mig(part)) for part in gpu.mig]
    if gpu.processes is None:
        rows.append((_("Processes"), _("n/a")))
    elif not gpu.processes:
        rows.append((_("Processes"), _("none")))
    rows += [_process(one) for one in gpu.processes or ()]
    return rows


def _throttle(gpu: GpuSample) -> str:
    if gpu.throttle is None:
        return _("n/a")
    reasons = [_(THROTTLES[reason]) for reason in gpu.throttle if reason in THROTTLES]
    return ", ".join(dict.fromkeys(reasons)) or _("nothing")


def _ecc(gpu: GpuSample) -> str:
    if not gpu.ecc_enabled:
        return _yes_no(gpu.ecc_enabled)
    return _(
        "on; since start {corrected} corrected, {uncorrected} uncorrected; over its life {corrected_life} and "
        "{uncorrected_life}"
    ).format(
        corrected=_count(gpu.ecc_corrected),
        uncorrected=_count(gpu.ecc_uncorrected),
        corrected_life=_count(gpu.ecc_corrected_lifetime),
        uncorrected_life=_count(gpu.ecc_uncorrected_lifetime),
    )


def _mig(part: MigInstance) -> str:
    return f"{_text(part.name)} · {_bytes(part.memory_used)} / {_bytes(part.memory_total)}"


def _process(one: GpuProcess) -> Row:
    if one.together:  # whose they are is not this reader's to know
        others = ngettext("{n} other process", "{n} other processes", one.together).format(n=one.together)
        return others, _bytes(one.used_bytes)
    whose = _("our worker") if one.is_worker else _text(one.user)
    return _("Process {pid}").format(pid=one.pid), f"{_bytes(one.used_bytes)} · {whose} · {_text(one.command)}"


def _host(telemetry: Telemetry) -> list[Row]:
    host = telemetry.host
    return [
        (_("Processors"), _figure(host.cpu_percent, "%")),
        (_("Load (1 minute)"), f"{host.load_1m:.2f}" if host.load_1m is not None else _("n/a")),
        (_("RAM used"), f"{_bytes(host.memory_used)} / {_bytes(host.memory_total)}"),
        (_("Memory available"), _bytes(host.memory_available)),
        (_("Swap used"), f"{_bytes(host.swap_used)} / {_bytes(host.swap_total)}"),
    ]


def _service(telemetry: Telemetry | None, link: Link, socket: str) -> list[Row]:
    rows = [(_("Socket"), clean_line(socket))]
    if link.lost:
        state = _("does not answer")
    elif not link.connected or link.health is None:
        state = _("starting")
    else:
        state = problems.health_sentence(link.health) or _("ready")
        rows.append((_("Worker restarts"), str(link.health.restarts)))
    rows.insert(0, (_("State"), state))
    if telemetry is not None and link.connected:
        service = telemetry.service
        rows += [
            (_("Answers being written"), str(service.active)),
            (_("Questions waiting"), str(service.queued)),
            (_("Parked conversations"), str(service.parked_sessions)),
            (_("Worker process"), _count(service.worker_pid)),
            (_("Worker memory"), _bytes(service.worker_rss)),
            (_("Speed"), _figure(service.tokens_per_second, "tok/s")),
        ]
    return rows


def _model(link: Link) -> list[Row]:
    card = link.model
    if card is None:
        return [(_("State"), _("not loaded"))]
    rows = [
        (_("Name"), _text(card.id)),
        (_("Quantisation"), _text(card.quantization)),
        (_("Computes in"), _text(card.dtype)),
        (_("Runs on"), _text(card.device)),
        (_("Context window"), _("{count} tokens").format(count=_count(card.max_model_len))),
        (_("Parameters"), f"{card.parameters:,}" if card.parameters is not None else _("n/a")),
        (_("Images"), _("not taken") if card.text_only else _("taken")),
    ]
    if card.demo:
        rows.insert(0, (_("Note"), _("DEMO, NOT MEDICAL")))
    return rows


def _context(plan: BudgetPlan) -> list[Row]:
    rows = [(name, _("{count} tokens").format(count=f"{tokens:,}")) for name, tokens in segments(plan)]
    taken = plan.used + plan.reserve
    percent = f"{100 * taken / plan.window:.0f}" if plan.window else "?"
    about = "" if plan.exact else _("about") + " "
    whole = _("{taken} of {window} tokens, {percent} %")
    rows.insert(0, (_("Taken"), about + whole.format(taken=f"{taken:,}", window=f"{plan.window:,}", percent=percent)))
    if plan.over_by:
        rows.append((_("Too much"), _("{count} tokens").format(count=f"{plan.over_by:,}")))
    rows.append((_("Turns no longer sent"), str(plan.dropped_turns)))
    return rows


def _privacy(
    telemetry: Telemetry | None, own_sockets: int | None, own_seal: ProcessSeal | None, link: Link
) -> list[Row]:
    """One row a process, then what is not shut, and what is not to be had here while the rest holds."""
    facts = telemetry.privacy if telemetry is not None and link.connected else PrivacyFacts()
    seals: dict[ProcessName, ProcessSeal | None] = {
        "screen": own_seal, "gateway": facts.gateway, "worker": facts.worker
    }  # fmt: skip
    rows = [
        (_("Screen"), _sealed(own_seal, own_sockets)),
        (_("Gateway"), _sealed(facts.gateway, facts.gateway_inet_sockets)),
        (_("Worker"), _sealed(facts.worker, facts.worker_inet_sockets)),
    ]
    if facts.foreign_engine:
        rows[-1] = (_("Worker"), privacy_words.foreign_engine())
    known = {name: seal for name, seal in seals.items() if seal is not None}
    titles: dict[privacy_words.Level, str] = {
        "open": _("Not shut ({where})"),
        "warnings": _("Warning ({where})"),
        "absent": _("Not to be had here ({where})"),
    }
    for level, title in titles.items():
        for found in privacy_words.noted(known, level):
            rows.append((title.format(where=found.where), found.reason))
    return [*rows, (_("Conversation"), _("in memory only"))]


def _sealed(seal: ProcessSeal | None, sockets: int | None) -> str:
    """How one process stands, in a line."""
    if seal is None:
        state = _("n/a")
    elif seal.open:
        state = _("not sealed")
    else:
        state = _("sealed, with a warning") if seal.warnings else _("sealed")
    return _("{state} · network sockets: {count}").format(state=state, count=_count(sockets))


def _text(value: str | None) -> str:
    return clean_line(value) if value else _("n/a")


def _count(value: int | None) -> str:
    return str(value) if value is not None else _("n/a")


def _figure(value: float | None, unit: str) -> str:
    return f"{value:.0f} {unit}" if value is not None else _("n/a")


def _bytes(value: int | None) -> str:
    return f"{value / 2**30:.1f} GiB" if value is not None else _("n/a")


def _yes_no(value: bool | None) -> str:
    if value is None:
        return _("n/a")
    return _("on") if value else _("off")
