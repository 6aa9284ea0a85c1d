"""No logit was NaN or infinite in the replies of this run: the worker ends a reply where it sees one."""

from __future__ import annotations

from typing import Final

from medgemma_tui.health.check import RUNNING, Check, Outcome
from medgemma_tui.health.context import Context
from medgemma_tui.health.decoding import NotAnswered, decode, not_answered
from medgemma_tui.protocol import ChatMessage

NON_FINITE: Final = "non_finite"
"""The worker's finish reason."""
_WITHIN_S = 60.0
_TOKENS = 32


def run(context: Context) -> Outcome:
    """By the replies of the checks before this one; where they asked nothing, one is asked for."""
    if not context.finishes:
        try:
            decode(context, [ChatMessage(role="user", content="1+1=?")], within_s=_WITHIN_S, max_tokens=_TOKENS)
        except NotAnswered as failure:
            return not_answered(failure)
    total = len(context.finishes)
    invalid = context.finishes.count(NON_FINITE)
    params = {"count": str(invalid or total), "total": str(total)}
    return Outcome("non_finite" if invalid else "ok", params)


CHECK = Check("model.logits", run, RUNNING, _WITHIN_S + 15, "model")
