"""How many sockets a process holds that are not Unix sockets: the kernel's count of what could reach a network."""

from __future__ import annotations

import os
import re

_SOCKET = re.compile(r"socket:\[(\d+)\]")


def inet_sockets(pid: int) -> int | None:
    """How many sockets other than Unix ones a process holds; ``None`` if that cannot be read.

    Every socket that no Unix table lists is counted: TCP, UDP, raw, packet, netlink and whatever comes. Not seen:
    sockets registered with io_uring and closed as files. Not readable for a process that is not dumpable, except
    by itself.
    """
    try:
        others = _socket_inodes(pid)
        if others:
            others -= _unix_inodes(pid)
        if others and pid != os.getpid():  # handed over from our network namespace
            others -= _unix_inodes(os.getpid())
        # Looked at again: a Unix socket closed in between is not listed, and is not held any more either.
        return len(others & _socket_inodes(pid)) if others else 0
    except OSError:
        return None


def own_inet_sockets() -> int | None:
    """The same of this process."""
    return inet_sockets(os.getpid())


def _socket_inodes(pid: int) -> set[str]:
    folder = f"/proc/{pid}/fd"
    inodes = set()
    for name in os.listdir(folder):  # noqa: PTH208 - names are all that is needed, once a second
        try:
            match = _SOCKET.match(os.readlink(f"{folder}/{name}"))  # noqa: PTH115
        except FileNotFoundError:  # closed since it was listed
            continue
        if match:
            inodes.add(match[1])
    return inodes


def _unix_inodes(pid: int) -> set[str]:
    """Inodes of the Unix sockets in the process's network namespace: the 7th column, a path may follow."""
    with open(f"/proc/{pid}/net/unix", "rb") as table:  # noqa: PTH123
        next(table, None)
        return {fields[6].decode() for line in table if len(fields := line.split(None, 7)) > 6}
