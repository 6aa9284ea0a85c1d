"""The site's own golden questions, in place of the built-in ones: one check for the whole list."""

from __future__ import annotations

from typing import Final

from medgemma_tui.health import golden, meanings
from medgemma_tui.health.check import RUNNING, Check, Outcome
from medgemma_tui.health.checks.golden.asking import WITHIN_S, Answered, ask
from medgemma_tui.health.context import Context
from medgemma_tui.health.decoding import NotAnswered, not_answered
from medgemma_tui.health.golden import GoldenError, Question
from medgemma_tui.protocol import Figure, Item
from medgemma_tui.settings import SettingsError

_ID: Final = "golden.site"


def run(context: Context) -> Outcome:
    """Every question is asked; those whose answer is not right are named, with what is wrong with it."""
    path = context.settings.golden_file
    if path is None:
        return Outcome("not_set")
    try:
        listed = golden.load(path)
    except GoldenError as error:
        return Outcome("bad_file", {"path": str(error.path), "problem": error.problem})
    total = len(listed.question)
    items, wrong, changed = list[Item](), 0, 0
    for index, question in enumerate(listed.question):
        context.told(_ID, 100 * index / total)
        try:
            answered = ask(context, question, listed.refusal)
        except NotAnswered as failure:
            return not_answered(failure)
        except SettingsError as error:
            return Outcome("bad_instructions", {"path": error.source})
        if answered.code == "not_kept":
            return Outcome("not_kept", {"problem": answered.problem})
        wrong += _is_wrong(answered)
        changed += answered.code == "changed"
        items += _items(question, answered)
    figures = (Figure(name="questions", value=total), Figure(name="wrong", value=wrong))
    code = "some_wrong" if wrong else "some_changed" if changed else "ok"
    params = {"count": str(wrong or changed), "total": str(total)}
    return Outcome(code, params, figures, tuple(items))


def _is_wrong(answered: Answered) -> bool:
    meaning = meanings.of("golden.gfr", answered.code)
    return meaning is None or meaning.status == "critical"


def _items(question: Question, answered: Answered) -> list[Item]:
    here = {"question": question.id}
    if answered.code == "changed":
        return [Item(code="golden_site_changed", params=here)]
    if not _is_wrong(answered):
        return []
    items = [Item(code="golden_site_missing", params={**here, "fact": name}) for name in answered.missing]
    items += [Item(code="golden_site_said", params={**here, "statement": name}) for name in answered.said]
    if answered.code == "not_refused":
        items.append(Item(code="golden_site_not_refused", params=here))
    elif answered.code not in ("missing", "forbidden"):
        items.append(Item(code="golden_site_ended", params={**here, "reason": answered.finish or answered.code}))
    return items


CHECK = Check(_ID, run, RUNNING, golden.MOST * WITHIN_S, "model")
