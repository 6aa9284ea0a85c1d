"""A check's figures in words: their name, their value in a unit a person reads, and what they are judged by."""

from __future__ import annotations

import math

from medgemma_tui.i18n import N_, _
from medgemma_tui.protocol import Figure
from medgemma_tui.protocol.fitness import Unit
from medgemma_tui.safetext import clean_line

_NAMES: dict[str, str] = {
    "after_anchor": N_("records behind the anchor"),
    "anchor_age": N_("age of the anchor"),
    "answer_tokens": N_("tokens of the answer"),
    "audit_bytes": N_("size of the audit log"),
    "audit_days": N_("days until the disk is full"),
    "audit_findings": N_("findings in the audit log"),
    "audit_free": N_("free for the audit log"),
    "audit_records": N_("records in the audit log"),
    "bytes_per_second": N_("bytes read a second"),
    "clock_synchronised": N_("clock is synchronised (1: yes)"),
    "disk_free": N_("disk free"),
    "first_token": N_("time to the first token"),
    "gateway_answer_seconds": N_("time to an answer"),
    "gpu_clock_sm": N_("clock"),
    "gpu_clock_sm_max": N_("highest clock"),
    "gpu_compute_capability": N_("compute capability"),
    "gpu_ecc_corrected": N_("memory errors corrected"),
    "gpu_ecc_uncorrected": N_("memory errors not corrected"),
    "gpu_pages_retired": N_("memory pages retired"),
    "gpu_power": N_("power"),
    "gpu_power_limit": N_("power limit"),
    "gpu_rows_remapped": N_("memory rows remapped"),
    "gpu_temperature": N_("temperature"),
    "gpus": N_("GPUs"),
    "hashed_bytes": N_("hashed"),
    "inodes_free": N_("free inodes"),
    "last_success_age": N_("since the last fit run"),
    "memory_available": N_("memory available"),
    "memory_needed": N_("memory needed"),
    "open_files_limit": N_("limit of open files"),
    "parameters": N_("parameters"),
    "parked_bytes": N_("parked conversations, size"),
    "parked_sessions": N_("parked conversations"),
    "parked_share": N_("share of the room for parked conversations"),
    "questions": N_("questions"),
    "queue_active": N_("questions being answered"),
    "queue_waiting": N_("questions waiting"),
    "seal_open": N_("ways out that are open"),
    "seal_unknown": N_("ways out that could not be tried"),
    "seal_warnings": N_("ways out with a warning"),
    "swap_used": N_("swap used"),
    "tokens_per_second": N_("speed"),
    "vram_free": N_("GPU memory free"),
    "vram_needed": N_("GPU memory needed"),
    "vram_others": N_("GPU memory held by others"),
    "vram_total": N_("GPU memory in all"),
    "weight_bytes": N_("size of the weights"),
    "worker_memory": N_("memory of the model process"),
    "worker_restarts": N_("restarts of the model process"),
    "worker_up_seconds": N_("the model process runs for"),
    "wrong": N_("answered wrongly"),
    "xid_events": N_("Xid events"),
}
_GIB = 2**30
_DAY_S = 86400.0


def name(figure: Figure) -> str:
    """A figure by name, with what tells it from its like; one that is not known here by its id."""
    shown = _(_NAMES[figure.name]) if figure.name in _NAMES else figure.name.replace("_", " ")
    return _("{name} ({label})").format(name=shown, label=clean_line(figure.label)) if figure.label else shown


def is_known(name: str) -> bool:
    """Whether a figure of this name has words."""
    return name in _NAMES


def value(number: float, unit: Unit) -> str:
    """A number in its unit: bytes as GiB or MiB, seconds as s, min, h or days."""
    if not math.isfinite(number):
        return _("n/a")
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
