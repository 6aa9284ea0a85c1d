"""Reading a log that may be written to at the same time: its files and lines as they were at one moment."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from medgemma_tui.audit import files
from medgemma_tui.audit.record import LONGEST_LINE

_WAIT_S: Final = 0.5
_STEP_S: Final = 0.01


@dataclass(frozen=True, slots=True)
class Extent:
    """One file, and how much of it there was."""

    file: files.LogFile
    size: int


@dataclass(frozen=True, slots=True)
class RawLine:
    """A line without its newline, or the beginning of one that is longer than any record."""

    number: int
    start: int
    """Where it begins in the file, in bytes."""
    content: bytes
    ended: bool
    """Whether a newline ended it."""


def extents(directory: Path) -> list[Extent]:
    """The files, oldest first, at a moment when nobody was writing. Raises OSError.

    Whoever may not take the writers' lock waits a moment for the end of a line instead.
    """
    with _nobody_writing(directory) as sure:
        end = time.monotonic() + _WAIT_S
        while True:
            found = [Extent(file, file.path.stat().st_size) for file in files.listed(directory)]
            if sure or not found or _ends_a_line(found[-1]) or time.monotonic() > end:
                return found
            time.sleep(_STEP_S)


def lines(extent: Extent) -> Iterator[RawLine]:
    """The lines of a file. Raises OSError."""
    start, number = 0, 0
    with files.reader(extent.file.path) as file:
        while line := file.readline(min(extent.size - start, LONGEST_LINE)):
            number += 1
            end, rest = start + len(line), line
            while not rest.endswith(b"\n") and (rest := file.readline(min(extent.size - end, LONGEST_LINE))):
                end += len(rest)
            yield RawLine(number, start, line.removesuffix(b"\n"), rest.endswith(b"\n"))
            start = end


def raw(directory: Path) -> Iterator[bytes]:
    """All lines of the log with their newlines, as they are on the disk: for ``GET /v1/audit``. Raises OSError."""
    for extent in extents(directory):
        for line in lines(extent):
            yield line.content + b"\n"


@contextlib.contextmanager
def _nobody_writing(directory: Path) -> Iterator[bool]:
    try:
        descriptor = os.open(directory / ".lock", os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        yield False
        return
    try:
        yield _shared(descriptor)
    finally:
        os.close(descriptor)


def _shared(descriptor: int) -> bool:
    end = time.monotonic() + _WAIT_S
    while time.monotonic() < end:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            time.sleep(_STEP_S)
        else:
            return True
    return False


def _ends_a_line(extent: Extent) -> bool:
    if not extent.size:
        return True
    with files.reader(extent.file.path) as file:
        return files.read_at(file.fileno(), extent.size - 1, 1) == b"\n"
