"""From exec to the first usable frame: a key pressed at once is on the screen. And the memory the screen takes."""

from __future__ import annotations

import statistics
import sys

from tests.benchmarks.figures import Figure
from tests.benchmarks.terminal import terminal

ROUNDS = 7


def run() -> list[Figure]:
    """Seconds and MB of the real program on the demo model, gateway and worker loading beside it."""
    command = [sys.executable, "-m", "medgemma_tui", "--demo", "--lang", "en"]
    seconds, megabytes = [], []
    for _round in range(ROUNDS):
        with terminal(command) as screen:
            screen.type("qzj")
            shown = screen.read(20.0, until=b"qzj")
            if shown is None:
                raise RuntimeError(
                    "the typed key never appeared: " + bytes(screen.seen[-500:]).decode(errors="replace")
                )
            seconds.append(shown - screen.started)
            screen.read(4.0)
            megabytes.append(screen.process.memory_info().rss / 2**20)
    return [
        Figure("screen, exec to first usable frame", statistics.median(seconds), "s", 0.8, "at most"),
        Figure("screen, resident memory", statistics.median(megabytes), "MB", 90, "at most"),
    ]
