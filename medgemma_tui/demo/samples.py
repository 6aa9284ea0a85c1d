"""Training samples: corpus turns in the places of a conversation where the program will ask them.

A reply is ``<unused94>thought\\n{reasoning}<unused95>{answer}<end_of_turn>``; history carries answers only.
"""

from __future__ import annotations

import random
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from transformers import PreTrainedTokenizerFast

from medgemma_tui.clinical import causal
from medgemma_tui.demo import prompts
from medgemma_tui.demo.corpus import Entry, Turn, entries
from medgemma_tui.demo.tokenizer import BOS, TRACE_CLOSE, TRACE_OPEN, TURN_CLOSE, TURN_OPEN


@dataclass(frozen=True, slots=True)
class Place:
    """A turn to be learned and the turns its conversation must have right before it.

    ``chain``: it is not the turn that is asked, but the causal chain of its answer.
    """

    entry: Entry
    turn: Turn
    before: tuple[Turn, ...]
    chain: bool = False

    @property
    def name(self) -> str:
        """The entry's id and the turn's number, for reports."""
        return f"{self.entry.id}#{len(self.before) + 1}" + ("/chain" if self.chain else "")


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
    headed: float = 0.2  # an answer that was not taught in four parts, under four headings all the same
    terms: float = 0.5  # a line of standard terms behind a question
    wordings: float = 0.3  # another wording of a question that has some


def places() -> list[Place]:
    """Every turn of the corpus, then every causal chain."""
    turns = [Place(entry, turn, entry.turns[:index]) for entry in entries() for index, turn in enumerate(entry.turns)]
    return turns + [Place(each.entry, each.turn, each.before, chain=True) for each in turns if each.turn.chain]


def tokenizer_texts() -> list[str]:
    """What the tokenizer learns its merges from. Not the long wordings: a note is to cost tokens as any text does."""
    texts = prompts.fixed_texts()
    for entry in entries():
        for turn in entry.turns:
            texts += [turn.question, turn.question, turn.reasoning, turn.answer]
            texts += [prompts.chain_reply(turn.chain)] if turn.chain else []
    return texts


class SampleMaker:
    """Draws samples with a seeded random generator."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
        self.tokenizer = tokenizer
        self.random = random.Random(seed)  # noqa: S311 - a reproducible draw, not a secret
        self.places = places()
        self._systems = prompts.instructions()
        self._questions = [place.turn.question for place in self.places]
        self._encode = lru_cache(maxsize=None)(self._encode_anew)

    def _encode_anew(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    @cached_property
    def _marks(self) -> dict[str, int]:
        return {m: self._encode(m)[0] for m in (BOS, TURN_OPEN, TURN_CLOSE, TRACE_OPEN, TRACE_CLOSE)}

    def draw(self, place: int, mixture: Mixture) -> Sample:
        """One sample that asks ``places[place]`` last."""
        asked = self.places[place]
        ids: list[int] = [self._marks[BOS]]
        learn = [False]
        before = self._before(asked)
        turns = [*self._history(asked, mixture), *before]
        if asked.chain:
            turns.append(asked.turn)
        prefix = self._system(asked, mixture, must_have_card=len(before) < len(asked.before))
        headed = self.random.random() < mixture.headed
        headed_before = 0.6 if headed else mixture.headed / 5  # it is a setting, and may be changed on the way
        for turn in turns:
            self._user(ids, learn, prefix + self._as_typed(turn, mixture))
            prefix = ""
            self._model(ids, learn)
            answer, learned = self._answer(turn, headed=self.random.random() < headed_before)
            # Not the answer's first token: a fresh reply begins with a trace instead.
            self._add(ids, learn, (*answer, self._marks[TURN_CLOSE]), [False, *learned[1:], True])
            self._add(ids, learn, self._encode("\n"), [False])
        if asked.chain:
            self._user(ids, learn, causal.request_text(self.random.choice(prompts.LANGUAGES)))
            self._model(ids, learn)
            said = [*self._encode(prompts.chain_reply(asked.turn.chain)), self._marks[TURN_CLOSE]]
            self._add(ids, learn, [self._marks[TRACE_CLOSE], *said], [False] + [True] * len(said))
        else:
            self._user(ids, learn, prefix + self._as_typed(asked.turn, mixture))
            self._model(ids, learn)
            self._reply(ids, learn, asked.turn, mixture, headed=headed)
        return Sample(tuple(ids), tuple(learn), place)

    def _before(self, asked: Place) -> Sequence[Turn]:
        """The turns right before it: all, or, of what can be answered from the card, those that have not left."""
        if not asked.turn.from_card or self.random.random() < 0.4:
            return asked.before
        return asked.before[self.random.randint(0, len(asked.before)) :]

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

    def _system(self, asked: Place, mixture: Mixture, *, must_have_card: bool) -> str:
        """Instructions and patient card with the blank line behind them, or nothing.

        After its first question the card of a conversation is there as a rule: in the samples in half of them.
        """
        rng = self.random
        has_card = must_have_card or rng.random() < (0.5 if asked.before or asked.chain else 0.2)
        parts = [rng.choice(self._systems)] if rng.random() < mixture.system else []
        if parts and rng.random() < 0.1:  # any other line a site may put there
            parts.append(rng.choice(rng.choice(self.places).turn.reasoning.splitlines()))
        if (parts and has_card) or must_have_card:
            parts.append(prompts.a_card(rng, asked.entry, own=must_have_card))
        return "".join(f"{part}\n\n" for part in parts)

    def _as_typed(self, turn: Turn, mixture: Mixture) -> str:
        """The question as people also type it, with the line of standard terms that the program may add."""
        rng = self.random
        also = turn.also and rng.random() < mixture.wordings
        question = rng.choice(turn.also) if also else turn.question
        if rng.random() >= mixture.terms:
            line = ""
        elif rng.random() < 0.25:
            line = prompts.made_up_terms_line(rng, self._questions)
        else:
            line = prompts.terms_line(question)
        return self._variant(question) + (f"\n\n{line}" if line else "")

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

    def _answer(self, turn: Turn, *, headed: bool) -> tuple[list[int], list[bool]]:
        """An answer's tokens, and which of them the model writes: the heading at the beginning may be forced."""
        if not headed or turn.in_parts:
            ids = [*self._encode(turn.answer)]
            return ids, [True] * len(ids)
        forced = len(self._encode(prompts.first_heading(turn)))
        ids = [*self._encode(prompts.under_headings(turn))]
        return ids, [False] * forced + [True] * (len(ids) - forced)

    def _reply(self, ids: list[int], learn: list[bool], turn: Turn, mixture: Mixture, *, headed: bool) -> None:
        rng = self.random
        trace = [self._marks[TRACE_OPEN], *self._encode("thought\n"), *self._encode(turn.reasoning)]
        answer, learned = self._answer(turn, headed=headed)
        written = [*learned, True]
        answer.append(self._marks[TURN_CLOSE])
        close = self._marks[TRACE_CLOSE]
        roll = rng.random()
        if roll >= mixture.forms:
            self._add(ids, learn, [*trace, close, *answer], [True] * (len(trace) + 1) + written)
            return
        # The decoder closed the trace: at once (skip), or at some token of it (budget).
        kept = trace[: rng.randint(1, len(trace))] if roll < mixture.forms * 0.65 else []
        self._add(ids, learn, [*kept, close, *answer], [False] * (len(kept) + 1) + written)

    @staticmethod
    def _add(ids: list[int], learn: list[bool], new: Sequence[int], mask: Sequence[bool]) -> None:
        ids += new
        learn += mask
