"""Writing the log: one record a line, each chained to the one before, synced before anything goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from medgemma_tui.audit.key import Key
from medgemma_tui.audit.record import Entry


@dataclass(frozen=True, slots=True)
class Head:
    """The newest record."""

    seq: int
    mac: str


class AuditLog:
    """One directory's log. Blocking: call it from a thread. Several processes of one user may write to it in turn."""

    def __init__(self, directory: Path, key: Key, *, max_bytes: int, retention_days: float) -> None:
        raise NotImplementedError

    def open(self) -> None:
        """Make the directory where it is missing, set a torn last line aside and record that. Raises AuditError."""
        raise NotImplementedError

    def append(self, entries: Sequence[Entry]) -> Head:
        """Write these records, in order; they are on the disk when this returns. Raises AuditError: then none of them
        counts as written, and the same call may be made again."""
        raise NotImplementedError

    @property
    def head(self) -> Head | None:
        """The newest record, None in an empty log."""
        raise NotImplementedError

    def close(self) -> None:
        """Anchor the head and let go of the files."""
        raise NotImplementedError
