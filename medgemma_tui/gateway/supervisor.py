"""Keeps a worker process running: starts it, follows its health, sees death and hang, restarts it on a budget."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from medgemma_tui.exits import ExitCode
from medgemma_tui.gateway.board import Board
from medgemma_tui.gateway.upstream import EngineLost, EngineUnreachable, Upstream
from medgemma_tui.model_dir import ModelDirError
from medgemma_tui.privacy import native_output
from medgemma_tui.protocol import Health, HealthReason

log = logging.getLogger(__name__)

_ASK_S = 2.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. ``start_s``: between two answers until the model is ready (importing torch and reading weights from a
    cold disk take their time); ``hang_s``: between two after that; ``end_s``: from SIGTERM to SIGKILL."""

    start_s: float = 180.0
    hang_s: float = 20.0
    end_s: float = 5.0
    poll_s: float = 0.1
    poll_ready_s: float = 1.0


@dataclass(frozen=True, slots=True)
class Command:
    """How the worker is started, and the socket on which it will answer."""

    arguments: Sequence[str]
    environment: Mapping[str, str]
    socket: Path


class RestartBudget:
    """At most ``limit`` restarts within ``window_s`` seconds, each after twice the delay of the one before it.

    Lives that never became ready are counted however long they took, until one does: a worker that fails slowly
    would be started for ever.
    """

    FIRST_S = 0.5
    MOST_S = 30.0

    def __init__(self, limit: int, window_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._window_s = window_s
        self._clock = clock
        self._times: deque[float] = deque()
        self._in_vain = 0

    def take(self, *, was_ready: bool = True) -> float | None:
        """Seconds to wait before the next restart, which is counted; None where the budget is used up."""
        now = self._clock()
        self._in_vain = 0 if was_ready else self._in_vain + 1
        if self._in_vain > self._limit:
            return None
        while self._times and now - self._times[0] >= self._window_s:
            self._times.popleft()
        if len(self._times) >= self._limit:
            return None
        delay = min(self.MOST_S, self.FIRST_S * 2 ** max(len(self._times), self._in_vain - 1))
        self._times.append(now)
        return float(delay)


@dataclass(frozen=True, slots=True)
class _End:
    """How one life of the worker ended."""

    reason: HealthReason
    detail: str
    last: Health | None = None


class Supervisor:
    """Runs the worker and tells the board. ``run`` ends when there is nothing more to try, or by cancellation."""

    def __init__(
        self,
        command: Command,
        board: Board,
        budget: RestartBudget,
        timing: Timing | None = None,
        check: Callable[[], object] = lambda: None,
    ) -> None:
        """``check`` looks at the model before each start; a ModelDirError from it is final."""
        self._check = check
        self._command = command
        self._board = board
        self._budget = budget
        self._timing = timing or Timing()
        self._process: asyncio.subprocess.Process | None = None
        self._restarts = 0
        self._was_ready = False

    @property
    def pid(self) -> int | None:
        """The worker's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.returncode is None else None

    async def run(self) -> ExitCode:
        """Keep a worker running. Returns why it was given up; the board says the same. Ends the worker if cancelled."""
        try:
            while True:
                end = await self._live()
                if end.reason == "model_invalid":
                    log.error("the model is not valid: %s", end.detail)
                    self._put_end(end)
                    return ExitCode.MODEL_INVALID
                delay = self._budget.take(was_ready=self._was_ready)
                if delay is None:
                    log.error("%s; the restart budget is used up", end.detail)
                    detail = f"{end.detail}; it was restarted {self._restarts} times and is given up"
                    no_memory = end.reason == "out_of_memory"
                    self._put_end(_End("out_of_memory" if no_memory else "failed", detail, end.last), final=True)
                    return ExitCode.OUT_OF_MEMORY if no_memory else ExitCode.SERVICE_LOST
                log.warning("%s; restart in %.1f s", end.detail, delay)
                self._restarts += 1
                self._put_end(end, retry_in_s=delay)
                await asyncio.sleep(delay)
        finally:
            await self._end()

    async def _live(self) -> _End:
        """One life of the worker, from its start to its end."""
        self._board.put(Health(status="not_ready", reason="starting", restarts=self._restarts))
        self._was_ready = False
        try:
            await asyncio.to_thread(self._check)
        except ModelDirError as error:
            health = Health(status="not_ready", reason="model_invalid", code=error.code, params=error.params)
            return _End("model_invalid", error.message(), health)
        with contextlib.suppress(FileNotFoundError):
            self._command.socket.unlink()
        try:
            self._process = process = await asyncio.create_subprocess_exec(
                *self._command.arguments,
                stdin=asyncio.subprocess.DEVNULL,  # that it does not outlive us is PR_SET_PDEATHSIG's work
                stdout=native_output.descriptor(),
                stderr=native_output.descriptor(),
                env=dict(self._command.environment),
                start_new_session=True,  # a terminal's Ctrl+C comes to us; we tell the worker
            )
        except OSError as error:
            return _End("worker_lost", f"the worker cannot be started: {error.strerror}")
        log.info("worker %d started", process.pid)
        dying = asyncio.ensure_future(process.wait())
        watch = _Watch(self._command.socket, self._timing)
        following = asyncio.ensure_future(self._follow(watch, process.pid))
        try:
            await asyncio.wait({dying, following}, return_when=asyncio.FIRST_COMPLETED)
            if dying.done():
                return _verdict(dying.result(), watch.last)
            following.result()  # ends by itself for a hang only
            log.error("worker %d does not answer; killing it", process.pid)
            await self._end(at_once=True)
            return _End(
                "worker_lost", f"the worker did not answer for {watch.silent_s:.0f} s and was killed", watch.last
            )
        finally:
            for task in (dying, following):
                task.cancel()
            await asyncio.gather(dying, following, return_exceptions=True)

    async def _follow(self, watch: _Watch, pid: int) -> None:
        """Put the worker's health on the board until it hangs."""
        while not watch.hung:
            health = await watch.ask()
            self._was_ready = watch.was_ready
            if health is not None:
                # A worker that has failed is about to end, and to be started again: it is we who give up.
                reason = "worker_lost" if health.reason == "failed" else health.reason
                own = {"restarts": self._restarts, "worker_pid": pid, "reason": reason}
                self._board.put(health.model_copy(update=own))
            await asyncio.sleep(self._timing.poll_ready_s if self._board.engine.status == "ok" else self._timing.poll_s)

    def _put_end(self, end: _End, *, retry_in_s: float | None = None, final: bool = False) -> None:
        last = end.last if end.last is not None and end.last.reason == end.reason else None
        health = Health(
            status="not_ready",
            reason=end.reason,
            detail=end.detail,
            code=last.code if last else "",
            params=last.params if last else {},
            restarts=self._restarts,
        )
        self._board.put(health, retry_in_s=retry_in_s, final=final)

    async def _end(self, *, at_once: bool = False) -> None:
        """End the worker if it runs: SIGTERM, and SIGKILL for it and its children when that does not help."""
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            if not at_once:
                process.terminate()
                try:
                    async with asyncio.timeout(self._timing.end_s):
                        await process.wait()
                        return
                except TimeoutError:
                    log.warning("worker %d did not end in time; killing it", process.pid)
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


class _Watch:
    """The worker's /health over one life: its last answer, and how long ago."""

    def __init__(self, socket: Path, timing: Timing) -> None:
        self._timing = timing
        self._heard_at = time.monotonic()
        self.last: Health | None = None
        self.was_ready = False
        self._upstream = Upstream(socket)

    @property
    def silent_s(self) -> float:
        """Seconds since the last answer, or since the start."""
        return time.monotonic() - self._heard_at

    @property
    def hung(self) -> bool:
        """True once the worker has been silent for too long."""
        return self.silent_s > (self._timing.hang_s if self.was_ready else self._timing.start_s)

    async def ask(self) -> Health | None:
        """Its health now; None where it does not answer, or not in our words."""
        try:
            answer = await self._upstream.call("GET", "/health", timeout_s=_ASK_S)
            self.last = Health.model_validate_json(answer.body)
        except (EngineUnreachable, EngineLost, ValidationError):
            return None
        self._heard_at = time.monotonic()
        self.was_ready = self.was_ready or self.last.status == "ok"
        return self.last


def _verdict(code: int, last: Health | None) -> _End:
    """What an exit code says. Negative codes are signals."""
    told = last.detail if last is not None else ""
    if code == ExitCode.MODEL_INVALID:
        return _End("model_invalid", told or "the model cannot be loaded", last)
    if code == ExitCode.OUT_OF_MEMORY:
        return _End("out_of_memory", told or "the worker ran out of memory", last)
    if code < 0:
        return _End("worker_lost", f"the worker was ended by {_signal_name(-code)}", last)
    return _End("worker_lost", f"the worker ended with exit code {code}", last)


def _signal_name(number: int) -> str:
    """SIGKILL …; most real-time signals have no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
