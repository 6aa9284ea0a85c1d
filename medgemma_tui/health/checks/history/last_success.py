"""``history.last_success``: how long ago a whole run last found this box fit. It looks at the runs before this one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from medgemma_tui.health.check import RUNNING, Check, Outcome
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import Figure, HealthReport

_LATE_S: Final = 26 * 3600.0
"""A day, and two hours in which a run may be late."""
_CLOCK_S: Final = 300.0


def run(context: Context) -> Outcome:
    """By the kept reports of whole runs on this model or, for the demo, on the demo."""
    problem = _unreadable(context.store.directory)
    if problem:
        return Outcome("unreadable", {"path": str(context.store.directory), "reason": problem})
    demo = context.settings.uses_demo
    kept = [each for each in context.store.reports() if each.phase == "health" and not each.partial]
    runs = [each for each in kept if each.demo == demo]
    if not runs:
        return Outcome("first")
    now = context.started
    if runs[-1].started > now + _CLOCK_S:
        return Outcome("future", {"when": _when(runs[-1].started)})
    fit = next((each for each in reversed(runs) if each.verdict in ("ok", "warning")), None)
    if fit is None:
        return Outcome("never_fit", {"count": str(len(runs)), "since": _when(runs[0].started)})
    age = max(0.0, now - fit.started)
    figures = (Figure(name="last_success_age", value=round(age), unit="s", warning=_LATE_S),)
    params = {"when": _when(fit.started), "hours": f"{age / 3600:.0f}"}
    if age <= _LATE_S:
        return Outcome("ok", params, figures)
    failed = _after(runs, fit)
    if failed:
        return Outcome("failing", {**params, "count": str(len(failed)), "since": _when(failed[0].started)}, figures)
    return Outcome("late", params, figures)


def _after(runs: Sequence[HealthReport], fit: HealthReport) -> list[HealthReport]:
    return [each for each in runs if each.started > fit.started]


def _unreadable(directory: Path) -> str:
    """Why the reports cannot be looked at; empty where they can, or where there is no directory yet."""
    try:
        next((directory / "runs").iterdir(), None)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        return error.strerror or type(error).__name__
    return ""


def _when(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(moment))


CHECK = Check("history.last_success", run, RUNNING)
