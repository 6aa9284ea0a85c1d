"""``audit.space``: the log can be written, and there is room for as long as its records are to be kept.

Days are reckoned from what the log grew by on an average day so far. No question is answered that cannot be recorded,
so a full disk here ends the clinic.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from medgemma_tui.client import ServiceError
from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.audit import log_files
from medgemma_tui.health.checks.host import places as disk
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import Figure, Health, Item

_DAY_S: Final = 86_400.0
CRITICAL_DAYS: Final = 7.0
"""Over a long holiday somebody must be there to make room."""
CRITICAL_BYTES: Final = 32 * 1024 * 1024
"""Two files of the log at their usual size: with less, one busy day may fill it."""
_MOST_DAYS: Final = 9999
_SMALL_LOG: Final = 64 * 1024
"""Below this size an average day's growth says nothing: a log of this size is taken to grow by as much each day."""


def run(context: Context) -> Outcome:
    """Look at the file system that the log is on."""
    if (health := _health(context)) is not None and health.reason == "audit_full":
        return _refused(health)
    place = context.audit_place()
    if place.places is None:
        return Outcome("not_from_here" if place.verdict is not None else place.why or "log_elsewhere")
    directory = place.places.directory
    volume = disk.volume(directory)
    params = {"path": str(directory), "free": disk.text(volume.free), "on": str(volume.at)}
    if volume.read_only:
        return Outcome("read_only", params)
    if not _writable(volume.at, place.uid):
        ours = context.settings.audit_dir is None or _is_service() or volume.at.stat().st_uid == os.geteuid()
        return Outcome("no_permission" if ours else "not_from_here", params)
    per_day, size = _SMALL_LOG * 1.0, 0
    if log_files.there(directory):
        try:
            per_day, size = _growth(directory)
        except OSError as error:
            return Outcome("unreadable", {**params, "reason": error.strerror or "I/O error"})
    days = volume.free / per_day
    kept = context.settings.audit_retention_days
    needed = max(0.0, kept * per_day - size)  # what the log still grows by until its oldest files are removed
    params |= {
        "per_day": disk.text(per_day), "kept": f"{kept:.0f}", "needed": disk.text(needed),
        "days": f"{days:,.0f}" if days < _MOST_DAYS else f">{_MOST_DAYS:,}",
    }  # fmt: skip
    figures = (
        Figure(
            name="audit_free",
            value=volume.free,
            unit="B",
            warning=max(needed, CRITICAL_BYTES),
            critical=CRITICAL_BYTES,
            below=True,
        ),
        Figure(name="audit_days", value=round(min(days, _MOST_DAYS), 1), critical=CRITICAL_DAYS, below=True),
        Figure(name="audit_bytes", value=size, unit="B"),
    )
    if volume.free < CRITICAL_BYTES or days < CRITICAL_DAYS:
        return Outcome("almost_full", params, figures)
    return Outcome("short" if volume.free < needed else "room", params, figures)


def _health(context: Context) -> Health | None:
    if context.socket is None:
        return None
    try:
        return context.health()
    except ServiceError:
        return None


def _growth(directory: Path) -> tuple[float, int]:
    """Bytes a day, and bytes."""
    extent = log_files.extent(directory)
    if extent.first is None:
        return max(_SMALL_LOG * 1.0, extent.size * 1.0), extent.size
    days = max(1.0, (time.time() - extent.first.timestamp()) / _DAY_S)
    return max(_SMALL_LOG * 1.0, extent.size / days), extent.size


def _refused(health: Health) -> Outcome:
    """The gateway itself says that it can write nothing, and why."""
    item = Item(code="audit_refused", params={"code": health.code, **health.params})
    return Outcome("refused", {"path": health.params.get("path", "")}, items=(item,))


def _is_service() -> bool:
    """Whether the service manager started this: then the log's directory is this user's, or ought to be."""
    return "LOGS_DIRECTORY" in os.environ or "STATE_DIRECTORY" in os.environ


def _writable(at: Path, uid: int) -> bool:
    """Whether the log's user, where this process is theirs, may write there; another user cannot tell."""
    return os.geteuid() != uid or os.access(at, os.W_OK | os.X_OK)


CHECK = Check("audit.space", run, timeout_s=60.0)
