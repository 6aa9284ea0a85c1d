"""Writing the log: one record a line, each chained to the one before, synced before anything goes on.

Nothing is held open between two calls but the lock: each call looks at the disk first, because another process of the
same user may have written, a power loss may have torn a line, and after a failed sync nothing is believed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from medgemma_tui.audit import files, retention, tail
from medgemma_tui.audit.anchor import Anchors
from medgemma_tui.audit.errors import WRITING, AuditError, for_os_error
from medgemma_tui.audit.key import Key
from medgemma_tui.audit.record import GENESIS, Counter, Entry, Event, write

_LOCK_WAIT_S: Final = 5.0
_KEPT_TORN_BYTES: Final = 64 * 1024
_RECENT_RECORDS: Final = 64


@dataclass(frozen=True, slots=True)
class Head:
    """The newest record."""

    seq: int
    mac: str


@dataclass(frozen=True, slots=True)
class _Written:
    """A record as it was written: it can be written again, byte for byte."""

    head: Head
    prev: str
    line: bytes


@dataclass(slots=True)
class _Place:
    """The file that is written to, as we left it."""

    path: Path
    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class _Failed:
    """What a failed call was to write, and where: what is left of it counts as not written and is ours to cut off."""

    path: Path
    offset: int
    data: bytes


def now() -> datetime:
    """The local time with its offset."""
    return datetime.now().astimezone()


class AuditLog:
    """One directory's log. Blocking: call it from a thread. Several processes of one user may write to it in turn."""

    def __init__(
        self,
        directory: Path,
        key: Key,
        *,
        max_bytes: int,
        retention_days: float,
        anchors: Anchors | None = None,
        clock: Callable[[], datetime] = now,
    ) -> None:
        self._directory, self._key, self._clock, self._anchors = directory, key, clock, anchors
        self._max_bytes, self._retention = max_bytes, timedelta(days=retention_days)
        self._head: Head | None = None
        self._sure: Head | None = None  # the newest that a call of ours was answered for: it cannot go any more
        self._place: _Place | None = None
        self._doubt = True  # what we remember is not known to be what is on the disk
        self._failed: _Failed | None = None
        self._owed: list[Entry] = []  # records about the log itself, written with the next ones
        self._recent: deque[_Written] = deque(maxlen=_RECENT_RECORDS)
        self._mutex = threading.Lock()
        self._lock: int | None = None
        self._age_clock = retention.Clock(None)
        self._retention_due = 0.0

    def open(self) -> None:
        """Make the directory where it is missing, set a torn last line aside and record that. Raises AuditError."""
        with self._turn():
            self._doubt = True
            self._settle()
            if self._place is not None:
                with contextlib.suppress(ValueError):
                    self._age_clock = retention.Clock(retention.last_time(self._place.path))
            if self._owed:
                self._put([])
            self._remove_old()

    def append(self, entries: Sequence[Entry]) -> Head:
        """Write these records, in order; they are on the disk when this returns. Raises AuditError: then none of them
        counts as written, and the same call may be made again."""
        with self._turn():
            self._settle()
            head = self._put(entries)
            self._anchor()
            if time.monotonic() >= self._retention_due:
                self._remove_old()
            return head

    @property
    def head(self) -> Head | None:
        """The newest record, None in an empty log."""
        return self._head

    @property
    def key_id(self) -> str:
        """The key's public name."""
        return self._key.id

    @property
    def anchored(self) -> bool:
        """Whether a place that this user cannot rewrite names the newest record, or one a few before it."""
        return self._anchors is not None and self._head is not None and self._anchors.covers(self._head.seq)

    def anchor(self) -> None:
        """Anchor the head where that is due: for a clock's tick, so that the last record before a rest is anchored."""
        with self._mutex:
            self._anchor()

    def close(self) -> None:
        """Anchor the head and let go of the files."""
        with self._mutex:
            self._anchor(force=True)
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None

    # --- one process at a time ---

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """Our turn to write. Raises AuditError for whatever the system refuses meanwhile."""
        with self._mutex:
            try:
                files.make_directory(self._directory)
                self._take_lock()
            except OSError as error:
                raise for_os_error(error, self._directory, WRITING) from None
            try:
                yield
            except OSError as error:
                self._doubt = True
                raise for_os_error(error, self._directory, WRITING) from None
            finally:
                if self._lock is not None:
                    fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _take_lock(self) -> None:
        """Raises OSError, or AuditError where another process keeps it too long."""
        path = self._directory / ".lock"
        end = time.monotonic() + _LOCK_WAIT_S
        while True:
            if self._lock is None:  # for its owner alone: whoever may only read must not be able to hold it
                self._lock = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise AuditError("io_error", str(path), f"{WRITING}: another process holds it") from None
                time.sleep(0.002)
                continue
            if files.same(self._lock, path):
                return
            os.close(self._lock)  # somebody moved the directory away
            self._lock = None

    # --- what is on the disk ---

    def _settle(self) -> None:
        """Make what we remember and what is on the disk the same. Raises OSError, AuditError."""
        if not self._doubt and self._as_we_left_it():
            return
        self._doubt = True
        self._cut_off_failed()
        found = tail.find(self._directory, self._key)
        for torn in found.torn:
            self._set_aside(torn, next_seq=found.head.seq + 1 if found.head else 1)
        self._place = _Place(found.path, found.inode, found.end) if found.path else None
        on_disk = Head(found.head.seq, found.head.mac) if found.head else None
        # What another process wrote and could not sync it may take away again: only what we were answered for is sure.
        if self._sure is None or (on_disk is not None and on_disk.seq >= self._sure.seq):
            if on_disk != self._sure:
                self._recent.clear()
            self._head = on_disk
        else:
            self._head = self._sure
        self._owe_unrecorded()
        self._owe_lost()
        self._write_again(on_disk)
        self._doubt = self._head != self._sure

    def _as_we_left_it(self) -> bool:
        newest = files.listed(self._directory)[-1:]
        if self._place is None or not newest:
            return self._place is None and not newest and self._head is None
        status = self._place.path.stat()
        return newest[0].path == self._place.path and (status.st_ino, status.st_size) == (
            self._place.inode,
            self._place.size,
        )

    def _cut_off_failed(self) -> None:
        """What a failed call left at the end counts as not written: take it away, so that a second try doubles nothing.

        Nobody else's bytes are touched, and nothing that somebody else has written behind since.
        """
        failed = self._failed
        newest = files.listed(self._directory)[-1:]
        if failed is not None and newest and newest[0].path == failed.path:
            with contextlib.suppress(FileNotFoundError):
                descriptor = os.open(failed.path, os.O_RDWR | os.O_NOFOLLOW)
                try:
                    left = files.read_at(descriptor, failed.offset, len(failed.data) + 1)
                    if left and failed.data.startswith(left):
                        os.ftruncate(descriptor, failed.offset)
                        os.fsync(descriptor)
                finally:
                    os.close(descriptor)
        self._failed = None

    def _set_aside(self, torn: tail.Torn, *, next_seq: int) -> None:
        """Keep bytes that are no record in a file of their own, then take them off the log."""
        descriptor = os.open(torn.path, os.O_RDWR | os.O_NOFOLLOW)
        try:
            kept = files.read_at(descriptor, torn.start, min(torn.size, _KEPT_TORN_BYTES))
            if kept:
                stamp = self._clock().strftime("%Y%m%dT%H%M%S%f")
                aside = self._directory / f"torn-{next_seq:012}-{stamp}.bin"
                files.write_new(aside, kept)
                files.sync_directory(self._directory)
            os.ftruncate(descriptor, torn.start)
            os.fsync(descriptor)
            if torn.start == 0:
                torn.path.unlink()
                files.sync_directory(self._directory)
        finally:
            os.close(descriptor)

    def _owe_unrecorded(self) -> None:
        """A record for what was set aside behind the newest record, now or by one who died before recording it."""
        self._owed = [
            _own("torn_tail", "set_aside", {"bytes": path.stat().st_size})
            for seq, path in files.torn_files(self._directory)
            if seq == (self._head.seq if self._head else 0) + 1
        ]

    def _owe_lost(self) -> None:
        """Where an anchor names a later record than the disk has, the numbers go on behind it: the gap can be seen."""
        last = self._anchors.newest(self._key) if self._anchors is not None else None
        seq = self._head.seq if self._head else 0
        if last is not None and last.seq > seq:
            self._owed.append(_own("torn_tail", "lost", {"first": seq + 1, "last": last.seq}))
            self._head = Head(last.seq, last.head)
            self._recent.clear()

    def _write_again(self, on_disk: Head | None) -> None:
        """Records that were synced, and are not there any more, are written once more from memory, byte for byte.

        Where they are not remembered, what follows stands behind a gap, and ``audit verify`` names it.
        """
        after = on_disk or Head(0, GENESIS)
        missing = [written for written in self._recent if written.head.seq > after.seq]
        if missing and missing[0].prev == after.mac:
            self._write(missing, new_file=self._place is None)

    # --- writing ---

    def _put(self, entries: Sequence[Entry]) -> Head:
        """Write what is owed and these entries, in a new file where the old one is full. Raises AuditError, OSError."""
        everything = [*self._owed, *entries]
        records = self._records(everything)
        place = self._place
        full = place is not None and place.size + sum(len(each.line) for each in records) > self._max_bytes
        if place is not None and full and place.size > 0:
            old: dict[str, Counter] = {"file": place.path.name, "bytes": place.size}
            records = self._records([_own("rotate", "ok", old), *everything])
        if records:
            self._write(records, new_file=place is None or (full and place.size > 0))
            self._head = self._sure = records[-1].head
            self._recent.extend(records)
        self._owed = []
        if self._head is None:
            raise ValueError("nothing to write")
        return self._head

    def _records(self, entries: Sequence[Entry]) -> list[_Written]:
        seq, mac = (self._head.seq, self._head.mac) if self._head else (0, GENESIS)
        written = []
        for entry in entries:
            seq, prev = seq + 1, mac
            line, mac = write(entry, seq=seq, time=self._clock(), prev=prev, key=self._key)
            written.append(_Written(Head(seq, mac), prev, line))
        return written

    def _write(self, records: Sequence[_Written], *, new_file: bool) -> None:
        """All lines in one write, synced. What fails is cut off again. Raises OSError."""
        data = b"".join(each.line for each in records)
        path = self._directory / files.name_of(records[0].head.seq)
        place = None if new_file else self._place
        self._doubt = True  # until all of it went well
        self._failed = _Failed(place.path, place.size, data) if place else _Failed(path, 0, data)
        if place is None:
            try:
                self._place = _Place(path, files.write_new(path, data), len(data))
                files.sync_directory(self._directory)
            except OSError:
                with contextlib.suppress(OSError):
                    path.unlink()
                raise
        else:
            files.append(place.path, place.size, data)
            place.size += len(data)
        self._failed = None
        self._doubt = False

    # --- anchors and age ---

    def _anchor(self, *, force: bool = False) -> None:
        if self._anchors is not None and self._sure is not None:
            self._anchors.offer(self._sure.seq, self._sure.mac, self._key, self._clock(), force=force)

    def _remove_old(self) -> None:
        """Remove files all of whose records are older than the retention; a record says which numbers went.

        It is written first: whoever finds the files gone finds why. What fails here is tried again another day.
        """
        self._retention_due = time.monotonic() + retention.EVERY_S
        with contextlib.suppress(OSError, AuditError, ValueError):
            old = retention.old(self._directory, self._age_clock.read(self._clock()), self._retention)
            if old is None:
                return
            went = {"first": old.first, "last": old.last, "files": len(old.paths)}
            self._put([_own("retention", "removed", went)])
            for path in [*old.paths, *(path for seq, path in files.torn_files(self._directory) if seq <= old.last)]:
                path.unlink()
            files.sync_directory(self._directory)


def _own(event: Event, outcome: str, counters: Mapping[str, Counter]) -> Entry:
    """A record about the log itself."""
    return Entry(event, outcome, os.geteuid(), "", counters=counters)
