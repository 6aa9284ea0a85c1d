"""Hostile text from a model and from a paste, through the real program on a pty: none of it reaches the terminal."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyte
import pytest

from tests.benchmarks.terminal import Terminal, terminal
from tests.e2e.hostile_engine import ATTACKS, PLAIN

pytestmark = pytest.mark.e2e

# What must not be in the bytes, Textual's own pointer shape (OSC 22) taken out. It sends no other OSC by itself.
OWN = re.compile(rb"\x1b\]22;[a-z-]*\x07")
FORBIDDEN = [
    b"\x1b]52", b"\x1b]8;", b"\x1b]0;", b"\x1b]2;", b"\x1b[6n", b"\x1bPq", b"\x07",
    *(char.encode() for char in "\x9b\x9d\x9c\u202e\u202c\u2066\u2069\u200b\u2060\ufeff"),
]  # fmt: skip


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Path]:
    """The hostile engine's socket."""
    path = tmp_path / "engine.sock"
    process = subprocess.Popen([sys.executable, "-m", "tests.e2e.hostile_engine", str(path)])
    while not path.exists():
        assert process.poll() is None
        time.sleep(0.05)
    yield path
    process.kill()
    process.wait()


def _shown(screen: Terminal) -> str:
    display = pyte.Screen(120, 36)
    pyte.ByteStream(display).feed(bytes(screen.seen))
    return "\n".join(display.display)


def _check(seen: bytes) -> None:
    left = OWN.sub(b"", seen)
    for sequence in FORBIDDEN:
        assert sequence not in left, f"{sequence!r} reached the terminal"


def test_hostile_answers_and_pastes_do_not_reach_the_terminal(engine: Path) -> None:
    command = [sys.executable, "-m", "medgemma_tui", "--lang", "en"]
    with terminal(command, env={"MEDGEMMA_ENGINE_SOCKET": str(engine)}) as screen:
        screen.read(3.0)
        for attack in ATTACKS.values():
            screen.type(f"\x1b[200~{attack}\x1b[201~")  # bracketed paste, as a terminal sends it
        screen.read(1.0)
        screen.type(" what then?\r")
        assert screen.read(30.0, until=b"THE END") is not None, _shown(screen)
        screen.type("\x1b[12~")  # F2: the trace
        screen.read(2.0)
        assert PLAIN in _shown(screen)
        seen = bytes(screen.seen)
        assert seen.count(b"\x1b[?1049l") == 0  # still on the alternate screen
    _check(seen)
