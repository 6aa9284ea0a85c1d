"""What a screen knows of the box's health: the last report, the run that is going on, and why there is neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from medgemma_tui.protocol import CheckResult, ErrorInfo, Fitness, HealthProgress, HealthRecord, HealthReport

OLD_AFTER_S = 26 * 3600.0
"""Seconds after which a daily run is overdue."""
_AHEAD_S = 60.0  # by which a report may be ahead of this clock


def is_old(age_s: float) -> bool:
    """Whether a verdict of this age tells nothing of today; one from a time to come does not, either."""
    return not -_AHEAD_S <= age_s <= OLD_AFTER_S


@dataclass(frozen=True, slots=True)
class Run:
    """A run that this screen has asked for: how far it is, and what has arrived."""

    full: bool
    done: int = 0
    total: int = 0
    doing: str = ""
    percent: float | None = None
    results: tuple[CheckResult, ...] = ()

    def after(self, progress: HealthProgress) -> Run:
        """The run after this event."""
        results = self.results
        if progress.result is not None:
            kept = tuple(each for each in results if each.id != progress.result.id)
            results = (*kept, progress.result)
        return Run(self.full, progress.done, progress.total, progress.doing, progress.percent, results)


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known now. ``error``: why the record could not be had. ``failure``: why the last run has no report.

    ``fitness``: the verdict that everybody is told, also who may not read the report.
    """

    record: HealthRecord | None = None
    error: ErrorInfo | None = None
    run: Run | None = None
    failure: ErrorInfo | None = None
    fitness: Fitness | None = None
    connected: bool = False
    demo: bool = False
    name: str = ""

    @property
    def report(self) -> HealthReport | None:
        """The last whole run's."""
        return self.record.report if self.record is not None else None

    @property
    def elsewhere(self) -> bool:
        """Whether a run is going on that somebody else has asked for: a timer, or another screen."""
        return self.run is None and self.record is not None and self.record.running

    @property
    def verdict(self) -> Fitness | None:
        """The newest verdict, of the report or of what everybody is told."""
        report = self.report
        if report is None or (self.fitness is not None and self.fitness.at > report.started):
            return self.fitness
        refuses = self.fitness is not None and self.fitness.refuses
        return Fitness(verdict=report.verdict, at=report.started, failing=failing(report.results), refuses=refuses)

    @property
    def results(self) -> list[CheckResult]:
        """The report's results, each in its place replaced by what the run has found by now; then what is new."""
        fresh = {each.id: each for each in self.run.results} if self.run is not None else {}
        report = self.report
        told = [fresh.pop(each.id, each) for each in report.results] if report is not None else []
        return [*told, *fresh.values()]

    def is_fresh(self, id: str) -> bool:
        """Whether a result is of the run that is going on; True for all while none is."""
        return self.run is None or any(each.id == id for each in self.run.results)


_WORST = ("critical", "unknown", "warning")


def is_failing(result: CheckResult) -> bool:
    """Whether a person has to look at it."""
    return result.status in _WORST


def worst_first(results: Sequence[CheckResult]) -> list[CheckResult]:
    """Those that are failing, the worst first, else in their order."""
    return sorted(filter(is_failing, results), key=lambda each: _WORST.index(each.status))


def failing(results: Sequence[CheckResult]) -> list[str]:
    """The ids of those that are failing, the worst first."""
    return [each.id for each in worst_first(results)]
