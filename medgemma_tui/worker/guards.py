"""What ends a reply that has gone wrong, and the checks made before any reply is begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

MAX_PERIOD = 64
MIN_SPAN = 96  # tokens that must have gone round, however short the period
MIN_ROUNDS = 4  # times a period must have come again


class HalfPrecisionRefused(TypeError):
    """The model computes in fp16, which overflows in Gemma 3: NaN or empty answers."""

    def __init__(self, where: str) -> None:
        super().__init__(f"fp16 overflows in Gemma 3 and is never used: {where} is float16; use bfloat16 or float32")


def refuse_half_precision(model: PreTrainedModel) -> torch.dtype:
    """Return the dtype the model computes in: bfloat16 or float32.

    Raises:
        HalfPrecisionRefused: a parameter, or a quantised layer's compute dtype, is float16.
    """
    import torch

    if model.dtype == torch.float16:
        raise HalfPrecisionRefused("the model")
    for name, module in model.named_modules():
        if getattr(module, "compute_dtype", None) == torch.float16:
            raise HalfPrecisionRefused(f"the compute dtype of {name}")
    for name, parameter in model.named_parameters():
        if parameter.dtype == torch.float16:
            raise HalfPrecisionRefused(name)
    dtype: torch.dtype = model.get_input_embeddings().weight.dtype
    return dtype


class LoopDetector:
    """Sees that a token sequence goes round with some period of 1 … 64, at a fixed cost a token.

    For every period it counts how many tokens in a row equalled the one a period earlier. It fires when such a run
    is both ``MIN_SPAN`` tokens and ``MIN_ROUNDS`` periods long: rows of a real table or list differ somewhere.
    """

    def __init__(self) -> None:
        self._enough = np.maximum(MIN_SPAN, MIN_ROUNDS * np.arange(1, MAX_PERIOD + 1))
        self.reset()

    def reset(self) -> None:
        """Forget everything seen."""
        self._runs = np.zeros(MAX_PERIOD, dtype=np.int64)
        # The last MAX_PERIOD tokens, newest last, kept twice over so that a slice is always contiguous.
        self._past = np.full(2 * MAX_PERIOD, -1, dtype=np.int64)
        self._end = MAX_PERIOD

    def feed(self, token: int) -> bool:
        """Take one token; True if the sequence is in a loop."""
        newest_first = self._past[self._end - MAX_PERIOD : self._end][::-1]
        self._runs = (self._runs + 1) * (newest_first == token)
        if self._end == len(self._past):
            self._past[:MAX_PERIOD] = self._past[MAX_PERIOD:]
            self._end = MAX_PERIOD
        self._past[self._end] = token
        self._end += 1
        return bool((self._runs >= self._enough).any())
