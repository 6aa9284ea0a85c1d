"""What is found in a text before it is sent: at once where that is quick, else in a thread of the link's.

The clinical layer is imported and its lists are read by the first reading, which is always in the thread: the first
frame does not wait for it, and neither does a key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from medgemma_tui.clinical.findings import Coaching
from medgemma_tui.tui.desk import Desk, Sections
from medgemma_tui.tui.link import Link

if TYPE_CHECKING:
    from medgemma_tui.asking import Asking
    from medgemma_tui.clinical.filler import Filler

QUICK_CHARS = 8000
"""A longer text is read in the thread."""
_SAMPLE = "男，65岁，心梗，血钾 4.1 mmol/L，服用利伐沙班15mg qd，患者姓名：某某，如何治疗？"  # has every list read


class What(NamedTuple):
    """A text and everything else that its reading depends on."""

    text: str
    sections: Sections
    card: str


@dataclass(frozen=True)
class Reading:
    """A text that was read. ``asking`` holds what is sent of it, ``fillers`` what could be left out."""

    what: What
    asking: Asking
    fillers: tuple[Filler, ...] = ()

    @property
    def coaching(self) -> Coaching:
        """What kind of question it is, and what it lacks."""
        return self.asking.analysis.coaching


def read(what: What) -> Reading:
    """Read a text. Raises TableError where a list cannot be used."""
    from medgemma_tui.asking import prepare
    from medgemma_tui.clinical.entities import find_entities
    from medgemma_tui.clinical.filler import find_filler

    known = find_entities(what.card) if what.card else ()
    asking = prepare(what.text, sections=what.sections, known=known)
    return Reading(what, asking, find_filler(what.text))


def _read_first(what: What) -> Reading:
    """Read a text, and a reply after it, whose lists are then ready, too, when the first reply is drawn."""
    reading = read(what)
    from medgemma_tui.clinical.abbreviations import expansions
    from medgemma_tui.clinical.review import review

    review(what.text, what.text, what.text)
    expansions(what.text, "zh")
    expansions(what.text, "en")
    return reading


class Reader:
    """Reads for the controller. Results that had to wait come through ``take``, with the ticket of their request."""

    def __init__(self, desk: Desk, link: Link) -> None:
        self._desk = desk
        self._link = link
        self._ticket = 0
        self._warm = False
        self._last: Reading | None = None
        self._newest = 0  # its ticket: an older reading that comes later does not count
        self._waiting: dict[int, Callable[[Reading | None], None]] = {}

    def warm_up(self) -> None:
        """Have the lists read, so that neither the first question nor the first reply waits for them."""
        # older than any draft: what was typed meanwhile counts, not the sample
        self._waiting[0] = lambda _reading: None
        self._link.read(0, lambda: _read_first(What(_SAMPLE, "auto", "")))

    def read(self, text: str, then: Callable[[Reading | None], None]) -> bool:
        """Read this text and go on with ``then``, now or when it is there; None: the lists cannot be used.

        False where it takes a while. ``drop`` has nothing go on any more.
        """
        what = self._what(text)
        if self._last is not None and self._last.what == what:
            then(self._last)
        elif self._warm and len(text) <= QUICK_CHARS:
            then(self._read_now(what))
        else:
            self._in_thread(what, then)
            return False
        return True

    def has_read(self, text: str) -> bool:
        """Whether this text was the last one that was read."""
        return self._last is not None and self._last.what == self._what(text)

    def prompt_of(self, text: str) -> str:
        """What would be sent for this text, where it has been read; else the text."""
        return self._last.asking.prompt if self._last is not None and self.has_read(text) else text

    def take(self, ticket: int, reading: Reading | None) -> None:
        """The thread has read a text."""
        then = self._waiting.pop(ticket, None)
        if reading is not None:
            self._warm = True
        if then is not None:
            if reading is not None and ticket >= self._newest:
                self._last, self._newest = reading, ticket
            then(reading)

    def drop(self) -> None:
        """Forget what was read, and what is being read."""
        self._last = None
        self._waiting.clear()

    def _what(self, text: str) -> What:
        return What(text.strip(), self._desk.sections, self._desk.conversation.card)

    def _read_now(self, what: What) -> Reading | None:
        from medgemma_tui.clinical.tables import TableError

        self._ticket += 1
        try:
            self._last, self._newest = read(what), self._ticket
        except TableError:  # it was read before, so this is a list that only this text needed
            return None
        return self._last

    def _in_thread(self, what: What, then: Callable[[Reading | None], None]) -> None:
        self._ticket += 1
        self._waiting[self._ticket] = then
        self._link.read(self._ticket, lambda: read(what))
