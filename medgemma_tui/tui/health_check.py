"""One check opened: what it found, what to do, its figures and items, and how it was in the last runs."""

from __future__ import annotations

from collections.abc import Sequence

from medgemma_tui import fitness_words
from medgemma_tui.health import figures, wording
from medgemma_tui.i18n import _, ngettext
from medgemma_tui.protocol import CheckResult, Figure, RunBrief, Status
from medgemma_tui.protocol.fitness import Unit
from medgemma_tui.safetext import clean_line
from medgemma_tui.tui.health_lines import HEADING, hung, mark
from medgemma_tui.tui.health_seen import Seen
from medgemma_tui.tui.ink import MUTED, STRONG, TEXT, Ink, Line, Run
from medgemma_tui.tui.profile import Glyphs
from medgemma_tui.tui.widgets.sparkline import sparkline
from medgemma_tui.tui.wrap import wrap

_SHOWN = 30


def opened(result: CheckResult, seen: Seen, width: int, now: float, glyphs: Glyphs) -> list[Line]:
    """Everything that is known of a check."""
    sign, ink = mark(result.status, glyphs)
    lines = hung([(wording.title(result.id), STRONG)], width, 2, [(f"{glyphs.opened} ", HEADING)])
    status: Line = [(f"{sign} {wording.status_word(result.status)}", ink)]
    about = [clean_line(result.id), _("took {seconds} s").format(seconds=f"{result.seconds:.1f}")]
    if not seen.is_fresh(result.id):
        about.insert(0, _("before this run"))
    lines += hung([*status, ("  " + f" {glyphs.dot} ".join(about), MUTED)], width, 2)
    lines += hung([(wording.text(result), TEXT)], width, 2)
    if advice := wording.advice(result):
        lines += _section(_("To do"))
        lines += hung([(advice, Ink("question"))], width, 2)
    if result.figures:
        lines += _section(_("Figures"))
        lines += [line for each in result.figures for line in _figure(each, width)]
    if result.items:
        lines += _section(_("In detail"))
        bullet = glyphs.bullets[:1]
        for item in result.items:
            first, *rest = wording.item_lines(item)
            lines += hung([(first, TEXT)], width, 4, [(f"  {bullet} ", MUTED)])
            for text in rest:
                lines += hung([(text, Ink("question"))], width, 4)
    history = seen.record.history[-_SHOWN:] if seen.record is not None else []
    return [*lines, *_history(result, history, width, now, glyphs)]


def _section(title: str) -> list[Line]:
    return [[], [(title, HEADING)]]


def _figure(figure: Figure, width: int) -> list[Line]:
    shown = figures.value(figure.value, figure.unit)
    runs: Line = [(_("{name}: {value}").format(name=figures.name(figure), value=shown), TEXT)]
    judged = figures.thresholds(figure)
    if judged:
        runs.append((f"  {judged}", MUTED))
    return hung(runs, width, 4, [("  ", TEXT)])


def _history(result: CheckResult, history: Sequence[RunBrief], width: int, now: float, glyphs: Glyphs) -> list[Line]:
    """A row of marks, oldest first; and the curve of what is kept as a number, where this check measures it."""
    statuses = [run.statuses.get(result.id) for run in history]
    known = [status for status in statuses if status is not None]
    if not known:
        return [*_section(_("History")), *hung([(_("No earlier run has it."), MUTED)], width, 2)]
    first = fitness_words.clock(history[0].started, now)
    title = ngettext("The last run, {since}", "The last {n} runs, oldest first, since {since}", len(history))
    lines = [[], *wrap([(title.format(n=len(history), since=first), HEADING)], width)]
    absent: Run = (" ", MUTED)
    lines += hung([mark(status, glyphs) if status is not None else absent for status in statuses], width, 2)
    lines += hung([(_tally(known, glyphs), MUTED)], width, 2)
    names = {figure.name for figure in result.figures}
    if "tokens_per_second" in names:
        lines += _curve(_("Speed"), [run.tokens_per_second for run in history], "tok/s", width, glyphs)
    if "vram_free" in names:
        lines += _curve(_("GPU memory free"), [run.vram_free for run in history], "B", width, glyphs)
    return lines


def _tally(known: Sequence[Status], glyphs: Glyphs) -> str:
    order: tuple[Status, ...] = ("critical", "unknown", "warning", "ok", "skipped")
    parts = [f"{n} {wording.status_word(status)}" for status in order if (n := known.count(status))]
    return f" {glyphs.dot} ".join(parts)


def _curve(name: str, values: Sequence[float | None], unit: Unit, width: int, glyphs: Glyphs) -> list[Line]:
    """A sparkline from nothing to the most there was, with the least, the most and the last in figures."""
    there = [value for value in values if value is not None]
    if not there:
        return []
    most = max(there)
    shares = [None if value is None else 100 * value / most if most > 0 else 0.0 for value in values]
    drawn = sparkline(shares, min(len(shares), max(1, width - 4)), glyphs)
    least, last = figures.value(min(there), unit), figures.value(there[-1], unit)
    told = _("{least} to {most}, last {last}").format(least=least, most=figures.value(most, unit), last=last)
    lines = hung([(_("{name}: {value}").format(name=name, value=told), TEXT)], width, 2)
    return [*lines, [("  ", TEXT), (drawn, HEADING)]]
