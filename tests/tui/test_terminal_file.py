"""Writing to a terminal that takes nothing, takes again, or goes away: a real pty, nobody held up."""

from __future__ import annotations

import os
import time
import tty

import pytest

from medgemma_tui.tui import terminal_file
from medgemma_tui.tui.terminal_file import TerminalFile


@pytest.fixture
def terminal(monkeypatch):
    """The file, its far end, and how often it took again."""
    monkeypatch.setattr(terminal_file, "STALLED_AFTER_S", 0.05)
    master, slave = os.openpty()
    tty.setraw(slave)
    again: list[bool] = []
    with os.fdopen(slave, "w", encoding="utf-8") as file:
        written = TerminalFile(file, lambda: again.append(True))
        yield written, master, again
        os.close(written._own)
    os.close(master)


def everything(master: int) -> bytes:
    got = b""
    os.set_blocking(master, False)
    while True:
        try:
            piece = os.read(master, 1 << 16)
        except OSError:
            return got
        got += piece


def test_what_is_written_arrives_at_once(terminal):
    written, master, again = terminal
    written.write("\x1b[31m患者")
    assert everything(master) == "\x1b[31m患者".encode()
    assert not again


def test_a_stalled_one_holds_nobody_up_and_is_drawn_anew(terminal):
    written, master, again = terminal
    started = time.monotonic()
    for _frame in range(100):
        written.write("\x1b[31m" + "x" * 8000)
    assert written.stalled
    assert time.monotonic() - started < 2  # one wait, not a hundred
    assert not again
    assert os.get_blocking(written.fileno())  # the shell's own descriptor stays as it was
    everything(master)
    written.write("\x1b[?1049l")
    assert everything(master).endswith(b"\x18\x1b[?1049l")
    assert again == [True]
    assert not written.stalled
    written.write("on")
    assert everything(master) == b"on"
    for _frame in range(20):
        written.write("x" * 8000)
    everything(master)
    written.write("")  # as the screen does each second: nothing else may be to be written
    assert everything(master) == b"\x18"
    assert again == [True, True]


def test_one_that_has_gone_away_is_no_error(terminal):
    written, master, _again = terminal
    os.dup2(os.open("/dev/null", os.O_RDWR), master)  # the far end is closed
    written.write("x")
    written.write("y")
    assert not written.stalled


def test_one_that_cannot_be_opened_again_is_written_as_it_is(terminal, monkeypatch):
    written, master, _again = terminal
    monkeypatch.setattr(terminal_file.os, "open", lambda *_what: (_ for _ in ()).throw(PermissionError()))
    plain = TerminalFile(written._file, lambda: None)
    plain.write("plain")
    plain.flush()
    assert everything(master) == b"plain"
