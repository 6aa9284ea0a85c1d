"""The supervisor over real child processes that load, die, hang and refuse to end on command."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import textwrap
import time

import psutil
import pytest
from gateway_running import STUB, short_directory

from medgemma_tui.exits import ExitCode
from medgemma_tui.gateway import launch
from medgemma_tui.gateway.board import Board, Signal
from medgemma_tui.gateway.supervisor import Command, RestartBudget, Supervisor, Timing
from medgemma_tui.model_dir import ModelDirError
from medgemma_tui.settings import Settings

QUICK = Timing(start_s=5.0, hang_s=0.6, end_s=0.5, poll_s=0.02, poll_ready_s=0.05)


class QuickBudget(RestartBudget):
    """The real budget with delays a fiftieth as long."""

    FIRST_S = 0.01


class Watched:
    """A supervisor, its board, and every reason the board has had."""

    def __init__(self, directory, arguments, *, limit=5, window_s=600.0, timing=QUICK, check=lambda: None) -> None:
        self.signal = Signal()
        self.board = Board(self.signal)
        self.reasons = [self.board.health.reason]
        command = Command([sys.executable, "-I", *arguments], {"PATH": os.environ["PATH"]}, directory / "w.sock")
        self.supervisor = Supervisor(command, self.board, QuickBudget(limit, window_s), timing, check)
        self.run = asyncio.ensure_future(self.supervisor.run())
        self._note = asyncio.ensure_future(self._follow())

    async def _follow(self) -> None:
        while True:
            if self.reasons[-1] != self.board.health.reason:
                self.reasons.append(self.board.health.reason)
            await self.signal.wait()

    async def until(self, condition, timeout_s=10.0):
        async with asyncio.timeout(timeout_s):
            while not condition(self.board.health):
                await self.signal.wait()
        await asyncio.sleep(0)
        return self.board.health

    async def end(self) -> None:
        self.run.cancel()
        self._note.cancel()
        await asyncio.gather(self.run, self._note, return_exceptions=True)


@pytest.fixture
async def watched():
    directory = short_directory()
    made = []

    def make(*arguments, script=None, **more):
        if script is not None:
            path = directory / "child.py"
            path.write_text(textwrap.dedent(script))
            arguments = [str(path)]
        else:
            arguments = [str(STUB), str(directory / "w.sock"), *arguments]
        made.append(Watched(directory, arguments, **more))
        return made[-1]

    yield make
    for each in made:
        await each.end()
    shutil.rmtree(directory)


async def test_it_tells_the_load_in_percent_and_then_the_model(watched):
    it = watched("0.3")
    percents = []
    while not it.board.ready:
        await it.until(lambda health: health.reason in ("loading", "ready"))
        percents.append(it.board.health.percent)
        await it.signal.wait()
    assert it.reasons == ["starting", "loading", "ready"]
    loaded = [percent for percent in percents if percent is not None]
    assert loaded == sorted(loaded)
    assert len(loaded) > 1
    assert it.board.health.model.id == "stub"
    assert it.board.health.worker_pid == it.supervisor.pid


async def test_a_killed_worker_is_started_again(watched):
    it = watched()
    first = (await it.until(lambda health: health.reason == "ready")).worker_pid
    os.kill(first, signal.SIGKILL)
    lost = await it.until(lambda health: health.reason == "worker_lost")
    assert "SIGKILL" in lost.detail
    assert lost.retry_in_s is not None
    again = await it.until(lambda health: health.reason == "ready")
    assert again.worker_pid != first
    assert again.restarts == 1
    assert it.reasons == ["starting", "ready", "worker_lost", "starting", "ready"]


async def test_over_the_budget_it_gives_up(watched):
    it = watched("0", "9", "0.05", limit=2)
    assert await it.run == ExitCode.SERVICE_LOST
    health = it.board.health
    assert (health.reason, health.restarts) == ("failed", 2)
    assert "exit code 9" in health.detail
    assert it.supervisor.pid is None


async def test_no_memory_is_a_reason_of_its_own_and_is_tried_again(watched):
    it = watched("0", "4", "0.3", limit=1)
    await it.until(lambda health: health.reason == "out_of_memory" and health.retry_in_s is not None)
    assert not it.board.final
    assert await it.run == ExitCode.OUT_OF_MEMORY
    assert (it.board.health.reason, it.board.health.restarts) == ("out_of_memory", 1)
    assert "given up" in it.board.health.detail
    assert it.board.final  # whoever waits for the model is told now
    assert it.board.refusal().retry_after_s is None


async def test_what_the_worker_said_of_its_memory_is_kept(watched):
    """It may have run on the CPU, and where memory ran out decides what helps."""
    it = watched(
        script=f"""
        import os, sys
        source = open({str(STUB)!r}).read()
        reply = '503, {{"status": "not_ready", "reason": "out_of_memory", "code": "host_loading", '
        reply += '"detail": "out of host memory"}}'
        source = source.replace("def health():", "def health():\\n    return " + reply, 1)
        sys.argv = ["stub", os.path.join(os.path.dirname(os.path.abspath(__file__)), "w.sock"), "0", "4", "0.4"]
        exec(compile(source, "stub", "exec"))
        """,
        limit=0,
    )
    assert await it.run == ExitCode.OUT_OF_MEMORY
    assert it.board.health.code == "host_loading"
    assert it.board.health.detail.startswith("out of host memory;")


async def test_an_invalid_model_is_final_and_its_code_is_kept(watched):
    it = watched(
        script=f"""
        import os, sys
        sys.argv[1:] = ["{{}}"]
        source = open({str(STUB)!r}).read()
        reply = '503, {{"status": "not_ready", "reason": "model_invalid", "code": "does_not_fit", "detail": "too big", '
        reply += '"params": {{"free": "2.0"}}}}'
        source = source.replace("def health():", "def health():\\n    return " + reply, 1)
        sys.argv = ["stub", os.path.join(os.path.dirname(os.path.abspath(__file__)), "w.sock"), "0", "3", "0.4"]
        exec(compile(source, "stub", "exec"))
        """
    )
    assert await it.run == ExitCode.MODEL_INVALID
    health = it.board.health
    assert (health.reason, health.code, health.params) == ("model_invalid", "does_not_fit", {"free": "2.0"})
    assert health.detail == "too big"
    assert health.restarts == 0


async def test_a_model_that_the_check_refuses_is_not_started(watched):
    def check():
        raise ModelDirError("missing", {"path": "/nowhere"})

    it = watched(check=check)
    assert await it.run == ExitCode.MODEL_INVALID
    health = it.board.health
    assert (health.reason, health.code, health.params) == ("model_invalid", "missing", {"path": "/nowhere"})
    assert "/nowhere" in health.detail
    assert it.supervisor.pid is None


async def test_a_worker_that_hangs_is_killed_and_started_again(watched):
    it = watched()
    first = (await it.until(lambda health: health.reason == "ready")).worker_pid
    os.kill(first, signal.SIGSTOP)
    lost = await it.until(lambda health: health.reason == "worker_lost")
    assert "did not answer" in lost.detail
    assert not psutil.pid_exists(first)
    await it.until(lambda health: health.reason == "ready" and health.restarts == 1)


async def test_a_worker_that_never_answers_is_killed(watched):
    it = watched(script="import time; time.sleep(60)", limit=0, timing=Timing(start_s=0.3, end_s=0.5, poll_s=0.02))
    assert await it.run == ExitCode.SERVICE_LOST
    assert "did not answer" in it.board.health.detail


async def test_a_worker_that_fails_slowly_is_not_started_for_ever(watched):
    it = watched("60", "1", "0.3", limit=2, window_s=0.1)  # loads, and fails before it is ready
    assert await it.run == ExitCode.SERVICE_LOST
    assert it.board.health.restarts == 2


async def test_a_load_that_makes_it_silent_is_no_hang(watched):
    """Reading weights from a cold disk can hold up everything; that is not how a ready worker hangs."""
    it = watched(
        script=f"""
        import os, sys, time
        source = open({str(STUB)!r}).read()
        wait = "def health():\\n    global SLEPT\\n    if not SLEPT and time.monotonic() - BORN > 0.2:\\n"
        wait += "        SLEPT = True\\n        time.sleep(2.5)"
        source = "SLEPT = False\\n" + source.replace("def health():", wait, 1)
        sys.argv = ["stub", os.path.join(os.path.dirname(os.path.abspath(__file__)), "w.sock"), "4"]
        exec(compile(source, "stub", "exec"))
        """,
        timing=Timing(start_s=60, hang_s=1.0, end_s=0.5, poll_s=0.02, poll_ready_s=0.02),
    )
    ready = await it.until(lambda health: health.reason in ("ready", "worker_lost"))
    assert (ready.reason, ready.restarts) == ("ready", 0)


async def test_a_signal_without_a_name_is_told_by_number(watched):
    it = watched(script="import os; os.kill(os.getpid(), 40)", limit=0)
    assert await it.run == ExitCode.SERVICE_LOST
    assert "signal 40" in it.board.health.detail


async def test_a_worker_that_cannot_be_started_counts_too(watched):
    it = watched()
    await it.end()
    command = Command(["/nonexistent/python"], {}, short_directory() / "w.sock")
    supervisor = Supervisor(command, it.board, QuickBudget(1, 600), QUICK)
    assert await supervisor.run() == ExitCode.SERVICE_LOST
    assert "cannot be started" in it.board.health.detail
    command.socket.parent.rmdir()


async def test_the_end_takes_a_worker_that_ignores_sigterm_and_its_children(watched):
    it = watched(
        script="""
        import os, signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
        open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "child.pid"), "w").write(str(child.pid))
        time.sleep(60)
        """
    )
    await it.until(lambda _health: True)
    path = it.supervisor._command.socket.parent / "child.pid"
    async with asyncio.timeout(20):
        while not (path.exists() and path.read_text()):  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.02)
    worker, child = psutil.Process(it.supervisor.pid), psutil.Process(int(path.read_text()))
    began = time.monotonic()
    await it.end()
    assert time.monotonic() - began < 10  # of the sixty that it would sleep
    assert not worker.is_running()
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_the_budget_doubles_its_delays_and_forgets_old_restarts():
    now = 0.0
    budget = RestartBudget(3, 60.0, clock=lambda: now)
    assert [budget.take() for _ in range(4)] == [0.5, 1.0, 2.0, None]
    now = 59.9
    assert budget.take() is None
    now = 60.0
    assert budget.take() == 0.5
    slow = RestartBudget(2, 60.0, clock=lambda: now)
    taken = []
    for _ in range(4):
        now += 130  # each life took longer than the window and was never ready
        taken.append(slow.take(was_ready=False))
    assert taken == [0.5, 1.0, None, None]
    assert slow.take(was_ready=True) == 0.5  # one that was ready is a new beginning
    many = RestartBudget(20, 600.0, clock=lambda: now)
    assert [many.take() for _ in range(10)][-3:] == [30.0, 30.0, 30.0]


def test_the_worker_sees_nothing_of_the_environment_that_it_does_not_need(tmp_path):
    environment = launch.worker_environment(
        {"PATH": "/bin", "HTTPS_PROXY": "x", "HF_TOKEN": "x", "PYTHONPATH": "/evil", "LD_PRELOAD": "x", "HOME": "/root",
         "CUDA_VISIBLE_DEVICES": "1", "MEDGEMMA_DEMO": "1", "SSH_ORIGINAL_COMMAND": "x"}, tmp_path,
    )  # fmt: skip
    assert environment["PATH"] == "/bin"
    assert environment["CUDA_VISIBLE_DEVICES"] == "1"
    assert environment["HF_HUB_OFFLINE"] == environment["TRANSFORMERS_OFFLINE"] == "1"
    assert environment["HOME"] == str(tmp_path)
    assert not {"HTTPS_PROXY", "HF_TOKEN", "PYTHONPATH", "LD_PRELOAD", "MEDGEMMA_DEMO"} & environment.keys()


def test_the_worker_is_started_on_the_model_that_the_settings_name(tmp_path):
    command = launch.worker_command(Settings(model=tmp_path, max_model_len=1024, slots=3), tmp_path / "w.sock")
    joined = " ".join(command.arguments)
    assert f"--model {tmp_path} --slots 3 --max-model-len 1024" in joined
    assert "--no-short-cuts" not in command.arguments
    plainly = launch.worker_command(Settings(model=tmp_path, short_cuts=False), tmp_path / "w.sock")
    assert "--no-short-cuts" in plainly.arguments
    demo = launch.worker_command(Settings(model=tmp_path, demo=True), tmp_path / "w.sock")
    assert "/demo/model" in " ".join(demo.arguments)
