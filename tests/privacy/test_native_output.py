"""What a native library prints gets nowhere; what we print does."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys

import psutil
import pytest

from medgemma_tui.privacy import native_output

MARKER = "患者 MARKER-7731 Zhang San"

SERVING = """
import faulthandler, logging, os, sys, time
from medgemma_tui import crash
from medgemma_tui.privacy import native_output
own = native_output.keep_own()
crash.log_to(own)
faulthandler.enable(own)
os.write(2, b"loading: passes\\n")
native_output.withhold(1, 2)
{body}
logging.getLogger("own").warning("our own log passes")
print("python's own stderr passes", file=sys.stderr)
{end}
"""


def serving(body: str, end: str = "time.sleep(0.5)") -> subprocess.CompletedProcess[str]:
    """A serving process whose library does ``body``: its output, of both descriptors."""
    code = SERVING.format(body=body, end=end)
    return subprocess.run(
        [sys.executable, "-I", "-c", code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30
    )


def test_a_serving_process_withholds_what_its_libraries_print():
    both = f"os.write(2, {MARKER!r}.encode()); os.write(1, {MARKER!r}.encode())"
    log = serving(f"{both}; os.system('echo {MARKER}; echo {MARKER} >&2')").stdout
    assert "MARKER" not in log
    assert "loading: passes" in log
    assert "our own log passes" in log
    assert "python's own stderr passes" in log
    size = 4 * len(MARKER.encode()) + 2
    assert f"a native library wrote {size} bytes (withheld)" in log


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (
            f"thread '<unnamed>' panicked at src/tokenizer/mod.rs:1012:38:\nbyte index 3 is not in `{MARKER}`",
            "panicked at src/tokenizer/mod.rs:1012:38",
        ),
        (f"thread 'main' panicked at '{MARKER}', src/lib.rs:7:9\nnote", "panicked at src/lib.rs:7:9"),
        (f"CUDA error: an illegal memory access was encountered {MARKER}", "an illegal memory access was encountered"),
        (f"{MARKER} CUBLAS_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED"),
        (f"malloc(): corrupted top size\n{MARKER}", "malloc(): corrupted top size"),
    ],
)
def test_what_is_known_of_it_is_told_and_no_more(written, told):
    assert native_output.known(written.encode()) == [told]


@pytest.mark.parametrize(
    "text", [MARKER, "panicked at 张三 of room 3:12:4", "free(): zhang san", "CUDA error: zhang san"]
)
def test_words_of_a_text_are_not_known(text):
    assert native_output.known(text.encode()) == []


def test_a_crash_is_told_by_faulthandler_all_the_same():
    """Its place in our code, in our own log; the library's last words are withheld."""
    done = serving(f"os.write(2, {MARKER!r}.encode())", end="import ctypes\nctypes.string_at(0)")
    assert done.returncode == -11
    assert "Segmentation fault" in done.stdout
    assert "MARKER" not in done.stdout


def test_a_flood_neither_blocks_nor_fills_the_log():
    """Of a library that holds Python's lock while it prints more than the pipe has room for."""
    body = (
        "import ctypes\nwrite = ctypes.PyDLL(None).write\n"  # PyDLL keeps the lock
        "for _ in range(64): write(2, b'x' * 65536, 65536)\n"
    )
    done = serving(body, end="time.sleep(1.5)")
    assert done.returncode == 0
    assert 1 <= done.stdout.count("a native library wrote") <= 4
    assert len(done.stdout) < 2000


SCREEN = """
import os, sys
from medgemma_tui.privacy import native_output
with native_output.withheld():
    os.write(2, {marker!r}.encode())
    os.system("echo {marker} >&2")
    sys.__stderr__.write("the screen's picture\\n")
    sys.__stderr__.flush()
    print(sys.__stderr__.isatty(), file=sys.stderr)
{after}
"""


def on_terminal(code: str) -> str:
    """All that a terminal gets of a program."""
    master, slave = pty.openpty()
    with subprocess.Popen([sys.executable, "-I", "-c", code], stdin=slave, stdout=slave, stderr=slave) as program:
        os.close(slave)
        seen = b""
        while True:
            assert select.select([master], [], [], 20)[0]
            try:
                data = os.read(master, 65536)
            except OSError:
                break
            seen += data
        program.wait(10)
    os.close(master)
    return seen.decode()


def test_the_screen_is_drawn_and_a_library_is_not():
    after = "os.write(2, b'restored\\n'); print('too', file=sys.stderr)"
    seen = on_terminal(SCREEN.format(marker=MARKER, after=after))
    assert "MARKER" not in seen
    told = f"A system library wrote {2 * len(MARKER.encode()) + 1} bytes to the terminal, which were withheld."
    assert seen.splitlines() == ["the screen's picture", "True", told, "restored", "too"]


def test_after_a_crash_of_the_screen_stderr_is_as_before():
    code = SCREEN.replace("    print(", "    raise RuntimeError('crash')\n    print(").format(marker=MARKER, after="")
    seen = on_terminal(code)
    assert "MARKER" not in seen
    assert "RuntimeError" in seen


def test_nothing_is_said_where_there_was_nothing():
    assert on_terminal("from medgemma_tui.privacy import native_output\nwith native_output.withheld(): pass") == ""


@pytest.mark.engine
def test_serving_processes_write_nowhere(gateway):
    """The real ones: descriptors 1 and 2 of gateway and worker are a pipe that ends in themselves."""
    worker = gateway.health()["worker_pid"]
    for pid in (psutil.Process(worker).ppid(), worker):
        ends = {os.readlink(f"/proc/{pid}/fd/{number}") for number in (1, 2)}
        assert len(ends) == 1
        assert ends.pop().startswith("pipe:")
    assert "sealed: " in gateway.log.read_text()
