"""The screen's cost over SSH: bytes while streaming and while idle, CPU and key echo beside 1,000 finished turns."""

from __future__ import annotations

import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.benchmarks.figures import Figure
from tests.benchmarks.terminal import Terminal, terminal

RATE = 30
STREAM_SECONDS = 20.0
KEYS = 60


@contextlib.contextmanager
def _paced(directory: Path) -> Iterator[Path]:
    path = directory / "paced.sock"
    command = [sys.executable, "-m", "tests.benchmarks.paced", str(path), str(RATE), str(STREAM_SECONDS * 3)]
    process = subprocess.Popen(command)
    try:
        while not path.exists():
            time.sleep(0.05)
        yield path
    finally:
        process.kill()
        process.wait()


def _bytes_a_second(screen: Terminal, seconds: float) -> tuple[float, float]:
    """Bytes a second that arrive, and CPU seconds used a second, over this time."""
    before, cpu, began = len(screen.seen), screen.cpu_seconds(), time.perf_counter()
    screen.read(seconds)
    took = time.perf_counter() - began
    return (len(screen.seen) - before) / took, (screen.cpu_seconds() - cpu) / took


def _fresh(socket: Path) -> list[Figure]:
    with terminal([sys.executable, "-m", "medgemma_tui", "--socket", str(socket), "--lang", "zh"]) as screen:
        screen.read(5.0)
        idle, idle_cpu = _bytes_a_second(screen, 12.0)
        screen.type("急性心肌梗死如何处理？\r")
        screen.read(2.0)
        streaming, streaming_cpu = _bytes_a_second(screen, STREAM_SECONDS)
    return [
        Figure("terminal bytes, idle with the GPU panel", idle / 1000, "kB/s", 2, "at most"),
        Figure("terminal bytes, streaming 30 tok/s at 120×36", streaming / 1000, "kB/s", 20, "at most"),
        Figure("CPU of the screen, idle", idle_cpu * 100, "% of a core"),
        Figure("CPU of the screen, streaming", streaming_cpu * 100, "% of a core"),
    ]


def _thousand(socket: Path) -> list[Figure]:
    with terminal([sys.executable, "-m", "tests.benchmarks.thousand", str(socket)]) as screen:
        screen.read(8.0)
        screen.type("急性心肌梗死如何处理？\r")
        screen.read(3.0)
        _bytes, cpu = _bytes_a_second(screen, STREAM_SECONDS)
        echoes = []
        for index in range(KEYS):
            key = chr(0x0410 + index)  # Cyrillic: in no escape sequence and nowhere else on the screen
            pressed = time.perf_counter()
            screen.type(key)
            shown = screen.read(2.0, until=key.encode())
            echoes.append((shown or pressed + 2.0) - pressed)
            screen.read(0.13)
    p95 = statistics.quantiles(echoes, n=20)[-1]
    return [
        Figure("CPU of the screen, 1,000 turns, streaming", cpu * 100, "% of a core", 15, "at most"),
        Figure("key echo p95, 1,000 turns, streaming", p95 * 1000, "ms", 50, "at most"),
    ]


def run() -> list[Figure]:
    """All the screen's figures."""
    with tempfile.TemporaryDirectory() as name, _paced(Path(name)) as socket:
        return _fresh(socket) + _thousand(socket)
