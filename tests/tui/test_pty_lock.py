"""The lock on a real pty: what stands in the terminal's cells, what is typed there, what signals do."""

from __future__ import annotations

import os
import signal
import time

import pytest

from tests.tui.pty_session import Session, left_clean

pytestmark = pytest.mark.e2e

SECRET = ("w0", "w1", "unsent", "n=3", "62", "why")
"""Of the conversation below: answer, draft, question, card, reasoning."""


@pytest.fixture
def session(scripted):
    """Open sessions on the stub's gateway; what is still running at the end is ended. Nothing is parked before."""
    opened = []
    scripted.gateway.http.delete("/v1/session").raise_for_status()

    def start(*arguments, **options):
        it = Session("--socket", str(scripted.socket), *arguments, **options)
        opened.append(it)
        return it

    yield start
    for each in opened:
        each.pty.close()
    scripted.gateway.http.delete("/v1/session")


def conversation(it: Session) -> None:
    it.until("stub loaded")
    it.type("n=3\r")
    it.until("w2")
    it.type("\x06")  # the card
    it.until("Patient card")
    it.type("62 kg\x1b")
    it.until("These facts", gone=True)
    it.type("\x14")  # the reasoning, shown
    it.until("why")
    it.type("unsent")
    it.until("unsent")


def covered(it: Session) -> None:
    """Nothing of the conversation is in any cell."""
    text = it.text()
    assert not [word for word in SECRET if word in text], text


@pytest.mark.parametrize(("term", "key"), [("linux", "\x1b[17~"), ("xterm", "\x00")], ids=["F6", "its twin"])
def test_locked_by_a_key_and_opened_by_the_pin(session, term, key):
    it = session(term=term)
    conversation(it)
    it.type("\x0f")  # with a window open
    it.until("R check now")
    it.type(key)
    it.until("New PIN")
    covered(it)
    it.type("2468\r")
    it.until("The same again")
    it.type("2468\r")
    it.until("Type your PIN")
    covered(it)
    it.resize(60, 20)
    it.type("typed while locked\x1b\x03\x11\x04\x10")
    it.pty.read(0.3)
    it.type("1357\r")
    it.until("Wrong PIN")
    covered(it)
    it.until("can be typed in", gone=True)
    it.resize(100, 30)
    it.type("2468\r")
    it.until("R check now")  # the window as it was
    it.type("\x1b")
    it.until("R check now", gone=True)
    for word in ("w0 w1 w2", "unsent", "62 kg", "why"):
        it.until(word)
    assert "typed while" not in it.text()
    it.type("\x1b[21~")  # F10
    it.until("Leave?")
    it.type("y")
    assert it.end() == 0
    assert left_clean(bytes(it.pty.seen))


def test_a_terminal_that_goes_away_parks_and_the_next_login_takes_it_back(session, scripted):
    it = session()
    conversation(it)
    started = time.monotonic()
    os.kill(it.pty.pid, signal.SIGHUP)
    assert it.end() == 128 + signal.SIGHUP
    assert time.monotonic() - started < 8
    again = session()
    again.until("is kept for you until")
    covered(again)
    time.sleep(0.5)
    again.type("t")
    for word in ("w0 w1 w2", "unsent", "62 kg"):
        again.until(word)


def test_stopped_and_gone_on_it_is_locked(session):
    it = session()
    conversation(it)
    seen = len(it.pty.seen)
    os.kill(it.pty.pid, signal.SIGTSTP)
    it.pty.read(0.5)
    os.kill(it.pty.pid, signal.SIGCONT)
    it.until("Log in again to take it back")
    covered(it)
    after = bytes(it.pty.seen[seen:]).rpartition(b"\x1b[?1049h")[2]
    assert not [word for word in SECRET if word.encode() in after]
    it.type("\r")
    assert it.end() == 0
    assert left_clean(bytes(it.pty.seen))
    assert "is kept by the service until" in bytes(it.pty.seen).rpartition(b"\x1b[?1049l")[2].decode()
