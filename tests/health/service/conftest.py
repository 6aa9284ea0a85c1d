"""Gateways whose model process, or engine, does as it is told."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from gateway_running import Engine, Running, listens, short_directory, wait_for

SCRIPTED = Path(__file__).with_name("scripted.py")
READY = {"status": "ok", "reason": "ready", "model": {"id": "stub", "max_model_len": 4096}}


@pytest.fixture
def scripted() -> Iterator[Callable[..., Path]]:
    """Starts a program that answers as given on a socket: the socket's path."""
    directory = short_directory()
    started: list[subprocess.Popen[bytes]] = []

    def start(**paths: object) -> Path:
        socket = directory / f"{len(started)}.sock"
        answers = {("/health" if name == "health" else f"/v1/{name}"): body for name, body in paths.items()}
        started.append(subprocess.Popen([sys.executable, "-I", str(SCRIPTED), str(socket), json.dumps(answers)]))
        wait_for(lambda: listens(socket), what="its socket")
        return socket

    yield start
    for process in started:
        process.kill()
        process.wait()
    shutil.rmtree(directory)


@pytest.fixture
def with_worker() -> Iterator[Callable[..., Running]]:
    """Starts a real gateway whose model process answers /health as given and, where told, ends with an exit code."""
    started: list[Running] = []

    def start(health: dict[str, object], *end: object, **settings: object) -> Running:
        words = [str(SCRIPTED), "{socket}", json.dumps({"/health": health}), *map(str, end)]
        patch = (
            "import sys; from medgemma_tui.gateway import serve, supervisor; supervisor.RestartBudget.FIRST_S = "
            f"{settings.pop('pause_s', 60.0)}; serve.worker_command = lambda settings, socket: supervisor.Command("
            f"[sys.executable, '-I', *[word if word != '{{socket}}' else str(socket) for word in {words!r}]], "
            "{}, socket)"
        )
        started.append(Running("--demo", patch=patch, **settings).listening())
        return started[-1]

    yield start
    for running in started:
        running.stop()


@pytest.fixture(scope="module")
def engine() -> Iterator[SimpleNamespace]:
    """A gateway with one place, a queue of two and room for 4 KiB parked, before a stub engine."""
    directory = short_directory()
    stub = Engine(directory)
    limits = {"slots": 1, "queue_limit": 2, "parked_total_bytes": 4096, "session_max_bytes": 4096}
    audit = {"audit_dir": directory / "audit", "audit_key": directory / "audit.key"}
    gateway = Running(engine_socket=stub.socket, telemetry_interval_s=0.2, **audit, **limits)
    settings = {"engine_socket": stub.socket, "telemetry_interval_s": 0.2, **limits}
    try:
        yield SimpleNamespace(
            gateway=gateway.ready(), socket=gateway.socket, settings=settings, key=directory / "audit.key"
        )
    finally:
        gateway.stop()
        stub.stop()
        shutil.rmtree(directory)
