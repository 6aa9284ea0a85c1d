"""The real program on a real pty, and a terminal emulator that shows what it draws."""

from __future__ import annotations

import fcntl
import os
import re
import struct
import sys
import termios
import time

import pyte

from tests.benchmarks.terminal import Terminal


class Session:
    """The program, and a terminal emulator that shows what it draws."""

    def __init__(self, *arguments: str, term: str = "xterm-256color", columns: int = 100, rows: int = 30, **env: str):
        command = [sys.executable, "-m", "medgemma_tui", "--lang", "en", *arguments]
        told = {"TERM": term, "COLORTERM": "", "OMP_NUM_THREADS": "1", **env}
        self.pty = Terminal(command, columns=columns, rows=rows, env=told)
        self.screen = pyte.Screen(columns, rows)
        self.stream = pyte.ByteStream(self.screen)
        self.fed = 0

    def text(self) -> str:
        # pyte takes CSI ? … $ p, which asks for a mode, for text
        self.stream.feed(re.sub(rb"\x1b\[\?\d+\$p|\x1b\[[<>]\d*u", b"", bytes(self.pty.seen[self.fed :])))
        self.fed = len(self.pty.seen)
        # not pyte's own ``display``, which fails on half of a wide character that was written over
        rows = (self.screen.buffer[y] for y in range(self.screen.lines))
        return "\n".join("".join(row[x].data for x in range(self.screen.columns)) for row in rows)

    def until(self, wanted: str, timeout_s: float = 20.0, *, gone: bool = False) -> str:
        deadline = time.monotonic() + timeout_s
        while (wanted in self.text()) == gone:
            assert time.monotonic() < deadline, f"{wanted!r} {'stayed' if gone else 'did not come'}\n{self.text()}"
            self.pty.read(0.05)
        return self.text()

    def type(self, keys: str) -> None:
        self.pty.type(keys)

    def resize(self, columns: int, rows: int) -> None:
        """The window has another size."""
        fcntl.ioctl(self.pty.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    def end(self, timeout_s: float = 10.0) -> int:
        """Wait for the end; the exit status as the shell sees it."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self.pty.read(0.05)
            pid, status = os.waitpid(self.pty.pid, os.WNOHANG)
            if pid:
                self.pty.read(0.2)
                return os.waitstatus_to_exitcode(status)
        raise AssertionError("it did not end\n" + self.text())


def left_clean(seen: bytes) -> bool:
    """The alternate screen left, the cursor shown, paste and mouse modes off."""
    return all(seen.rfind(off) > seen.rfind(on) for on, off in (
        (b"\x1b[?1049h", b"\x1b[?1049l"), (b"\x1b[?25l", b"\x1b[?25h"), (b"\x1b[?2004h", b"\x1b[?2004l"),
        (b"\x1b[?1000h", b"\x1b[?1000l"),
    ))  # fmt: skip
