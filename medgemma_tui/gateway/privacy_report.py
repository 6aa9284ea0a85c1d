"""What the gateway can prove of itself and its worker: in full when asked, in short each second."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable

from pydantic import ValidationError

from medgemma_tui.gateway.board import Board
from medgemma_tui.gateway.upstream import EngineLost, EngineUnreachable, Upstream
from medgemma_tui.privacy.watch import Watch, report_of
from medgemma_tui.protocol import PrivacyFacts, PrivacyReport, ProcessPrivacy
from medgemma_tui.telemetry import host

log = logging.getLogger(__name__)

_WORKER_S = 60.0
"""Seconds that a worker may take to try everything: it may be loading its model meanwhile."""
AGAIN_S = 5.0
"""Seconds for which a report is given again: trying takes a core for a second or two in each process, and whoever may
ask could ask all day."""


class Proof:
    """Asks the gateway's own process and the worker. ``foreign``: the engine is another program, which is not ours to
    seal or to look into. ``worker_pid`` gives the worker's process id while it runs.
    """

    def __init__(
        self,
        upstream: Upstream,
        board: Board,
        worker_pid: Callable[[], int | None],
        *,
        foreign: bool,
        watch: Watch | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._upstream = upstream
        self._board = board
        self._worker_pid = worker_pid
        self._foreign = foreign
        self._watch = watch or Watch("gateway")
        self._clock = clock
        self._asking: asyncio.Task[PrivacyReport] | None = None
        self._again_until = 0.0

    def facts(self) -> PrivacyFacts:
        """In short, for telemetry: sockets counted now, the rest some seconds old. For the sampling thread."""
        pid = self._worker_pid()
        # Of a worker that is gone, the board holds no health any more.
        worker = self._board.health.privacy if pid is not None and not self._foreign else None
        counted = host.inet_sockets(pid) if pid is not None else None
        if counted is None and worker is not None:  # an undumpable process can be counted by itself only
            counted = worker.inet_sockets
        return PrivacyFacts(
            gateway_inet_sockets=host.inet_sockets(os.getpid()),
            worker_inet_sockets=counted,
            gateway=self._watch.read(),
            worker=worker,
            foreign_engine=self._foreign,
        )

    async def report(self) -> PrivacyReport:
        """Everything tried now, in both processes. Who asks meanwhile, or soon after, gets the same answer."""
        if self._asking is None or (self._asking.done() and self._clock() >= self._again_until):
            self._asking = asyncio.create_task(self._ask())
        return await asyncio.shield(self._asking)

    async def _ask(self) -> PrivacyReport:
        report = await self._try()
        if not report.missing or self._foreign:  # a worker that is missing may be there in a moment
            self._again_until = self._clock() + AGAIN_S
        return report

    async def _try(self) -> PrivacyReport:
        own, worker = await asyncio.gather(asyncio.to_thread(self._watch.probe), self._ask_worker())
        if worker is None:
            return report_of([own], ["worker"], foreign_engine=self._foreign)
        return report_of([own, worker], [])

    async def _ask_worker(self) -> ProcessPrivacy | None:
        if self._foreign:
            return None
        try:
            answer = await self._upstream.call("GET", "/v1/privacy", timeout_s=_WORKER_S)
            return ProcessPrivacy.model_validate_json(answer.body) if answer.status == 200 else None
        except (EngineUnreachable, EngineLost, ValidationError):
            log.info("the worker cannot be asked what is sealed")
            return None
