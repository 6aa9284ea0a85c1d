"""What the checks' tests share: a store, contexts, one check's result in words, a gateway before a scripted engine."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from gateway_running import Running, short_directory

from medgemma_tui import demo
from medgemma_tui.health.context import Context
from medgemma_tui.health.store import Store
from medgemma_tui.settings import Settings

for _name in ("health_examining", "health_scripted_engine"):  # the import mode has no package to import them from
    _file = Path(__file__).parent / f"{_name.removeprefix('health_')}.py"
    _spec = importlib.util.spec_from_file_location(_name, _file)
    sys.modules[_name] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules[_name])

import health_scripted_engine  # noqa: E402


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "health")


@pytest.fixture
def context(store):
    """Makes the context of a new run over the test's store: ``socket``, ``full``, ``new_baseline``; all else are
    settings."""

    def make(*, socket=None, full=False, new_baseline=False, **settings) -> Context:
        settings = Settings(**({"demo": True} if "model" not in settings else {}) | settings)
        return Context(settings, store, phase="health", socket=socket, full=full, new_baseline=new_baseline)

    return make


@pytest.fixture
def model(tmp_path):
    """A directory with the demo model's files, each a link to the shipped one: replace a file, never write into it."""
    directory = tmp_path / "model"
    directory.mkdir()
    for file in demo.model_dir().iterdir():
        try:
            os.link(file, directory / file.name)
        except OSError:  # another file system
            shutil.copy2(file, directory)
    return directory


@pytest.fixture(scope="session")
def _scripted():
    directory = short_directory()
    engine = health_scripted_engine.Engine(directory)
    gateway = Running(engine_socket=engine.socket, slots=1, telemetry_interval_s=0.2)
    try:
        yield SimpleNamespace(engine=engine, gateway=gateway.ready())
    finally:
        gateway.stop()
        engine.close()
        shutil.rmtree(directory)


@pytest.fixture
def scripted(_scripted):
    """A gateway with one place before an engine that says what it is told to: ``.engine``, ``.gateway``."""
    _scripted.engine.reset()
    yield _scripted
    _scripted.engine.reset()
