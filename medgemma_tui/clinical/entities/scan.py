"""What all subjects look at: the text, its folded form, and where an expression of a list stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from medgemma_tui.clinical.entities.lists import Hit, Meaning, lists
from medgemma_tui.clinical.negation import Reader
from medgemma_tui.clinical.textform import fold

# A name that runs into its value, ``wbc6.2``: letters, then a digit.
_GLUED = re.compile(r"[a-zα-ω](?<![a-zα-ω0-9].)[a-zα-ω-]{0,14}(?=\d)")


@dataclass(frozen=True, slots=True)
class Scan:
    """One text, prepared once. ``glued`` hits are names whose value follows without anything between."""

    text: str
    folded: str
    hits: tuple[Hit, ...]
    glued: tuple[Hit, ...]
    reader: Reader

    def negated(self, start: int, end: int) -> bool:
        """Whether the text says that this is not so."""
        return self.reader.negated(start, end)


def scan(text: str, reader: Reader | None = None) -> Scan:
    """Prepare a text. ``reader`` reads this very text, where the caller has one."""
    reader = reader or Reader(fold(text))
    folded = reader.folded
    known = lists()
    hits = tuple(Hit(match.start, match.end, match.value) for match in known.lexicon.find(folded))
    starts = {hit.start for hit in hits}
    glued: list[Hit] = []
    for match in _GLUED.finditer(folded):
        start, letters = match.start(), match.group()
        if start in starts:
            continue
        glued += _glued_names(folded, start, letters)
    return Scan(text, folded, hits, tuple(glued), reader)


def _glued_names(folded: str, start: int, letters: str) -> Iterator[Hit]:
    """The names that a digit follows: spo298% may be spo2, t36.8℃ is t and no t3; the unit will tell."""
    known = lists()
    for name in known.names_with_digits.get(letters, ()):
        end = start + len(name)
        if folded.startswith(name, start) and folded[end : end + 1].isdecimal():
            yield Hit(start, end, Meaning(known.measures[name]))
    stem = letters.rstrip("-")
    items = known.measures.get(stem)
    if items:
        yield Hit(start, start + len(stem), Meaning(items))
