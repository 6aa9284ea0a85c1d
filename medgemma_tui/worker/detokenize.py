"""Token ids to text, piece by piece, as they are decoded.

A character may be spread over several tokens, and a tokenizer may decode a token differently after another one (a
space, for example). So each piece is decoded together with the tokens of the piece before it, and the end of the text
waits while it may be half a character.
"""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

_HALF = "\ufffd"  # what a tokenizer gives for bytes that are not (yet) a character
_LAST_HALVES = 3
"""UTF-8 has at most 4 bytes a character, so no more than this at the end of broken bytes may still become one."""
_MOST_TOKENS = 32
"""Tokens looked at together where the text never comes to a whole character."""


class Detokenizer:
    """Text of one growing sequence. The cost of a token does not depend on how many came before."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._decode = tokenizer.backend_tokenizer.decode
        self._tokens: list[int] = []  # those of the piece before, then those of the piece under way
        self._before = 0  # how many of them are of the piece before
        self._given = ""  # of their text, what was given out

    def feed(self, ids: Sequence[int]) -> str:
        """The text that ``ids`` complete: possibly empty, never half a character."""
        return "".join(map(self._feed, ids))

    def _feed(self, token: int) -> str:
        self._tokens.append(token)
        text = self._text()
        sure = len(text.rstrip(_HALF))  # some tokenizers give up a whole run of bytes for its last one
        stuck = len(self._tokens) > _MOST_TOKENS
        if stuck:
            sure = max(sure, len(text) - _LAST_HALVES)
        piece = text[len(self._given) : sure]
        self._given += piece
        if sure == len(text):
            self._begin(len(self._tokens) - self._before)
        elif stuck:
            self._begin(_LAST_HALVES)
        return piece

    def end(self) -> str:
        """What is still waiting, complete or not."""
        return self._text()[len(self._given) :]

    def _begin(self, kept: int) -> None:
        """A new piece, after the last ``kept`` tokens."""
        self._tokens = self._tokens[len(self._tokens) - kept :]
        self._before = len(self._tokens)
        self._given = self._text().rstrip(_HALF)

    def _text(self) -> str:
        text: str = self._decode(self._tokens, skip_special_tokens=False)
        return text
