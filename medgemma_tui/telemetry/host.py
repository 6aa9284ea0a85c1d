"""The box and its processes, through psutil and /proc."""

from __future__ import annotations

import os
import re
import time

import psutil

from medgemma_tui.protocol import HostSample

_SOCKET = re.compile(r"socket:\[(\d+)\]")
_STALE_S = 5.0
"""A CPU percentage over a longer gap than this (sampling was paused) would be an old average, not a load."""


class HostReader:
    """Reads the box's load. CPU percent is taken between two reads, so the first has none."""

    def __init__(self) -> None:
        self._read_at: float | None = None

    def read(self) -> HostSample:
        """One sample. What cannot be read is ``None``."""
        now = time.monotonic()
        cpu: float | None = psutil.cpu_percent(None)
        if self._read_at is None or now - self._read_at > _STALE_S:
            cpu = None
        self._read_at = now
        memory = psutil.virtual_memory()
        swap = psutil.swap_memory()
        return HostSample(
            cpu_percent=cpu,
            load_1m=psutil.getloadavg()[0],
            memory_total=memory.total,
            memory_used=memory.used,
            memory_available=memory.available,
            swap_total=swap.total,
            swap_used=swap.used,
        )


def process_facts(pid: int) -> tuple[str | None, str | None]:
    """A process's owner and program name; ``None`` where not readable.

    The name only, never the arguments: ``medgemma-tui ask "…"`` has a patient in them.
    """
    try:
        process = psutil.Process(pid)
        user, name = process.username(), process.name()
    except (psutil.Error, OSError):
        return None, None
    return _utf8(user), _utf8(name)


def rss(pid: int) -> int | None:
    """Resident memory of a process in bytes; ``None`` where it is gone or not readable."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except (psutil.Error, OSError):
        return None


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


def _utf8(text: str) -> str:
    """Without the lone surrogates that stand for undecodable bytes: they cannot go into JSON."""
    return text.encode("utf-8", "ignore").decode()
