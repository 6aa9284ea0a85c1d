"""A check's figures in words: their name, their value in a unit a person reads, and what they are judged by."""

from __future__ import annotations

from medgemma_tui.i18n import N_, _
from medgemma_tui.protocol import Figure
from medgemma_tui.protocol.fitness import Unit
from medgemma_tui.safetext import clean_line

_NAMES: dict[str, str] = {
    "tokens_per_second": N_("speed"),
    "vram_free": N_("GPU memory free"),
    "memory_available": N_("memory available"),
    "memory_needed": N_("memory needed"),
    "swap_used": N_("swap in use"),
    "disk_free": N_("free"),
    "inodes_free": N_("inodes free"),
    "open_files_limit": N_("open files allowed"),
    "clock_synchronised": N_("follows a time server (1: yes)"),
    "audit_records": N_("records"),
    "audit_findings": N_("findings"),
    "after_anchor": N_("records since the last anchor"),
    "anchor_age": N_("age of the last anchor"),
    "audit_free": N_("free for the audit log"),
    "audit_days": N_("days until it is full"),
    "audit_bytes": N_("size of the audit log"),
    "seal_open": N_("open"),
    "seal_warnings": N_("warnings"),
    "seal_unknown": N_("unknown"),
}
_GIB = 2**30
_DAY_S = 86400.0


def name(figure: Figure) -> str:
    """A figure by name, with what tells it from its like; one that is not known here by its id."""
    shown = _(_NAMES[figure.name]) if figure.name in _NAMES else figure.name.replace("_", " ")
    return _("{name} ({label})").format(name=shown, label=clean_line(figure.label)) if figure.label else shown


def value(number: float, unit: Unit) -> str:
    """A number in its unit: bytes as GiB or MiB, seconds as s, min, h or days."""
    if unit == "B":
        return f"{number / _GIB:,.1f} GiB" if abs(number) >= _GIB / 10 else f"{number / 2**20:,.1f} MiB"
    if unit == "s":
        return _seconds(number)
    if unit == "C":
        return f"{number:g} °C"
    text = f"{number:,.0f}" if number == int(number) or abs(number) >= 1000 else f"{number:,.3g}"
    return f"{text} {unit}" if unit else text


def _seconds(number: float) -> str:
    if abs(number) < 120:
        return f"{number:.3g} s"
    if abs(number) < 7200:
        return f"{number / 60:.0f} min"
    if abs(number) < 2 * _DAY_S:
        return f"{number / 3600:.1f} h"
    return f"{number / _DAY_S:.1f} d"


def thresholds(figure: Figure) -> str:
    """From where on it is a warning, and critical; empty where it is not judged."""
    parts = []
    for word, limit in ((N_("warning"), figure.warning), (N_("critical"), figure.critical)):
        if limit is not None:
            form = _("{word} below {limit}") if figure.below else _("{word} above {limit}")
            parts.append(form.format(word=_(word), limit=value(limit, figure.unit)))
    return ", ".join(parts)
