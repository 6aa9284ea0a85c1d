"""``--format json``: the report, and beside each code its words in the language in use."""

from __future__ import annotations

from collections.abc import Sequence

from medgemma_tui.health import wording
from medgemma_tui.health.formats import summary
from medgemma_tui.health.formats.view import View
from medgemma_tui.protocol import CheckResult, HealthReport
from medgemma_tui.safetext import escape_json


class WordedResult(CheckResult):
    """A result with its words: the check by name, what was found, what to do next, and the lines under it."""

    title: str
    summary: str
    advice: str
    lines: list[str]


class WordedReport(HealthReport):
    """The schema of ``--format json``. ``remark``: why the verdict does not hold (the report is too old, or there is
    none), in words; empty where it does. ``summary``: the verdict in words."""

    results: Sequence[WordedResult]  # type: ignore[assignment]
    summary: str
    remark: str = ""


def worded(view: View) -> WordedReport:
    """The report with its words."""
    results = [
        WordedResult(
            **dict(result),
            title=wording.title(result.id),
            summary=wording.text(result),
            advice=wording.advice(result),
            lines=[line for item in result.items for line in wording.item_lines(item)],
        )
        for result in view.report.results
    ]
    fields = {**dict(view.report), "results": results, "verdict": view.verdict}
    return WordedReport(**fields, summary=summary.verdict(view), remark=view.remark)


def document(view: View) -> str:
    """One JSON object on one line, safe for a terminal."""
    return escape_json(worded(view).model_dump_json()) + "\n"
