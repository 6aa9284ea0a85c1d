"""Short calls on the service: a conversation parked, looked for and dropped; events for the audit log; forgetting.

Like the link's, its tasks post messages and change nothing themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from medgemma_tui.protocol import ErrorInfo, EventBody, SessionBody
from medgemma_tui.tui import messages
from medgemma_tui.tui.link import Link
from medgemma_tui.tui.service import Service


@dataclass(frozen=True, slots=True)
class Parcel:
    """A packed conversation. ``id`` tells it from another of the same user."""

    id: str
    payload: str


WITHIN_S = 5.0
HURRY_S = 1.0
"""Seconds for a call on the way out."""
NOTE_AGAIN_S = 2.0
_MOST_NOTES = 100
_UNREACHABLE = ErrorInfo(type="unreachable", message="not connected")
_TIMEOUT = ErrorInfo(type="timeout", message="no answer in time")


class Errands:
    """Over a link. ``start`` it once the link has been started."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._notes: asyncio.Queue[EventBody] = asyncio.Queue(_MOST_NOTES)
        self._login_waits = False  # for a service that takes it

    def start(self) -> None:
        """Begin to send notes."""
        self._link.spawn(self._send_notes())

    # --- the audit log ---

    def note(self, event: EventBody) -> None:
        """Report this, after what was reported before. That it cannot be told is no trouble of the person's."""
        if event.event == "login" and self._login_waits:
            return
        with contextlib.suppress(asyncio.QueueFull):
            self._notes.put_nowait(event)
            self._login_waits |= event.event == "login"

    async def _send_notes(self) -> None:
        service = await self._link.reached()
        while service is not None:
            event = await self._notes.get()
            try:
                await _deliver(service, event)
                self._login_waits &= event.event != "login"
            finally:
                self._notes.task_done()

    async def flush(self) -> None:
        """Wait a moment until everything is told: the screen ends."""
        if self._link.connected:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(HURRY_S):
                    await self._notes.join()

    # --- parking ---

    def park(self, parcel: Parcel, ttl_s: float, *, hurry: bool = False) -> None:
        """Have a conversation kept; ``messages.Parked`` tells how that went.

        Another one that is kept already stays where it is; only where there is no time to wait (``hurry``), it goes.
        """
        self._link.spawn(self._park(parcel, ttl_s, hurry=hurry))

    async def _park(self, parcel: Parcel, ttl_s: float, *, hurry: bool) -> None:
        service = self._link.service
        error = _UNREACHABLE if service is None else await _parked(service, parcel, ttl_s, hurry=hurry)
        self._link.post(messages.Parked(parcel.id, error))

    def look(self) -> None:
        """See whether a conversation is kept for this user; ``messages.KeptLooked`` follows where that can be told."""
        self._link.spawn(self._look())

    async def _look(self) -> None:
        from medgemma_tui.client import ServiceError

        service = await self._link.reached()
        if service is not None:
            with contextlib.suppress(ServiceError):
                self._link.post(messages.KeptLooked(await service.parked()))

    def drop(self, id: str) -> None:
        """Drop the conversation that is kept, if it is this one; ``messages.Dropped`` follows."""
        self._link.spawn(self._drop(id))

    async def _drop(self, id: str) -> None:
        from medgemma_tui.client import ServiceError

        service, gone = self._link.service, False
        if service is not None:
            with contextlib.suppress(ServiceError, TimeoutError):
                async with asyncio.timeout(HURRY_S):
                    gone = await service.drop(id)
        self._link.post(messages.Dropped(id, gone=gone))

    # --- forgetting ---

    def forget(self) -> None:
        """Drop what the service keeps of this user's conversations; ``messages.Forgotten`` tells how that went."""
        self._link.spawn(self._forget())

    async def _forget(self) -> None:
        from medgemma_tui.client import ServiceError

        service = await self._link.reached()
        if service is None:
            self._link.post(messages.Forgotten(self._link.given_up))
            return
        try:
            await service.forget()
            self._link.post(messages.Forgotten())
        except ServiceError as failure:
            self._link.post(messages.Forgotten(failure.info))


async def _deliver(service: Service, event: EventBody) -> None:
    """Report it; again and again where nobody answers, or not now. A refusal is final."""
    from medgemma_tui.client import ServiceError

    while True:
        try:
            await service.note(event)
            return
        except ServiceError as failure:
            if failure.status not in (0, 429, 503):
                return
        await asyncio.sleep(NOTE_AGAIN_S)


async def _parked(service: Service, parcel: Parcel, ttl_s: float, *, hurry: bool) -> ErrorInfo | None:
    from medgemma_tui.client import ServiceError

    body = SessionBody(payload=parcel.payload, ttl_s=ttl_s, id=parcel.id, replace=hurry)
    try:
        async with asyncio.timeout(HURRY_S if hurry else WITHIN_S):
            await service.park(body)
    except ServiceError as failure:
        return failure.info
    except TimeoutError:
        return _TIMEOUT
    return None
