"""What the checks of the audit log have in common: whether there is one, its size and age, its newest record."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from medgemma_tui.audit import files
from medgemma_tui.audit.record import LONGEST_LINE, Record

_NEAR_THE_END: Final = 64 * 1024


def there(directory: Path) -> bool:
    """Whether there is any file of a log; True where that cannot be told, so that whoever reads it says why."""
    try:
        return bool(files.listed(directory))
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True


@dataclass(frozen=True, slots=True)
class Extent:
    """The files together: bytes, and when the first and the newest record were written, where that can be read."""

    size: int
    first: datetime | None
    last: datetime | None


def extent(directory: Path) -> Extent:
    """Of a log that is there. Raises OSError."""
    listed = files.listed(directory)
    size = sum(file.path.stat().st_size for file in listed)
    newest = newest_record(directory)
    return Extent(size, _first_time(listed[0].path), newest.instant if newest is not None else None)


def newest_record(directory: Path) -> Record | None:
    """The newest one that can be read as a record, whether or not it is genuine; None where there is none.

    Raises OSError.
    """
    for file in reversed(files.listed(directory)):
        with files.reader(file.path) as opened:
            opened.seek(max(0, file.path.stat().st_size - _NEAR_THE_END))
            lines = opened.read().splitlines()
        for line in reversed(lines):
            with contextlib.suppress(ValueError):
                return Record.model_validate_json(line)
    return None


def _first_time(path: Path) -> datetime | None:
    try:
        with files.reader(path) as file:
            return Record.model_validate_json(file.readline(LONGEST_LINE)).instant
    except ValueError:
        return None
