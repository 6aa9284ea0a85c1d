"""What ends a reply that has gone wrong, and the checks made before any reply is begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

MAX_PERIOD = 64
MIN_SPAN = 96  # tokens that must have gone round, however short the period
MIN_ROUNDS = 4  # times a period must have come again
EVERY = 16  # tokens between two looks
_MEMORY = max(MIN_SPAN, MIN_ROUNDS * MAX_PERIOD) + MAX_PERIOD


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
    """Sees that a token sequence goes round with some period of 1 … 64, at a small fixed cost a token.

    It fires when the last ``MIN_SPAN`` tokens, and at least ``MIN_ROUNDS`` periods, each equal the one a period
    earlier: rows of a real table or list differ somewhere. It looks once in ``EVERY`` tokens.
    """

    def __init__(self) -> None:
        self._tokens: list[int] = []
        self._since = 0

    def reset(self) -> None:
        """Forget everything seen."""
        self._tokens.clear()
        self._since = 0

    def feed(self, token: int) -> bool:
        """Take one token; True if the sequence is in a loop."""
        self._tokens.append(token)
        self._since += 1
        if self._since < EVERY:
            return False
        self._since = 0
        del self._tokens[:-_MEMORY]
        return any(self._goes_round(period) for period in range(1, MAX_PERIOD + 1))

    def _goes_round(self, period: int) -> bool:
        tokens, end = self._tokens, len(self._tokens)
        span = max(MIN_SPAN, MIN_ROUNDS * period)
        if end < span + period or tokens[-1] != tokens[-1 - period]:
            return False
        return tokens[end - span :] == tokens[end - span - period : end - period]
