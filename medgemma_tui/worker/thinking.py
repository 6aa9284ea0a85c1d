"""The reasoning trace: the token ids that mark it, and the parser that keeps it apart from the answer.

MedGemma writes ``<unused94>thought\\n … <unused95>`` before an answer when it feels like it. Ids are looked up from the
tokenizer; text is never matched.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING

from medgemma_tui.worker.types import Channel

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

TRACE_OPEN, TRACE_CLOSE = "<unused94>", "<unused95>"
START_OF_TURN, END_OF_TURN = "<start_of_turn>", "<end_of_turn>"


class MissingToken(ValueError):
    """The tokenizer lacks a token that the decoder needs: it is not MedGemma's. ``token`` says which."""

    def __init__(self, token: str) -> None:
        super().__init__(f"the tokenizer has no token {token!r}")
        self.token = token


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """Token ids that steer a reply."""

    trace_open: int
    trace_close: int
    start_of_turn: int
    end_of_turn: int
    eos: tuple[int, ...]
    thought: tuple[int, ...]  # the text "thought\n" that follows an opened trace
    newlines: frozenset[int]  # every id whose text ends in a line break
    blank_line: tuple[int, ...]  # the text "\n\n"

    @classmethod
    def from_tokenizer(cls, tokenizer: PreTrainedTokenizerBase, eos_ids: Iterable[int]) -> SpecialTokens:
        """Look the ids up by token string. ``eos_ids`` come from the model's generation config.

        Raises:
            MissingToken: a marker is not a single token of this tokenizer.
        """
        vocabulary: dict[str, int] = tokenizer.get_vocab()

        def single(token: str) -> int:
            if token not in vocabulary:
                raise MissingToken(token)
            return vocabulary[token]

        def encode(text: str) -> tuple[int, ...]:
            return tuple(tokenizer.encode(text, add_special_tokens=False))

        line_break = tokenizer.convert_ids_to_tokens(encode("\n")[-1])  # "\n", or "Ċ" in byte-level BPE
        return cls(
            trace_open=single(TRACE_OPEN),
            trace_close=single(TRACE_CLOSE),
            start_of_turn=single(START_OF_TURN),
            end_of_turn=single(END_OF_TURN),
            eos=tuple(eos_ids),
            thought=encode("thought\n"),
            newlines=frozenset(id_ for token, id_ in vocabulary.items() if token.endswith(line_break)),
            blank_line=encode("\n\n"),
        )

    @property
    def force(self) -> tuple[int, ...]:
        """What opens a trace."""
        return (self.trace_open, *self.thought)

    def ends_turn(self, token: int) -> bool:
        """Whether the token ends the model's turn."""
        return token == self.end_of_turn or token in self.eos


class TraceState(Enum):
    """Where in a reply the parser stands."""

    START = auto()  # nothing yet: a trace may open
    HEADER = auto()  # the trace was opened; "thought\n" may follow and is consumed
    TRACE = auto()
    CONTENT = auto()


class TraceParser:
    """Sorts a reply's tokens into reasoning and content, and consumes the markers."""

    def __init__(self, ids: SpecialTokens) -> None:
        self._ids = ids
        self._header: list[int] = []
        self.state = TraceState.START
        self.closed = False  # a close marker was met: the trace is over, or was skipped

    @property
    def in_trace(self) -> bool:
        """True while tokens belong to the trace."""
        return self.state in (TraceState.HEADER, TraceState.TRACE)

    def reopens(self, token: int) -> bool:
        """Whether the token would open a trace after one was closed."""
        return token == self._ids.trace_open and self.closed

    def feed(self, token: int) -> list[tuple[int, Channel]]:
        """Take one token of the reply; return the tokens to report, each with its channel.

        More than one comes back when text after the open marker began like ``thought\\n`` and then was not.
        """
        if token == self._ids.trace_close:
            held = self._flush() if self.in_trace else []
            self.state, self.closed = TraceState.CONTENT, True
            return held
        if token == self._ids.trace_open:
            if not self.in_trace:
                self.state = TraceState.HEADER
            return []
        if self.state is TraceState.HEADER:
            self._header.append(token)
            return self._match_header()
        if self.state is TraceState.TRACE:
            return [(token, Channel.REASONING)]
        self.state = TraceState.CONTENT
        return [(token, Channel.CONTENT)]

    def _match_header(self) -> list[tuple[int, Channel]]:
        wanted, got = self._ids.thought, self._header
        if len(got) == len(wanted) and tuple(got[:-1]) == wanted[:-1]:
            # "thought" and a run of line breaks that the tokenizer merged into one is the header too
            if got[-1] == wanted[-1] or (wanted[-1] in self._ids.newlines and got[-1] in self._ids.newlines):
                self._header, self.state = [], TraceState.TRACE
                return []
        elif tuple(got) == wanted[: len(got)]:
            return []
        return self._flush()

    def _flush(self) -> list[tuple[int, Channel]]:
        held = [(token, Channel.REASONING) for token in self._header]
        self._header, self.state = [], TraceState.TRACE
        return held
