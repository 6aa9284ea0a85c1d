"""The box and its processes, through psutil and /proc."""

from __future__ import annotations

import time

import psutil

from medgemma_tui.privacy.open_sockets import inet_sockets
from medgemma_tui.protocol import HostSample

__all__ = ["HostReader", "inet_sockets", "process_facts", "rss"]

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


def _utf8(text: str) -> str:
    """Without the lone surrogates that stand for undecodable bytes: they cannot go into JSON."""
    return text.encode("utf-8", "ignore").decode()
