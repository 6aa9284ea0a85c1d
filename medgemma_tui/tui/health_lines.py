"""The health window's text: the verdict, the checks, and one check opened. Inks and cells, no widget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from medgemma_tui import fitness_words, problems
from medgemma_tui.health import meanings, wording
from medgemma_tui.i18n import _
from medgemma_tui.protocol import CheckResult, ErrorInfo, Status
from medgemma_tui.safetext import clean_line
from medgemma_tui.tui.health_seen import Seen, is_failing, is_old, worst_first
from medgemma_tui.tui.ink import MUTED, STRONG, TEXT, Ink, Line, Run
from medgemma_tui.tui.profile import Glyphs
from medgemma_tui.tui.wrap import cells, truncate, wrap

HEADING = Ink("heading", bold=True)
_INKS: Mapping[Status, Ink] = {
    "ok": Ink("ok"),
    "warning": Ink("warn", bold=True),
    "unknown": Ink("warn", bold=True),
    "critical": Ink("bad", bold=True),
    "skipped": MUTED,
}
_COUNTED: tuple[Status, ...] = ("critical", "unknown", "warning", "ok", "skipped")


@dataclass(frozen=True, slots=True)
class Row:
    """A line, and the id of the check it belongs to; empty where it belongs to none."""

    line: Line = field(default_factory=list)
    check: str = ""


def mark(status: Status, glyphs: Glyphs) -> Run:
    """A status as a sign."""
    signs = {"ok": glyphs.ok, "warning": glyphs.warn, "unknown": glyphs.unknown, "critical": glyphs.bad}
    return signs.get(status, glyphs.dot), _INKS[status]


def hung(runs: Sequence[Run], width: int, indent: int, lead: Line | None = None) -> list[Line]:
    """Runs wrapped, every line but the first indented; ``lead`` stands before the first, ``indent`` cells wide."""
    first = lead if lead is not None else [(" " * indent, TEXT)]
    wrapped = wrap(list(runs), width, first=indent, rest=indent)
    return [[*(first if n == 0 else [(" " * indent, TEXT)]), *line] for n, line in enumerate(wrapped)]


# --- the head ---


def verdict(seen: Seen, width: int, now: float, glyphs: Glyphs) -> list[Line]:
    """The verdict, when that was, and whether it still tells anything."""
    told = seen.verdict
    if told is None:
        words = _("Not checked yet: nobody knows whether this box is fit.")
        return wrap([(words if seen.connected else _("Unknown: the service does not answer."), STRONG)], width)
    sign, ink = mark(told.verdict, glyphs)
    age = now - told.at
    if seen.run is not None or (told.verdict == "ok" and (is_old(age) or not seen.connected)):
        ink = MUTED  # no verdict is greener than what is found just now, or than what nobody has looked at since
    if told.verdict == "ok" and (is_old(age) or not seen.connected):
        sign = glyphs.unknown
    when = _("{when}, {ago}").format(when=fitness_words.clock(told.at, now), ago=fitness_words.ago(age))
    runs: Line = [(f"{sign} {wording.verdict_word(told.verdict)}", ink), (f" {glyphs.dot} {when}", TEXT)]
    if seen.run is not None:
        runs.append((f" {glyphs.dot} {_('before this run')}", TEXT))
    elif is_old(age):
        runs += [(f" {glyphs.dot} ", TEXT), (_("old: it tells nothing of today"), Ink("warn", bold=True))]
    if not seen.connected:
        runs += [(f" {glyphs.dot} ", TEXT), (_("the service does not answer now"), Ink("bad", bold=True))]
    lines = hung(runs, width, 2, [])
    if told.refuses:
        lines += wrap([(_("No question is answered until a run finds this box fit."), Ink("bad", bold=True))], width)
    return lines


def counts(seen: Seen, width: int, glyphs: Glyphs) -> list[Line]:
    """How many results of each status, how long it took, and what kind of run it was."""
    report = seen.report
    if report is None:
        return []
    results = seen.results
    told = {status: sum(1 for each in results if each.status == status) for status in _COUNTED}
    parts = [f"{n} {wording.status_word(status)}" for status, n in told.items() if n]
    if seen.run is None:
        parts.append(_("took {seconds} s").format(seconds=f"{report.seconds:.0f}"))
    if report.full:
        parts.append(_("every file hashed"))
    if report.phase == "preflight":
        parts.append(_("before the model was loaded"))
    parts.append(f"medgemma-tui {clean_line(report.version)}")
    return wrap([(f" {glyphs.dot} ".join(parts), MUTED)], width)


def progress(seen: Seen, width: int, glyphs: Glyphs) -> list[Line]:
    """The run that is going on, or why the last one has no report."""
    run = seen.run
    if run is not None:
        if not run.total:
            text = _("Checking: the run begins …")
        else:
            text = _("Checking: {done} of {total}").format(done=run.done, total=run.total)
        if run.doing:
            text += f" {glyphs.dot} {wording.title(run.doing)}"
            text += f" {run.percent:.0f} %" if run.percent is not None else ""
        return [[(truncate(text, width, glyphs.ellipsis), STRONG)]]
    if seen.elsewhere:
        text = _("A run is going on that was started elsewhere; its report comes when it is done.")
        return wrap([(text, STRONG)], width)
    if seen.failure is not None and seen.failure != seen.error:  # which is told below
        return wrap([(refusal(seen.failure), Ink("warn", bold=True))], width)
    return []


def refusal(error: ErrorInfo) -> str:
    """Why the service gives no report, or makes no run."""
    if error.type == "not_found" or error.type == "method_not_allowed":
        return _("The service on this box is older than this screen and makes no health runs. Ask the box's staff.")
    if error.type == "forbidden":
        group = (error.params or {}).get("group", "")
        if group:
            return _("Ops only: group {group}. Ask them to look, or to run the checks.").format(group=clean_line(group))
        return _("Ops only. Ask the box's staff to look, or to run the checks.")
    return problems.sentence(error)


# --- the checks ---


def listing(seen: Seen, width: int, glyphs: Glyphs) -> list[Row]:
    """What is failing first, in full, with what to do; then every group with its other checks, a line each."""
    if seen.report is None and seen.run is None:
        return _without_report(seen, width, glyphs)
    rows: list[Row] = []
    results = seen.results
    worst = worst_first(results)
    for result in worst:
        rows += _in_full(result, seen, width, glyphs)
    for group in _groups(results):
        calm = [each for each in results if each.group == group and not is_failing(each)]
        if calm:
            rows += [Row()] if rows else []
            rows.append(Row([(truncate(wording.group_title(group), width, glyphs.ellipsis), HEADING)]))
            rows += [Row(_in_short(result, seen, width, glyphs), result.id) for result in calm]
    return rows


def _groups(results: Sequence[CheckResult]) -> list[str]:
    """The groups there are, in the order of a report; those that are not known here last."""
    known = [*meanings.GROUP_TITLES]
    found = dict.fromkeys(each.group for each in results)
    return sorted(found, key=lambda group: known.index(group) if group in known else len(known))


def _status(result: CheckResult, seen: Seen) -> str:
    word = wording.status_word(result.status)
    return word if seen.is_fresh(result.id) else _("{status} (before)").format(status=word)


def _in_full(result: CheckResult, seen: Seen, width: int, glyphs: Glyphs) -> list[Row]:
    sign, ink = mark(result.status, glyphs)
    head: Line = [(f"{_status(result, seen)}  ", ink), (wording.title(result.id), STRONG)]
    lines = hung(head, width, 2, [(f"{sign} ", ink)])
    lines += hung([(wording.text(result), TEXT)], width, 2)
    advice = wording.advice(result)
    if advice:
        lines += hung([(_("{name}: {value}").format(name=_("To do"), value=advice), Ink("question"))], width, 2)
    return [Row(line, result.id) for line in lines]


def _in_short(result: CheckResult, seen: Seen, width: int, glyphs: Glyphs) -> Line:
    sign, ink = mark(result.status, glyphs)
    line: Line = [(f"{sign} {_status(result, seen)}  ", ink), (wording.title(result.id), TEXT)]
    line.append((f"  {wording.text(result)}", MUTED))
    return cut(line, width, glyphs)


def cut(line: Line, width: int, glyphs: Glyphs) -> Line:
    """A line that ends with an ellipsis where it is too long."""
    room, kept = width, []
    for text, ink in line:
        shown = truncate(text, room, glyphs.ellipsis)
        kept.append((shown, ink))
        room -= cells(shown)
        if shown != text:
            break
    return kept


def _without_report(seen: Seen, width: int, glyphs: Glyphs) -> list[Row]:
    """What can be said without the report: why there is none, and what everybody is told."""
    lines: list[Line] = []
    told = seen.fitness
    if told is not None and told.failing:
        lines += wrap([(_("Not in order, the worst first:"), STRONG)], width)
        for id in told.failing:
            lines += hung([(wording.title(id), TEXT)], width, 2, [(f"{glyphs.flag} ", Ink("warn", bold=True))])
        lines.append([])
    elif told is not None:
        lines += [*wrap([(_("Every check was in order."), TEXT)], width), []]
    if seen.error is not None:
        lines += wrap([(refusal(seen.error), Ink("warn"))], width)
    elif seen.record is None:
        asking = _("The report is asked for …") if seen.connected else _("There is no service to ask for a report.")
        lines += wrap([(asking, MUTED)], width)
    elif seen.record.running:
        lines += wrap([(_("The first run is going on."), TEXT)], width)
    else:
        lines += wrap(
            [
                (
                    _("No run is on record. R runs the checks now; an installed service does so daily."),
                    TEXT,
                )
            ],
            width,
        )
    return [Row(line) for line in lines]
