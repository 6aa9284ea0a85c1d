"""Fixtures that several rooms share."""

from __future__ import annotations

import atexit
import importlib.util
import os
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

# Where the other core runs tests too, an example that took longer than usual is no fault.
settings.register_profile("tests", settings.default, deadline=None)
settings.load_profile("tests")

# The size of the terminal that the tests are started from (readline sets it) is not that of the programs they start.
for _name in ("COLUMNS", "LINES"):
    os.environ.pop(_name, None)

# Read when torch is imported. Where something else runs, two threads need twice one thread's CPU time, or far more.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """What ``-n auto`` means: one test process more than cores, for many tests wait for a while; four at most, for each
    may start a demo model. With one core all tests run in pytest's own process."""
    cores = len(os.sched_getaffinity(0))
    return min(cores + 1, 4) if cores > 1 else 0


# --- no test writes an audit log into the home of whoever runs it -----------------------------------------

_state = tempfile.mkdtemp(prefix="mg-state-")
os.environ["XDG_STATE_HOME"] = _state
atexit.register(shutil.rmtree, _state, ignore_errors=True)

# --- NVML: a compiled stand-in for libnvidia-ml.so.1 ------------------------------------------------------


def _helper(name: str, path: str) -> ModuleType:
    """A helper module beside the tests; the importlib import mode has no package to import it from."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).parent / path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def _nvml_built(tmp_path_factory):
    helper = _helper("nvml_stub_helper", "telemetry/nvml.py")
    try:
        return helper, helper.build(tmp_path_factory.mktemp("nvml"))
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.fixture
def nvml_stub(_nvml_built, tmp_path_factory):
    """A stub NVML for subprocesses: ``.env`` to merge into their environment, ``.set(scenario)`` at any time."""
    helper, built = _nvml_built
    return helper.NvmlStub(built, tmp_path_factory.mktemp("nvml_scenario"))


# --- the real gateway and worker on the demo model --------------------------------------------------------

_running = _helper("gateway_running", "gateway/running.py")
_helper("other_users", "gateway/other_users.py")
_helper("answering", "tui/answering.py")
_helper("checked", "tui/checked.py")


@pytest.fixture(scope="session")
def gateway():
    """A real gateway and worker on the demo model, ready, started by the first test that wants it. ``.socket``."""
    running = _running.Running("--demo")
    try:
        yield running.ready()
    finally:
        running.stop()


@pytest.fixture
def small_disk():
    """Needs root, to mount it."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    directory = _running.short_directory()
    try:
        disk = _running.SmallDisk(directory / "disk")
    except _running.NotPossible as reason:
        pytest.skip(str(reason))
    try:
        yield disk
    finally:
        disk.close()
        shutil.rmtree(directory)
