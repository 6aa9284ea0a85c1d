"""The model answers: one real token through gateway and worker, not an open port."""

from __future__ import annotations

from typing import Final

from medgemma_tui.health.check import RUNNING, Check, Outcome
from medgemma_tui.health.context import Context
from medgemma_tui.health.decoding import NotAnswered, decode
from medgemma_tui.protocol import ChatMessage, Figure

WITHIN_S: Final = 15.0
"""Less than the gateway gives a silent worker: so a hanging one is seen hanging."""
QUESTION: Final = "OK?"


def run(context: Context) -> Outcome:
    """Thinking is skipped, so that the one token is text: of the two, our worker feeds one that closes the trace."""
    question = [ChatMessage(role="user", content=QUESTION)]
    try:
        reply = decode(context, question, within_s=WITHIN_S, max_tokens=2, thinking="skip")
    except NotAnswered as failure:
        return Outcome(failure.why, failure.params)
    if reply.first_token_s is None and not reply.usage.completion_tokens:
        return Outcome("no_text", {"reason": reply.finish})
    first = reply.first_token_s or reply.usage.time_to_first_token
    figures = () if first is None else (Figure(name="first_token", value=round(first, 3), unit="s"),)
    return Outcome("ok", {"seconds": "?" if first is None else f"{first:.2f}"}, figures)


CHECK = Check("model.decode", run, RUNNING, WITHIN_S + 15, "model")
