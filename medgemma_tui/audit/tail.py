"""The end of the log as it lies on the disk: the newest record, and what is behind it that is none."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medgemma_tui.audit import files
from medgemma_tui.audit.errors import AuditError
from medgemma_tui.audit.key import Key
from medgemma_tui.audit.record import Line, at_the_end, authentic, parse

_STEP: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Torn:
    """Bytes at the end of a file that are no record. ``start`` 0: the file has nothing else."""

    path: Path
    start: int
    size: int


@dataclass(frozen=True, slots=True)
class Tail:
    """The newest record and where it ends. ``head`` None: the log has no record."""

    head: Line | None
    path: Path | None = None
    inode: int = 0
    end: int = 0
    torn: tuple[Torn, ...] = ()


def find(directory: Path, key: Key) -> Tail:
    """Look for the newest record from the end.

    Bytes without a newline, and lines with a NUL in them, are what a power loss leaves: they are named in ``torn``. Any
    other line that is no record of ours was put there. Raises OSError, or AuditError ``wrong_key``, ``broken_chain``.
    """
    torn: list[Torn] = []
    for file in reversed(files.listed(directory)):
        descriptor = files.open_regular(file.path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            status = os.fstat(descriptor)
            # After a failed sync the kernel's copy may be newer than the disk's: look at the disk's.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            end = status.st_size
            for start, line in _backwards(descriptor, status.st_size):
                behind = at_the_end(line, key) if b"\0" in line else None
                if start + len(line) == status.st_size or (b"\0" in line and behind is None):
                    end = start
                    continue
                record = behind or _checked(line, key, file.path)
                if end < status.st_size:
                    torn.append(Torn(file.path, end, status.st_size - end))
                return Tail(record, file.path, status.st_ino, end, tuple(torn))
            torn.append(Torn(file.path, 0, status.st_size))
        finally:
            os.close(descriptor)
    return Tail(None, torn=tuple(torn))


def _checked(line: bytes, key: Key, path: Path) -> Line:
    record = parse(line)
    if record is not None and authentic(record, key):
        return record
    if record is not None and record.key_id not in ("", key.id):
        message = (
            f"the log was written with the key {record.key_id}, this key is {key.id}: put the old key back, or move "
            "the log's directory and its anchors away and begin a new log"
        )
        raise AuditError("wrong_key", str(path), message)
    message = (
        "the last line of the log is no record of ours, it was altered: see `medgemma-tui audit verify`, keep the "
        "log's directory and its anchors as evidence in another place, and begin a new log"
    )
    raise AuditError("broken_chain", str(path), message)


def _backwards(descriptor: int, size: int) -> Iterator[tuple[int, bytes]]:
    """What lies between newlines, from the end: where each begins, and its bytes. The first is what no newline ends."""
    rest, start = b"", size
    while start > 0:
        begin = max(0, start - _STEP)
        rest = files.read_at(descriptor, begin, start - begin) + rest
        start = begin
        while (cut := rest.rfind(b"\n")) >= 0:
            yield start + cut + 1, rest[cut + 1 :]
            rest = rest[:cut]
    if rest:
        yield 0, rest
