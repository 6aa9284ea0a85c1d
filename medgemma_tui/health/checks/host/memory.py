"""``host.memory``: RAM for loading the model. A worker that does not fit is killed by the kernel while it loads.

Need, in bytes::

    while it loads     weight files (they pass through RAM) + MARGIN
    at the very least  the weights as they are kept afterwards (4 bit) + MARGIN
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import psutil

from medgemma_tui.client import ServiceError
from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.host import places
from medgemma_tui.health.context import Context
from medgemma_tui.model_dir import ModelDirError
from medgemma_tui.protocol import Figure
from medgemma_tui.telemetry import host

MARGIN: Final = 1024**3
"""Python, torch and transformers themselves (0.4 GiB measured on the CPU build), a CUDA context, and room for the
gateway and the rest of the system."""
_OWN_GROUPS: Final = Path("/proc/self/cgroup")
_PROCESSES: Final = Path("/proc")
_GROUPS: Final = Path("/sys/fs/cgroup")
LOW: Final = 512 * 1024**2
EXHAUSTED: Final = 128 * 1024**2
"""Below this the kernel ends processes before long, and takes the largest: the worker."""


def run(context: Context) -> Outcome:
    """Available memory, and that which a running worker would give back before it loads again, against the need."""
    available, limited = _available(_worker_pid(context))
    loaded = _worker_bytes(context)
    params = {"available": places.text(available), "limit": "cgroup" if limited else ""}
    figures = [
        Figure(
            name="memory_available", value=available, unit="B", warning=LOW, critical=EXHAUSTED, below=True,
        )
    ]  # fmt: skip
    if available < EXHAUSTED:
        return Outcome("exhausted", params, tuple(figures))
    if context.settings.uses_engine:
        return Outcome("low" if available < LOW else "available", params, tuple(figures))
    try:
        model = context.model()
    except ModelDirError:
        return Outcome("low" if available < LOW else "no_model", params, tuple(figures))
    need, least = model.weight_bytes + MARGIN, min(model.loaded_bytes, model.weight_bytes) + MARGIN
    figures.append(Figure(name="memory_needed", value=need, unit="B"))
    free = available + (loaded or 0)
    params |= {"need": places.text(need), "least": places.text(least), "free": places.text(free)}
    if loaded is not None:
        code = "low" if available < LOW else "no_restart" if free < least else "enough_running"
    else:
        code = "too_little" if free < least else "tight" if free < need else "enough"
    return Outcome(code, params, tuple(figures))


def _worker_pid(context: Context) -> int | None:
    if context.socket is None:
        return None
    try:
        return context.health().worker_pid
    except ServiceError:
        return None


def _worker_bytes(context: Context) -> int | None:
    """What a loaded worker holds; None where there is none."""
    if context.socket is None:
        return None
    try:
        health = context.health()
    except ServiceError:
        return None
    if health.worker_pid is None or health.model is None:
        return None
    return host.rss(health.worker_pid) or 0


def _available(worker: int | None = None) -> tuple[int, bool]:
    """Bytes that can be had without swapping, and whether a control group's limit, not the box, says so: of the running
    worker's group, which the service's unit may limit, else of this process's."""
    box = int(psutil.virtual_memory().available)
    group = _group_headroom(_OWN_GROUPS if worker is None else _PROCESSES / str(worker) / "cgroup")
    return (group, True) if group is not None and group < box else (box, False)


def _group_headroom(groups: Path) -> int | None:
    """The least that a process's control group, or one above it, may still take (cgroup v2); None: no limit.

    A health run of the gateway's is in the service's group; one that a timer has started is in a group of its own.
    """
    try:
        line = next(line for line in groups.read_text().splitlines() if line.startswith("0::"))
    except (OSError, StopIteration):
        return None
    group = _GROUPS / line[3:].lstrip("/")
    rooms = []
    while group != _GROUPS and _GROUPS in group.parents:
        limit, used = _number(group / "memory.max"), _number(group / "memory.current")
        if limit is not None and used is not None:
            rooms.append(max(0, limit - used + _reclaimable(group / "memory.stat")))
        group = group.parent
    return min(rooms, default=None)


def _reclaimable(path: Path) -> int:
    try:
        lines = dict(line.split(" ", 1) for line in path.read_text().splitlines())
        return int(lines.get("inactive_file", "0"))
    except (OSError, ValueError):
        return 0


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):  # "max"
        return None


CHECK = Check("host.memory", run)
