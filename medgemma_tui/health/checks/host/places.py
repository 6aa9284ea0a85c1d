"""Where this program writes, and what the file systems there have left."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medgemma_tui.client import ServiceError
from medgemma_tui.health import figures
from medgemma_tui.health.context import Context
from medgemma_tui.settings import SettingsError, run_dir

Use = Literal["audit", "health", "sockets"]
"""Also the label of its figures: a path can change from run to run, and a series must not."""


@dataclass(frozen=True, slots=True)
class Volume:
    """The file system at a place that is there: ``at`` is the place, or the nearest directory above it."""

    at: Path
    device: int
    free: int
    """Bytes for a user without privileges: a service has none."""
    read_only: bool
    inodes: int | None
    """Free inodes; None where the file system has no fixed number of them."""
    inodes_total: int


def volume(path: Path) -> Volume:
    """Raises OSError."""
    at = path
    while not os.path.lexists(at) and at != at.parent:
        at = at.parent
    told = os.statvfs(at)
    return Volume(
        at=at,
        device=at.stat().st_dev,
        free=told.f_bavail * told.f_frsize,
        read_only=bool(told.f_flag & os.ST_RDONLY),
        inodes=told.f_favail if told.f_files else None,
        inodes_total=told.f_files,
    )


def written_to(context: Context) -> Iterator[tuple[Use, Path]]:
    """The directories that are written to: the audit log's (where it can be looked into from here), the health
    reports', and the one with the sockets. Raises SettingsError.
    """
    try:
        place = context.audit_place()
    except (ServiceError, SettingsError):
        place = None
    if place is not None and place.places is not None:
        yield "audit", place.places.directory
    elif place is not None and place.verdict is not None:
        yield "audit", Path(place.verdict.directory)
    yield "health", context.store.directory
    yield "sockets", context.socket.parent if context.socket is not None else run_dir()


def text(size: float) -> str:
    """Bytes for people: ``1.5 GiB``."""
    return figures.value(size, "B")
