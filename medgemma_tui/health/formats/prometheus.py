"""``--format prometheus``: the text that node_exporter's textfile collector reads.

A check that does not apply, or was left out, has no ``medgemma_health_status``: a rule such as
``medgemma_health_status > 0`` then needs no exception for it. Help texts are English in every language.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from medgemma_tui.health.formats.view import EXIT_CODES, View
from medgemma_tui.protocol import Figure
from medgemma_tui.protocol.fitness import Unit
from medgemma_tui.safetext import clean_line

_BASE: Final[dict[Unit, tuple[str, float]]] = {
    "": ("", 1),
    "B": ("bytes", 1),
    "s": ("seconds", 1),
    "%": ("ratio", 0.01),
    "C": ("celsius", 1),
    "W": ("watts", 1),
    "MHz": ("hertz", 1e6),
    "tok/s": ("tokens_per_second", 1),
}
"""Each unit's base unit by Prometheus' rules, and how many of that one it is."""
_CODES: Final = "0 ok, 1 warning, 2 critical, 3 unknown"


def text(view: View) -> str:
    """The whole file. Of a report that is missing it has the verdict only; of a part it has all but that: a file that
    said "fit" after one check was tried would be taken for the box's."""
    registry = CollectorRegistry()
    report = view.report

    def gauge(name: str, help_: str, labels: tuple[str, ...] = ()) -> Gauge:
        return Gauge(f"medgemma_health_{name}", help_, labels, registry=registry)

    if not report.partial:
        verdict = gauge("verdict", f"The worst check of the run, or 3 where its report is too old: {_CODES}")
        verdict.set(EXIT_CODES[view.verdict])
    if view.missing:
        return generate_latest(registry).decode()
    gauge("timestamp_seconds", "When the run started").set(report.started)
    gauge("duration_seconds", "How long the run took").set(report.seconds)
    gauge("partial", "1 where checks were left out on request: no verdict about the box").set(report.partial)
    gauge("info", "What was run, as labels", ("version", "phase", "demo", "full")).labels(
        report.version, report.phase, str(report.demo).lower(), str(report.full).lower()
    ).set(1)
    status = gauge("status", f"{_CODES}; a check that does not apply here is left out", ("check", "group"))
    took = gauge("check_duration_seconds", "How long the check took", ("check", "group"))
    figures: dict[str, Gauge] = {}
    for result in report.results:
        if result.status == "skipped":
            continue
        names = (clean_line(result.id), clean_line(result.group))
        status.labels(*names).set(EXIT_CODES[result.status])
        took.labels(*names).set(result.seconds)
        for figure in result.figures:
            name, scale = _name(figure)
            if name not in figures:
                figures[name] = gauge(name, "A figure that a check measured", ("check", "label"))
            figures[name].labels(names[0], clean_line(figure.label)).set(figure.value * scale)
    return generate_latest(registry).decode()


def _name(figure: Figure) -> tuple[str, float]:
    """The metric's name, with its base unit at the end, and what the value is multiplied by."""
    unit, scale = _BASE[figure.unit]
    name = f"figure_{figure.name}"
    return (f"{name}_{unit}" if unit and not name.endswith(f"_{unit}") else name), scale
