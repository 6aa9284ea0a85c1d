"""``medgemma-tui privacy``: what was tried to get out of each process, what the kernel said, whether all is shut."""

from __future__ import annotations

import asyncio
import io
import shutil
import sys
from collections.abc import Iterator, Sequence

from medgemma_tui import launch, problems, waiting
from medgemma_tui import privacy_words as words
from medgemma_tui.client import ServiceError
from medgemma_tui.exits import ExitCode
from medgemma_tui.i18n import _, ngettext
from medgemma_tui.privacy.watch import Watch, report_of
from medgemma_tui.protocol import Finding, Health, PrivacyReport, ProcessPrivacy, Verdict
from medgemma_tui.safetext import clean_line, escape_json
from medgemma_tui.settings import Settings
from medgemma_tui.tui.wrap import cells, pad, wrap_text

_GAP = "  "


def run(settings: Settings, *, as_json: bool) -> ExitCode:
    """Try everything in this process, in the gateway and in the worker, and print what came of it.

    OK only where everything is shut; where the service does not answer, this process's own findings are printed all
    the same.
    """
    own, theirs, health, failure = asyncio.run(_ask(settings))
    if theirs is None:
        report = report_of([own], ["gateway", "worker"])
    else:
        report = report_of([own, *theirs.processes], theirs.missing, foreign_engine=theirs.foreign_engine)
    if as_json:
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")  # JSON is UTF-8 in every locale
        print(escape_json(report.model_dump_json()), flush=True)
    else:
        for line in lines(report, health, _width()):
            print(line)
        sys.stdout.flush()
    if failure is not None:
        print(problems.sentence(failure.info), file=sys.stderr)
        return problems.exit_code(failure.info)
    return ExitCode.OK if report.shut else ExitCode.FAILED


# --- asking ---


async def _ask(
    settings: Settings,
) -> tuple[ProcessPrivacy, PrivacyReport | None, Health | None, ServiceError | None]:
    """This process's findings, the service's, the health it had then; or what failed."""
    trying = asyncio.create_task(asyncio.to_thread(Watch("screen").probe))
    theirs: PrivacyReport | None = None
    health: Health | None = None
    failure: ServiceError | None = None
    try:
        async with launch.service(settings) as client:
            health = await waiting.loaded(client)
            theirs = await client.privacy()
    except ServiceError as error:
        failure = error
    return await trying, theirs, health, failure


# --- telling ---


def lines(report: PrivacyReport, health: Health | None, width: int) -> Iterator[str]:
    """The report for people, in lines of at most ``width`` cells: a table a process, the conclusion, and the reason of
    everything that is not shut. ``health`` says why a worker is missing, where it is known.
    """
    for each in report.processes:
        yield from wrap_text(
            _("{process}, process {pid}").format(process=words.process(each.process), pid=each.pid), width
        )
        yield from _table(each.findings, width)
        yield ""
    yield from wrap_text(_conclusion(report), width)
    for name in report.missing:
        why = words.foreign_engine() if report.foreign_engine else _("It does not answer.")
        if name == "worker" and not report.foreign_engine and health is not None:
            why = problems.health_sentence(health) or why
        yield from _item(_("Not asked ({where}): {reason}").format(where=words.process(name), reason=why), width)
    titles: dict[Verdict, str] = {
        "open": _("Open ({where}): {reason}"),
        "unknown": _("Unknown ({where}): {reason}"),
        "warning": _("Warning ({where}): {reason}"),
        "absent": _("A second layer that is not to be had here ({where}): {reason}"),
    }
    for verdict, title in titles.items():
        for found in words.noted_in(report.processes, verdict):
            yield from _item(title.format(where=found.where, reason=found.reason), width)


def _conclusion(report: PrivacyReport) -> str:
    where = words.process_list([each.process for each in report.processes])
    tried = sum(len(each.findings) for each in report.processes)
    if report.shut:
        return _("Everything is shut ({where}): {count} things tried and read.").format(where=where, count=tried)
    counts = {
        verdict: sum(found.verdict == verdict for each in report.processes for found in each.findings)
        for verdict in ("open", "warning", "unknown")
    }
    told = [
        ngettext("{n} open", "{n} open", counts["open"]).format(n=counts["open"]),
        ngettext("{n} warning", "{n} warnings", counts["warning"]).format(n=counts["warning"]),
        ngettext("{n} unknown", "{n} unknown", counts["unknown"]).format(n=counts["unknown"]),
        ngettext("{n} process not asked", "{n} processes not asked", len(report.missing)).format(n=len(report.missing)),
    ]
    counted = [*counts.values(), len(report.missing)]
    listed = _(", ").join(text for text, n in zip(told, counted, strict=True) if n)
    return _("NOT everything is shut ({where}): {count} things tried and read, {listed}.").format(
        where=where, count=tried, listed=listed or _("nothing was tried")
    )


def _table(findings: Sequence[Finding], width: int) -> Iterator[str]:
    """What was tried, what the kernel said, and the verdict, in columns; long cells are wrapped."""
    rows = [(_("tried"), _("the kernel said"), _("verdict"))]
    rows += [(clean_line(each.tried), clean_line(each.said), words.verdict_of(each)) for each in findings]
    last = max(cells(row[2]) for row in rows)
    room = width - last - 3 * len(_GAP)
    tried, said = (max(cells(row[at]) for row in rows) for at in (0, 1))
    if tried + said > room:
        said = min(said, max(room * 2 // 5, room - tried))
        tried = room - said
    for row in rows:
        parts = [wrap_text(row[0], tried), wrap_text(row[1], said), [row[2]]]
        for at in range(max(map(len, parts))):
            first, second, third = (part[at] if at < len(part) else "" for part in parts)
            yield f"{_GAP}{pad(first, tried)}{_GAP}{pad(second, said)}{_GAP}{third}".rstrip()


def _item(text: str, width: int) -> Iterator[str]:
    first, *rest = wrap_text(text, width - 2)
    yield f"- {first}"
    yield from (f"  {line}" for line in rest)


def _width() -> int:
    """Cells of a line: the terminal's, within reason; 80 where there is none."""
    return max(40, min(110, shutil.get_terminal_size((80, 24)).columns)) if sys.stdout.isatty() else 80
