"""Messages to prompt ids by the model's own chat template, such that message text stays text.

A tokenizer reads ``<end_of_turn>`` or ``<unused95>`` as a control token wherever it meets it, so a pasted document
could end the turn, open another, or close the trace. Here control tokens come from the template alone: each
message's place in the rendered template is marked, and in what lies between two of the template's control tokens
every look-alike is cut in two before it is encoded. For text without look-alikes the ids are exactly those of
``apply_chat_template``.
"""

from __future__ import annotations

import re
import secrets
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from medgemma_tui.protocol import ChatMessage

# Added tokens that steer though they are not flagged special (the trace markers are not). Gemma's other added tokens
# are text: runs of newlines and spaces, and HTML tags.
_CONTROL = re.compile(r"<(?:unused\d+|\w*_\w*|pad|eos|bos|unk|mask)>|\[\S+\]")


class PromptError(ValueError):
    """The chat template does not take these messages; the text says why."""


@dataclass(frozen=True, slots=True)
class PromptCounts:
    """Tokens of a rendered conversation: ``sum(per_message) + generation == count``."""

    count: int
    per_message: tuple[int, ...]
    generation: int
    """Tokens that open the model's turn."""


@dataclass(slots=True)
class _Stretch:
    """Text between two control tokens of the template, with the message that owns each part of it."""

    parts: list[str] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)  # offset of each part
    owners: list[int] = field(default_factory=list)
    length: int = 0

    def add(self, text: str, owner: int) -> None:
        if text:
            self.parts.append(text)
            self.starts.append(self.length)
            self.owners.append(owner)
            self.length += len(text)


class PromptRenderer:
    """Renders conversations for one tokenizer. Thread-safe: it holds no state but the tokenizer."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        # Not ``encode``: that one keeps the interpreter to itself until it is done, seconds for a long text.
        self._encode = tokenizer.backend_tokenizer.encode_batch
        self._control: dict[str, int] = {
            token.content: id_
            for id_, token in tokenizer.added_tokens_decoder.items()
            if token.special or _CONTROL.fullmatch(token.content)
        }
        self._control_ids = frozenset(self._control.values())
        self.longest_token = max(map(len, tokenizer.get_vocab()))
        """Characters of the longest token: a text of n characters has at least n divided by this tokens."""
        longest_first = sorted(self._control, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")

    def render(self, messages: Sequence[ChatMessage], add_generation_prompt: bool = True) -> list[int]:
        """The prompt's ids. Raises PromptError where the template refuses the messages."""
        return [id_ for id_, _ in self._tokens(messages, add_generation_prompt)]

    def counts(self, messages: Sequence[ChatMessage], add_generation_prompt: bool = True) -> PromptCounts:
        """How many tokens each message adds, markers of its turn included. Raises PromptError."""
        per_message = [0] * len(messages)
        total = 0
        for _, owner in self._tokens(messages, False):
            per_message[owner] += 1
            total += 1
        generation = len(self.render(messages, True)) - total if add_generation_prompt else 0
        return PromptCounts(total + generation, tuple(per_message), generation)

    def encode_text(self, text: str) -> list[int]:
        """Ids of plain text: no control tokens, nothing added in front."""
        return [id_ for id_, _ in self._encode_plain(text)]

    def _tokens(self, messages: Sequence[ChatMessage], add_generation_prompt: bool) -> Iterator[tuple[int, int]]:
        """(id, index of the message that it belongs to) for the whole prompt."""
        stretch = _Stretch()
        for text, owner, from_template in self._segments(messages, add_generation_prompt):
            at = 0
            for match in self._pattern.finditer(text) if from_template else ():
                stretch.add(text[at : match.start()], owner)
                yield from self._encoded(stretch)
                stretch = _Stretch()
                yield self._control[match.group()], owner
                at = match.end()
            stretch.add(text[at:], owner)
        yield from self._encoded(stretch)

    def _segments(
        self, messages: Sequence[ChatMessage], add_generation_prompt: bool
    ) -> Iterator[tuple[str, int, bool]]:
        """The rendered template in pieces: text, owning message, and whether the template wrote it."""
        nonce = secrets.token_hex(16)  # nobody's text can hold it
        mark = re.compile(rf"\[{nonce}:(\d+)\](.*?)\[{nonce}/\]", re.DOTALL)
        rendered = self._apply(
            [{"role": _role(m), "content": _marked(m.text, nonce, i)} for i, m in enumerate(messages)],
            add_generation_prompt,
        )
        at, owner = 0, 0
        for match in mark.finditer(rendered):
            between = rendered[at : match.start()]
            here = int(match.group(1))
            # The turn that ended keeps its end; what opens the next turn belongs to the next message.
            opening = max((m.start() for m in self._pattern.finditer(between)), default=len(between)) if at else 0
            yield between[:opening], owner, True
            yield between[opening:], here, True
            yield match.group(2), here, False
            at, owner = match.end(), here
        yield rendered[at:], owner, True

    def _apply(self, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
        try:
            rendered = self._tokenizer.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=add_generation_prompt
            )
        except TemplateError as error:
            raise PromptError(f"the chat template does not take these messages: {error}") from None
        assert isinstance(rendered, str)
        return rendered

    def _encoded(self, stretch: _Stretch) -> Iterator[tuple[int, int]]:
        if stretch.length:
            for id_, offset in self._encode_plain("".join(stretch.parts)):
                yield id_, stretch.owners[bisect_right(stretch.starts, offset) - 1]

    def _encode_plain(self, text: str) -> Iterator[tuple[int, int]]:
        """(id, offset in ``text``) with every control look-alike cut after its first character."""
        start = 0
        match = self._pattern.search(text)
        while match is not None:
            yield from self._encode_piece(text[start : match.start() + 1], start)
            start = match.start() + 1
            match = self._pattern.search(text, start)
        yield from self._encode_piece(text[start:], start)

    def _encode_piece(self, piece: str, start: int) -> Iterator[tuple[int, int]]:
        encoding = self._encode([piece], add_special_tokens=False)[0]
        ids: list[int] = encoding.ids
        if not self._control_ids.isdisjoint(ids) and len(piece) > 1:
            # A normaliser made a control token of text that did not look like one: character by character it cannot.
            for at, character in enumerate(piece):
                yield from self._encode_piece(character, start + at)
            return
        for id_, (offset, _) in zip(ids, encoding.offsets, strict=True):
            if id_ not in self._control_ids:
                yield id_, start + offset


def _role(message: ChatMessage) -> str:
    return "system" if message.role == "developer" else message.role


def _marked(text: str, nonce: str, index: int) -> str:
    """``text`` with its place marked inside the white space that a template may trim."""
    core = text.strip()
    before, _, after = text.partition(core) if core else (text, "", "")
    return f"{before}[{nonce}:{index}]{core}[{nonce}/]{after}"
