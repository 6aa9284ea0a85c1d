"""Who is at the other end of the socket, from the kernel and from nowhere else."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import itertools
import os
import pwd
import re
import secrets
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from starlette.requests import Request

from medgemma_tui.gateway.roles import Policy, Role

_SO_PEERGROUPS = 59  # Linux 4.13; not in Python's socket module
_GROUPS_BYTES = 1024  # the most that Python's getsockopt takes: 256 groups
_KEY = re.compile(r"[A-Za-z0-9._-]{1,64}")

_connections = itertools.count(1)
_LIFE = secrets.token_hex(4)
"""Of this process: the next one's first connection is another conversation than ours."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that opened a connection, as it was then. ``connection`` numbers the connections.

    ``roles`` is what the gateway's policy gives to this uid and these groups; empty for an outsider.
    """

    pid: int
    uid: int
    gid: int
    groups: frozenset[int]
    connection: int
    abort: Callable[[], None]
    """Drops the connection with what is still in its buffer."""
    roles: frozenset[Role] = frozenset()

    @property
    def name(self) -> str:
        """The login name, or ``uid N`` where the system knows none."""
        return login_name(self.uid)

    def owner(self, session: str | None) -> str:
        """Whose conversation a request belongs to: ``uid:session`` where the client names one, else the connection.

        The uid is the kernel's, so no client can name another user's. A name that is not plain is hashed: two
        different ones must not become one.
        """
        if not session:
            return f"{self.uid}:c.{_LIFE}.{self.connection}"
        if _KEY.fullmatch(session):
            return f"{self.uid}:s.{session}"
        return f"{self.uid}:h.{hashlib.sha256(session.encode('utf-8', 'surrogatepass')).hexdigest()[:32]}"


def of_health_run(peer: Peer, request: Request) -> bool:
    """Whether a call is a health run's: it says so, and comes from root or the gateway's own user."""
    return request.headers.get("x-medgemma-health") == "1" and peer.uid in (0, os.geteuid())


@functools.lru_cache(maxsize=256)
def login_name(uid: int) -> str:
    """The login name of a uid."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


def peer_of(transport: asyncio.Transport, policy: Policy) -> Peer | None:
    """The peer of a connection; None where the kernel does not say, because the socket is not a Unix one."""
    connection = transport.get_extra_info("socket")
    if connection is None or connection.family != socket.AF_UNIX:
        return None
    pid, uid, gid = struct.unpack("iII", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        raw = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
        groups = struct.unpack(f"{len(raw) // 4}I", raw)
    except OSError:  # more groups than fit
        groups = tuple(os.getgrouplist(login_name(uid), gid))
    gids = frozenset((gid, *groups))
    return Peer(pid, uid, gid, gids, next(_connections), transport.abort, policy.roles(uid, gids))
