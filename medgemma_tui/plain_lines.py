"""Plain mode's lines: whole lines or sentences out, questions of one or more lines in."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from functools import partial

from medgemma_tui.i18n import _
from medgemma_tui.safetext import clean

say: Callable[..., None] = partial(print, flush=True)
"""To stdout: the conversation."""
tell: Callable[..., None] = partial(print, flush=True, file=sys.stderr)
"""To stderr: what is not part of it."""


class Lines:
    """Text that comes in pieces, printed in whole lines or sentences, which is how a screen reader wants it."""

    _COMPLETE = re.compile(r"(?s).*(?:\n|[。！？；]|[.!?] )")

    def __init__(self) -> None:
        self._held = ""
        self._fresh = True  # at the start of a line

    def write(self, text: str) -> None:
        """Take a piece; print what is complete."""
        self._held += clean(text)
        complete = self._COMPLETE.match(self._held)
        if complete:
            self._print(complete.group())

    def end(self) -> None:
        """Print what is left, and end the line."""
        self._print(self._held)
        if not self._fresh:
            say()
            self._fresh = True

    def _print(self, text: str) -> None:
        self._held = self._held[len(text) :]
        if text:
            say(text, end="")
            self._fresh = text.endswith("\n")


def read_question() -> str | None:
    """The next question from standard input, None at its end."""
    parts: list[str] = []
    while True:
        try:
            line = input("> " if sys.stdin.isatty() else "")
        except EOFError:
            if sys.stdin.isatty():
                tell()  # the prompt's line ends here
            return "\n".join(parts) if parts else None
        except KeyboardInterrupt:
            tell()
            tell(_("Type /quit to leave."))
            return ""
        if not line.endswith("\\"):
            parts.append(line)
            return "\n".join(parts).strip()
        parts.append(line[:-1])
