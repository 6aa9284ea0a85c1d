"""The last whole health run: kept in memory, found again on the disk, told to everybody; and what follows from it.

The command keeps its reports in the store, whoever started it: the timer, a person, or this gateway. Nothing is written
here. A report of another model than ours (the demo's on a box with a model of its own) says nothing about us.
"""

from __future__ import annotations

import asyncio
import logging
import math
import re
import time
from collections.abc import Callable

from medgemma_tui import crash
from medgemma_tui.gateway.board import Board
from medgemma_tui.health.store import KEPT, Store, brief, directory_of
from medgemma_tui.protocol import Fitness, HealthReport, RunBrief, Status, worst
from medgemma_tui.settings import Settings, SettingsError

log = logging.getLogger(__name__)

LOOK_S = 3.0
"""Seconds between two looks at the store's directory: one call of the system, off the loop."""
_PATIENCE_S = 2.0
_FIRST_LOOK_S = 5.0
"""Seconds for which a question waits for the first look, where the site refuses questions on an unfit box."""
_SETTLED_NS = 2_000_000_000
"""A directory that changed so lately may have changed again within one tick of its clock."""
_AHEAD_S = 300.0
"""A run that began so much later than now began under a clock that was wrong."""
_LATEST = 4e9
_MOST_RESULTS = 500
_MOST_NAMED = 8
_ID = re.compile(r"[a-z0-9_]{1,40}\.[a-z0-9_]{1,60}")
_WORST_FIRST: tuple[Status, ...] = ("critical", "unknown", "warning")


def fault(report: HealthReport) -> str:
    """What makes a report one that no run of ours wrote, in a few words; empty where nothing does."""
    ids = [result.id for result in report.results]
    numbers = [report.started, report.seconds, *(result.seconds for result in report.results)]
    if len(ids) > _MOST_RESULTS or len(set(ids)) < len(ids) or not all(map(_ID.fullmatch, ids)):
        return "results: not one of each check"
    if not all(map(math.isfinite, numbers)):
        return "a number is not finite"
    if not 0 < report.started < _LATEST:
        return "started: no such time"
    if report.verdict != worst([result.status for result in report.results]):
        return "verdict: not the worst of the results"
    return ""


def is_whole(report: HealthReport) -> bool:
    """Whether it says something of the running box: nothing left out, and not a preflight."""
    return report.phase == "health" and not report.partial


class LastRun:
    """The last whole run. Use from the gateway's loop; ``fitness`` may be read on any thread."""

    def __init__(self, settings: Settings, board: Board, clock: Callable[[], float] = time.time) -> None:
        self._board = board
        self._clock = clock
        self._refuses = settings.when_unfit == "refuse"
        self._demo = settings.uses_demo
        self._store = _store(settings)
        self._seen_ns = 0
        self._seen: set[float] = set()
        self._looking: asyncio.Task[None] | None = None
        self._looked = asyncio.Event()
        self._stored: list[RunBrief] = []
        self._decided: RunBrief | None = None
        self.report: HealthReport | None = None
        """The newest whole report that is known."""
        self.fitness: Fitness | None = None
        """Its verdict in short."""

    @property
    def history(self) -> list[RunBrief]:
        """The last whole runs that are known, oldest first: those on the disk, and the last one where it is not."""
        runs = list(self._stored)
        if self.report is not None and all(run.started != self.report.started for run in runs):
            runs = sorted([*runs, brief(self.report)], key=lambda run: run.started)
        return runs[-KEPT:]

    def take(self, report: HealthReport) -> None:
        """A report that was just told to us: the last one from now on, if it is of a whole run."""
        if not is_whole(report):
            return
        failing = {status: [it.id for it in report.results if it.status == status] for status in _WORST_FIRST}
        decided = self._decided = self._decisive(report)
        refuses = self._refuses and decided is not None and decided.verdict == "critical"
        self.report = report
        self.fitness = Fitness(
            verdict=report.verdict,
            at=report.started,
            failing=[each for status in _WORST_FIRST for each in failing[status]],
            refuses=refuses,
        )
        self._board.forbid(_refusal(decided) if refuses and decided is not None else None)

    def _decisive(self, report: HealthReport) -> RunBrief | None:
        """The run that decides whether questions are refused: this one or, where it could not tell, the last before it
        that could. What was found critical and then could not be measured was not found mended."""
        if report.verdict != "unknown":
            return brief(report)
        known = [*self._stored, *([self._decided] if self._decided is not None else [])]
        told = [run for run in known if run.verdict != "unknown" and run.started <= report.started]
        return max(told, key=lambda run: run.started, default=self._decided)

    async def judged(self) -> None:
        """Until the store was looked at for the first time, where questions hang on that; not for long in any case."""
        if not self._refuses or self._looked.is_set():
            return
        try:
            async with asyncio.timeout(_FIRST_LOOK_S):
                await self._looked.wait()
        except TimeoutError:
            log.warning("the directory of health reports does not answer")
            self._looked.set()

    async def run(self) -> None:
        """Look at the store now and then, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Take the newest report that has come into the store, where it is newer than the one that is known.

        A disk that hangs is not waited for, and is asked once only.
        """
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        await asyncio.wait({self._looking}, timeout=_PATIENCE_S)

    async def _look(self) -> None:
        try:
            found = await asyncio.to_thread(self._changed)
        except Exception as error:
            log.error("the store of health reports cannot be read: %s", crash.line(error))
            found = None
        if found is not None:
            self._stored = [brief(report) for report in found]
            fresh = [report for report in found if report.started not in self._seen]
            self._seen = {report.started for report in found}
            newest = self._newest(fresh)
            if newest is not None and self._is_later(newest):
                log.info("a health report was found: %s", newest.verdict)
                self.take(newest)
        self._looked.set()

    def _is_later(self, found: HealthReport) -> bool:
        known = self.report
        if known is None or found.started > known.started:
            return True
        return known.started > self._clock() + _AHEAD_S and found.started != known.started

    def _newest(self, found: list[HealthReport]) -> HealthReport | None:
        """The latest of them that did not begin in the future; that one where all did."""
        sane = [report for report in found if report.started <= self._clock() + _AHEAD_S]
        return max(sane or found, key=lambda report: report.started, default=None)

    def _changed(self) -> list[HealthReport] | None:
        """The whole reports of our model, oldest first; None where nothing has changed since. Blocks."""
        if self._store is None:
            return None
        changed_ns = self._store.changed_ns()
        if changed_ns == self._seen_ns:
            return None
        reports = self._store.reports()
        self._seen_ns = changed_ns if time.time_ns() - changed_ns > _SETTLED_NS else 0
        return [it for it in reports if is_whole(it) and it.demo == self._demo and not fault(it)]


def _refusal(run: RunBrief) -> dict[str, str]:
    """What a refused question is told of the run that found the box not fit."""
    began = time.strftime("%Y-%m-%d %H:%M", time.localtime(run.started))
    failing = [id for id, status in run.statuses.items() if status == "critical"]
    return {"time": began, "failing": ",".join(failing[:_MOST_NAMED])}


def _store(settings: Settings) -> Store | None:
    try:
        return Store(directory_of(settings))
    except SettingsError as error:
        log.warning("health reports of earlier runs are not known: %s", error)
        return None
