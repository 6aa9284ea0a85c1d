"""From logits to one token a row: greedy for all rows at once, or drawn for a row with rules of its own."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from medgemma_tui.worker.types import Sampling

NOT_FINITE = -1  # stands for a token where the logits were NaN or infinite
GREEDY = 1e-5  # a temperature up to this chooses the most likely token; dividing by less overflows


class Sampler:
    """Draws tokens for one request; the same seed draws the same, whatever else is in the batch.

    One uniform number a token is taken from a generator of its own, on the CPU so that every device draws alike.
    """

    @classmethod
    def wanted(cls, how: Sampling) -> Sampler | None:
        """A sampler for this way of choosing; None where it is greedy."""
        return cls(how) if how.temperature > GREEDY else None

    def __init__(self, how: Sampling) -> None:
        self._how = how
        self._generator = torch.Generator()
        self._generator.manual_seed(secrets.randbits(63) if how.seed is None else how.seed % 2**63)

    def draw(self, logits: torch.Tensor) -> torch.Tensor:
        """One token id (int64 scalar, on the logits' device) from ``logits`` [vocabulary]."""
        how = self._how
        scaled = logits.float() / how.temperature
        if 0 < how.top_k < scaled.shape[0]:
            values, order = torch.topk(scaled, how.top_k)
        else:
            values, order = torch.sort(scaled, descending=True, stable=True)
        probability = torch.softmax(values, dim=0)
        reached = torch.cumsum(probability, dim=0)
        if how.top_p < 1.0:
            kept = reached - probability < how.top_p  # the first is always kept
            kept[0] = True
            reached = torch.cumsum(probability * kept, dim=0)
        point = torch.rand((), generator=self._generator).to(logits.device) * reached[-1]
        at = torch.searchsorted(reached, point[None], right=True)[0]
        return order[at.clamp(max=order.shape[0] - 1)]


@dataclass(frozen=True, slots=True)
class Rule:
    """How a row's token is chosen when it is not plain greedy.

    ``allowed`` holds packed 32-bit words (see ``TokenMask``), ``extra`` ids that are allowed beside them; ``banned``
    ids are not, whatever the words say.
    """

    sampler: Sampler | None = None
    allowed: Sequence[int] | None = None
    extra: tuple[int, ...] = ()
    banned: tuple[int, ...] = ()


def pick(logits: torch.Tensor, rules: Sequence[Rule | None]) -> torch.Tensor:
    """Choose a token for each row of ``logits`` [rows, vocabulary]: int64 [rows], ``NOT_FINITE`` if not finite."""
    finite = logits.sum(dim=-1, dtype=torch.float32).isfinite()
    tokens = logits.max(dim=-1).indices  # the first of equals, as argmax; four times as fast in bfloat16 on a CPU
    for row, rule in enumerate(rules):
        if rule is None:
            continue
        own = logits[row]
        if rule.allowed is not None:
            own = own.masked_fill(~_unpack(rule.allowed, rule.extra, own), float("-inf"))
        if rule.banned:
            own = own.index_fill(0, torch.tensor(rule.banned, device=own.device), float("-inf"))
        if rule.sampler is None:
            tokens[row] = own.argmax(dim=-1)
        else:
            # A row that is not finite would make the draw fail; its token is not used anyway.
            tokens[row] = rule.sampler.draw(torch.nan_to_num(own, nan=0.0, posinf=0.0, neginf=float("-inf")))
    return torch.where(finite, tokens, NOT_FINITE)


def _unpack(words: Sequence[int], extra: tuple[int, ...], like: torch.Tensor) -> torch.Tensor:
    """Packed words to a boolean mask of ``like``'s length; ids past the last word are not allowed."""
    bits = np.unpackbits(np.asarray(words).astype(np.uint32).view(np.uint8), bitorder="little")
    mask = np.zeros(like.shape[0], dtype=bool)
    count = min(len(mask), len(bits))
    mask[:count] = bits[:count]
    mask[list(extra)] = True
    return torch.from_numpy(mask).to(like.device)
