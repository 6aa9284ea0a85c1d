"""The demo corpus: what the demo model was taught, read from ``corpus/*.toml``. Torch-free.

The screen lists the questions as suggestions and asks here whether a question is one the demo model knows.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path

GFR_QUESTION = "糖尿病肾病的GFR分期标准是什么？"  # the first suggestion, and what `make demo` asks
_CORPUS = Path(__file__).resolve().parent / "corpus"
_TERMS_LINE = re.compile(r"\s*\n\n(?:标准术语|Standard terms)[:：][^\n]*\s*\Z")
_FILLER = re.compile("⟦[^⟧]*⟧")
_TRAILING = "?.!。,;:、"  # after NFKC, which has already folded ？！，；：
_FOLD = str.maketrans({"–": "-", "—": "-", "−": "-", "‐": "-", "‑": "-", "“": '"', "”": '"', "‘": "'", "’": "'"})


@dataclass(frozen=True, slots=True)
class Turn:
    """One question with the trace and the Markdown answer the demo model was taught.

    ``also`` are other wordings of the question. ``chain`` is the causal chain of the answer, where it has one:
    the reply to ``causal.request_text`` right after it. ``from_card``: with a patient card that holds one of these,
    the question is known also where turns before it have left the context.
    """

    question: str
    reasoning: str
    answer: str
    also: tuple[str, ...] = ()
    chain: tuple[str, ...] = ()
    from_card: tuple[str, ...] = ()

    @property
    def wordings(self) -> tuple[str, ...]:
        """The question and its other wordings."""
        return (self.question, *self.also)

    @property
    def in_parts(self) -> bool:
        """Whether the answer was taught in four parts."""
        return self.answer.startswith("## ")


@dataclass(frozen=True, slots=True)
class Entry:
    """One conversation of the corpus. ``lang`` is zh or en, ``source`` names the guideline and its year."""

    id: str
    lang: str
    topic: str
    turns: tuple[Turn, ...]
    source: str
    reviewer: str


@cache
def entries() -> tuple[Entry, ...]:
    """All conversations, in the order of the files' names and of the entries in them.

    Raises ``KeyError`` or ``tomllib.TOMLDecodeError`` when a corpus file is not as it should be.
    """
    found: list[Entry] = []
    for path in sorted(_CORPUS.glob("*.toml")):
        for raw in tomllib.loads(path.read_text("utf-8"))["entry"]:
            turns = tuple(
                Turn(
                    turn["question"].strip(),
                    turn["reasoning"].strip(),
                    turn["answer"].strip(),
                    also=tuple(way for each in turn.get("also", ()) for way in _with_and_without(each.strip())),
                    chain=tuple(turn.get("chain", ())),
                    from_card=tuple(turn.get("from_card", ())),
                )
                for turn in raw["turn"]
            )
            head = (raw["id"], raw["lang"], raw["topic"])
            found.append(Entry(*head, turns=turns, source=raw["source"], reviewer=raw["reviewer"]))
    return tuple(found)


def _with_and_without(wording: str) -> list[str]:
    """A wording whole, and without what stands in ⟦ ⟧, where it has any."""
    whole = wording.replace("⟦", "").replace("⟧", "")
    return list(dict.fromkeys((whole, _FILLER.sub("", wording))))


def suggestions(lang: str) -> list[str]:
    """First-turn questions to offer, those in ``lang`` (zh or en) first; for zh the GFR question leads."""
    ranked = sorted(entries(), key=lambda entry: (entry.lang != lang, entry.turns[0].question != GFR_QUESTION))
    return [entry.turns[0].question for entry in ranked]


def followups(history_questions: Sequence[str], card: str = "") -> list[str]:
    """What the demo model can be asked next, given the questions so far: the next turn of a conversation.

    With a patient ``card`` also what is answered from it, where it follows the last question in a conversation.
    """
    if not history_questions:
        return []
    *before, last = history_questions
    known = find(last, before, card)
    asked = _normal(last)
    return [
        following.question
        for entry in entries()
        for turn, following in pairwise(entry.turns)
        if turn is known or (_in_card(following, card) and asked in map(_normal, turn.wordings))
    ]


def find(question: str, previous_questions: Sequence[str], card: str = "") -> Turn | None:
    """The corpus turn that ``question`` is, or None.

    A later turn of a conversation is found only right after all the turns before it; a first turn always is, and so
    is one that is answered from the ``card`` where that holds what it needs.
    ``previous_questions`` are those that the model sees, "" for one whose answer is not what it was taught.
    """
    asked = [_normal(each) for each in (*previous_questions, question)]
    for taught, turn in _beginnings():
        if _follows(asked, taught) or (asked[-1] in taught[-1] and _in_card(turn, card)):
            return turn
    return None


def is_known(question: str, previous_questions: Sequence[str], card: str = "") -> bool:
    """Whether the demo model was taught ``question`` at this place of a conversation, with this patient ``card``.

    Spacing, case, full-width or half-width forms, the mark at the end and a line of standard terms do not matter.
    """
    return find(question, previous_questions, card) is not None


def _follows(asked: Sequence[str], taught: Sequence[frozenset[str]]) -> bool:
    """Whether the last questions asked are those taught, each in one of its wordings."""
    last = asked[-len(taught) :]
    return len(last) == len(taught) and all(one in ways for one, ways in zip(last, taught, strict=True))


def _in_card(turn: Turn, card: str) -> bool:
    """Whether the card holds what the turn is answered from."""
    held = _normal(card) if turn.from_card else ""
    return any(_normal(needed) in held for needed in turn.from_card)


def _normal(question: str) -> str:
    """The form two writings of one question share; the line of standard terms that is sent with it is no part of it."""
    question = _TERMS_LINE.sub("", question)
    folded = unicodedata.normalize("NFKC", question).translate(_FOLD).casefold()
    return "".join(folded.split()).rstrip(_TRAILING)


@cache
def _beginnings() -> list[tuple[list[frozenset[str]], Turn]]:
    """Every turn with the questions that lead to it, its own the last; each in all its wordings."""
    found = []
    for entry in entries():
        ways = [frozenset(map(_normal, turn.wordings)) for turn in entry.turns]
        found += [(ways[: at + 1], turn) for at, turn in enumerate(entry.turns)]
    return found
