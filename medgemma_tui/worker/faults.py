"""Errors of the worker, and how they are logged. No torch: they must be told where it cannot be imported, too."""

from __future__ import annotations

import contextlib
import errno
import traceback
from collections.abc import Iterator
from typing import Literal


class OutOfMemory(RuntimeError):
    """There was not enough memory to load the model. ``device`` is ``cuda`` or ``cpu``."""

    def __init__(self, device: str) -> None:
        super().__init__(f"out of {'GPU' if device == 'cuda' else 'host'} memory while the model was loaded")
        self.code = memory_code(device, "loading")


def memory_code(device: str, doing: Literal["loading", "answering"]) -> str:
    """Whose memory ran out, and when: the code beside the wire's ``out_of_memory`` (see ``problems``)."""
    return f"{'gpu' if device == 'cuda' else 'host'}_{doing}"


_NO_MEMORY = (
    "out of memory",  # CUDA's runtime and driver
    "alloc_failed",  # CUBLAS_STATUS_ALLOC_FAILED and cuDNN's
    "cudaerrormemoryallocation",
    "defaultcpuallocator",
    "allocate memory",  # can't, cannot, unable to
    "bad_alloc",
)


def is_out_of_memory(error: BaseException) -> bool:
    """True where memory ran out, in whichever of torch's ways that is told; several are RuntimeErrors with a text."""
    if isinstance(error, MemoryError) or any(kind.__name__ == "OutOfMemoryError" for kind in type(error).__mro__):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError | OSError) and any(text in str(error).lower() for text in _NO_MEMORY)


@contextlib.contextmanager
def typed_out_of_memory(device: str) -> Iterator[None]:
    """Where memory runs out inside, however that is told, OutOfMemory is raised for ``device``."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise OutOfMemory(device) from None
        raise


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
