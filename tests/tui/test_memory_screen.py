"""Memory help on the screen: what is shown to whom, and a real process that is really ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from answering import Answering

from medgemma_tui import i18n
from medgemma_tui.memory_choices import Ask, breakdown, choices
from medgemma_tui.protocol import ErrorInfo, GpuProcess, Health
from medgemma_tui.protocol.memory import MemoryHelp, MemoryNote
from medgemma_tui.tui import ending
from medgemma_tui.tui.screens import end_process, memory
from medgemma_tui.tui.screens.end_process import EndProcess
from medgemma_tui.tui.screens.guard import DEAF_S
from medgemma_tui.tui.screens.memory import MemoryScreen
from medgemma_tui.tui.widgets import title_bar

GIB = 1 << 30
NAME = Path(sys.executable).name
COVERED = (96, 40)
"""A terminal that the window covers from side to side."""
MARKER = "MARKER-7f3a-patient"


def medgemma():
    from pathlib import Path

    from medgemma_tui.model_dir import ModelDir

    return ModelDir(
        path=Path("/models/medgemma"), model_type="gemma3", text_only=False, quantization=None, files=(),
        weight_bytes=8_600_000_000, loaded_bytes=2_998_480_896, parameters=3_880_263_168, context_limit=131_072,
        vocab_size=262_208, hidden_size=2560, full_layers=5, sliding_layers=29, sliding_window=1024, heads=8,
        head_dim=256, kv_row_bytes=4096,
    )  # fmt: skip


def short(*holders: GpuProcess, may_end: bool, free: int = 5 * GIB, at: float | None = None) -> MemoryHelp:
    """A card on which the model does not fit, as the gateway reckons it."""
    ask = Ask(medgemma(), 32_768, 8)
    return MemoryHelp(
        at=time.time() if at is None else at, reason="out_of_memory", code="gpu_loading", device="gpu", gpu=0,
        gpu_name="NVIDIA L4", total=24 * GIB, free=free, worker_bytes=0, available=free, need=breakdown(ask),
        smallest=ask.smallest, fits=ask.need() <= free, holders=list(holders),
        choices=choices(ask, free, holders), config="/etc/medgemma/medgemma.toml", may_end=may_end,
        notes=[MemoryNote(kind="text_only", saves=0, saves_on_disk=840_000_000)],
    )  # fmt: skip


class Short(Answering):
    """A service whose model did not get the memory it needs. ``helps`` are given one after the other."""

    def __init__(self, *helps: MemoryHelp) -> None:
        super().__init__("fine")
        self.helps = list(helps)
        self.asked = 0

    async def health(self):
        return Health(status="not_ready", reason="out_of_memory", code="gpu_loading")

    async def memory_help(self):
        self.asked += 1
        return self.helps[min(self.asked, len(self.helps)) - 1]


@pytest.fixture
def opened(screen, tmp_path):
    """Open the screen with the memory window: ``async with opened(help, size=…) as it``; ``it.service``."""
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def open_(*helps: MemoryHelp, **options):
        service = Short(*helps)
        async with screen(tmp_path / "x.sock", connector=lambda _socket: service, **options) as it:
            it.service = service
            await it.until(lambda: it.app.state.health is not None, what="the health")
            await it.app.run_action("memory")
            await it.until(lambda: isinstance(it.app.screen, MemoryScreen), what="the window")
            await it.until(lambda: it.app.screen._help is not None, what="the figures")
            await it.pilot.pause()
            yield it

    return open_


class Sleeper:
    """A process that does nothing, with a marker among its arguments. ``deaf``: it ignores SIGTERM."""

    def __init__(self, *, deaf: bool = False, uid: int | None = None) -> None:
        code = "import signal, sys, time\n"
        code += "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if deaf else ""
        code += "print('up', flush=True)\ntime.sleep(600)"
        command = [sys.executable, "-I", "-c", code, MARKER]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, user=uid)
        self.process.stdout.readline()

    def holder(self, used: int = 12 * GIB, **more) -> GpuProcess:
        return GpuProcess(pid=self.process.pid, user="root", used_bytes=used, **more)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def sleeper():
    made = []

    def make(**options) -> Sleeper:
        made.append(Sleeper(**options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def flat(it) -> str:
    return " ".join(it.text().replace("│", " ").split())


async def asked(it) -> None:
    """Until the question is there to be read."""
    await it.until(lambda: isinstance(it.app.screen, EndProcess) and "Command line:" in flat(it), what="the question")


async def answer(it, key: str) -> None:
    """Answer the question, once it is not deaf any more."""
    await asked(it)
    question = it.app.screen
    await it.pilot.pause(DEAF_S + 0.05)
    await it.press(key)
    await it.until(lambda: it.app.screen is not question, what="the end of the question")  # another may be there now


# --- what is shown, and to whom ---


async def test_the_banner_names_the_way_and_the_window_says_all_of_it(opened, sleeper):
    one = sleeper()
    async with opened(short(one.holder(command=NAME), may_end=True), size=COVERED) as it:
        text = flat(it)
        assert "There is not enough GPU memory to load the model." in text
        assert "Kept: the conversation and the draft on this screen." in text
        assert "Needed: 11.9 GiB for 8 conversations of up to 32,768 tokens" in text
        assert "GPU 0, NVIDIA L4: 5.0 GiB of 24.0 GiB free" in text
        assert f"12.0 GiB · root, process {one.process.pid} ({NAME})" in text
        assert "max_model_len = " in text
        assert "they put these lines into /etc/medgemma/medgemma.toml and restart the service" in text
        assert "A text-only checkpoint saves no memory" in text
        assert MARKER not in text  # the command line is for the question alone
        await it.press("escape")
        assert "What would help: Ctrl+P, GPU memory" in flat(it)


async def test_a_user_sees_the_sum_and_is_offered_no_ending(opened, sleeper):
    together = GpuProcess(pid=0, together=2, used_bytes=14 * GIB)
    async with opened(short(together, may_end=False), size=COVERED) as it:
        text = flat(it)
        assert "14.0 GiB · 2 other processes" in text
        assert "Ask the box's staff to have it freed: 2 other processes, holding 14.0 GiB." in text
        assert "Ending a process of somebody else's is for the box's staff." in text
        assert "Enter ends" not in text
        await it.press("enter", "down", "enter")
        assert isinstance(it.app.screen, MemoryScreen)


async def test_a_reply_that_names_a_process_to_a_user_gives_him_no_ending_either(opened, sleeper):
    one = sleeper()
    async with opened(short(one.holder(), may_end=False)) as it:
        await it.press("enter")
        await it.pilot.pause()
        assert isinstance(it.app.screen, MemoryScreen)
        it.app.screen._listed = [one.holder()]  # not even where something would be listed
        it.app.screen.on_option_list_option_selected(SimpleNamespace(option_index=0))
        assert it.app.screen._target is None
    assert one.process.poll() is None


async def test_asking_again_and_a_service_that_refuses(opened):
    async with opened(short(may_end=False), short(may_end=False, free=20 * GIB), size=COVERED) as it:
        await it.press("r")
        await it.until(lambda: "As things stand now it fits." in flat(it), what="the new figures")

        async def refuse():
            from medgemma_tui.client import ServiceError

            raise ServiceError(0, ErrorInfo(type="unreachable", message="x"))

        it.service.memory_help = refuse
        await it.press("r")
        await it.until(lambda: "The service on this box does not answer." in flat(it), what="why there is nothing new")
        assert "As things stand now it fits." in flat(it)


async def test_an_answer_that_ran_out_of_memory_leads_there(answered):
    from medgemma_tui.client import ServiceError

    async with answered("fine") as it:

        async def stream(_request):
            raise ServiceError(200, ErrorInfo(type="out_of_memory", message="x", code="gpu_answering"))
            yield

        async def memory_help():
            return short(may_end=False)

        it.service.stream, it.service.memory_help = stream, memory_help
        await it.ask("What does ECG mean?")
        await it.until(lambda: any("What would help: Ctrl+P, GPU memory" in one for one in it.notices), what="the way")
        await it.press("ctrl+p")
        await it.press(*"memory")
        await it.press("enter")
        await it.until(lambda: isinstance(it.app.screen, MemoryScreen), what="the window")
        await it.until(
            lambda: "The GPU has run out of memory. The conversation is kept." in flat(it), what="what happened"
        )


async def test_help_has_a_page_for_it(opened):
    async with opened(short(may_end=False)) as it:
        await it.press("f1")
        await it.until(lambda: "You are in memory help" in flat(it), what="the help")


# --- a real process, really ended ---


async def test_a_process_ends_after_its_whole_command_line_was_shown(opened, sleeper):
    one = sleeper()
    first, second = short(one.holder(command=NAME), may_end=True), short(may_end=True, free=20 * GIB)
    async with opened(first, second, size=COVERED) as it:
        await it.press("enter")
        await asked(it)
        text = flat(it)
        assert MARKER in text
        assert "time.sleep(600)" in text
        assert f"Process {one.process.pid} of root, started 20" in text
        await it.press("enter")  # too early, and on the safe answer
        await it.until(lambda: f"Process {one.process.pid} was left alone." in flat(it), what="what became of it")
        assert one.process.poll() is None
        assert not [event for event in it.service.events if event[0] == "end_process"]
        await it.press("enter")
        await answer(it, "y")
        await it.until(lambda: one.process.poll() is not None, what="its end")
        assert one.process.returncode == -signal.SIGTERM
        await it.until(lambda: f"Process {one.process.pid} has ended." in flat(it), what="the news")
        await it.until(lambda: "As things stand now it fits." in flat(it), what="the new figures")
        told = {"pid": one.process.pid, "signal": 15}
        await it.until(lambda: ("end_process", "ok", told) in it.service.events, what="the record")


async def test_a_key_typed_before_the_question_opened_ends_nothing(opened, sleeper, monkeypatch):
    monkeypatch.setattr(end_process, "DEAF_S", 60.0)
    one = sleeper()
    async with opened(short(one.holder(), may_end=True)) as it:
        await it.press("enter", "y")
        await it.until(lambda: isinstance(it.app.screen, EndProcess), what="the question")
        await it.press("y", "Y")
        assert isinstance(it.app.screen, EndProcess)
        await it.press("N")
        await it.until(lambda: isinstance(it.app.screen, MemoryScreen), what="the window")
    assert one.process.poll() is None


async def test_force_only_after_a_second_question(opened, sleeper, monkeypatch):
    monkeypatch.setattr(memory, "PATIENCE_S", 0.3)
    one = sleeper(deaf=True)
    async with opened(short(one.holder(), may_end=True), size=COVERED) as it:
        await it.press("enter")
        await answer(it, "y")
        await asked(it)
        assert "It was asked to end and is still there." in flat(it)
        assert "SIGKILL" in flat(it)
        assert one.process.poll() is None
        await it.press("n")
        await it.until(lambda: "was left alone" in flat(it), what="what became of it")
        assert one.process.poll() is None
        await it.press("enter")
        await answer(it, "y")
        await answer(it, "y")
        await it.until(lambda: one.process.poll() is not None, what="its end")
        assert one.process.returncode == -signal.SIGKILL
        told = [counts["signal"] for event, _outcome, counts in it.service.events if event == "end_process"]
        assert told == [15, 15, 9]


async def test_a_process_that_has_gone_and_a_number_that_is_anothers_now(opened, sleeper):
    gone, other = sleeper(), sleeper()
    late = short(other.holder(), may_end=True, at=time.time() - 3600)  # the process is younger than the list
    named = short(other.holder(command="train.py"), may_end=True)
    async with opened(short(gone.holder(), may_end=True), late, named, size=COVERED) as it:
        gone.stop()
        await it.press("enter")
        await it.until(lambda: f"Process {gone.process.pid} has ended already." in flat(it), what="that it is gone")
        await it.until(lambda: str(other.process.pid) in flat(it), what="the new list")
        await it.press("enter")
        changed = f"Process {other.process.pid} is not the one of this list any more: nothing was done."
        await it.until(lambda: changed in flat(it), what="that it is another")
        await it.until(lambda: "train.py" in flat(it), what="the new list")
        await it.press("enter")
        await it.until(lambda: changed in flat(it), what="that it has another name")
    assert other.process.poll() is None


async def test_the_service_and_this_screen_are_never_ended(opened, sleeper):
    worker, child = sleeper(), sleeper()
    mine = GpuProcess(pid=os.getpid(), user="root", used_bytes=GIB)
    shown = short(worker.holder(is_worker=True), child.holder(3 * GIB), mine, may_end=True)
    shown = shown.model_copy(update={"own": [os.getpid()]})  # as if the gateway were this process: a parent of both
    async with opened(shown, size=COVERED) as it:
        for pid in (worker.process.pid, child.process.pid, os.getpid()):
            listing = it.app.screen.query_one("#holders")
            listing.highlighted = [one.pid for one in it.app.screen._listed].index(pid)
            await it.press("enter")
            refused = f"Process {pid} belongs to this service and is not ended from here."
            await it.until(lambda refused=refused: refused in flat(it), what="the refusal")
    assert worker.process.poll() is None
    assert child.process.poll() is None


# --- a number that is given to another process while one decides ---


def reused(pid: int) -> Sleeper | None:
    """A new process with this number, which nobody has; None where the kernel gave it another each time."""
    for _again in range(50):
        Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
        one = Sleeper()
        if one.process.pid == pid:
            return one
        one.stop()
    return None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can choose the next process's number")
def test_a_signal_never_hits_the_process_that_has_the_number_now(sleeper):
    one = sleeper()
    target = ending.take(one.holder(), time.time(), [])
    one.stop()
    assert target.ended
    try:
        other = reused(one.process.pid)
    except OSError as error:
        pytest.skip(f"this kernel does not let a number be chosen: {error.strerror}")
    if other is None:
        pytest.skip("other programs took the number each time")
    try:
        with pytest.raises(ending.CannotEnd) as caught:
            target.send(signal.SIGKILL)
        assert caught.value.why == "gone"
        assert other.process.poll() is None
    finally:
        target.close()
        other.stop()


def test_a_process_that_dies_while_it_is_read_is_not_taken_for_another(sleeper, monkeypatch):
    one = sleeper()
    read = ending._read

    def and_then_it_ends(*arguments):
        found = read(*arguments)
        one.stop()
        return found

    monkeypatch.setattr(ending, "_read", and_then_it_ends)
    with pytest.raises(ending.CannotEnd) as caught:
        ending.take(one.holder(), time.time(), [])
    assert caught.value.why == "gone"
    assert not [fd for fd in os.listdir("/proc/self/fd") if "pidfd" in _link(fd)]


def test_a_strangers_command_line_is_made_safe_and_shown_whole():
    arguments = ["\x1b[2J\x9b31m", "two\nlines", "中文", "x" * 3000, MARKER]
    code = "print('up', flush=True); import time; time.sleep(600)"
    process = subprocess.Popen([sys.executable, "-I", "-c", code, *arguments], stdout=subprocess.PIPE)
    process.stdout.readline()
    try:
        target = ending.take(GpuProcess(pid=process.pid), time.time(), [])
        target.close()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert target.command.isprintable()
    assert "'two lines' '中文'" in target.command
    assert target.command.endswith("x" * 3000 + " " + MARKER)


def _link(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


# --- what the kernel does not allow, as another user ---

_AS_SOMEBODY = """
import os, sys, time
from medgemma_tui.protocol import GpuProcess
from medgemma_tui.tui import ending
pid = int(sys.argv[1])
os.setgroups([]); os.setresgid(48300, 48300, 48300); os.setresuid(48300, 48300, 48300)
try:
    ending.take(GpuProcess(pid=pid, user="root", used_bytes=1), time.time(), [])
except ending.CannotEnd as failure:
    print(failure.why, failure.owner)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_anothers_process_is_not_ended_by_who_may_not(sleeper):
    one = sleeper()
    command = [sys.executable, "-c", _AS_SOMEBODY, str(one.process.pid)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == ["not_allowed", "root"]
    assert one.process.poll() is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_sealed_screen_ends_its_own_users_process():
    """Through the system call filter, without privileges and undumpable, as the real screen runs."""
    code = (
        "import ctypes, os, pyseccomp, signal, subprocess, sys, time\n"  # root's interpreter is not everybody's to read
        "from medgemma_tui import process_limits\n"
        "from medgemma_tui.privacy import control, devices, namespace, system_calls\n"
        "from medgemma_tui.privacy.seal import seal\n"
        "from medgemma_tui.protocol import GpuProcess\n"
        "from medgemma_tui.tui import ending\n"
        "os.setgroups([]); os.setresgid(48300, 48300, 48300); os.setresuid(48300, 48300, 48300)\n"
        "child = subprocess.Popen(['/bin/sleep', '60'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "while open(f'/proc/{child.pid}/cmdline').read() != '/bin/sleep\\0' '60\\0':\n"  # exec names it late
        "    time.sleep(0.01)\n"
        "assert seal('screen').layer('seccomp').holds\n"
        "target = ending.take(GpuProcess(pid=child.pid, user='48300', command='sleep'), time.time(), [])\n"
        "assert target.command == '/bin/sleep 60', target.command\n"
        "assert not target.ended\n"
        "target.send(signal.SIGTERM)\n"
        "assert child.wait(20) == -15\n"
        "assert target.ended\n"
        "print('ended')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    if "No module named 'pyseccomp'" in done.stderr or "assert seal" in done.stderr:
        pytest.skip("this system has no libseccomp")
    assert (done.stdout, done.returncode) == ("ended\n", 0), done.stderr


async def test_each_refusal_is_told(opened, sleeper, monkeypatch):
    one = sleeper()
    refusals = iter(each for each in memory._CANNOT if each != "own")

    def take(process, _told_at, _own):
        raise memory.CannotEnd(next(refusals), process.pid, "carla")

    monkeypatch.setattr(memory, "take", take)
    async with opened(short(one.holder(), may_end=True), size=COVERED) as it:
        for why in [each for each in memory._CANNOT if each != "own"]:
            await it.press("enter")
            told = memory._CANNOT[why].format(pid=one.process.pid, user="carla")
            await it.until(lambda told=told: told in flat(it), what="why not")
    assert one.process.poll() is None


# --- how it looks ---


@pytest.mark.parametrize("lang", ["zh", "en"])
@pytest.mark.parametrize("size", [(80, 24), (120, 36)], ids=lambda size: f"{size[0]}x{size[1]}")
def test_snapshot(snap_compare, monkeypatch, size, lang):
    from medgemma_tui.settings import Settings
    from medgemma_tui.tui import profile
    from medgemma_tui.tui.commands import Screen
    from medgemma_tui.tui.link import ExistingGateway

    holders = [GpuProcess(pid=4711, user="carla", command="train.py", used_bytes=12 * GIB)]
    service = Short(short(*holders, may_end=True, at=1.0))
    i18n.set_language(lang)
    console = profile.choose("auto", {"TERM": "xterm-256color"})
    app = Screen(Settings(box_name="box-3"), ExistingGateway(Path("/x")), console, connector=lambda _socket: service)

    class At1402(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2026, 11, 4, 14, 2, 30, tzinfo=tz)

    monkeypatch.setattr(title_bar, "datetime", At1402)

    async def run_before(pilot):
        while app.state.health is None:
            await pilot.pause(0.02)
        await app.run_action("memory")
        while not isinstance(app.screen, MemoryScreen) or app.screen._help is None:
            await pilot.pause(0.02)
        await pilot.pause()

    assert snap_compare(app, terminal_size=size, run_before=run_before)
