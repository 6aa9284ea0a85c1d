"""``--format text``: for people. The verdict first and last, what is wrong and what to do about it in between."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from medgemma_tui.health import figures, wording
from medgemma_tui.health.formats import summary
from medgemma_tui.health.formats.view import View
from medgemma_tui.i18n import _, ngettext, own
from medgemma_tui.protocol import CheckResult, Figure, Status, worst
from medgemma_tui.safetext import clean_line
from medgemma_tui.tui.wrap import cells, wrap, wrap_text

_MARKS: dict[Status, str] = {"ok": "✓", "warning": "!", "unknown": "?", "critical": "✗", "skipped": "-"}
_ASCII: dict[Status, str] = {"ok": "+", "warning": "!", "unknown": "?", "critical": "x", "skipped": "-"}
_COLOURS: dict[Status, str] = {"ok": "32", "warning": "33", "unknown": "35", "critical": "1;31", "skipped": ""}
_FAILING: tuple[Status, ...] = ("warning", "unknown", "critical")


@dataclass(frozen=True, slots=True)
class Style:
    """How lines are printed: cells at most, signs beyond ASCII or not, colours or not, every check or failures only."""

    width: int = 80
    ascii_only: bool = False
    colours: bool = False
    verbose: bool = False


def lines(view: View, style: Style) -> Iterator[str]:
    """The report, in lines of at most ``style.width`` cells. The first is the last again, so one look suffices."""
    yield from _verdict(view, style)
    if view.report.demo:
        yield _coloured("DEMO, NOT MEDICAL", "1", style)
    if not view.missing:
        yield from wrap_text(_when(view), style.width)
    yield ""
    for group, results in wording.by_group(view.report).items():
        yield from _group(group, results, style)
    if view.report.results:
        yield ""
        yield from _verdict(view, style)


def _verdict(view: View, style: Style) -> Iterator[str]:
    said = _("{box}: {verdict}").format(box=clean_line(view.report.box), verdict=summary.verdict(view))
    counted = summary.counts(view)
    parts = [said, *([counted] if counted else []), *([view.remark] if view.remark else [])]
    mark = _mark(view.verdict, style)
    yield from _hanging(f"{mark} ", "  ", _(" · ").join(parts), style, _COLOURS[view.verdict])


def _when(view: View) -> str:
    report = view.report
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(report.started))
    told = _("Run at {time}, {seconds} s, medgemma-tui {version}").format(
        time=started, seconds=f"{report.seconds:.1f}", version=clean_line(report.version)
    )
    more = [_("before a model is loaded")] if report.phase == "preflight" else []
    more += [_("checks were left out: no verdict about the box")] if report.partial else []
    more += [_("every byte of the model hashed")] if report.full else []
    return _(" · ").join([told, *more])


def _group(group: str, results: Sequence[CheckResult], style: Style) -> Iterator[str]:
    """A group with the worst status of its checks, then those that fail, or all."""
    found = [result.status for result in results]
    status: Status = "skipped" if set(found) == {"skipped"} else worst(found)
    counted = [each for each in found if each != "skipped"]
    told = ngettext("{n} check", "{n} checks", len(counted)).format(n=len(counted)) if counted else ""
    name = wording.group_title(group)
    shown = _("{name} ({count})").format(name=name, count=told) if told else name
    yield from _line("", status, shown, style)
    for result in results:
        if style.verbose or result.status in _FAILING:
            yield from _result(result, style)


def _result(result: CheckResult, style: Style) -> Iterator[str]:
    said = _("{what}: {text}").format(what=wording.title(result.id), text=wording.text(result))
    yield from _line("  ", result.status, said, style)
    indent = " " * (2 + _column(style))
    advice = wording.advice(result)
    if advice and result.status in _FAILING:
        yield from _hanging(indent, indent + "  ", _("To do: {advice}").format(advice=advice), style)
    for item in result.items:
        first, *rest = wording.item_lines(item)
        yield from _hanging(f"{indent}- ", f"{indent}  ", first, style)
        for more in rest:
            yield from _hanging(f"{indent}  ", f"{indent}  ", more, style)
    for figure in result.figures:
        yield from _hanging(f"{indent}- ", f"{indent}  ", _figure(figure), style)
    if style.verbose:
        note = _("{id}, {seconds} s").format(id=clean_line(result.id), seconds=f"{result.seconds:.2f}")
        yield from _hanging(f"{indent}- ", f"{indent}  ", note, style)


def _figure(figure: Figure) -> str:
    told = _("{name}: {value}").format(name=figures.name(figure), value=figures.value(figure.value, figure.unit))
    limits = figures.thresholds(figure)
    return own(_("{figure} ({limits})").format(figure=told, limits=limits) if limits else told)


def _line(indent: str, status: Status, text: str, style: Style) -> Iterator[str]:
    """A line that begins with a status, as a mark and in a word; the text stands in a column of its own."""
    room = _column(style)
    head = f"{_mark(status, style)} {wording.status_word(status)}  "
    head += " " * (room - cells(head))
    yield from _hanging(f"{indent}{head}", " " * (cells(indent) + room), text, style, _COLOURS[status], head_only=True)


def _column(style: Style) -> int:
    """Cells of the longest mark and word, and a gap. What does not apply has a longer word, and seldom a line."""
    words = [f"{_mark(status, style)} {wording.status_word(status)}" for status in _MARKS if status != "skipped"]
    return max(map(cells, words)) + 2


def _hanging(
    first: str, rest: str, text: str, style: Style, colour: str = "", *, head_only: bool = False
) -> Iterator[str]:
    """``text`` behind ``first``, its further lines behind ``rest``; coloured whole, or the head alone."""
    wrapped = wrap([(text, None)], style.width, first=cells(first), rest=cells(rest))
    for number, line in enumerate("".join(run[0] for run in runs) for runs in wrapped):
        if number:
            yield rest + (_coloured(line, colour, style) if not head_only else line)
        elif not head_only:
            yield _coloured(first + line, colour, style)
        else:
            yield _coloured(first, colour, style) + line


def _mark(status: Status, style: Style) -> str:
    return (_ASCII if style.ascii_only else _MARKS)[status]


def _coloured(text: str, colour: str, style: Style) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if style.colours and colour else text
