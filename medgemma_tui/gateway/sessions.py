"""Conversations parked in memory, one a user, wiped at their deadline. They never touch the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from medgemma_tui.http_errors import ApiError
from medgemma_tui.protocol import SessionBody, SessionReply


@dataclass(slots=True)
class _Parked:
    payload: bytearray
    timer: asyncio.TimerHandle
    granted_s: float
    id: str

    def wipe(self) -> None:
        """Overwrite our copy. Python may have made others while it parsed the request; those it frees as it likes."""
        self.timer.cancel()
        self.payload[:] = bytes(len(self.payload))


class Sessions:
    """The parked conversations, by uid."""

    def __init__(
        self, max_bytes: int, total_bytes: int, ttl_s: float, expired: Callable[[int], object] = lambda uid: None
    ) -> None:
        """``expired`` is told the uid whose conversation was wiped at its deadline."""
        self._max_bytes = max_bytes
        self._total_bytes = total_bytes
        self._ttl_s = ttl_s
        self._expired = expired
        self._parked: dict[int, _Parked] = {}

    def __len__(self) -> int:
        return len(self._parked)

    @property
    def total_bytes(self) -> int:
        """Of all that are parked."""
        return sum(len(parked.payload) for parked in list(self._parked.values()))

    def park(self, uid: int, body: SessionBody) -> None:
        """Keep this one instead of the user's last.

        Raises ApiError: 409 where another is kept that it may not replace, 413 where it is too large, 507 where all
        together would be. Then the user's last stays, and nobody else's is thrown out for it.
        """
        last = self._parked.get(uid)
        if last is not None and last.id != body.id and not body.replace:
            raise ApiError(409, "another_is_kept", "another conversation of this user is kept", param="id")
        payload = bytearray(body.payload.encode("utf-8", "surrogatepass"))
        if len(payload) > self._max_bytes:
            raise ApiError(
                413,
                "too_large",
                f"the conversation is {len(payload):,} bytes long and at most {self._max_bytes:,} are kept",
                code="session_too_large",
                param="payload",
            )
        others = sum(len(parked.payload) for owner, parked in self._parked.items() if owner != uid)
        if others + len(payload) > self._total_bytes:
            raise ApiError(507, "parked_full", "the memory for parked conversations is full")
        self.drop(uid)
        granted_s = min(body.ttl_s, self._ttl_s)
        timer = asyncio.get_running_loop().call_later(granted_s, self._expire, uid)
        self._parked[uid] = _Parked(payload, timer, granted_s, body.id)

    def get(self, uid: int) -> SessionReply:
        """The user's parked conversation. Raises ApiError (404) where there is none."""
        parked = self._parked.get(uid)
        if parked is None:
            raise ApiError(404, "not_found", "no conversation is parked for this user", code="no_session")
        left = parked.timer.when() - asyncio.get_running_loop().time()
        # (now + granted) - now is not granted in floating point: never promise more than the site allows
        expires_in_s = max(0.0, min(left, parked.granted_s))
        payload = parked.payload.decode("utf-8", "surrogatepass")
        return SessionReply(payload=payload, expires_in_s=expires_in_s, id=parked.id)

    def drop_one(self, uid: int, id: str) -> None:
        """Wipe the user's parked conversation if it is this one. Raises ApiError (404) where it is not."""
        parked = self._parked.get(uid)
        if parked is None or parked.id != id:
            raise ApiError(404, "not_found", "this conversation is not parked", code="no_session", param="id")
        self.drop(uid)

    def drop(self, uid: int) -> None:
        """Wipe the user's parked conversation, if there is one."""
        parked = self._parked.pop(uid, None)
        if parked is not None:
            parked.wipe()

    def _expire(self, uid: int) -> None:
        self.drop(uid)
        self._expired(uid)

    def drop_all(self) -> None:
        """Wipe every one: the gateway ends."""
        for uid in list(self._parked):
            self.drop(uid)
