"""Which files of the log are old enough to go."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Final

from medgemma_tui.audit import files
from medgemma_tui.audit.record import Record

EVERY_S: Final = 24 * 3600.0
"""Seconds between two looks."""
_NEAR_THE_END: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Old:
    """Files that may go, oldest first, and the numbers of their records."""

    paths: list[Path]
    first: int
    last: int


class Clock:
    """The time that ages are measured against: the system's, but no later than the log itself makes likely.

    That is the newest record when the log was opened, and the time that has passed since. A system clock that jumps
    years ahead does not empty the log at once.
    """

    def __init__(self, newest: datetime | None) -> None:
        self._newest, self._started = newest, time.monotonic()

    def read(self, system: datetime) -> datetime:
        """The time, given the system's."""
        if self._newest is None:
            return system
        return min(system, self._newest + timedelta(seconds=time.monotonic() - self._started))


def old(directory: Path, now: datetime, kept: timedelta) -> Old | None:
    """The oldest files, all of whose records are older than ``kept``; never the newest. Raises OSError, ValueError."""
    listed = files.listed(directory)
    paths: list[Path] = []
    last = 0
    for file, following in pairwise(listed):
        if now - last_time(file.path) <= kept:
            break
        paths.append(file.path)
        last = following.first - 1
    return Old(paths, listed[0].first, last) if paths else None


def last_time(path: Path) -> datetime:
    """When the newest record of a file was written. Raises OSError, ValueError."""
    with files.reader(path) as file:
        file.seek(max(0, path.stat().st_size - _NEAR_THE_END))
        found = file.read().splitlines()
    if not found:
        raise ValueError("an empty file")
    return Record.model_validate_json(found[-1]).instant
