"""The real program on a real pty: the bytes terminals send, the bytes they get, and how it ends."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys

import psutil
import pyte
import pytest
from gateway_running import short_directory

from tests.benchmarks.terminal import Terminal
from tests.tui.pty_session import Session, left_clean

pytestmark = pytest.mark.e2e

PUTTY = {1: "\x1b[11~", 2: "\x1b[12~", 3: "\x1b[13~", 4: "\x1b[14~", 5: "\x1b[15~"}
XTERM = {1: "\x1bOP", 2: "\x1bOQ", 3: "\x1bOR", 4: "\x1bOS", 5: "\x1b[15~"}
LINUX = {1: "\x1b[[A", 2: "\x1b[[B", 3: "\x1b[[C", 4: "\x1b[[D", 5: "\x1b[[E"}
TWINS = {1: "\x07", 2: "\x14", 3: "\x0f", 4: "\x06", 5: "\x0e"}


@pytest.fixture
def session(scripted):
    """Open sessions; what is still running at the end is ended, and nothing is parked when one begins."""
    opened = []
    scripted.gateway.http.delete("/v1/session").raise_for_status()

    def start(*arguments, **options):
        opened.append(Session(*arguments, **options))
        return opened[-1]

    yield start
    for each in opened:
        each.pty.close()


@pytest.mark.parametrize(
    ("term", "keys"),
    [("xterm", PUTTY), ("xterm-256color", XTERM), ("linux", LINUX), ("xterm", TWINS), ("linux", TWINS)],
    ids=["putty", "xterm", "linux console", "twins on xterm", "twins on linux"],
)
def test_function_keys_and_their_twins_arrive(session, scripted, term, keys):
    it = session("--socket", str(scripted.socket), term=term)
    it.until("stub loaded")
    it.type(keys[1])
    it.until("You are in the question")
    it.type("\x1b")
    it.until("You are in the question", gone=True)
    it.type("n=2\r")
    it.until("w0 w1")
    it.type(keys[2])
    it.until("why")
    it.type(keys[3])
    it.until("R check now")
    it.type("\x1b")
    it.until("R check now", gone=True)
    it.type(keys[4])
    it.until("Patient card")
    it.type("62 kg\x1b")
    it.until("Patient card", gone=True)
    it.type(keys[5])
    it.until("New patient: wipe")
    it.type("y")
    it.until("everything was wiped")
    it.until("New patient: wipe", gone=True)
    assert "w0 w1" not in it.text()
    it.type("\x04")
    assert it.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_leave_the_terminal_as_it_was(session, scripted, number):
    it = session("--socket", str(scripted.socket))
    it.until("stub loaded")
    os.kill(it.pty.pid, number)
    assert it.end() == 128 + number
    assert left_clean(bytes(it.pty.seen))


def test_a_terminal_that_goes_away_ends_program_gateway_and_worker(scripted):
    directory = short_directory()  # the worker's socket has a long name of its own
    it = Session("--demo", XDG_RUNTIME_DIR=str(directory))
    it.until("DEMO, NOT MEDICAL")
    it.until("sealed")
    family = it.pty.process.children(recursive=True)
    assert family
    os.close(it.pty.master)
    _gone, alive = psutil.wait_procs([it.pty.process, *family], timeout=15)
    assert not alive
    assert not [entry for entry in (directory / "medgemma").iterdir() if entry.name.isdigit()]
    shutil.rmtree(directory)


def test_a_crash_shows_no_patient_text(session, scripted, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text(
        "import sys\n"
        "from medgemma_tui.tui.commands import Screen\n"
        "def crash(self):\n"
        "    secret = self.chat.draft\n"
        "    raise ValueError(f'while handling {secret}')\n"
        "Screen.action_toggle_trace = crash\n"
        "from medgemma_tui.__main__ import main\n"
        "main()\n"
    )
    it = session("--socket", str(scripted.socket))
    it.pty.close()
    it.pty = Terminal([sys.executable, str(broken), "--lang", "en", "--socket", str(scripted.socket)])
    it.screen, it.fed = pyte.Screen(120, 36), 0
    it.stream = pyte.ByteStream(it.screen)
    it.until("stub loaded")
    it.type("Mrs Zhang")
    it.until("Mrs Zhang")
    it.type("\x14")
    assert it.end() == 1
    after = bytes(it.pty.seen).rpartition(b"\x1b[?1049l")[2].decode()
    assert "ValueError" in after
    assert "(id " in after
    assert "crash" in after
    assert "Zhang" not in after
    assert left_clean(bytes(it.pty.seen))


def test_the_environment_opens_nothing(session, scripted, tmp_path):
    log, picture = tmp_path / "log", tmp_path / "pictures"
    it = session(
        "--socket", str(scripted.socket), TEXTUAL_LOG=str(log), TEXTUAL_SCREENSHOT="1",
        TEXTUAL_SCREENSHOT_LOCATION=str(picture), TEXTUAL_DRIVER="no.such:Driver", TEXTUAL_PRESS="x,y",
        TEXTUAL="devtools,debug",
    )  # fmt: skip
    it.until("stub loaded")
    it.pty.read(1.5)
    assert not log.exists()
    assert not picture.exists()


def test_bytes_that_are_not_utf8_do_not_end_it(session, scripted):
    it = session("--socket", str(scripted.socket))
    it.until("stub loaded")
    os.write(it.pty.master, b"\xff\xfe\xc3(abc")
    it.until("(abc")


def test_sizes_down_to_nothing_and_a_storm_of_them(session, scripted):
    import fcntl
    import struct
    import termios

    it = session("--socket", str(scripted.socket), columns=80, rows=24)
    it.until("stub loaded")

    def resize(columns, rows):
        fcntl.ioctl(it.pty.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    storm = [(20, 6), (200, 60), (1, 1), (80, 24), (10, 3), (99, 30), (101, 30), (5, 50)]
    for pause in (0.25, 0.02, 0.02, 0.02):  # each size drawn, then faster than it can draw
        for size in [*storm, *((columns, 24) for columns in range(1, 9))]:
            resize(*size)
            it.pty.read(pause)
        it.type("糖尿病 n=2")  # and again with a draft
    resize(80, 24)
    it.type(" still here")
    it.until("still here")


def test_neither_torch_nor_transformers_is_loaded(session, scripted):
    it = session("--socket", str(scripted.socket))
    it.until("stub loaded")
    it.type("n=2\r")
    it.until("w0 w1")
    maps = [entry.path for entry in it.pty.process.memory_maps()]
    assert not [path for path in maps if re.search(r"torch|transformers|numpy|bitsandbytes", path)]
    assert it.pty.process.memory_info().rss < 90 * 2**20


def test_it_needs_a_terminal():
    done = subprocess.run(
        [sys.executable, "-m", "medgemma_tui"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "no terminal" in done.stderr
