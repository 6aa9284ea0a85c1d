"""What a crash leaves behind: an error id, the kind of error and where it was, and nothing of what was on the screen.

No local variables and no exception message: either may hold a patient's text.
"""

from __future__ import annotations

import secrets
import sys
import threading
import traceback
from types import TracebackType

from medgemma_tui.i18n import _


def report(error: BaseException) -> str:
    """The crash in plain lines, for stderr."""
    lines = [
        _("medgemma-tui stopped because of an error in the program (id {id}).").format(id=secrets.token_hex(4)),
        _("Nothing of the conversation is in this report; it was only in memory and is gone."),
    ]
    seen: BaseException | None = error
    while seen is not None:
        lines.append(type(seen).__name__)
        frames = traceback.extract_tb(seen.__traceback__)
        lines += [f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)
    return "\n".join(lines)


def install() -> None:
    """Report in this way also what is raised outside the app, in any thread."""

    def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            print(report(error), file=sys.__stderr__)

    def thread_hook(arguments: threading.ExceptHookArgs) -> None:
        if arguments.exc_value is not None:
            print(report(arguments.exc_value), file=sys.__stderr__)

    sys.excepthook = hook
    threading.excepthook = thread_hook
