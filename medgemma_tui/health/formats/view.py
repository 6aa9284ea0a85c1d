"""What every form is made of: a report, and why its verdict may not be taken for today's."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Final

from medgemma_tui import __version__
from medgemma_tui.protocol import HealthReport, Phase, Status

EXIT_CODES: Final[dict[Status, int]] = {"ok": 0, "warning": 1, "critical": 2, "unknown": 3, "skipped": 3}
"""As Nagios has them; also the numbers of ``medgemma_health_status``."""


@dataclass(frozen=True, slots=True)
class View:
    """A report as it is to be shown. ``remark``: in words, why its verdict does not hold (too old, could not be had),
    which makes it UNKNOWN in every form; empty where it holds. ``missing``: there is no report at all."""

    report: HealthReport
    remark: str = ""
    missing: bool = False

    @property
    def verdict(self) -> Status:
        """The report's, or ``unknown`` where that does not hold."""
        return "unknown" if self.remark else self.report.verdict

    @property
    def exit_code(self) -> int:
        """0 to 3, as Nagios has them."""
        return EXIT_CODES[self.verdict]


def without_report(why: str, phase: Phase, *, demo: bool) -> View:
    """What is shown where there is no report: ``why``, in words."""
    empty = HealthReport(
        phase=phase,
        started=time.time(),
        seconds=0.0,
        version=__version__,
        box=os.uname().nodename,
        demo=demo,
        verdict="unknown",
        results=[],
    )
    return View(empty, why, missing=True)
