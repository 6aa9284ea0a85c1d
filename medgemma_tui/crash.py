"""What an error in the program leaves behind, on a terminal or in a log: an id, its kind, where it was, and no value.

No local variables and no exception message: either may hold a patient's text. Every process of ours installs this
before it does anything else, because Python, asyncio and logging print messages of their own accord otherwise.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import sys
import threading
import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from medgemma_tui.i18n import _
from medgemma_tui.safetext import clean_line

if TYPE_CHECKING:
    import asyncio

_held: list[str] | None = None
"""Reports that wait while a screen is up: the terminal is not ours to write to."""


# --- on a terminal ---


def report(error: BaseException) -> str:
    """The end of the program in plain lines, for stderr."""
    return "\n".join(
        [
            _("medgemma-tui stopped because of an error in the program (id {id}).").format(id=secrets.token_hex(4)),
            _("Nothing of the conversation is in this report; it was only in memory and is gone."),
            *stack(error),
        ]
    )


def stack(error: BaseException) -> list[str]:
    """The kind of an error, of what caused it, and the frames of each: files, lines and names of functions."""
    lines: list[str] = []
    told: set[int] = set()
    seen: BaseException | None = error
    while seen is not None and id(seen) not in told:
        told.add(id(seen))
        lines.append(type(seen).__name__)
        frames = traceback.extract_tb(seen.__traceback__)
        lines += [f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return [clean_line(line) for line in lines]


def line(error: BaseException) -> str:
    """``stack`` on one line, for a log."""
    return " | ".join(each.strip() for each in stack(error))


def install() -> None:
    """From now on this process reports in this way what nobody caught: on the main thread, in any other, in a task's
    or an object's end.
    """

    def hook(kind: type[BaseException], error: BaseException, _trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            _say(report(error))

    def thread_hook(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            passed_over(arguments.exc_value)

    def unraisable_hook(arguments: sys.UnraisableHookArgs) -> None:
        if arguments.exc_value is not None:
            passed_over(arguments.exc_value)

    sys.excepthook = hook
    threading.excepthook = thread_hook
    sys.unraisablehook = unraisable_hook
    logging.raiseExceptions = False  # a log call that fails would print its arguments
    if logging.lastResort is not None:  # what a library logs where no log was opened
        logging.lastResort.setFormatter(LogFormatter())


def passed_over(error: BaseException) -> None:
    """Report an error that did not end the program: in the log, where there is one."""
    if logging.getLogger().handlers:
        logging.getLogger(__name__).error("an error in the background:", exc_info=error)
        return
    told = _("An error in the background (id {id}); the program went on.").format(id=secrets.token_hex(4))
    _say("\n".join([told, *stack(error)]))


@contextlib.contextmanager
def held() -> Iterator[None]:
    """Reports wait until the end of this: a screen is up."""
    global _held
    _held = []
    try:
        yield
    finally:
        waiting, _held = _held, None
        for text in waiting:
            _say(text)


def _say(text: str) -> None:
    if _held is not None:
        _held.append(text)
        return
    with contextlib.suppress(OSError, ValueError, AttributeError):  # stderr is gone, or never was
        print(text, file=sys.__stderr__, flush=True)


# --- in a log ---


class LogFormatter(logging.Formatter):
    """Lines for a log or a journal: safe for the terminal on which it is read, an exception by kind and place only."""

    def __init__(self, form: str = "%(levelname)s %(name)s: %(message)s") -> None:
        super().__init__(form)

    def format(self, record: logging.LogRecord) -> str:
        """One line; the frames of an exception are on it, too."""
        record.exc_text = None  # another handler's, which quotes the message
        return clean_line(super().format(record))

    def formatException(self, ei: Any) -> str:
        """Kind and frames."""
        error = ei[1]
        return "" if error is None else line(error)


def log_to(stream: TextIO) -> None:
    """Have everything that is logged in this process written to ``stream``, one safe line an entry."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LogFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    logging.captureWarnings(True)


def watch(loop: asyncio.AbstractEventLoop) -> None:
    """Have what fails in a task that nobody waits for, or in a callback, reported in this way.

    asyncio's own handler prints the exception with its message, and the arguments of the callback.
    """

    def failed(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, BaseException):
            logging.getLogger(__name__).error("an error that nobody waited for:", exc_info=error)

    loop.set_exception_handler(failed)
