"""A gateway before the stub engine, for what needs an engine that does as it is told."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest
from gateway_running import Engine, Running, short_directory


@pytest.fixture(scope="session")
def stubbed():
    """A gateway with two places and a queue of three, before a stub engine. ``.engine``, ``.gateway``."""
    directory = short_directory()
    engine = Engine(directory)
    gateway = Running(engine_socket=engine.socket, slots=2, queue_limit=3, session_max_bytes=4096)
    try:
        yield SimpleNamespace(engine=engine, gateway=gateway.ready())
    finally:
        gateway.stop()
        engine.stop()
        shutil.rmtree(directory)
