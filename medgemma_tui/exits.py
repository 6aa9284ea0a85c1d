"""Exit codes of every command."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """What the exit status means, for every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    MODEL_INVALID = 3
    OUT_OF_MEMORY = 4
    SERVICE_LOST = 5
    LOCKED = 6
    """The screen was locked for too long, or by wrong PINs: the session was ended."""
    INTERRUPTED = 130
