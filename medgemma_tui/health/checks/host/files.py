"""``host.files``: enough file descriptors for everybody who may connect. A gateway that runs out answers nobody new."""

from __future__ import annotations

import os
import resource
import socket
import struct
from pathlib import Path
from typing import Final

import psutil

from medgemma_tui.client import ServiceError
from medgemma_tui.gateway.door import CONNECTIONS, OUTSIDERS
from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import Figure

OWN: Final = 64
"""Libraries, the log, the audit log, the event loop, the worker's pipes."""
_CONNECT_S: Final = 5.0


def run(context: Context) -> Outcome:
    """The limit of the gateway that runs; else of this process, which a private gateway inherits."""
    need = CONNECTIONS + OUTSIDERS + context.settings.slots + context.settings.queue_limit + OWN
    least = (
        2 * (context.settings.slots + context.settings.queue_limit) + OWN
    )  # each question has one to the worker, too
    pid = _gateway_pid(context)
    if pid is None:
        limit: int | None = _soft(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        whose = "own"
    else:
        try:
            limit = _limit_of(pid)
        except (OSError, ValueError):
            return Outcome("unreadable", {"pid": str(pid)})
        whose = "gateway"
    params = {"need": f"{need:,}", "least": f"{least:,}", "pid": str(pid or os.getpid())}
    if limit is None:
        return Outcome(f"unlimited_{whose}", params)
    params["limit"] = f"{limit:,}"
    figures = (Figure(name="open_files_limit", value=limit, warning=need, critical=least, below=True),)
    code = "too_few" if limit < least else "few" if limit < need else "enough"
    return Outcome(f"{code}_{whose}", params, figures)


def _gateway_pid(context: Context) -> int | None:
    """The process that listens, by the kernel; None where nobody does, or it is in another PID namespace."""
    if context.socket is None:
        return None
    try:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_CONNECT_S)
            probe.connect(str(context.socket))
            raw = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    except OSError:
        return None
    pid: int = struct.unpack("3i", raw)[0]
    if pid == 1:  # a service manager's socket, handed to the gateway
        return _parent_of_worker(context)
    return pid or None


def _parent_of_worker(context: Context) -> int | None:
    try:
        worker = context.health().worker_pid
        return psutil.Process(worker).ppid() if worker is not None else None
    except (ServiceError, psutil.Error):
        return None


def _limit_of(pid: int) -> int | None:
    """The soft limit of a process; None: none. Raises OSError, ValueError."""
    for line in Path("/proc", str(pid), "limits").read_text().splitlines():
        if line.startswith("Max open files"):
            soft = line.removeprefix("Max open files").split()[0]
            return None if soft == "unlimited" else int(soft)
    raise ValueError("no such line")


def _soft(value: int) -> int | None:
    return None if value == resource.RLIM_INFINITY else value


CHECK = Check("host.files", run, timeout_s=20.0)
