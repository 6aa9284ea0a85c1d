"""Hostile text from everywhere, through the real programs on a pty: only what Textual itself makes gets out of it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyte
import pytest

from tests.benchmarks.terminal import Terminal, terminal
from tests.e2e.attacks import ATTACKS, LINE, PASTES, PLAIN
from tests.e2e.hostile_engine import END, label
from tests.e2e.sequences import ENTER, LEAVE, SCREEN, left_clean, unexpected

pytestmark = pytest.mark.e2e

PASTE = "\x1b[200~{}\x1b[201~"
F3, F4, F5, F12 = "\x1b[13~", "\x1b[14~", "\x1b[15~", "\x1b[24~"
ONE_LINE = "".join(char for char in LINE if char not in "\0\n\r\x85")
"""For the environment, paths and scenario files."""


@dataclass(frozen=True)
class Hostile:
    """A box on which everything has an evil name."""

    engine: Path
    directory: Path
    env: dict[str, str]


@pytest.fixture(scope="module")
def hostile(_nvml_built: tuple[Any, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    """The hostile engine on its socket, evil GPU, process, box and directory names."""
    base = Path(tempfile.mkdtemp(prefix="mg-", dir="/tmp"))  # a socket's path may have 107 bytes
    directory = base / "e\x1b]0;p\x07\x9b2J\u202e"
    directory.mkdir(mode=0o700)
    program = directory / "\x1b]0;p\x07\x9b2J"
    program.symlink_to("/bin/sleep")
    helper, built = _nvml_built
    stub = helper.NvmlStub(built, tmp_path_factory.mktemp("hostile_scenario"))
    engine = base / "engine.sock"
    processes = [
        subprocess.Popen([str(program), "600"]),
        subprocess.Popen([sys.executable, "-m", "tests.e2e.hostile_engine", str(engine)]),
    ]
    gib = 1 << 30
    holders = f"self:{gib} {processes[0].pid}:{gib}"
    names = {"0__name": ONE_LINE[:90], "0__mig__0__name": ONE_LINE[90:150], "0__uuid": ONE_LINE[150:220]}
    stub.set("mig", **names, **{"0__compute": holders, "0__mig_mode": "0", "_driver": ONE_LINE[60:130]})
    while not engine.exists():
        assert processes[1].poll() is None
        time.sleep(0.02)
    env = {
        **stub.env,
        "HOME": str(directory),
        "XDG_RUNTIME_DIR": str(directory),
        "MEDGEMMA_BOX_NAME": f"box {ONE_LINE}",
        "OMP_NUM_THREADS": "1",
    }
    yield Hostile(engine, directory, env)
    for process in processes:
        process.kill()
        process.wait()
    shutil.rmtree(base)


def see(screen: Terminal, wanted: str, keys: str = "", timeout_s: float = 12.0) -> None:
    """Press keys and wait for a text in what they bring."""
    if keys:
        screen.type(keys)
    found = screen.read(timeout_s, until=wanted.encode())
    assert found is not None, f"{wanted!r} did not come after {keys!r}\n{shown(screen)}"


def ask(screen: Terminal, question: str, wanted: str) -> None:
    """Ask, and wait for a text in the reply. Enter is pressed again: the answer before may just be ending."""
    screen.type(question)
    for _ in range(60):
        screen.type("\r")
        if screen.read(0.5, until=wanted.encode()) is not None:
            return
    raise AssertionError(f"{wanted!r} did not come after {question!r}\n{shown(screen)}")


def escape(screen: Terminal, wanted: str, keys: str) -> None:
    """Press Esc and then other keys. On a busy machine they may be read together, and be another key; then again."""
    for _ in range(8):
        screen.type("\x1b")
        screen.read(0.3)
        screen.type(keys)
        if screen.read(2.0, until=wanted.encode()) is not None:
            return
    raise AssertionError(f"{wanted!r} did not come after Esc and {keys!r}\n{shown(screen)}")


def shown(screen: Terminal, columns: int = 160, rows: int = 50, *, everything: bool = False) -> str:
    """What a person sees; from the last bytes only, unless ``everything`` is read."""
    display = pyte.Screen(columns, rows)
    seen = bytes(screen.seen if everything else screen.seen[-60_000:])
    pyte.ByteStream(display).feed(re.sub(rb"\x1b\[\?\d+\$p|\x1b\[[<>]\d*u", b"", seen))  # pyte takes these for text
    return "\n".join("".join(display.buffer[y][x].data for x in range(columns)) for y in range(rows))


def missed(screen: Terminal) -> list[str]:
    """The attacks that were not drawn, neither as the answer came nor when it is paged through: a busy screen skips."""
    for page in range(80):
        drawn = bytes(screen.seen)
        left = [name for name in ATTACKS if label(name).encode() not in drawn]
        if not left:
            break
        screen.type("\x1b[5~" if page else "\t")  # to the conversation, and then a page up
        screen.read(0.3)
    screen.type("\x1b[F\x1b[Z")  # to its end again, and back to the question
    screen.read(0.5)
    return left


@pytest.mark.parametrize(
    ("console", "term", "modes"),
    [
        ("color", "xterm-256color", ("split", "huge", "arrows")),
        ("console16", "linux", ("bytes",)),
        ("ascii", "vt100", ("whole",)),
    ],
)
def test_nothing_hostile_reaches_the_terminal(
    hostile: Hostile, console: str, term: str, modes: tuple[str, ...]
) -> None:
    command = [sys.executable, "-m", "medgemma_tui", "--lang", "en", "--profile", console]
    env = {**hostile.env, "TERM": term, "MEDGEMMA_ENGINE_SOCKET": str(hostile.engine)}
    with terminal(command, env=env, columns=160, rows=50) as screen:
        see(screen, "loaded")
        for attack in PASTES.values():
            screen.type(PASTE.format(attack))
        screen.type("".join(char for char in LINE if ord(char) > 0x7F))  # and as keys
        ask(screen, f"? mode:{modes[0]}", f"{END} of {modes[0]}")
        assert missed(screen) == []
        drawn = bytes(screen.seen)
        assert PLAIN.encode() in drawn or "split" not in modes
        for mode in modes[1:]:
            ask(screen, f"mode:{mode}", f"{END} of {mode}")
        ask(screen, "mode:refuse", "refused")
        ask(screen, "mode:fail", "refused")
        ask(screen, "mode:finish", "Ended: ")
        ask(screen, "mode:surrogate", "process stopped")
        see(screen, "every figure", F3)
        see(screen, "Process ", "s")
        see(screen, "in memory only", "\x1b[F")  # the end of the text
        see(screen, "These facts", F3 + F3 + F4)
        see(screen, "pwned", PASTE.format(" ".join(PASTES.values())))
        see(screen, "ype a part of", F4 + "\x10")
        see(screen, "pwned", PASTE.format(" ".join(PASTES.values())))
        escape(screen, "What the model was given", "\t\x05")
        see(screen, "Raw text", "\x05\x15")
        see(screen, "chain", f"q{F12}")
        see(screen, "New patient: wipe", f"q{F5}")
        see(screen, "everything was wiped", "y")
        screen.type("\x04")
        screen.read(5.0, until=b"\x1b[?1004l")
        seen = bytes(screen.seen)
    assert unexpected(seen, SCREEN, ENTER, LEAVE) == set()
    assert left_clean(seen) == []


def test_a_drawn_window_stays_inside_the_conversation(hostile: Hostile) -> None:
    """A window, a status bar and a composer drawn as text do not get to where the real ones are, and take no key."""
    command = [sys.executable, "-m", "medgemma_tui", "--lang", "en"]
    env = {**hostile.env, "TERM": "xterm-256color", "MEDGEMMA_ENGINE_SOCKET": str(hostile.engine)}
    with terminal(command, env=env, columns=160, rows=50) as screen:
        see(screen, "loaded")
        ask(screen, "mode:box", f"{END} of box")
        see(screen, "Yes", "Yes")  # what it asks for is typed into the draft, and into nothing else
        screen.read(1.0)
        rows = shown(screen, everything=True).split("\n")
    top = max(at for at, row in enumerate(rows) if row.startswith("╭"))  # the real composer, under the conversation
    assert rows[top + 1].startswith("│ Yes ")
    assert "MedGemma" in rows[0]
    assert "approve" in "".join(rows[1:top])
    for fake in ("approve", "Approve", "wonderful", "ignore the rest"):
        assert fake not in "".join([rows[0], *rows[top:]])
    side = max(rows[1].rfind("│"), 100)  # the panel beside the conversation
    assert not [row for row in rows[1:top] if any(word in row[side:] for word in ("approve", "Approve", "Reviewed"))]
