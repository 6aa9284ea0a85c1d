"""Plain mode's lock: it cannot hide what was printed, so it forgets the conversation where nothing is typed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from medgemma_tui.clinical_words import sentences
from medgemma_tui.i18n import _, ngettext


@contextmanager
def watched(after_s: float, forget: Callable[[], None]) -> Iterator[None]:
    """Call ``forget`` once, between two instructions of what is done meanwhile, where that takes so long.

    Reading a line goes on afterwards. In the main thread only.
    """
    before = signal.signal(signal.SIGALRM, lambda _number, _frame: forget())
    signal.setitimer(signal.ITIMER_REAL, after_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def words_at_start(after_s: float) -> str:
    """What will happen, once."""
    minutes = max(1, round(after_s / 60))
    text = ngettext(
        "After {n} minute without a line from you the conversation is forgotten, here and in the service. What was "
        "printed stays on this terminal.",
        "After {n} minutes without a line from you the conversation is forgotten, here and in the service. What was "
        "printed stays on this terminal.",
        minutes,
    )
    return text.format(n=minutes)


def words_when_forgotten() -> str:
    """It has happened."""
    return sentences(
        _("Nothing was typed for too long: the conversation was forgotten, here and in the service."),
        _("What was printed still stands on this terminal; clear it, or close it."),
    )
