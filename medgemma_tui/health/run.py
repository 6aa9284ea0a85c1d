"""Running checks: side by side, each on a thread of its own, none able to stop or to silence another."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from medgemma_tui import __version__
from medgemma_tui.client import ServiceError
from medgemma_tui.health import meanings
from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import AuditHead, CheckResult, HealthReport, worst

Arrived = Callable[[CheckResult, int, int], None]
"""Called with each result, how many there are now, and how many there will be; on the caller's thread."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which checks are wanted, by id or group; all where ``only`` is empty. ``timeout_s`` replaces each check's own."""

    only: frozenset[str] = frozenset()
    skip: frozenset[str] = frozenset()
    timeout_s: float | None = None

    @property
    def partial(self) -> bool:
        """True where something may be left out."""
        return bool(self.only or self.skip)

    def wants(self, check: Check) -> bool:
        """Whether a check is to run."""
        names = {check.id, check.group}
        return not names & self.skip and (not self.only or bool(names & self.only))


def run(
    context: Context,
    checks: Sequence[Check],
    selection: Selection = Selection(),
    arrived: Arrived = lambda _result, _done, _total: None,
) -> HealthReport:
    """Run those of ``checks`` that belong to the context's phase and are selected; the report has them in their order.

    A check that hangs or raises is UNKNOWN with its error. One that ``skip`` leaves out is reported as left out. A
    check that never returns keeps its thread: end the process with ``os._exit`` after printing.
    """
    here = [check for check in checks if context.phase in check.phases]
    wanted = [check for check in here if selection.wants(check)]
    begun = time.monotonic()
    results = {check.id: _left_out(check) for check in here if not selection.wants(check) and not selection.only}
    done: queue.SimpleQueue[CheckResult] = queue.SimpleQueue()
    for lane in _lanes(wanted):
        threading.Thread(target=_run_lane, args=(lane, context, selection.timeout_s, done), daemon=True).start()
    for count in range(1, len(wanted) + 1):
        result = done.get()
        results[result.id] = result
        arrived(result, count, len(wanted))
    ordered = [results[check.id] for check in here if check.id in results]
    return HealthReport(
        phase=context.phase,
        started=context.started,
        seconds=round(time.monotonic() - begun, 3),
        version=__version__,
        box=context.settings.box_name or os.uname().nodename,
        demo=context.settings.uses_demo,
        full=context.full,
        partial=selection.partial,
        verdict=worst([result.status for result in ordered]),
        results=ordered,
        audit=_audit_head(context),
    )


def _lanes(checks: Sequence[Check]) -> list[list[Check]]:
    """The checks of one lane together, every other one alone."""
    lanes: dict[str, list[Check]] = {}
    for check in checks:
        lanes.setdefault(check.lane or check.id, []).append(check)
    return list(lanes.values())


def _run_lane(
    lane: Sequence[Check], context: Context, timeout_s: float | None, done: queue.SimpleQueue[CheckResult]
) -> None:
    for check in lane:
        done.put(_run_one(check, context, timeout_s or check.timeout_s))


def _run_one(check: Check, context: Context, timeout_s: float) -> CheckResult:
    """One check's result, within ``timeout_s`` whatever it does."""
    found: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()

    def measure() -> None:
        try:
            found.put(check.run(context))
        except BaseException as error:  # SystemExit, too, must be an answer: nobody else waits for this thread
            found.put(error)

    begun = time.monotonic()
    threading.Thread(target=measure, name=check.id, daemon=True).start()
    try:
        outcome = found.get(timeout=timeout_s)
    except queue.Empty:
        outcome = Outcome("timeout", {"seconds": f"{timeout_s:g}"})
    seconds = time.monotonic() - begun
    if isinstance(outcome, BaseException):
        outcome = Outcome("failed", {"error": _name(outcome)})
    try:
        return result_of(check.id, outcome, seconds)
    except Exception as error:  # no outcome, or one that is none: a lane must go on whatever a check returns
        return result_of(check.id, Outcome("failed", {"error": _name(error)}), seconds)


def result_of(check_id: str, outcome: Outcome, seconds: float = 0.0) -> CheckResult:
    """An outcome with the status that it means. One without a meaning is UNKNOWN."""
    meaning = meanings.of(check_id, outcome.code)
    if meaning is None:
        outcome = Outcome("failed", {"error": f"no such outcome: {outcome.code}"}, outcome.figures, outcome.items)
    return CheckResult(
        id=check_id,
        status=meaning.status if meaning is not None else "unknown",
        code=outcome.code,
        params=dict(outcome.params),
        figures=list(outcome.figures),
        items=list(outcome.items),
        seconds=round(seconds, 3),
    )


def _left_out(check: Check) -> CheckResult:
    return result_of(check.id, Outcome("left_out"))


def _name(error: BaseException) -> str:
    """What an error may say here: its kind, and for our own typed ones their reason. Never a text that quotes data."""
    if isinstance(error, ServiceError):
        return f"{error.info.type}: {error.info.code or ''}".rstrip(": ")
    if isinstance(error, OSError):
        return f"{type(error).__name__}: {error.strerror or ''}".rstrip(": ")
    return type(error).__name__


def _audit_head(context: Context) -> AuditHead | None:
    if context.socket is None:
        return None
    try:
        return context.health().audit
    except ServiceError:
        return None
