"""Who is at the other end of the socket, from the kernel and from nowhere else, and whether they may use it."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import os
import pwd
import re
import socket
import struct
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from medgemma_tui.http_errors import ApiError, error_response

log = logging.getLogger(__name__)

MAX_HEADER_BYTES = 32 * 1024
"""The request line's target and all headers together; more gets 400."""
CONNECTIONS_PER_USER = 100
"""One more is dropped, so that nobody can take all the connections there are."""

_SO_PEERGROUPS = 59  # Linux 4.13; not in Python's socket module
_GROUPS_BYTES = 1024  # the most that Python's getsockopt takes: 256 groups
_NOT_IN_A_KEY = re.compile(r"[^A-Za-z0-9._-]")

_connections = itertools.count(1)
_open: Counter[int] = Counter()


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that opened a connection, as it was then. ``connection`` numbers the connections."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int]
    connection: int
    abort: Callable[[], None]
    """Drops the connection with what is still in its buffer."""

    @property
    def name(self) -> str:
        """The login name, or ``uid N`` where the system knows none."""
        return login_name(self.uid)

    def owner(self, session: str | None) -> str:
        """Whose conversation a request belongs to: ``uid:session`` where the client names one, else the connection."""
        key = _NOT_IN_A_KEY.sub("", session or "")[:64]
        return f"{self.uid}:s.{key}" if key else f"{self.uid}:c.{self.connection}"


@functools.lru_cache(maxsize=256)
def login_name(uid: int) -> str:
    """The login name of a uid."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may use the gateway: its own user and root, and where ``group`` is set the members of that group."""

    uid: int
    group: int | None = None

    def allows(self, peer: Peer) -> bool:
        """Whether this peer may call."""
        if peer.uid in (0, self.uid):
            return True
        return self.group is not None and (peer.gid == self.group or self.group in peer.groups)


class PeerProtocol(HttpToolsProtocol):
    """uvicorn's protocol; puts the Peer into ``scope["state"]["peer"]`` and bounds a request's headers."""

    _peer: Peer | None = None
    _header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """A connection came: ask the kernel who it is."""
        super().connection_made(transport)
        self._peer = peer = _peer(transport)
        # A connection that never asks anything is an idle one; uvicorn cancels this with the first byte.
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
        if peer is not None:
            _open[peer.uid] += 1
            if _open[peer.uid] > CONNECTIONS_PER_USER:
                log.warning("%s has more than %d connections; dropped one", peer.name, CONNECTIONS_PER_USER)
                transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        if self._peer is not None:
            _open[self._peer.uid] -= 1

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._header_bytes = 0
        self.scope["state"]["peer"] = self._peer

    def on_url(self, url: bytes) -> None:
        """A part of the request's target."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            raise ValueError("headers too large")  # httptools turns it into a parse error, uvicorn into 400


def _peer(transport: asyncio.Transport) -> Peer | None:
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    pid, uid, gid = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
        groups = struct.unpack(f"{len(raw) // 4}I", raw)
    except OSError:  # more groups than fit
        groups = tuple(os.getgrouplist(login_name(uid), gid))
    return Peer(pid, uid, gid, frozenset(groups), next(_connections), transport.abort)


class PeerGate:
    """ASGI middleware: 403 for everybody whom the policy does not allow."""

    def __init__(self, app: ASGIApp, policy: Policy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through, or refuse it."""
        peer: Peer | None = scope["state"].get("peer")
        if peer is not None and self._policy.allows(peer):
            await self._app(scope, receive, send)
            return
        who = "unknown" if peer is None else f"{peer.name} (uid {peer.uid}, pid {peer.pid})"
        log.warning("refused a call by %s", who)
        refusal = ApiError(403, "forbidden", "this user may not use the gateway", code="peer_not_allowed")
        await error_response(refusal)(scope, receive, send)


def own_policy(group: int | None = None) -> Policy:
    """The policy of a gateway that runs as this process's user."""
    return Policy(os.geteuid(), group)
