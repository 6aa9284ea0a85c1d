"""A report in words, in the language in use. Used by the text form, Nagios, the screen and plain mode."""

from __future__ import annotations

from collections.abc import Mapping
from string import Formatter

from medgemma_tui.health import meanings
from medgemma_tui.i18n import N_, _
from medgemma_tui.protocol import CheckResult, HealthReport, Item, Status
from medgemma_tui.safetext import clean_line

_STATUS: Mapping[Status, str] = {
    "ok": N_("ok"),
    "warning": N_("WARNING"),
    "unknown": N_("UNKNOWN"),
    "critical": N_("CRITICAL"),
    "skipped": N_("not applicable"),
}
_VERDICT: Mapping[Status, str] = {
    "ok": N_("fit"),
    "warning": N_("fit, with a warning"),
    "unknown": N_("not known to be fit"),
    "critical": N_("NOT FIT"),
    "skipped": N_("not known to be fit"),
}


def status_word(status: Status) -> str:
    """A status in a word."""
    return _(_STATUS[status])


def verdict_word(status: Status) -> str:
    """The verdict: fit, fit with a warning, NOT FIT, or not known."""
    return _(_VERDICT[status])


def group_title(group: str) -> str:
    """A group by name; one that is not known here as it is."""
    return _(meanings.GROUP_TITLES[group]) if group in meanings.GROUP_TITLES else clean_line(group)


def title(check_id: str) -> str:
    """A check by name; one that is not known here by its id."""
    return _(meanings.TITLES[check_id]) if check_id in meanings.TITLES else clean_line(check_id)


def text(result: CheckResult) -> str:
    """What was found, in a sentence. An outcome that is not known here is told by its code."""
    meaning = meanings.of(result.id, result.code)
    return _filled(meaning.text, result.params) if meaning else clean_line(result.code)


def advice(result: CheckResult) -> str:
    """What to do next; empty where there is nothing to do."""
    meaning = meanings.of(result.id, result.code)
    return _filled(meaning.advice, result.params) if meaning and meaning.advice else ""


def item_lines(item: Item) -> list[str]:
    """A line under a result, and its advice where it has one of its own."""
    words = meanings.ITEMS.get(item.code)
    if words is None:
        return [clean_line(item.code)]
    if words.worded is not None:
        return [words.worded(item.params)]
    return [_filled(line, item.params) for line in (words.text, words.advice) if line]


def by_group(report: HealthReport) -> dict[str, list[CheckResult]]:
    """The results of each group, in the report's order."""
    groups: dict[str, list[CheckResult]] = {}
    for result in report.results:
        groups.setdefault(result.group, []).append(result)
    return groups


def _filled(message: str, params: Mapping[str, str]) -> str:
    """The message in the language in use with its values, which may be foreign text; a missing one shows as "?"."""
    sentence = _(message)
    names = {name for _text, name, _spec, _conversion in Formatter().parse(sentence) if name}
    return sentence.format_map({name: clean_line(params.get(name, "?")) for name in names})
