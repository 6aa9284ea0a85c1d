"""The full name behind a bare abbreviation in an answer, added where it is shown and marked as the program's own.

``LVH`` becomes ``LVH〔左心室肥厚〕`` at its first use in an answer. A block is given its names when it is finished, so
that no line jumps while one is being written; the model's text itself is never touched.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from medgemma_tui.clinical.findings import Language
from medgemma_tui.clinical.tables import TableError
from medgemma_tui.clinical.textform import question_language
from medgemma_tui.safetext import clean_line
from medgemma_tui.tui.blocks import Block
from medgemma_tui.tui.ink import Ink, Line
from medgemma_tui.tui.profile import UNICODE, Glyphs

OURS = Ink("muted", italic=True)
_FENCED = re.compile(r" {0,3}(?:`{3}|~{3})")
_CODE = re.compile(r"`[^`\n]*`")


@dataclass(frozen=True, slots=True)
class Names:
    """The abbreviations of a block that are used first there, and the language of the names."""

    wanted: frozenset[str] = frozenset()
    language: Language = "en"

    def add(self, line: Line, used: set[str], glyphs: Glyphs) -> Line:
        """The runs of a paragraph with the names behind their abbreviations, but for those in ``used``."""
        if not self.wanted - used:
            return line
        from medgemma_tui.clinical.abbreviations import expansions

        places: dict[int, str] = {}
        starts = _starts(line)
        for found in expansions("".join(text for text, _ink in line), self.language):
            role = line[_run_at(starts, found.end - 1)][1].role
            if found.abbreviation in self.wanted and found.abbreviation not in used and role not in ("code", "muted"):
                used.add(found.abbreviation)
                places[found.end] = _marked(glyphs.shown(clean_line(found.full)), glyphs)
        made: Line = []
        for (text, ink), start in zip(line, starts, strict=True):
            at = 0
            for end in sorted(end for end in places if start < end <= start + len(text)):
                made += [(text[at : end - start], ink), (places[end], OURS)]
                at = end - start
            if text[at:]:
                made.append((text[at:], ink))
        return made


NONE = Names()


class Namer:
    """Decides block by block while an answer grows; a decision once made stays."""

    def __init__(self, question: str) -> None:
        """The names are in the language of the question, or of the answer's first words if those are Chinese."""
        self._question = question
        self._decided: list[tuple[Block, Names]] = []
        self._before = ""  # what has been read, without code
        self._language: Language | None = None

    def names(self, finished: Sequence[Block]) -> list[Names]:
        """The names of each finished block of an answer, in order."""
        if any(old != new for (old, _names), new in zip(self._decided, finished, strict=False)):
            self._decided, self._before, self._language = [], "", None  # another text
        for block in finished[len(self._decided) :]:
            self._decided.append((block, self._decide(block.text)))
        return [names for _block, names in self._decided[: len(finished)]]

    def _decide(self, text: str) -> Names:
        if _FENCED.match(text):
            return NONE
        self._language = self._language or question_language(self._question + text)
        from medgemma_tui.clinical.abbreviations import expansions  # not before the first frame

        try:
            candidates = {found.abbreviation for found in expansions(text, self._language)}
        except TableError:  # which the marks tell
            return NONE
        wanted = frozenset(each for each in candidates if not _occurs(each, self._before))
        self._before += _CODE.sub(" ", text) + "\n"
        return Names(wanted, self._language)


def _marked(name: str, glyphs: Glyphs) -> str:
    return f"〔{name}〕" if glyphs is UNICODE else f"[= {name}]"


def _occurs(abbreviation: str, text: str) -> bool:
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(abbreviation)}(?![A-Za-z0-9])", text) is not None


def _starts(line: Line) -> list[int]:
    starts, at = [], 0
    for text, _ink in line:
        starts.append(at)
        at += len(text)
    return starts


def _run_at(starts: list[int], offset: int) -> int:
    return max(index for index, start in enumerate(starts) if start <= offset)
