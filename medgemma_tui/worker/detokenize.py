"""Token ids to text, piece by piece, as they are decoded.

A character may be spread over several tokens, and a tokenizer may decode a token differently after another one (a
space, for example). So each piece is decoded together with the tokens of the piece before it, and text that ends in
half a character waits for the rest.
"""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

_HALF = "\ufffd"  # what a tokenizer gives for bytes that are not (yet) a character
_MOST_HELD = 3
"""Tokens of half a character: UTF-8 has at most 4 bytes."""


class Detokenizer:
    """Text of one growing sequence. The cost of a token does not depend on how many came before."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._decode = tokenizer.backend_tokenizer.decode
        self._context: list[int] = []  # the tokens of the piece given out last
        self._context_text = ""
        self._waiting: list[int] = []

    def feed(self, ids: Sequence[int]) -> str:
        """The text that ``ids`` complete: possibly empty, never half a character."""
        self._waiting += ids
        for held in range(min(len(self._waiting), _MOST_HELD + 1)):
            ready = len(self._waiting) - held
            text = self._text(ready)
            if not text.endswith(_HALF):
                return self._give(ready, text)
        lost = ""
        while len(self._waiting) > _MOST_HELD:  # the oldest bytes will never be part of a character
            count = self._separable()
            lost += self._give(count, self._text(count))
            self._context, self._context_text = [], ""
        return lost

    def end(self) -> str:
        """What is still waiting, complete or not."""
        return self._give(len(self._waiting), self._text(len(self._waiting)))

    def _separable(self) -> int:
        """How many of the oldest waiting tokens can be decoded apart from the rest."""
        whole = self._text(len(self._waiting))
        counts = range(1, len(self._waiting))
        return next((n for n in counts if self._text(n) + self._alone(n) == whole), len(self._waiting))

    def _alone(self, start: int) -> str:
        text: str = self._decode(self._waiting[start:], skip_special_tokens=False)
        return text

    def _text(self, count: int) -> str:
        """The text that the first ``count`` waiting tokens add to what was given out."""
        whole: str = self._decode(self._context + self._waiting[:count], skip_special_tokens=False)
        return whole[len(self._context_text) :]

    def _give(self, count: int, text: str) -> str:
        if count:
            self._context, self._waiting = self._waiting[:count], self._waiting[count:]
            self._context_text = self._decode(self._context, skip_special_tokens=False)
        return text
