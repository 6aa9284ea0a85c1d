"""Training samples: corpus turns in the places of a conversation where the program will ask them.

A reply is ``<unused94>thought\\n{reasoning}<unused95>{answer}<end_of_turn>``; history carries answers only.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.resources import files

from transformers import PreTrainedTokenizerFast

from medgemma_tui.demo.corpus import Entry, Turn, entries
from medgemma_tui.demo.tokenizer import BOS, TRACE_CLOSE, TRACE_OPEN, TURN_CLOSE, TURN_OPEN


@dataclass(frozen=True, slots=True)
class Place:
    """A turn to be learned and the turns its conversation must have right before it."""

    entry: Entry
    turn: Turn
    before: tuple[Turn, ...]

    @property
    def name(self) -> str:
        """The entry's id and the turn's number, for reports."""
        return f"{self.entry.id}#{len(self.before) + 1}"


@dataclass(frozen=True, slots=True)
class Sample:
    """Token ids of one conversation and, for each, whether predicting it is part of the loss."""

    ids: tuple[int, ...]
    learn: tuple[bool, ...]
    place: int


@dataclass(frozen=True, slots=True)
class Mixture:
    """How hard the samples are: the chance of history, of system text, and of the replies' other forms."""

    history: float
    system: float
    forms: float  # a skipped or truncated trace instead of the whole reply
    longest: int  # tokens of prompt beyond which no more history is added


def places() -> list[Place]:
    """Every turn of the corpus."""
    return [Place(entry, turn, entry.turns[:index]) for entry in entries() for index, turn in enumerate(entry.turns)]


def instructions() -> list[str]:
    """The system texts the screen sends: zh, then en."""
    data = files("medgemma_tui.clinical") / "data"
    return [(data / f"instructions.{lang}.txt").read_text("utf-8").strip() for lang in ("zh", "en")]


def tokenizer_texts() -> list[str]:
    """What the tokenizer learns its merges from."""
    texts = [*instructions(), *_CARDS, "user\nmodel\nthought\n"]
    for entry in entries():
        for turn in entry.turns:
            texts += [turn.question, turn.question, turn.reasoning, turn.answer]
    return texts


_CARDS = (
    "患者资料：65岁男性；BP:165/95 mmHg；肌酐 132 μmol/L；STEMI V1–V4；无过敏史",
    "病历卡：72岁 女 · 诊断 心房颤动、高血压 · 用药 美托洛尔 · eGFR 42",
    "标准术语：心梗 = 急性心肌梗死 (Acute myocardial infarction)；肾衰 = 肾衰竭",
    "Patient: 58-year-old woman; type 2 diabetes; BP 142/88 mmHg; HR 96; creatinine 1.4 mg/dL; no known allergies",
    "Patient card: 81 y male · atrial fibrillation, CKD · apixaban 2.5 mg bid · K 4.9 mmol/L",
    "Standard terms: heart attack = acute myocardial infarction; high BP = hypertension",
)


class SampleMaker:
    """Draws samples with a seeded random generator."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
        self.tokenizer = tokenizer
        self.random = random.Random(seed)  # noqa: S311 - a reproducible draw, not a secret
        self.places = places()
        self._systems = instructions()
        self._encode = lru_cache(maxsize=None)(self._encode_anew)

    def _encode_anew(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    @cached_property
    def _marks(self) -> dict[str, int]:
        return {m: self._encode(m)[0] for m in (BOS, TURN_OPEN, TURN_CLOSE, TRACE_OPEN, TRACE_CLOSE)}

    def draw(self, place: int, mixture: Mixture) -> Sample:
        """One sample that asks ``places[place]`` last."""
        rng, asked = self.random, self.places[place]
        ids: list[int] = [self._marks[BOS]]
        learn = [False]
        history = self._history(asked, mixture)
        prefix = self._system() + "\n\n" if rng.random() < mixture.system else ""
        for index, turn in enumerate([*history, *asked.before]):
            self._user(ids, learn, (prefix if index == 0 else "") + self._variant(turn.question))
            self._model(ids, learn)
            answer = self._encode(turn.answer)
            # Not the answer's first token: a fresh reply begins with a trace instead.
            self._add(ids, learn, (*answer, self._marks[TURN_CLOSE]), [False] + [True] * len(answer))
            self._add(ids, learn, self._encode("\n"), [False])
        first = not history and not asked.before
        self._user(ids, learn, (prefix if first else "") + self._variant(asked.turn.question))
        self._model(ids, learn)
        self._reply(ids, learn, asked.turn, mixture)
        return Sample(tuple(ids), tuple(learn), place)

    def _history(self, asked: Place, mixture: Mixture) -> list[Turn]:
        """Turns of other conversations, each whole up to where it stops; none of them the one asked."""
        rng = self.random
        if rng.random() >= mixture.history:
            return []
        want = rng.choice((1, 1, 1, 2, 2, 3, 3, 4, 6, 10))
        turns: list[Turn] = []
        room = mixture.longest
        while len(turns) < want:
            entry = rng.choice(self.places).entry
            if entry.id == asked.entry.id and rng.random() < 0.7:
                continue  # asking again what was asked before is allowed, but rarely
            upto = entry.turns[: rng.randint(1, len(entry.turns))]
            room -= sum(len(self._encode(t.question)) + len(self._encode(t.answer)) + 9 for t in upto)
            if room < 0:
                break
            turns += upto
        return turns

    def _system(self) -> str:
        rng = self.random
        text = rng.choice(self._systems)
        roll = rng.random()
        if roll < 0.15:
            return text + "\n\n" + rng.choice(_CARDS)
        if roll < 0.25:  # any other line a site may put there
            other = rng.choice(self.places).turn
            return text + rng.choice(("\n", "\n\n")) + rng.choice(other.reasoning.splitlines())
        return text

    def _variant(self, question: str) -> str:
        """The question as people also type it: another mark at the end, half-width, small letters."""
        rng = self.random
        roll = rng.random()
        if roll < 0.6:
            return question
        bare = question.rstrip("？?")
        if roll < 0.85:
            return bare + rng.choice(("", "?", "？", " ?"))
        if roll < 0.93:
            return unicodedata.normalize("NFKC", question)
        return question.lower()

    def _user(self, ids: list[int], learn: list[bool], text: str) -> None:
        new = [self._marks[TURN_OPEN], *self._encode("user\n"), *self._encode(text), self._marks[TURN_CLOSE]]
        new += self._encode("\n")
        self._add(ids, learn, new, [False] * len(new))

    def _model(self, ids: list[int], learn: list[bool]) -> None:
        new = [self._marks[TURN_OPEN], *self._encode("model\n")]
        self._add(ids, learn, new, [False] * len(new))

    def _reply(self, ids: list[int], learn: list[bool], turn: Turn, mixture: Mixture) -> None:
        rng = self.random
        trace = [self._marks[TRACE_OPEN], *self._encode("thought\n"), *self._encode(turn.reasoning)]
        answer = [*self._encode(turn.answer), self._marks[TURN_CLOSE]]
        close = self._marks[TRACE_CLOSE]
        roll = rng.random()
        if roll >= mixture.forms:
            self._add(ids, learn, [*trace, close, *answer], [True] * (len(trace) + 1 + len(answer)))
            return
        # The decoder closed the trace: at once (skip), or at some token of it (budget).
        kept = trace[: rng.randint(1, len(trace))] if roll < mixture.forms * 0.65 else []
        self._add(ids, learn, [*kept, close, *answer], [False] * (len(kept) + 1) + [True] * len(answer))

    @staticmethod
    def _add(ids: list[int], learn: list[bool], new: Sequence[int], mask: Sequence[bool]) -> None:
        ids += new
        learn += mask
