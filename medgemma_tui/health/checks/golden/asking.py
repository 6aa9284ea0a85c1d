"""Asking one golden question, judging the answer, and comparing it with the last run's. Of an answer only its digest
and the verdict are kept."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel

from medgemma_tui import instructions
from medgemma_tui.health import golden, identity
from medgemma_tui.health.context import Context
from medgemma_tui.health.decoding import Reply, decode
from medgemma_tui.health.golden import Question
from medgemma_tui.health.identity import Identity
from medgemma_tui.health.store import StoreError
from medgemma_tui.protocol import ChatMessage, Figure

RECORD: Final = "golden.json"
WITHIN_S: Final = 240.0
CUT: Final = frozenset({"length", "second_trace", "next_speaker", "repetition", "non_finite"})
"""Finish reasons of an answer that is not whole; each is an outcome."""


class Digest(BaseModel):
    """The SHA-256 of an answer, and what it was made with: the model, and what it was asked for."""

    sha256: str
    identity: Identity
    asked: str


class GoldenRecord(BaseModel):
    """``golden.json``: the last answer's digest by the question's id."""

    answers: dict[str, Digest] = {}


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of a question: the worst of it as ``code``, then what is missing, and what must not be said."""

    code: str
    missing: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    cut_trace: bool = False
    finish: str = ""
    figures: tuple[Figure, ...] = ()
    problem: str = ""


def ask(context: Context, question: Question, refusal: tuple[str, ...] = ()) -> Answered:
    """Ask as the screen does: with the instructions that this site sends. Raises NotAnswered, and SettingsError where
    those cannot be read."""
    messages = [
        ChatMessage(role="system", content=instructions.load(context.settings, question.language)),
        ChatMessage(role="user", content=question.question),
    ]
    reply = decode(
        context, messages, within_s=WITHIN_S, max_tokens=question.max_tokens, thinking_budget=question.thinking_budget
    )
    cut_trace = reply.usage.trace_closed in ("budget", "repetition")
    figures = (Figure(name="answer_tokens", value=reply.usage.completion_tokens),)
    verdict = golden.judge(question, reply.text, refusal)
    code = _code(reply, verdict)
    problem = ""
    if code == "ok":
        code, problem = _compared(context, question, messages, reply)
    return Answered(code, verdict.missing, verdict.said, cut_trace, reply.finish, figures, problem)


def _code(reply: Reply, verdict: golden.Verdict) -> str:
    if reply.finish == "non_finite":
        return reply.finish
    if not reply.text.strip():
        return "no_text"
    if verdict.said:
        return "forbidden"
    if verdict.not_refused:
        return "not_refused"
    if reply.finish != "stop":
        return reply.finish if reply.finish in CUT else "cut_off"
    return "missing" if verdict.missing else "ok"


def _compared(context: Context, question: Question, messages: list[ChatMessage], reply: Reply) -> tuple[str, str]:
    """``ok``, or ``changed`` where the same model on the same device said something else last time; and why the digest
    could not be kept, where it could not."""
    asked = hashlib.sha256(repr([message.content for message in messages]).encode())
    asked.update(repr((question.max_tokens, question.thinking_budget)).encode())
    digest = Digest(
        sha256=hashlib.sha256(reply.text.encode()).hexdigest(),
        identity=identity.of(context),
        asked=asked.hexdigest(),
    )
    record = context.store.get(RECORD, GoldenRecord) or GoldenRecord()
    before = record.answers.get(question.id)
    record.answers[question.id] = digest
    try:
        context.store.put(RECORD, record)
    except StoreError as error:
        return "not_kept", str(error)
    same_way = before is not None and (before.identity, before.asked) == (digest.identity, digest.asked)
    return ("changed" if same_way and before is not None and before.sha256 != digest.sha256 else "ok"), ""
