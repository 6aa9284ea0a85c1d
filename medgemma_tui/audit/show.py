"""Choosing records of a log, and writing them as CSV or JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final, TextIO

from pydantic import ValidationError

from medgemma_tui.audit.record import Record
from medgemma_tui.safetext import clean_line, escape_json

COLUMNS: Final = (
    "seq", "time", "uid", "login", "session", "event", "outcome", "key", "input", "output", "counters", "prev", "mac",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


@dataclass(frozen=True, slots=True)
class Filter:
    """Which records are wanted; what is None or empty does not count. ``since`` belongs to them, ``until`` does not."""

    since: datetime | None = None
    until: datetime | None = None
    who: str = ""
    """A login name, or a uid in digits."""
    events: frozenset[str] = frozenset()
    outcome: str = ""
    session: str = ""
    """The name of a conversation, or its beginning."""

    def takes(self, record: Record, instant: datetime) -> bool:
        """Whether a record is wanted."""
        return (
            (self.since is None or instant >= self.since)
            and (self.until is None or instant < self.until)
            and self.who in ("", record.login, str(record.uid))
            and (not self.events or record.event in self.events)
            and self.outcome in ("", record.outcome)
            and record.session.startswith(self.session)
        )


@dataclass(slots=True)
class Selection:
    """The wanted records of the lines that it is given. ``unreadable`` counts lines that are no records."""

    wanted: Filter
    unreadable: int = 0

    def of(self, lines: Iterable[bytes]) -> Iterator[Record]:
        """One record after the other, as they stand in the log. Their keyed hashes are not checked here."""
        for line in lines:
            record = self.take(line)
            if record is not None:
                yield record

    def take(self, line: bytes) -> Record | None:
        """The record in a line where it is wanted."""
        try:
            record = Record.model_validate_json(line)
            instant = record.instant
        except (ValidationError, ValueError):
            self.unreadable += bool(line.strip())
            return None
        return record if self.wanted.takes(record, instant) else None


def moment(text: str, *, end: bool = False) -> datetime:
    """A date, or a date with a time, in ISO 8601; without an offset it is local.

    A bare date is its beginning, with ``end`` the beginning of the next day. Raises ValueError.
    """
    if len(text) <= 10:
        day = date.fromisoformat(text) + timedelta(days=end)
        return datetime(day.year, day.month, day.day).astimezone()
    return datetime.fromisoformat(text).astimezone()


def counters_text(record: Record) -> str:
    """The counters in one cell: ``tokens=12 finish=stop``."""
    return " ".join(f"{name}={value}" for name, value in record.counters.items())


def json_line(record: Record) -> str:
    """The record as one line of JSON, its fields as they are in the log."""
    return escape_json(json.dumps(record.model_dump(), separators=(",", ":"), ensure_ascii=True))


class CsvWriter:
    """Records as CSV (RFC 4180) with a first line of names.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.
    """

    def __init__(self, output: TextIO) -> None:
        self._writer = csv.writer(output, lineterminator="\r\n")
        self._writer.writerow(COLUMNS)

    def write(self, record: Record) -> None:
        """One row. Raises OSError."""
        cells = {**record.model_dump(), "counters": counters_text(record)}
        self._writer.writerow([_harmless(cells[name]) for name in COLUMNS])


def _harmless(value: object) -> object:
    if not isinstance(value, str):
        return value
    text = clean_line(value)
    return f"'{text}" if text.startswith(_FORMULA) else text
