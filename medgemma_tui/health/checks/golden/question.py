"""A check for each built-in golden question."""

from __future__ import annotations

from functools import partial
from typing import Final

from medgemma_tui.health import golden
from medgemma_tui.health.check import RUNNING, Check, Outcome
from medgemma_tui.health.checks.golden.asking import WITHIN_S, ask
from medgemma_tui.health.context import Context
from medgemma_tui.health.decoding import NotAnswered, not_answered
from medgemma_tui.health.meanings.golden import QUESTIONS
from medgemma_tui.protocol import Item
from medgemma_tui.settings import SettingsError


def run(context: Context, id_: str) -> Outcome:
    """One outcome, and a line for each fact that is missing or statement that must not be there."""
    if context.settings.golden_file is not None:
        return Outcome("replaced")
    question = next(question for question in golden.own().question if question.id == id_)
    try:
        answered = ask(context, question)
    except NotAnswered as failure:
        return not_answered(failure)
    except SettingsError as error:
        return Outcome("bad_instructions", {"path": error.source})
    items = [Item(code="golden_missing", params={"fact": name}) for name in answered.missing]
    items += [Item(code="golden_said", params={"statement": name}) for name in answered.said]
    items += [Item(code="golden_cut_trace")] if answered.cut_trace else []
    params = {
        "facts": str(len(question.fact)),
        "fact": "; ".join(answered.missing),
        "statement": "; ".join(answered.said),
        "source": question.source,
        "reason": answered.finish,
        "problem": answered.problem,
    }
    return Outcome(answered.code, params, answered.figures, tuple(items))


CHECKS: Final[tuple[Check, ...]] = tuple(
    Check(f"golden.{id_}", partial(run, id_=id_), RUNNING, WITHIN_S + 15, "model") for id_ in QUESTIONS
)
