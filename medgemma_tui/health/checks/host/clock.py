"""``host.clock``: the clock cannot be right where it is behind something that has already happened.

A box without a network has no time server, and that alone is nothing to warn of.
"""

from __future__ import annotations

import ctypes
import time
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

from medgemma_tui.client import ServiceError
from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.audit import log_files
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import Figure
from medgemma_tui.settings import SettingsError

_SLACK_S: Final = 120.0
"""A clock is set back by seconds now and then; by more only where it was wrong, or is."""
_DAY_S: Final = 86_400.0
_YEARS_AHEAD_S: Final = 15 * 365.25 * _DAY_S
"""Nobody runs a version of this program for longer."""
_TIMESYNC: Final = Path("/run/systemd/timesync/synchronized")
_PACKAGE: Final = Path(__file__).parents[3]

Sync = Literal["synchronised", "unsynchronised", "unknown"]


def run(context: Context) -> Outcome:
    """Compare the clock with this program's files, the newest audit record and the newest report."""
    now = context.started
    newest_file = _newest_file(_PACKAGE)
    params = {"now": _text(now)}
    sync = synchronised()
    figures = () if sync == "unknown" else (Figure(name="clock_synchronised", value=float(sync == "synchronised")),)
    if now < newest_file - _DAY_S:  # archives keep local times without a zone
        return Outcome("before_package", {**params, "then": _text(newest_file)}, figures)
    if now > newest_file + _YEARS_AHEAD_S:
        return Outcome("far_ahead", {**params, "then": _text(newest_file)}, figures)
    record = _newest_record(context)
    if record is not None and now < record - _SLACK_S:
        return Outcome("behind_log", {**params, "then": _text(record)}, figures)
    last = context.store.last()
    if last is not None and now < last.started - _SLACK_S:
        params |= {"then": _text(last.started), "path": str(context.store.directory)}
        return Outcome("behind_report", params, figures)
    return Outcome("sane" if sync == "unknown" else sync, params, figures)


def _newest_file(package: Path) -> float:
    return max(path.stat().st_mtime for path in package.rglob("*.py"))


def _newest_record(context: Context) -> float | None:
    """When the newest audit record was written; None where there is none, or it is not to be seen from here."""
    try:
        place = context.audit_place()
        if place.places is None:
            told = place.verdict.last_time if place.verdict is not None else ""
            return datetime.fromisoformat(told).timestamp() if told else None
        if not log_files.there(place.places.directory):
            return None
        record = log_files.newest_record(place.places.directory)
    except (ServiceError, SettingsError, OSError, ValueError):
        return None
    return record.instant.timestamp() if record is not None else None


def synchronised(timesync: Path = _TIMESYNC) -> Sync:
    """Whether the kernel takes its clock to follow a time server."""
    if timesync.exists():
        return "synchronised"
    state = _kernel_state()
    if state is None:
        return "unknown"
    return "unsynchronised" if state & _STA_UNSYNC else "synchronised"


_STA_UNSYNC: Final = 0x40


class _Timex(ctypes.Structure):
    """``struct timex`` up to its status, and room for the rest."""

    _fields_ = [
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long), ("status", ctypes.c_int), ("rest", ctypes.c_byte * 256),
    ]  # fmt: skip


def _kernel_state() -> int | None:
    """The status of the kernel's clock; None where it may not be asked."""
    timex = _Timex(modes=0)
    try:
        failed = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex)) < 0
    except (OSError, AttributeError):
        return None
    return None if failed else int(timex.status)


def _text(when: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))


CHECK = Check("host.clock", run, timeout_s=60.0)
