"""``--format nagios``: one line by the plugin guidelines, ``MEDGEMMA OK - text|'label'=value[UOM];[warn];[crit] …``."""

from __future__ import annotations

import re
from typing import Final

from medgemma_tui.health import wording
from medgemma_tui.health.formats import summary
from medgemma_tui.health.formats.view import EXIT_CODES, View
from medgemma_tui.i18n import _
from medgemma_tui.protocol import CheckResult, Figure
from medgemma_tui.safetext import clean_line

_WORDS: Final = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
_LINE_BYTES: Final = 4000
"""Nagios takes 4 KB of a plugin; the newline and its own end want room."""
_TEXT_BYTES: Final = 1500
_UOM: Final = {"B": "B", "s": "s", "%": "%"}
"""The guidelines know no others that we have: a temperature is a bare number."""
_NOT_IN_LABELS: Final = re.compile(r"['=|\s]")


def line(view: View) -> str:
    """The line, with its newline: under 4 KB, and nothing in it that could be read as another line or as figures."""
    word = _WORDS[EXIT_CODES[view.verdict]]
    text = _cut(f"MEDGEMMA {word} - {_plain(_text(view))}", _TEXT_BYTES)
    return f"{text}{_performance(view, _LINE_BYTES - len(text.encode()))}\n"


def _text(view: View) -> str:
    told = [summary.verdict(view)]
    if view.report.demo:
        told.append("DEMO, NOT MEDICAL")
    told += [each for each in (view.remark, summary.counts(view)) if each]
    first = "; ".join(told)
    failing = sorted((result for result in view.report.results if result.status not in ("ok", "skipped")), key=_how_bad)
    found = [_("{what}: {text}").format(what=wording.title(each.id), text=wording.text(each)) for each in failing]
    return " / ".join([first, *found])


def _how_bad(result: CheckResult) -> int:
    return ("critical", "unknown", "warning").index(result.status)


def _plain(text: str) -> str:
    """On one line, and without the bar that begins the figures."""
    return " ".join(clean_line(text).replace("|", "/").split())


def _cut(text: str, limit: int) -> str:
    """The text in at most so many bytes, cut between characters."""
    if len(text.encode()) <= limit:
        return text
    return text.encode()[: limit - 3].decode(errors="ignore").rstrip() + "..."


def _performance(view: View, room: int) -> str:
    """The figures, those of failing checks first; as many as there is room for."""
    results = sorted(view.report.results, key=lambda result: result.status in ("ok", "skipped"))
    told: dict[str, str] = {}
    for result in results:
        for figure in result.figures:
            label = _label(result, figure)
            each = f"'{label}'={_value(figure)}"
            room -= len(each.encode()) + 1  # with the bar or space before it
            if room < 0:
                break
            told.setdefault(label, each)
    return "|" + " ".join(told.values()) if told else ""


def _label(result: CheckResult, figure: Figure) -> str:
    """With the check's id always: a series must not change its name with what else was measured in a run."""
    name = ".".join(part for part in (result.id, figure.name, figure.label) if part)
    return _NOT_IN_LABELS.sub("_", clean_line(name))


def _value(figure: Figure) -> str:
    limits = [_range(limit, figure) for limit in (figure.warning, figure.critical)]
    return f"{_number(figure.value)}{_UOM.get(figure.unit, '')};{limits[0]};{limits[1]}".rstrip(";")


def _range(limit: float | None, figure: Figure) -> str:
    """The range that raises no alert: ``10:`` is 10 and above, ``~:80`` is up to 80, below nought, too."""
    if limit is None:
        return ""
    return f"{_number(limit)}:" if figure.below else f"~:{_number(limit)}"


def _number(value: float) -> str:
    """In digits and a point only: some readers know no exponents."""
    if value == int(value):
        return str(int(value))
    return f"{value:.6f}".rstrip("0").rstrip(".")
