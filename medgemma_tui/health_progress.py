"""What is told while checks run: a line on a terminal, or an event a line for the gateway."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from medgemma_tui.health.check import Check
from medgemma_tui.progress_line import ProgressLine
from medgemma_tui.protocol import CheckResult, HealthProgress, HealthReport
from medgemma_tui.safetext import clean_line


class Progress:
    """``12/37 model.hashes 43 %`` on a terminal's stderr; nothing in a pipe. Safe on any thread."""

    def __init__(self, checks: Sequence[Check] = ()) -> None:
        self._line = ProgressLine()
        self._lock = threading.Lock()
        self._waiting = [check.id for check in checks]
        self._total = len(self._waiting)
        self._done = 0

    def told(self, id: str, percent: float | None) -> None:
        """A check tells how far it is."""
        self.event(HealthProgress(done=self._done, total=self._total, doing=id, percent=percent))

    def arrived(self, result: CheckResult, done: int, total: int) -> None:
        """A check is done."""
        self.event(HealthProgress(done=done, total=total, result=result))

    def event(self, event: HealthProgress) -> None:
        """Show it."""
        with self._lock:
            self._done, self._total = event.done, event.total
            if event.result is not None and event.result.id in self._waiting:
                self._waiting.remove(event.result.id)
            self._show(event)

    def finished(self, report: HealthReport) -> None:
        """The run is over."""
        self.clear()

    def clear(self) -> None:
        """Take the line away."""
        with self._lock:
            self._line.clear()

    def _show(self, event: HealthProgress) -> None:
        doing = event.doing or next(iter(self._waiting), "")
        percent = f" {event.percent:.0f} %" if event.percent is not None else ""
        self._line.show(f"{event.done}/{event.total} {clean_line(doing)}{percent}".rstrip())


class Events(Progress):
    """One ``HealthProgress`` a line as JSON on stdout; the last has the report."""

    def finished(self, report: HealthReport) -> None:
        """The last event."""
        self.event(HealthProgress(done=self._total, total=self._total, report=report))

    def _show(self, event: HealthProgress) -> None:
        print(event.model_dump_json(exclude_defaults=True), flush=True)
