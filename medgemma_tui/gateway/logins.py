"""Who is logged in: what screens report of themselves, and the end of those that cannot report it any more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from medgemma_tui.audit.record import Entry
from medgemma_tui.gateway.auditing import Auditor
from medgemma_tui.gateway.peers import Peer
from medgemma_tui.http_errors import ApiError
from medgemma_tui.protocol import EventBody

LOST_AFTER_S = 5.0
"""Seconds without a telemetry stream after which a screen that had one is taken for gone."""
_EVENTS_AT_ONCE = 60
_EVENTS_PER_S = 1.0
"""What one user may report: so many at once, and so many a second on the long run."""
_LOGINS_PER_USER = 64


@dataclass(eq=False, slots=True)
class _Login:
    """One session, from its login to its logout. ``leaving``: its last telemetry stream has ended."""

    peer: Peer
    owner: str
    leaving: asyncio.TimerHandle | None = None


@dataclass(slots=True)
class _Allowance:
    """A user's events: a bucket that fills slowly."""

    left: float
    at: float


class Logins:
    """The sessions that have logged in, by whose conversation they are."""

    def __init__(
        self, auditor: Auditor, *, lost_after_s: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._auditor = auditor
        self._lost_after_s = LOST_AFTER_S if lost_after_s is None else lost_after_s
        self._clock = clock
        self._logins: dict[str, _Login] = {}
        self._streams: dict[str, int] = {}
        self._allowances: dict[int, _Allowance] = {}

    def note(self, peer: Peer, owner: str, body: EventBody) -> None:
        """Record what a screen reports. Raises ApiError: 429 where a user reports too much, 503 while none is taken."""
        self._allow(peer)
        if self._auditor.crowded:
            raise ApiError(503, "audit_full", "no more events can be kept until the audit log is written")
        known = self._logins.get(owner)
        if body.event == "login":
            if known is None:
                self._make_room(peer.uid)
                self._logins[owner] = _Login(peer, owner)
        elif body.event == "logout" and known is not None:
            self._forget(known)
        entry = Entry(body.event, body.outcome, peer.uid, peer.name, counters=dict(body.counts))
        self._auditor.later(entry, owner, always=body.event == "logout" and known is not None)

    @contextmanager
    def stream(self, owner: str) -> Iterator[None]:
        """A telemetry stream of this session is open: its screen lives. Without the last of them it is lost, soon."""
        self._streams[owner] = self._streams.get(owner, 0) + 1
        if (login := self._logins.get(owner)) is not None and login.leaving is not None:
            login.leaving.cancel()
            login.leaving = None
        try:
            yield
        finally:
            self._streams[owner] -= 1
            if not self._streams[owner]:
                del self._streams[owner]
                if (login := self._logins.get(owner)) is not None and login.leaving is None:
                    loop = asyncio.get_running_loop()
                    login.leaving = loop.call_later(self._lost_after_s, self._end, login, "lost")

    def end_all(self, outcome: str) -> None:
        """The gateway ends, and every session with it; one that had lost its screen already is lost."""
        for login in list(self._logins.values()):
            self._end(login, "lost" if login.leaving is not None else outcome)

    def _end(self, login: _Login, outcome: str) -> None:
        self._forget(login)
        peer = login.peer
        self._auditor.later(Entry("logout", outcome, peer.uid, peer.name), login.owner, always=True)

    def _forget(self, login: _Login) -> None:
        self._logins.pop(login.owner, None)
        if login.leaving is not None:
            login.leaving.cancel()

    def _make_room(self, uid: int) -> None:
        """Of a user with too many sessions the oldest one is given up."""
        own = [login for login in self._logins.values() if login.peer.uid == uid]
        if len(own) >= _LOGINS_PER_USER:
            self._end(own[0], "lost")

    def _allow(self, peer: Peer) -> None:
        now = self._clock()
        allowance = self._allowances.setdefault(peer.uid, _Allowance(_EVENTS_AT_ONCE, now))
        allowance.left = min(_EVENTS_AT_ONCE, allowance.left + (now - allowance.at) * _EVENTS_PER_S)
        allowance.at = now
        if allowance.left < 1:
            raise ApiError(429, "too_many_events", "this user reports too many events", retry_after_s=1)
        allowance.left -= 1
