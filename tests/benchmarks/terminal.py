"""A program on a pseudo-terminal of a set size: its bytes counted, its keys typed, its CPU and memory read."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import struct
import subprocess
import termios
import time
from collections.abc import Iterator

import psutil


class Terminal:
    """The far end of a pty; ``seen`` holds everything that has arrived."""

    def __init__(self, command: list[str], *, columns: int = 120, rows: int = 36, env: dict[str, str] | None = None):
        self.master, slave = os.openpty()
        settings = termios.tcgetattr(slave)
        settings[3] &= ~termios.ECHO  # a key counts as shown when the program shows it, not the kernel
        termios.tcsetattr(slave, termios.TCSANOW, settings)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.started = time.perf_counter()
        self._popen = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(env or {})},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(slave)
        self.pid = self._popen.pid
        self.seen = bytearray()
        self.process = psutil.Process(self.pid)

    def read(self, seconds: float, until: bytes | None = None) -> float | None:
        """Read for so long, or until these bytes have come since this call. Returns the moment they came."""
        start, end = len(self.seen), time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            if select.select([self.master], [], [], left)[0]:
                try:
                    self.seen += os.read(self.master, 1 << 16)
                except OSError:
                    return None
                if until is not None and until in self.seen[max(0, start - len(until)) :]:
                    return time.perf_counter()
        return None

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self.master, text.encode())

    def cpu_seconds(self) -> float:
        """CPU time that the program itself has used, without its children."""
        times = self.process.cpu_times()
        return times.user + times.system

    def close(self) -> None:
        """End the program."""
        self._popen.terminate()
        self.read(3.0)
        self._popen.kill()
        self._popen.wait()
        os.close(self.master)


@contextlib.contextmanager
def terminal(command: list[str], **options: object) -> Iterator[Terminal]:
    """Open a program on a pty, close it at the end."""
    opened = Terminal(command, **options)  # type: ignore[arg-type]
    try:
        yield opened
    finally:
        opened.close()
