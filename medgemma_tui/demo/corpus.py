"""The demo corpus: what the demo model was taught, read from ``corpus/*.toml``. Torch-free.

The screen lists the questions as suggestions and asks here whether a question is one the demo model knows.
"""

from __future__ import annotations

import tomllib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

GFR_QUESTION = "糖尿病肾病的GFR分期标准是什么？"  # the first suggestion, and what `make demo` asks
_CORPUS = Path(__file__).resolve().parent / "corpus"
_TRAILING = "?.!。,;:、"  # after NFKC, which has already folded ？！，；：
_FOLD = str.maketrans({"–": "-", "—": "-", "−": "-", "‐": "-", "‑": "-", "“": '"', "”": '"', "‘": "'", "’": "'"})


@dataclass(frozen=True, slots=True)
class Turn:
    """One question with the trace and the Markdown answer the demo model was taught."""

    question: str
    reasoning: str
    answer: str


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
                Turn(turn["question"].strip(), turn["reasoning"].strip(), turn["answer"].strip())
                for turn in raw["turn"]
            )
            head = (raw["id"], raw["lang"], raw["topic"])
            found.append(Entry(*head, turns=turns, source=raw["source"], reviewer=raw["reviewer"]))
    return tuple(found)


def suggestions(lang: str) -> list[str]:
    """First-turn questions to offer, those in ``lang`` (zh or en) first; for zh the GFR question leads."""
    ranked = sorted(entries(), key=lambda entry: (entry.lang != lang, entry.turns[0].question != GFR_QUESTION))
    return [entry.turns[0].question for entry in ranked]


def followups(history_questions: Sequence[str]) -> list[str]:
    """What the demo model can be asked next, given the questions so far: the next turn of a conversation."""
    if not history_questions:
        return []
    *before, last = history_questions
    known = find(last, before)
    return [
        following.question
        for entry in entries()
        for turn, following in zip(entry.turns, entry.turns[1:], strict=False)
        if turn is known
    ]


def find(question: str, previous_questions: Sequence[str]) -> Turn | None:
    """The corpus turn that ``question`` is, or None.

    A later turn of a conversation is found only right after all the turns before it; a first turn always is.
    ``previous_questions`` are those that the model sees, "" for one whose answer is not what it was taught.
    """
    asked = [_normal(each) for each in (*previous_questions, question)]
    for taught, turn in _beginnings():
        if asked[-len(taught) :] == taught:
            return turn
    return None


def is_known(question: str, previous_questions: Sequence[str]) -> bool:
    """Whether the demo model was taught ``question`` at this place of a conversation.

    Spacing, case, full-width or half-width forms and the mark at the end do not matter.
    """
    return find(question, previous_questions) is not None


def _normal(question: str) -> str:
    """The form two writings of one question share."""
    folded = unicodedata.normalize("NFKC", question).translate(_FOLD).casefold()
    return "".join(folded.split()).rstrip(_TRAILING)


@cache
def _beginnings() -> list[tuple[list[str], Turn]]:
    """Every turn with the questions that lead to it, its own the last."""
    return [
        ([_normal(turn.question) for turn in entry.turns[: at + 1]], entry.turns[at])
        for entry in entries()
        for at in range(len(entry.turns))
    ]
