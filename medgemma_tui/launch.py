"""Finding the gateway: the installed service's socket, or a private gateway that lives as long as this process.

A private gateway is the same program (``medgemma-tui serve --private``) under a 0700 directory of its own. It ends
when its standard input closes, so that it cannot outlive us, however we die.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from medgemma_tui.child_environment import kept
from medgemma_tui.settings import SERVICE_SOCKET, Settings, run_dir

if TYPE_CHECKING:
    from medgemma_tui.client import Client

STARTING_GRACE_S = 30.0
"""Seconds that a private gateway may take until its socket answers."""
_LAST_WORDS_S = 1.0
_TERMINALS = ("TERM", "SSH_", "TMUX", "STY", "NOTIFY_", "LISTEN_", "WATCHDOG_")


def gateway_environment() -> dict[str, str]:
    """What a private gateway gets to see: what we run with ourselves, without what only a terminal's user needs."""
    return {name: value for name, value in kept(os.environ).items() if not name.startswith(_TERMINALS)}


def service_socket(settings: Settings) -> Path | None:
    """The socket of a gateway that is already there, or None where a private one must be started."""
    if settings.socket is not None:
        return settings.socket
    if settings.demo or settings.model is not None:
        return None
    try:
        SERVICE_SOCKET.stat()
    except PermissionError:  # there is a service, and not for this user: told by the call, not replaced by the demo
        return SERVICE_SOCKET
    except OSError:
        return None
    return SERVICE_SOCKET


class PrivateGateway:
    """A gateway and worker of our own, started by ``start`` and ended by ``stop`` or by our death."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self.directory = run_dir() / str(os.getpid())
        self.socket = self.directory / "gateway.sock"
        self.log = self.directory / "gateway.log"

    def __enter__(self) -> PrivateGateway:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> Path:
        """Start it and return its socket's path at once; the socket itself appears a moment later."""
        _remove_dead(self.directory.parent)
        # Process ids come round: what lies here was left by one that is dead, or by our own gateway that was killed.
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(mode=0o700, exist_ok=True)
        # -I: a module in the working directory, or under PYTHONPATH, must not run in place of ours.
        command = [sys.executable, "-I", "-m", "medgemma_tui", "serve", "--private", "--socket", str(self.socket)]
        if not self._settings.uses_engine:
            model = self._settings.model
            command += ["--demo"] if self._settings.uses_demo or model is None else ["--model", str(model)]
        # The log can hold no prompt text: gateway and worker never write any. It goes with the directory.
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=gateway_environment(),
                start_new_session=True,  # Ctrl+C in the terminal is the screen's to handle
            )
        return self.socket

    def exit_code(self) -> int | None:
        """The gateway's exit code, None while it runs."""
        return self._process.poll() if self._process is not None else None

    def last_error(self) -> str:
        """The last error in the gateway's log, or its last line, or its exit code."""
        lines: list[str] = []
        with contextlib.suppress(OSError):
            lines = self.log.read_text(errors="replace").splitlines()[-50:]
        errors = [line for line in lines if " ERROR " in line]
        return (errors or lines or [f"exit code {self.exit_code()}"])[-1]

    def stop(self) -> None:
        """End it, wait for it, remove its directory. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(timeout=8)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


def _remove_dead(parent: Path) -> None:
    """Remove the directories of screens that were killed before they could tidy up."""
    for directory in parent.iterdir():
        if directory.name.isdigit() and not Path("/proc", directory.name).exists():
            shutil.rmtree(directory, ignore_errors=True)


@contextlib.asynccontextmanager
async def service(settings: Settings) -> AsyncIterator[Client]:
    """A client of the gateway for commands without a screen, starting a private gateway where none is there.

    A service that stays is told to forget the conversation at the end, however that comes. Raises ServiceError
    ``not_started`` when a private gateway does not come up, with the reason its log gives.
    """
    from medgemma_tui.client import Client, ServiceError
    from medgemma_tui.protocol import ErrorInfo

    existing = service_socket(settings)
    if existing is not None:
        async with Client(existing) as client:
            try:
                yield client
            finally:
                with contextlib.suppress(ServiceError, TimeoutError):
                    async with asyncio.timeout(_LAST_WORDS_S):
                        await client.leave()
        return
    with PrivateGateway(settings) as gateway:
        end = asyncio.get_running_loop().time() + STARTING_GRACE_S
        while not gateway.socket.exists():
            if gateway.exit_code() is not None or asyncio.get_running_loop().time() > end:
                raise ServiceError(0, ErrorInfo(type="not_started", message=gateway.last_error()))
            await asyncio.sleep(0.05)
        async with Client(gateway.socket) as client:
            yield client
