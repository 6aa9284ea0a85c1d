"""The terminal as the driver's file. One that takes nothing more, or has gone away, holds nobody up.

A link that stalls (a lid that was closed) fills the terminal's buffer; a write then waits, and with it the whole
screen, its lock and its deadline. So what a stalled terminal does not take is dropped, and everything is drawn anew
when it takes again.
"""

from __future__ import annotations

import contextlib
import os
import select
import time
from collections.abc import Callable
from typing import TextIO

STALLED_AFTER_S = 2.0
"""Seconds that a terminal may take nothing before what is written to it is dropped."""
_CANCEL = b"\x18"  # ends a control sequence that was cut


class TerminalFile:
    """Written by the driver's writing thread. ``taken_again`` is called there when a stalled terminal takes again."""

    def __init__(self, file: TextIO, taken_again: Callable[[], object]) -> None:
        self._file = file
        self._taken_again = taken_again
        self._own = _own_descriptor(file.fileno())
        self._gone = False
        self.stalled = False
        """Whether what is written is dropped."""

    def write(self, text: str) -> None:
        """Write it, as far as the terminal takes it."""
        if self._gone:
            return
        if self._own is None:
            self._try(lambda: self._file.write(text))
        else:
            self._try(lambda: self._send(text.encode(self._file.encoding, "replace")))

    def flush(self) -> None:
        """Nothing is held back, but where the terminal could not be opened a second time."""
        if self._own is None and not self._gone:
            self._try(self._file.flush)

    def fileno(self) -> int:
        """The terminal's own descriptor."""
        return self._file.fileno()

    def _send(self, data: bytes) -> None:
        again = self.stalled
        if again:
            if not self._takes(0):
                return
            data = _CANCEL + data
        self.stalled = False
        until = time.monotonic() + STALLED_AFTER_S
        while data:
            if not self._takes(max(0.0, until - time.monotonic())):
                self.stalled = True
                return
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(self._own or -1, data) :]
        if again:
            self._taken_again()

    def _takes(self, within_s: float) -> bool:
        poll = select.poll()
        poll.register(self._own or -1, select.POLLOUT)
        return bool(poll.poll(within_s * 1000))

    def _try(self, work: Callable[[], object]) -> None:
        try:
            work()
        except (OSError, ValueError):
            self._gone = True


def _own_descriptor(descriptor: int) -> int | None:
    """The same terminal opened anew, so that not waiting for it is our affair alone; None where that is not allowed."""
    try:
        return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return None
