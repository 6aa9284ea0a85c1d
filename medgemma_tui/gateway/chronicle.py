"""What the gateway records of itself: its policy, what closed it, each life of the model."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from medgemma_tui.audit.record import Entry
from medgemma_tui.gateway.auditing import Auditor, own_entry
from medgemma_tui.gateway.board import Board, Signal
from medgemma_tui.gateway.incidents import Incident
from medgemma_tui.privacy.seal import Seal
from medgemma_tui.protocol import Health, ProcessSeal
from medgemma_tui.settings import Settings

_POLICY = (
    "identifiers", "lock_after_s", "wipe_after_s", "slots", "queue_limit", "queue_per_user", "session_ttl_s",
    "session_max_bytes", "parked_total_bytes", "audit_retention_days", "audit_max_bytes", "socket_mode", "max_tokens",
    "when_unfit",
)  # fmt: skip
"""Settings that are numbers, or words of fixed sets."""
_NAMES = (
    "users_group", "ops_group", "auditors_group", "model", "engine_socket", "clinical_dir", "instructions",
    "health_dir", "golden_file",
)  # fmt: skip
"""Settings that are texts: whether they are set, and in the keyed hash, so that a change shows."""
_ENDS = ("ready", "worker_lost", "out_of_memory", "model_invalid", "failed")


def policy(settings: Settings) -> tuple[dict[str, int | float | str], str]:
    """The settings that are policy, as counters, and the text that a change of any of them changes."""
    counters: dict[str, int | float | str] = {name: _counter(getattr(settings, name)) for name in _POLICY}
    names = {name: str(getattr(settings, name) or "") for name in _NAMES}
    counters |= {f"{name}_set": int(bool(value)) for name, value in names.items()}
    return counters, json.dumps({**counters, **names}, sort_keys=True)


def _counter(value: object) -> int | float | str:
    return value if isinstance(value, int | float | str) else "default"


def seal_record(seal: Seal) -> Entry:
    """What this process closed at its start."""
    counters: dict[str, int | float | str] = {"process": "gateway"}
    counters |= {layer.name: "holds" if layer.holds else layer.reason or "absent" for layer in seal.layers}
    holds = all(layer.holds for layer in seal.layers)
    return own_entry("seal", "sealed" if holds else "in_part", counters)


def worker_seal_record(seal: ProcessSeal) -> Entry:
    """What the worker could prove of itself."""
    counters: dict[str, int | float | str] = {"process": "worker"}
    for verdict, found in (("absent", seal.absent), ("warning", seal.warnings), ("open", seal.open)):
        counters |= dict.fromkeys(found[:12], verdict)
    outcome = "open" if seal.open else "in_part" if seal.warnings or seal.absent else "sealed"
    return own_entry("seal", outcome, counters)


def incident_record(incident: Incident) -> Entry:
    """Somebody was refused or dropped, as often as ``count`` says since it was last told. No uid: the kernel's -1."""
    uid = -1 if incident.uid is None else incident.uid
    return Entry(incident.kind, incident.reason, uid, incident.login, counters={"count": incident.count})


class ModelWatch:
    """Records each time that the model becomes ready, is lost, or cannot be had. ``run`` until cancelled."""

    def __init__(self, board: Board, signal: Signal, auditor: Auditor) -> None:
        self._board, self._signal, self._auditor = board, signal, auditor
        self._reason = "starting"
        self._since = time.monotonic()

    async def run(self) -> None:
        """Watch the board."""
        while True:
            self.look()
            await self._signal.wait()

    def look(self) -> None:
        """Record what has changed since the last look."""
        health = self._board.engine
        if health.reason == self._reason:
            return
        now = time.monotonic()
        if health.reason in _ENDS:
            self._auditor.later(own_entry("model_load", health.reason, self._counters(health, now)))
            if health.reason == "ready" and health.privacy is not None:
                self._auditor.later(worker_seal_record(health.privacy))
        if health.reason in _ENDS or self._reason in _ENDS:
            self._since = now
        self._reason = health.reason

    def _counters(self, health: Health, now: float) -> Mapping[str, int | float | str]:
        counters: dict[str, int | float | str] = {
            "seconds": round(now - self._since, 1),
            "restarts": health.restarts,
            "after": self._reason,
        }
        if health.code:
            counters["code"] = health.code
        if health.model is not None and health.model.max_model_len is not None:
            counters["window"] = health.model.max_model_len
        return counters
