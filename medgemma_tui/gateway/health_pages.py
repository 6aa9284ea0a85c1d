"""``/v1/health/report`` and ``/v1/health/run``: the last health run, and a new one on request, one at a time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from medgemma_tui import crash
from medgemma_tui.audit.record import Entry
from medgemma_tui.gateway import fitness, health_child
from medgemma_tui.gateway.auditing import Auditor
from medgemma_tui.gateway.fitness import LastRun
from medgemma_tui.gateway.health_child import RunFailed
from medgemma_tui.gateway.launch import model_directory
from medgemma_tui.gateway.peers import Peer
from medgemma_tui.http_errors import ApiError, read_body
from medgemma_tui.protocol import HealthProgress, HealthRecord, HealthReport, Served, Status
from medgemma_tui.settings import Settings

log = logging.getLogger(__name__)

REPORT_BYTES = 2 * 1024 * 1024
BEAT_S = 10.0
"""Seconds of silence after which the client is told that the run goes on."""
_WAITING = 256
"""Events that are kept for a client that does not read; of more, the oldest are dropped."""
_OUTCOMES: dict[Status, str] = {
    "ok": "fit", "warning": "warning", "unknown": "unknown", "critical": "unfit", "skipped": "unknown",
}  # fmt: skip
_FAILURES = {
    "not_started": "the health run could not be started",
    "hung": "the health run took too long and was ended",
    "bad_output": "the health run told what no run tells, and was ended",
    "killed": "the health run was killed",
    "no_report": "the health run ended without a report",
    "shutting_down": "the service is being stopped",
}


class HealthPages:
    """The three calls. ``stop`` ends a run that is going on."""

    def __init__(self, settings: Settings, socket: Path, last: LastRun, auditor: Auditor) -> None:
        self._settings = settings
        self._socket = socket
        self._last = last
        self._auditor = auditor
        self._run: _Run | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def record(self, _request: Request) -> Response:
        """``GET /v1/health/report``."""
        await self._last.look()
        record = HealthRecord(
            report=self._last.report, history=self._last.history, running=self.running, served=_served(self._settings)
        )
        return Response(record.model_dump_json(exclude_none=True), media_type="application/json")

    async def told(self, request: Request) -> Response:
        """``POST /v1/health/report``: what a run of the command found, which has stored it. Raises ApiError."""
        peer: Peer = request.scope["state"]["peer"]
        report = await read_body(request, HealthReport, limit=REPORT_BYTES)
        problem = fitness.fault(report)
        if not problem and report.demo != self._settings.uses_demo:
            problem = "demo: not of the model that is served here"
        if problem:
            raise ApiError(400, "invalid_request_error", problem, code="bad_report", param=problem.partition(":")[0])
        self._take(report, peer, "command")
        return Response(status_code=204)

    async def run(self, request: Request) -> Response:
        """``POST /v1/health/run``, with ``?full=1`` for every byte of the model, ``?new_baseline=1`` for another speed
        to compare with. Raises ApiError (409)."""
        full, new_baseline = _asked(request, "full"), _asked(request, "new_baseline")
        if self.running:
            raise ApiError(409, "health_running", "a health run is going on", retry_after_s=5)
        peer: Peer = request.scope["state"]["peer"]
        run = self._run = _Run()
        task = asyncio.ensure_future(self._follow(run, peer, full=full, new_baseline=new_baseline))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        headers = {"Cache-Control": "no-store"}
        return StreamingResponse(run.events(), media_type="text/event-stream", headers=headers)

    @property
    def running(self) -> bool:
        """True while a run that was asked for here is going on."""
        return self._run is not None and not self._run.over

    async def stop(self) -> None:
        """End the run that is going on, if there is one."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self, run: _Run, peer: Peer, *, full: bool, new_baseline: bool) -> None:
        """Pass on what a new run tells, and take its report. Whoever asked may leave."""
        limit_s = health_child.FULL_RUN_S if full else health_child.RUN_S
        try:
            arguments = health_child.command(self._settings, self._socket, full=full, new_baseline=new_baseline)
            environ = health_child.environment(self._settings)
            async with contextlib.aclosing(health_child.events(arguments, environ, limit_s=limit_s)) as told:
                async for progress in told:
                    if progress.report is None:
                        run.tell(progress)
            if progress.report is None or not fitness.is_whole(progress.report) or fitness.fault(progress.report):
                raise RunFailed("bad_output")
            self._take(progress.report, peer, "gateway")
            run.tell(progress)
        except RunFailed as error:
            self._failed(run, peer, error)
        except asyncio.CancelledError:
            self._failed(run, peer, RunFailed("shutting_down"))
            raise
        except Exception as error:
            log.error("the health run failed: %s", crash.line(error))
            self._failed(run, peer, RunFailed("no_report", {"exit": "?"}))

    def _failed(self, run: _Run, peer: Peer, error: RunFailed) -> None:
        log.error("%s (%s)", _FAILURES[error.code], ", ".join(error.params.values()))
        self._auditor.later(Entry("health", "run_failed", peer.uid, peer.name, counters={"code": error.code}))
        run.fail(ApiError(500, "health_failed", _FAILURES[error.code], code=error.code, params=error.params))

    def _take(self, report: HealthReport, peer: Peer, by: str) -> None:
        """The last report from now on, and a record of it."""
        counters: dict[str, int | float | str] = {
            "by": by, "phase": report.phase, "partial": int(report.partial), "full": int(report.full),
            "seconds": round(report.seconds, 1),
        }  # fmt: skip
        for result in report.results:
            counters[result.status] = int(counters.get(result.status, 0)) + 1
        self._auditor.later(Entry("health", _OUTCOMES[report.verdict], peer.uid, peer.name, counters=counters))
        self._last.take(report)


def _served(settings: Settings) -> Served:
    """What a run that is not started from here has to know of the settings that hold here."""
    model = "" if settings.uses_demo or settings.uses_engine else str(model_directory(settings).absolute())
    return Served(
        demo=settings.uses_demo,
        model=model,
        engine_socket=str(settings.engine_socket) if settings.uses_engine else "",
        max_model_len=settings.max_model_len,
        slots=settings.slots,
    )


def _asked(request: Request, name: str) -> bool:
    """A parameter that is 0 or 1. Raises ApiError."""
    value = request.query_params.get(name, "0")
    if value not in ("0", "1"):
        raise ApiError(400, "invalid_request_error", f"{name}: may be 0 or 1", param=name)
    return value == "1"


class _Run:
    """A run and what it has told that its client has not read yet."""

    def __init__(self) -> None:
        self.over = False
        """True once it has told its report, or failed."""
        self._told: asyncio.Queue[bytes] = asyncio.Queue()

    def tell(self, progress: HealthProgress) -> None:
        """One more event; the report is the last."""
        self._put(b"data: %b\n\n" % progress.model_dump_json(exclude_none=True).encode())
        self.over = self.over or progress.report is not None

    def fail(self, error: ApiError) -> None:
        """The other end."""
        if not self.over:
            self._put(b"event: error\ndata: %b\n\n" % error.body())
            self.over = True

    async def events(self) -> AsyncIterator[bytes]:
        """The stream, until the run's end."""
        while not (self.over and self._told.empty()):
            try:
                event = await asyncio.wait_for(self._told.get(), BEAT_S)
            except TimeoutError:
                event = b": running\n\n"
            yield event

    def _put(self, event: bytes) -> None:
        while self._told.qsize() >= _WAITING:
            self._told.get_nowait()
        self._told.put_nowait(event)
