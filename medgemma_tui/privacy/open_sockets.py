"""How many sockets a process holds that are not Unix sockets: the kernel's count of what could reach a network."""

from __future__ import annotations

import ctypes
import os
import re
import socket

from medgemma_tui.privacy.control import libc

_SO_DOMAIN = 39  # not in Python's socket module
_SOCKET = re.compile(r"socket:\[(\d+)\]")


def inet_sockets(pid: int) -> int | None:
    """How many sockets other than Unix ones a process holds; ``None`` if that cannot be read.

    Every socket that no Unix table lists is counted: TCP, UDP, raw, packet, netlink and whatever comes. Not seen:
    sockets registered with io_uring and closed as files. Not readable for a process that is not dumpable, except
    by itself.
    """
    if pid == os.getpid():
        return own_inet_sockets()
    try:
        others = _socket_inodes(pid)
        if others:
            others -= _unix_inodes(pid)
        if others:  # handed over from our network namespace, or connected to from there
            others -= _unix_inodes(os.getpid())
        # Looked at again: a Unix socket closed in between is not listed, and is not held any more either.
        return len(others & _socket_inodes(pid)) if others else 0
    except OSError:
        return None


def own_inet_sockets() -> int | None:
    """The same of this process, which asks the kernel of each of its own sockets what kind it is.

    The table would not do: a socket that came by ``accept`` is in that of the network namespace of who connected,
    which is not a sealed worker's.
    """
    try:
        names = os.listdir("/proc/self/fd")  # noqa: PTH208 - names are all that is needed, once a second
    except OSError:
        return None
    return len({inode for name in names if (inode := _foreign(int(name))) is not None})


def _foreign(descriptor: int) -> int | None:
    """The inode of a socket that is no Unix socket; None for everything else, and for what was closed meanwhile."""
    family, size = ctypes.c_int(), ctypes.c_uint(4)
    at, length = ctypes.byref(family), ctypes.byref(size)
    if libc.getsockopt(ctypes.c_int(descriptor), socket.SOL_SOCKET, _SO_DOMAIN, at, length):
        return None
    if family.value == socket.AF_UNIX:
        return None
    try:
        return os.fstat(descriptor).st_ino
    except OSError:
        return None


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
