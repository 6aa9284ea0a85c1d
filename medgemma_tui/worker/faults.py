"""Errors of the worker, and how they are logged. No torch: they must be told where it cannot be imported, too."""

from __future__ import annotations

import traceback


class OutOfMemory(RuntimeError):
    """There was not enough memory to load the model. ``device`` is ``cuda`` or ``cpu``."""

    def __init__(self, device: str) -> None:
        super().__init__(f"out of {'GPU' if device == 'cuda' else 'host'} memory while the model was loaded")
        self.device = device


_TELLS = frozenset({"AcceleratorError", "ImportError", "ModuleNotFoundError", "MissingToken"})
"""Kinds whose message is about the machine or the model, never about what somebody asked."""


def describe(error: BaseException) -> str:
    """An exception for the log: its type and stack without values, its message only where it cannot hold any."""
    kind = type(error).__name__
    message = str(error).partition("\n")[0] if kind in _TELLS else ""
    stack = " < ".join(
        f"{frame.name} ({frame.filename.rsplit('/', 1)[-1]}:{frame.lineno})"
        for frame in reversed(traceback.extract_tb(error.__traceback__))
    )
    return f"{kind}{': ' if message else ''}{message} in {stack}"
