"""What is known of the engine now, and a way to be told when anything changes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from medgemma_tui.audit.errors import AuditError
from medgemma_tui.http_errors import ApiError
from medgemma_tui.protocol import Health, HealthReason

_SENTENCES: dict[HealthReason, str] = {
    "starting": "the model process is starting",
    "loading": "the model is loading",
    "worker_lost": "the model process is gone and is being restarted",
    "out_of_memory": "the model process ran out of memory and is being restarted",
    "model_invalid": "the model cannot be loaded",
    "failed": "the model could not be kept running",
    "audit_full": "the audit log cannot be written",
    "unfit": "the last health run found this box not fit",
}

_UNFIT_RETRY_S = 60


class Signal:
    """Wakes everybody who waits, once a change. Those who wait look again at what they wait for."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def fire(self) -> None:
        """Something changed."""
        event, self._event = self._event, asyncio.Event()
        event.set()

    async def wait(self) -> None:
        """Until the next change."""
        await self._event.wait()


class Board:
    """The engine's health as last told by who watches it, whether the audit log can be written, and whether questions
    are forbidden because the box is not fit.

    A ready engine takes no question while the log cannot be written: then the health's reason is ``audit_full``; nor,
    but for those of a health run, while the box is not fit and the site's policy is to refuse: ``unfit``.
    """

    def __init__(self, signal: Signal, clock: Callable[[], float] = time.monotonic) -> None:
        self._signal = signal
        self._clock = clock
        self._health = Health(status="not_ready", reason="starting")
        self._retry_at: float | None = None
        self._final = False
        self._unwritable: AuditError | None = None
        self._unfit: dict[str, str] | None = None

    @property
    def health(self) -> Health:
        """The health now, with the seconds left until a restart."""
        health = self.health_for_checks
        if self._unfit is not None and health.status == "ok":
            held = {"status": "not_ready", "reason": "unfit", "detail": _SENTENCES["unfit"], "params": self._unfit}
            return health.model_copy(update=held)
        return health

    @property
    def health_for_checks(self) -> Health:
        """The same whatever the last health run found: a run must not fail for the verdict of the one before it."""
        if self._unwritable is not None and self._health.status == "ok":
            problem = self._unwritable
            held = {
                "status": "not_ready", "reason": "audit_full", "detail": problem.sentence,
                "code": problem.code, "params": {"path": problem.path},
            }  # fmt: skip
            return self._health.model_copy(update=held)
        if self._retry_at is None:
            return self._health
        left = max(0.0, self._retry_at - self._clock())
        return self._health.model_copy(update={"retry_in_s": round(left, 2)})

    @property
    def engine(self) -> Health:
        """The engine's own health, whatever the audit log's."""
        return self._health

    @property
    def ready(self) -> bool:
        """True while questions can be answered."""
        return self.ready_for(checks=False)

    def ready_for(self, *, checks: bool) -> bool:
        """Whether questions can be answered; ``checks``: those of a health run."""
        return self._health.status == "ok" and self._unwritable is None and not self.refuses(checks=checks)

    def refuses(self, *, checks: bool) -> bool:
        """Whether questions are refused because the box is not fit, however long they would wait."""
        return self._unfit is not None and not checks

    @property
    def final(self) -> bool:
        """True once waiting cures nothing: the engine has been given up."""
        return self._final

    def put(self, health: Health, *, retry_in_s: float | None = None, final: bool = False) -> None:
        """The health from now on; wakes those who wait if it differs. ``final``: nobody tries again."""
        final = final or health.reason in ("model_invalid", "failed")
        changed = health != self._health or final != self._final
        self._health, self._final = health, final
        self._retry_at = None if retry_in_s is None else self._clock() + retry_in_s
        if changed:
            self._signal.fire()

    def hold(self, problem: AuditError | None) -> None:
        """Take no question, because the audit log cannot be written; None: it can."""
        before, self._unwritable = self._unwritable, problem
        if (before and (before.code, before.path)) != (problem and (problem.code, problem.path)):
            self._signal.fire()

    def forbid(self, params: dict[str, str] | None) -> None:
        """Refuse questions, because the box is not fit: ``time`` and ``failing`` of the run that says so. None: it is,
        or the site's policy is to answer."""
        before, self._unfit = self._unfit, params
        if before != params:
            self._signal.fire()

    def refusal(self, *, checks: bool = False) -> ApiError:
        """503 with the typed reason why nothing can be answered now; ``checks``: to a question of a health run."""
        if self._unfit is not None and not checks:
            return ApiError(503, "unfit", _SENTENCES["unfit"], params=self._unfit, retry_after_s=_UNFIT_RETRY_S)
        health = self.health_for_checks
        retry = None if self._final else max(1, round(health.retry_in_s or 0) + 1)
        return ApiError(
            503,
            health.reason,
            health.detail or _SENTENCES.get(health.reason, health.reason),
            code=health.code or health.reason,
            percent=health.percent,
            params=health.params,
            retry_after_s=retry,
        )
