"""One line on a terminal's stderr that says what is waited for."""

from __future__ import annotations

import sys


class ProgressLine:
    """What is waited for, rewritten in place on a terminal's stderr; nothing in a pipe."""

    def __init__(self) -> None:
        self._shown = ""

    def show(self, text: str) -> None:
        """Show this instead of what was there."""
        if sys.stderr.isatty() and text != self._shown:
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
            self._shown = text

    def clear(self) -> None:
        """Take the line away."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._shown = ""
