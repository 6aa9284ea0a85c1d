"""The gateway as a process: its socket, its worker, its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket as sockets
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import uvicorn
import uvloop

from medgemma_tui import crash, model_dir
from medgemma_tui.exits import ExitCode
from medgemma_tui.gateway import roles
from medgemma_tui.gateway.app import Gateway
from medgemma_tui.gateway.audit_store import AuditStore
from medgemma_tui.gateway.auditing import Auditor, own_entry
from medgemma_tui.gateway.board import Board, Signal
from medgemma_tui.gateway.chronicle import ModelWatch, seal_record
from medgemma_tui.gateway.connection import protocol_for
from medgemma_tui.gateway.engine import EngineWatch
from medgemma_tui.gateway.launch import model_directory, worker_command
from medgemma_tui.gateway.listen import Listener, ListenError
from medgemma_tui.gateway.supervisor import RestartBudget, Supervisor
from medgemma_tui.gateway.upstream import Upstream
from medgemma_tui.privacy import native_output
from medgemma_tui.privacy.seal import seal
from medgemma_tui.protocol import Health
from medgemma_tui.settings import Settings, SettingsError

log = logging.getLogger(__name__)

_LAST_WORDS_S = 2
_EXPLAINED = (ExitCode.MODEL_INVALID, ExitCode.OUT_OF_MEMORY)


def run(settings: Settings, *, socket: Path, private: bool) -> int:
    """Serve on ``socket`` until told to end; the exit code is a ``ExitCode``.

    ``private``: for this user only whatever ``socket_mode`` says, ends with the end of standard input, and stays
    to explain a model that cannot be loaded, or that there is no memory for; otherwise that ends it, for the service
    manager to see. Raises SettingsError where the settings name a group that is not there.
    """
    closed = seal("gateway")
    native_output.keep_own()
    native_output.withhold(1, 2)
    _log_to_stderr()
    log.info("sealed: %s", closed.summary())
    access = roles.PRIVATE if private else roles.access(settings)
    try:
        with Listener(socket, access.mode) as listener, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_serve(settings, listener, access, private=private))
    except ListenError as error:
        log.error("%s", error)
        return ExitCode.FAILED
    except SettingsError:
        raise
    except Exception as error:
        log.error("the gateway failed: %s", crash.line(error))
        return ExitCode.FAILED


async def _serve(settings: Settings, listener: Listener, access: roles.Access, *, private: bool) -> int:
    crash.watch(asyncio.get_running_loop())
    changed = Signal()
    board = Board(changed)
    foreign = settings.uses_engine
    engine_socket = settings.engine_socket if foreign else None
    upstream = Upstream(engine_socket or listener.worker_socket, foreign=foreign)
    engine: EngineWatch | Supervisor
    if foreign:
        engine = EngineWatch(upstream, board)
    else:
        budget = RestartBudget(settings.restart_limit, settings.restart_window_s)
        command = worker_command(settings, listener.worker_socket)
        directory = model_directory(settings)
        engine = Supervisor(command, board, budget, check=lambda: model_dir.inspect(directory))
    auditor = Auditor(AuditStore(settings), board)
    gateway = Gateway(settings, changed, board, upstream, lambda: engine.pid, auditor, listener.path)
    application = gateway.application(access.policy(os.geteuid(), listener.group))
    server = _Server(
        uvicorn.Config(
            application,
            http=protocol_for(application.door),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=_LAST_WORDS_S,
        )
    )
    auditor.start()
    auditor.later(seal_record(seal("gateway")))  # what ``run`` has closed
    application.start()
    told, abandoned = asyncio.Event(), asyncio.Event()
    _end_when_told(told, abandoned if private else None)
    ending = asyncio.ensure_future(told.wait())
    serving = asyncio.ensure_future(server.serve(sockets=[listener.socket]))
    running = asyncio.ensure_future(engine.run())
    announcing = asyncio.ensure_future(_announce(board, changed))
    watching = asyncio.ensure_future(ModelWatch(board, changed, auditor).run())
    log.info("listening on %s", listener.path)
    _notify("READY=1")
    code = 0
    try:
        waiting = {ending, serving, running}
        while not (ending.done() or serving.done()):
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if running in waiting and running.done():
                waiting.discard(running)
                code = running.result()
                if not (private and code in _EXPLAINED):
                    break
        if serving.done() and not ending.done():
            log.error("the server ended by itself")
            return ExitCode.FAILED
        return ExitCode.OK if ending.done() else code
    finally:
        log.info("ending")
        _notify("STOPPING=1")
        announcing.cancel()
        watching.cancel()
        if not board.final:
            board.put(Health(status="not_ready", reason="failed", detail="the gateway is ending"))
        # The worker first: its open streams end with an error event, and then their connections can close.
        running.cancel()
        ending.cancel()
        await asyncio.gather(running, ending, application.stop(lost=abandoned.is_set()), return_exceptions=True)
        server.should_exit = True
        await asyncio.gather(serving, announcing, watching, return_exceptions=True)
        if answering := set(server.server_state.tasks):  # cancelled now; each has the end of its answer to record
            await asyncio.wait(answering, timeout=_LAST_WORDS_S)
        await auditor.close(own_entry("stop", "ok"))


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the end has more to it than the server's."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield


def _end_when_told(told: asyncio.Event, abandoned: asyncio.Event | None) -> None:
    """Set ``told`` at SIGTERM and SIGINT, and where standard input holds us at its end, with ``abandoned``."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        loop.add_signal_handler(number, told.set)
    if abandoned is not None:
        # A thread, because standard input may be anything: a pipe, a terminal, /dev/null.
        threading.Thread(target=_read_stdin, args=(loop, told, abandoned), name="stdin", daemon=True).start()


def _read_stdin(loop: asyncio.AbstractEventLoop, told: asyncio.Event, abandoned: asyncio.Event) -> None:
    with contextlib.suppress(OSError):
        while os.read(0, 4096):
            pass
    with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile
        loop.call_soon_threadsafe(abandoned.set)
        loop.call_soon_threadsafe(told.set)


async def _announce(board: Board, changed: Signal) -> None:
    """Log each state of the engine, and tell systemd."""
    reason = ""
    while True:
        health = board.health
        if health.reason != reason:
            log.info("%s -> %s", reason or "begin", health.reason)
            reason = health.reason
        percent = "" if health.percent is None else f" {health.percent:.0f} %"
        _notify(f"STATUS={health.reason}{percent}")
        await changed.wait()


def _notify(state: str) -> None:
    """systemd's sd_notify: a datagram to the socket that it names, if it names one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with contextlib.suppress(OSError), sockets.socket(sockets.AF_UNIX, sockets.SOCK_DGRAM) as notify:
            notify.connect("\0" + address[1:] if address.startswith("@") else address)
            notify.sendall(state.encode())


def _log_to_stderr() -> None:
    crash.log_to(sys.stderr)
    for noisy in ("uvicorn.error", "httpx", "httpcore", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
