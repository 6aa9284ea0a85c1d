"""Who was refused or dropped and why: told at once, and then at most once a minute for each user and reason."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from medgemma_tui.gateway.peers import Peer

log = logging.getLogger(__name__)

QUIET_S = 60.0
"""Seconds in which the same is counted and not told again: a hostile client must not fill the log."""


@dataclass(frozen=True, slots=True)
class Incident:
    """A call or a connection that was refused or dropped. ``reason`` is a word of ours, an error's code.

    ``count``: how often it happened since it was last told, this time included. ``uid`` is None where the kernel
    did not say.
    """

    kind: Literal["refused", "dropped"]
    reason: str
    uid: int | None
    login: str
    pid: int
    count: int = 1


class Incidents:
    """Counts them, logs them, and tells ``listener``, which must neither wait nor raise."""

    def __init__(self, listener: Callable[[Incident], None] | None = None) -> None:
        self.listener = listener
        self._counted: dict[tuple[int | None, str], tuple[Incident, int]] = {}
        self._timers: dict[tuple[int | None, str], asyncio.TimerHandle] = {}

    def note(self, kind: Literal["refused", "dropped"], reason: str, peer: Peer | None) -> None:
        """One more."""
        uid = None if peer is None else peer.uid
        name, pid = ("unknown", 0) if peer is None else (peer.name, peer.pid)
        incident = Incident(kind, reason, uid, name, pid)
        key = (uid, reason)
        if key in self._counted:
            self._counted[key] = (incident, self._counted[key][1] + 1)
        else:
            self._tell(incident)
            self._count(key, incident)

    def stop(self) -> None:
        """Tell what has only been counted."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        for incident, count in self._counted.values():
            if count:
                self._tell(replace(incident, count=count))
        self._counted.clear()

    def _count(self, key: tuple[int | None, str], incident: Incident) -> None:
        self._counted[key] = (incident, 0)
        self._timers[key] = asyncio.get_running_loop().call_later(QUIET_S, self._flush, key)

    def _flush(self, key: tuple[int | None, str]) -> None:
        del self._timers[key]
        incident, count = self._counted.pop(key)
        if count:
            self._tell(replace(incident, count=count))
            self._count(key, incident)

    def _tell(self, incident: Incident) -> None:
        who = "unknown" if incident.uid is None else f"{incident.login} (uid {incident.uid}, pid {incident.pid})"
        what = "refused a call by" if incident.kind == "refused" else "dropped a connection of"
        times = f", {incident.count} times" if incident.count > 1 else ""
        log.warning("%s %s: %s%s", what, who, incident.reason, times)
        if self.listener is not None:
            self.listener(incident)
