"""What all connections share: who may come in, how many connections and calls a user may have, what is told of it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from medgemma_tui.gateway.incidents import Incidents
from medgemma_tui.gateway.peers import Peer
from medgemma_tui.gateway.roles import Policy, Role
from medgemma_tui.http_errors import ApiError, error_response
from medgemma_tui.protocol import MAX_BODY_BYTES

CONNECTIONS = 400
"""Connections at once; each stream takes two descriptors of the usual 1,024."""
CONNECTIONS_PER_USER = 100
OUTSIDERS = 32
"""Connections of all those who have no role; each gets its refusal, and that is all they are for."""
BODIES_PER_USER = 4 * MAX_BODY_BYTES
"""Bytes of the bodies of one user's calls at once."""
_REST_BYTES = 64 * 1024
_REST_S = 1.0
"""How much of a body that nobody wants is read, and for how long."""


class Connection(Protocol):
    """An open connection, as the door sees it."""

    peer: Peer | None

    @property
    def idle(self) -> bool:
        """True while no call is being answered on it."""

    def drop(self) -> None:
        """End it now."""


class Door:
    """Keeps the connections and calls of each user within bounds, so that nobody can take all there are."""

    def __init__(self, policy: Policy, incidents: Incidents, *, calls_per_user: int) -> None:
        self.policy = policy
        self.incidents = incidents
        self._calls_per_user = calls_per_user
        self._open: dict[int, dict[Connection, None]] = {}  # by uid, oldest first
        self._calls: Counter[int] = Counter()
        self._bodies: Counter[int] = Counter()

    def come(self, connection: Connection) -> None:
        """A connection was opened. It is dropped at once where its user has too many.

        Where there are too many in all, the user who has most loses one, an idle one if that can be.
        """
        peer = connection.peer
        self._open.setdefault(_uid(peer), {})[connection] = None
        mine = len(self._open[_uid(peer)])
        if peer is None or not peer.roles:
            outsiders = sum(len(held) for held in self._open.values() if not _roles(next(iter(held))))
            too_many = outsiders > OUTSIDERS
        else:
            too_many = mine > CONNECTIONS_PER_USER
        if too_many:
            self._drop(connection)
        elif sum(map(len, self._open.values())) > CONNECTIONS:
            most = max(self._open.values(), key=len)
            held = [connection] if len(most) == mine else list(most)
            self._drop(next((one for one in held if one.idle), held[-1]))

    def leave(self, connection: Connection) -> None:
        """A connection is gone."""
        held = self._open.get(_uid(connection.peer), {})
        held.pop(connection, None)
        if not held:
            self._open.pop(_uid(connection.peer), None)

    @property
    def connections(self) -> list[Connection]:
        """All that are open."""
        return [connection for held in self._open.values() for connection in held]

    def refusal(self, peer: Peer | None) -> ApiError | None:
        """Why this peer's call is not taken, if it is not."""
        if peer is None or not peer.roles:
            self.incidents.note("refused", "peer_not_allowed", peer)
            group = self.policy.group_names(frozenset({Role.USERS}))
            return ApiError(
                403, "forbidden", "this user may not use the gateway", code="peer_not_allowed", params={"group": group}
            )
        if self._calls[peer.uid] >= self._calls_per_user:
            self.incidents.note("refused", "too_many_calls", peer)
            return ApiError(
                429, "too_many_calls", f"more than {self._calls_per_user} calls of this user at once", retry_after_s=1
            )
        return None

    def begin(self, peer: Peer) -> None:
        """A call begins."""
        self._calls[peer.uid] += 1

    def take(self, peer: Peer, size: int) -> None:
        """So much more of a call's body comes. Raises ApiError (429) where it is too much of one user's."""
        self._bodies[peer.uid] += size
        if self._bodies[peer.uid] > BODIES_PER_USER:
            self.incidents.note("refused", "too_many_calls", peer)
            raise _TooMuch

    def end(self, peer: Peer, size: int) -> None:
        """A call has ended, for whose body so much was taken."""
        for counter, amount in ((self._calls, 1), (self._bodies, size)):
            counter[peer.uid] -= amount
            if not counter[peer.uid]:
                del counter[peer.uid]

    def _drop(self, connection: Connection) -> None:
        self.incidents.note("dropped", "too_many_connections", connection.peer)
        connection.drop()


class Entrance:
    """ASGI middleware: takes the calls of members, so many at once, and ends a connection whose body nobody read."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the call through, or refuse it."""
        peer: Peer | None = scope["state"].get("peer")
        body = _Body(scope, receive, send)
        refusal = self._door.refusal(peer)
        if refusal is not None or peer is None:
            await error_response(refusal or ApiError(403, "forbidden", "no peer"))(scope, body.receive, body.send)
            return
        self._door.begin(peer)
        try:
            body.count(functools.partial(self._door.take, peer))
            await self._app(scope, body.receive, body.send)
        except _TooMuch as refused:  # of bodies that say their length; a body in chunks is refused as it is read
            await error_response(refused)(scope, body.receive, body.send)
        finally:
            self._door.end(peer, body.taken)


class RoleGate:
    """ASGI middleware of one route: 403 for members without one of ``roles``.

    No roles: for the gateway's own user and root, who have all of them, and for nobody who has all of them by groups.
    """

    def __init__(self, app: ASGIApp, door: Door, roles: frozenset[Role]) -> None:
        self._app = app
        self._door = door
        self._roles = roles

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the call through. Raises ApiError."""
        peer: Peer = scope["state"]["peer"]
        if not self._roles and not self._door.policy.owns(peer.uid):
            self._door.incidents.note("refused", "own_user_needed", peer)
            raise ApiError(403, "forbidden", "this call is for the gateway's own user", code="own_user_needed")
        if self._roles and peer.roles.isdisjoint(self._roles):
            self._door.incidents.note("refused", "role_needed", peer)
            group = self._door.policy.group_names(self._roles)
            needed = ", ".join(role for role in Role if role in self._roles)
            raise ApiError(
                403, "forbidden", f"this call is for {needed}", code="role_needed", params={"group": group or needed}
            )
        await self._app(scope, receive, send)


class _Body:
    """A call's body: how much of it has come, and what becomes of a part that nobody has read when its reply begins.

    A little of the rest is waited for and thrown away, for clients that do not look for a reply before they have sent
    everything. What is more ends the connection: it may be of any length, and nobody wants it.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        headers = dict(scope["headers"])
        length = headers.get(b"content-length", b"0")  # digits that make a number: the parser has seen to it
        self._left = b"transfer-encoding" in headers or length != b"0"
        self._announced = min(int(length), MAX_BODY_BYTES)
        self._size = 0
        self._take: Callable[[int], None] = lambda size: None
        self.taken = 0

    def count(self, take: Callable[[int], None]) -> None:
        """From now on ``take`` is told of what comes, of an announced length at once. Raises what it raises."""
        self._take = take
        self._count(self._announced)

    def _count(self, size: int) -> None:
        if size > self.taken:
            more, self.taken = size - self.taken, size
            self._take(more)

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            self._left = False
        self._size += len(message.get("body", b""))
        self._count(self._size)
        return message

    async def send(self, message: Message) -> None:
        if self._left and message["type"] == "http.response.start":
            await self._read_on()
            if self._left:
                message = {**message, "headers": [*message.get("headers", []), (b"connection", b"close")]}
        await self._send(message)

    async def _read_on(self) -> None:
        enough = self._size + _REST_BYTES
        with contextlib.suppress(TimeoutError, ApiError):
            async with asyncio.timeout(_REST_S):
                while self._left and self._size < enough:
                    await self.receive()


class _TooMuch(ApiError):
    """429: one user's bodies are too many bytes at once."""

    def __init__(self) -> None:
        super().__init__(
            429, "too_many_calls", "too much of this user's is being read already", code="too_many_bytes",
            retry_after_s=1,
        )  # fmt: skip


def _uid(peer: Peer | None) -> int:
    return -1 if peer is None else peer.uid


def _roles(connection: Connection) -> frozenset[Role]:
    return frozenset() if connection.peer is None else connection.peer.roles
