"""Who may ask now, who waits, and in which order: fair between users, bounded, and told its position.

At most ``slots`` requests are with the engine; at most ``queue_limit`` wait here, but for those of users who have
nothing else waiting: one user's pile locks nobody out (connections are limited, so the queue is). At most
``per_user`` of them are one user's. Users take turns: one user's pile of questions delays each of another's by one.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from medgemma_tui.gateway.board import Board, Signal
from medgemma_tui.http_errors import ApiError, queue_full
from medgemma_tui.protocol import Progress

_RETRY_S = 5.0
"""What a reply is taken to last while none has been measured."""


@dataclass(eq=False, slots=True)
class Ticket:
    """One request: from its coming until its reply has ended. ``patient`` ones also wait for a model to be ready.
    ``checks``: a health run's."""

    uid: int
    patient: bool
    number: int
    checks: bool = False
    admitted_at: float | None = None


class Admission:
    """The gateway's queue."""

    def __init__(
        self,
        slots: int,
        queue_limit: int,
        per_user: int,
        board: Board,
        signal: Signal,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._slots = slots
        self._limit = queue_limit
        self._per_user = per_user
        self._board = board
        self._signal = signal
        self._clock = clock
        self._waiting: list[Ticket] = []
        self._active: set[Ticket] = set()
        self._numbers = 0
        self._turns = 0
        self._served: dict[int, int] = {}  # each user's last turn
        self._mean_s = _RETRY_S  # of the last replies, exponentially

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._waiting)

    @property
    def active(self) -> int:
        """Requests with the engine."""
        return len(self._active)

    @contextmanager
    def ticket(self, uid: int, *, patient: bool, checks: bool = False) -> Iterator[Ticket]:
        """Join the queue; leaving the block leaves the queue or gives the place at the engine back.

        Raises ApiError: 503 where the model is not ready and the request does not want to wait for it (or waiting
        is no use), or where the box is not fit and this is no health run's; 429 where this user has as many waiting as
        one may have, or the queue is full and one of this user's waits already.
        """
        self._refuse(patient=patient, checks=checks)
        free = self._board.ready_for(checks=checks) and not self._waiting and len(self._active) < self._slots
        mine = sum(other.uid == uid for other in self._waiting)
        if not free and mine >= self._per_user:
            raise self._full(mine=mine)
        if not free and len(self._waiting) >= self._limit and mine:
            raise self._full()
        self._numbers += 1
        ticket = Ticket(uid, patient, self._numbers, checks)
        self._waiting.append(ticket)
        try:
            yield ticket
        finally:
            self._leave(ticket)

    async def turn(self, ticket: Ticket) -> AsyncIterator[Progress]:
        """What the ticket waits for, each time that changes; ends when it is admitted.

        Raises ApiError (503) when the model is no longer ready and the ticket is not a patient one, or the model
        will not become ready, or the box was found not fit.
        """
        told: Progress | None = None
        while not self._admit(ticket):
            health = self._board.health
            self._refuse(patient=ticket.patient, checks=ticket.checks)
            position = self.position(ticket)
            if self._board.ready_for(checks=ticket.checks):
                progress = Progress(phase="queued", position=position)
            elif health.reason == "audit_full":
                progress = Progress(phase="audit", position=position)
            else:
                progress = Progress(phase="loading", position=position, percent=health.percent)
            if progress == told:
                await self._signal.wait()
            else:  # telling takes time; look again before waiting
                told = progress
                yield progress

    def _refuse(self, *, patient: bool, checks: bool) -> None:
        """Raises ApiError (503) where the board says that this one need not wait."""
        final = not patient or self._board.final
        if self._board.refuses(checks=checks) or (final and not self._board.ready_for(checks=checks)):
            raise self._board.refusal(checks=checks)

    def put_back(self, ticket: Ticket) -> None:
        """The engine was gone before it took the request: to the queue again, at its old place."""
        self._active.discard(ticket)
        ticket.admitted_at = None
        if ticket not in self._waiting:
            self._waiting.append(ticket)
        self._signal.fire()

    def position(self, ticket: Ticket) -> int:
        """The ticket's place in the queue; 1 is next."""
        return self._order().index(ticket) + 1

    def _order(self) -> list[Ticket]:
        """The waiting tickets, next first: by its user's others before it, then by whose turn is longest ago."""
        ahead = Counter(ticket.uid for ticket in self._active)
        ranked = []
        for ticket in sorted(self._waiting, key=lambda ticket: ticket.number):
            ranked.append(((ahead[ticket.uid], self._served.get(ticket.uid, 0), ticket.number), ticket))
            ahead[ticket.uid] += 1
        return [ticket for _rank, ticket in sorted(ranked, key=lambda item: item[0])]

    def _admit(self, ticket: Ticket) -> bool:
        """Give free places out in order; whether the ticket has one.

        Whoever looks gives all of them out, so that a ticket whose client does not read cannot hold up the queue.
        """
        while self._board.ready_for(checks=True) and self._waiting and len(self._active) < self._slots:
            first = next((one for one in self._order() if self._board.ready_for(checks=one.checks)), None)
            if first is None:  # all are about to be refused
                break
            self._waiting.remove(first)
            self._active.add(first)
            first.admitted_at = self._clock()
            self._turns += 1
            self._served[first.uid] = self._turns
            self._signal.fire()
        return ticket in self._active

    def _leave(self, ticket: Ticket) -> None:
        if ticket in self._active:
            self._active.discard(ticket)
            if ticket.admitted_at is not None:
                self._mean_s += 0.2 * (self._clock() - ticket.admitted_at - self._mean_s)
        else:
            self._waiting.remove(ticket)
        if self._waiting:
            self._signal.fire()

    def _full(self, *, mine: int | None = None) -> ApiError:
        position = len(self._waiting) + 1
        wait_s = self._mean_s * position / self._slots
        return queue_full(position, min(120, max(1, math.ceil(wait_s))), mine=mine)
