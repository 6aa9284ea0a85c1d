"""The screen's background work: reaching the gateway, telemetry, health, the reply stream, token counts.

Asyncio tasks that post the messages of ``messages.py`` to the app and touch no widget and no state of its.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message import Message

from medgemma_tui.exits import ExitCode
from medgemma_tui.launch import STARTING_GRACE_S
from medgemma_tui.privacy.open_sockets import own_inet_sockets
from medgemma_tui.privacy.watch import Watch
from medgemma_tui.protocol import ChatRequest, ErrorInfo, TokenizeRequest
from medgemma_tui.tui import messages
from medgemma_tui.tui.reply_batch import ReplyBatch
from medgemma_tui.tui.service import ExistingGateway, Gateway, Service, connect

if TYPE_CHECKING:
    from medgemma_tui.tui.reading import Reading

FIRST_BACKOFF_S = 0.1
LONGEST_BACKOFF_S = 3.0
HEALTH_EVERY_S = 0.4
COUNT_AFTER_S = 0.15
COUNT_WITHIN_S = 5.0
FETCH_WITHIN_S = 60.0
SILENT_AFTER_S = 30.0
RESTARTS = 3
LAST_WORDS_S = 1.0


class Link:
    """One gateway, followed for as long as the app runs. ``post`` takes a message to the app."""

    def __init__(
        self,
        gateway: Gateway,
        post: Callable[[Message], object],
        connector: Callable[[Path], Service] = connect,
        silent_after_s: float = SILENT_AFTER_S,
    ) -> None:
        self.socket: Path | None = None
        self._gateway = gateway
        self._silent_after_s = silent_after_s
        self._grace_until = 0.0
        self.post = post
        self._connector = connector
        self._service: Service | None = None
        self._ready = asyncio.Event()  # the client exists
        self.connected = False
        """Whether the gateway answers."""
        self._ever_connected = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._reply: asyncio.Task[None] | None = None
        self._fetching: asyncio.Task[None] | None = None
        self._health_wanted = asyncio.Event()
        self._count_wanted = asyncio.Event()
        self._count: tuple[int, TokenizeRequest, bool] | None = None
        self._restarts = 0
        self._own = Watch("screen")
        self.given_up: ErrorInfo | None = None
        """Why nothing more is tried."""

    # --- life ---

    def start(self) -> None:
        """Begin. The gateway is started, reached and watched in the background."""
        if not self.stays:
            self._grace_until = asyncio.get_running_loop().time() + STARTING_GRACE_S
        self.spawn(self._open())
        self.spawn(self._follow())
        self.spawn(self._watch_health())
        self.spawn(self._count_loop())

    async def close(self) -> None:
        """End every task, have a service that stays forget our conversation, and close the connections.

        Stopping a gateway of our own is the caller's.
        """
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._service is not None:
            if self.stays and self.connected:
                from medgemma_tui.client import ServiceError

                with contextlib.suppress(ServiceError, TimeoutError):
                    async with asyncio.timeout(LAST_WORDS_S):
                        await self._service.leave()
            await self._service.close()

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run this in the background until it ends or the link is closed; an error of the program's own is told."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.post(messages.Broken(error))

    async def reached(self) -> Service | None:
        """The client, once there is one; None where the gateway could not be started at all.

        Until then the first frame is drawn and httpx is imported.
        """
        await self._ready.wait()
        return self._service

    async def _open(self) -> None:
        try:
            self.socket = socket = await asyncio.to_thread(self._gateway.start)
        except OSError as error:
            self._final(ErrorInfo(type="not_started", message=str(error)), ExitCode.SERVICE_LOST)
            self._ready.set()
            return
        self._service = await asyncio.to_thread(self._connector, socket)
        self._ready.set()

    # --- telemetry: its stream is also how we know that the gateway lives ---

    async def _follow(self) -> None:
        service = await self.reached()
        if service is None:
            return
        from medgemma_tui.client import ServiceError

        backoff = FIRST_BACKOFF_S
        while True:
            error = ErrorInfo(type="interrupted", message="the telemetry stream ended")
            try:
                stream = service.telemetry()
                while True:
                    async with asyncio.timeout(self._silent_after_s):
                        telemetry = await anext(stream)
                    if not self.connected:
                        self.connected = self._ever_connected = True
                        backoff = FIRST_BACKOFF_S
                        self.post(messages.Connected())
                        self._health_wanted.set()
                    self.post(messages.TelemetryArrived(telemetry, own_inet_sockets(), self._own.latest()))
            except ServiceError as failure:
                error = failure.info
            except StopAsyncIteration:
                pass
            except TimeoutError:
                error = ErrorInfo(type="interrupted", message="the gateway has gone silent")
            if await self._gone(error):
                return
            await asyncio.sleep(backoff)
            backoff = min(backoff * 2, LONGEST_BACKOFF_S) if self._ever_connected else FIRST_BACKOFF_S

    async def _gone(self, error: ErrorInfo) -> bool:
        """Tell the app, restart a private gateway that was killed. True when nothing more can be tried."""
        was, self.connected = self.connected, False
        code = self._gateway.exit_code()
        if code is not None:
            if code >= 0 or self._restarts >= RESTARTS:
                self._final(self._last_words(code), code if code > 0 else ExitCode.SERVICE_LOST)
                return True
            self._restarts += 1
            try:
                await asyncio.to_thread(self._gateway.stop)
                await asyncio.to_thread(self._gateway.start)
            except OSError as failure:
                self._final(ErrorInfo(type="not_started", message=str(failure)), ExitCode.SERVICE_LOST)
                return True
        if was or not self._starting:
            self.post(messages.Disconnected(error))
        return False

    def _last_words(self, code: int) -> ErrorInfo:
        """Why a gateway of our own ended by itself."""
        if code == ExitCode.SERVICE_LOST:
            return ErrorInfo(type="failed", message="the worker's restart budget is used up")
        return ErrorInfo(type="not_started", message=self._gateway.last_error())

    def _final(self, error: ErrorInfo, code: int) -> None:
        self.given_up = error
        self.post(messages.Disconnected(error, exit_code=code))

    @property
    def service(self) -> Service | None:
        """The client, where there is one by now."""
        return self._service

    @property
    def stays(self) -> bool:
        """Whether the gateway is somebody else's and lives on when this screen ends."""
        return isinstance(self._gateway, ExistingGateway)

    @property
    def _starting(self) -> bool:
        """True while a private gateway may still be on its way up, so that no answer is no news."""
        return not self._ever_connected and asyncio.get_running_loop().time() < self._grace_until

    # --- health ---

    def check_health(self) -> None:
        """Ask for the service's state now, and again until it is ready."""
        self._health_wanted.set()

    async def _watch_health(self) -> None:
        service = await self.reached()
        if service is None:
            return
        from medgemma_tui.client import ServiceError

        while True:
            await self._health_wanted.wait()
            try:
                health = await service.health()
                model = health.model
                if health.reason == "ready":
                    model = model or await service.model()
                    self._health_wanted.clear()
                self.post(messages.HealthArrived(health, model))
            except ServiceError:
                self._health_wanted.clear()  # the telemetry stream tells when the gateway is back
            await asyncio.sleep(HEALTH_EVERY_S)

    # --- the reply ---

    def ask(self, turn_id: int, request: ChatRequest) -> None:
        """Stream the reply to this request as the turn's. One reply at a time."""
        self._reply = self.spawn(self._stream(turn_id, request))

    def stop_reply(self) -> None:
        """Leave the reply; the gateway cancels it when we hang up."""
        if self._reply is not None:
            self._reply.cancel()

    async def _stream(self, turn_id: int, request: ChatRequest) -> None:
        service = await self.reached()
        if service is None or self.given_up is not None:
            self.post(messages.ReplyEnded(turn_id, self.given_up))
            return
        from medgemma_tui.client import ServiceError

        batch = ReplyBatch(turn_id, self.post)
        error: ErrorInfo | None = None
        while True:
            try:
                async for chunk in service.stream(request):
                    batch.add(chunk)
            except ServiceError as failure:
                if failure.info.type == "unreachable" and self._starting and self._gateway.exit_code() is None:
                    await asyncio.sleep(FIRST_BACKOFF_S)
                    continue
                error = failure.info
            finally:
                batch.flush()
            self.post(messages.ReplyEnded(turn_id, error))
            if error is not None:
                self._health_wanted.set()
            return

    # --- one answer beside the conversation ---

    def fetch(self, ticket: int, request: ChatRequest) -> None:
        """Have this answered beside the conversation; the newest request wins. It is given up after a minute."""
        self.stop_fetch()
        self._fetching = self.spawn(self._fetch(ticket, request))

    def stop_fetch(self) -> None:
        """Leave it; the gateway cancels it when we hang up."""
        if self._fetching is not None:
            self._fetching.cancel()

    async def _fetch(self, ticket: int, request: ChatRequest) -> None:
        from medgemma_tui.client import ServiceError

        service, text, error = self._service, "", self.given_up
        if service is None or error is not None:
            error = error or ErrorInfo(type="unreachable", message="not connected")
        else:
            try:
                async with asyncio.timeout(FETCH_WITHIN_S):
                    async for chunk in service.stream(request):
                        text += "".join(choice.delta.content or "" for choice in chunk.choices)
            except ServiceError as failure:
                error = failure.info
            except TimeoutError:
                error = ErrorInfo(type="timeout", message="no answer in time")
        self.post(messages.AnswerArrived(ticket, text, error))

    # --- reading a text ---

    def read(self, ticket: int, work: Callable[[], Reading]) -> None:
        """Do this reading in a thread."""
        self.spawn(self._read(ticket, work))

    async def _read(self, ticket: int, work: Callable[[], Reading]) -> None:
        from medgemma_tui.clinical.tables import TableError

        try:
            self.post(messages.TextRead(ticket, await asyncio.to_thread(work)))
        except TableError as error:
            self.post(messages.TextRead(ticket, None, str(error)))

    # --- counting ---

    def count(self, ticket: int, request: TokenizeRequest, *, now: bool = False) -> None:
        """Count this, soon: the newest request wins, and one is in flight at a time."""
        self._count = (ticket, request, now)
        self._count_wanted.set()

    async def _count_loop(self) -> None:
        service = await self.reached()
        if service is None:
            return
        from medgemma_tui.client import ServiceError

        while True:
            await self._count_wanted.wait()
            if self._count is not None and not self._count[2]:
                await asyncio.sleep(COUNT_AFTER_S)  # what is typed meanwhile is counted with it
            self._count_wanted.clear()
            if self._count is None:
                continue
            (ticket, request, _now), self._count = self._count, None
            try:
                async with asyncio.timeout(COUNT_WITHIN_S):
                    reply = await service.tokenize(request)
                self.post(messages.Counted(ticket, reply))
            except ServiceError as failure:
                self.post(messages.Counted(ticket, None, failure.info))
            except TimeoutError:  # what waits for the count goes on with an estimate
                self.post(messages.Counted(ticket, None, ErrorInfo(type="timeout", message="no count in time")))
