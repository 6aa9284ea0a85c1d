"""Answers that are JSON by construction: llguidance says which tokens may come next."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from llguidance import LLMatcher
from llguidance.hf import from_tokenizer
from transformers import PreTrainedTokenizerFast

from medgemma_tui.worker.thinking import SpecialTokens
from medgemma_tui.worker.types import TokenMask

# Some white space, so that the model can lay JSON out as it learned to, but never an endless run of it.
_LAYOUT: dict[str, str | bool] = {"whitespace_flexible": True, "whitespace_pattern": r"[ \n]{0,8}"}


class BadSchema(ValueError):
    """The JSON schema cannot be turned into a grammar; the message is llguidance's."""


class JsonMask(TokenMask):
    """The tokens that may come next in one JSON document."""

    def __init__(self, matcher: LLMatcher, keep: np.ndarray[tuple[int], np.dtype[np.uint32]]) -> None:
        self._matcher = matcher
        self._keep = keep

    def allowed(self) -> Sequence[int] | None:
        """Packed 32-bit words; end-of-turn is among them where the document may end."""
        words = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint32)
        return memoryview((words[: len(self._keep)] & self._keep).tobytes()).cast("I")

    def accept(self, token_id: int) -> bool:
        """Advance by one token. False if the document cannot go on with it."""
        accepted: bool = self._matcher.consume_token(token_id)
        return accepted

    @property
    def finished(self) -> bool:
        """True when the document is complete and nothing may follow."""
        stopped: bool = self._matcher.is_stopped() and not self._matcher.is_error()
        return stopped


class GrammarCompiler:
    """Makes masks for one tokenizer. Making the compiler takes about a second, a mask a few milliseconds."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, ids: SpecialTokens) -> None:
        self._tokenizer = from_tokenizer(tokenizer, eos_token=sorted({*ids.eos, ids.end_of_turn}))
        # Markers of trace and turn are ordinary text to a JSON string; the decoder would act on them.
        keep = np.full(-(-self._tokenizer.vocab_size // 32), 0xFFFFFFFF, dtype=np.uint32)
        for marker in (ids.trace_open, ids.trace_close, ids.start_of_turn):
            keep[marker // 32] &= np.uint32(0xFFFFFFFF ^ (1 << marker % 32))
        self._keep = keep

    def schema(self, schema: dict[str, object]) -> JsonMask:
        """A fresh mask for a document of ``schema``.

        Raises:
            BadSchema: the schema is malformed or uses what llguidance cannot enforce.
        """
        try:
            grammar = LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=_LAYOUT)
        except ValueError as error:
            raise BadSchema(str(error)) from error
        matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise BadSchema(" ".join(str(matcher.get_error()).split()))
        return JsonMask(matcher, self._keep)

    def any_object(self) -> JsonMask:
        """A fresh mask for any JSON object."""
        return self.schema({"type": "object"})
