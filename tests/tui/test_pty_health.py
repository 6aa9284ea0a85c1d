"""The health window in the real program on a real pty: a private demo is checked for the first time."""

from __future__ import annotations

import re
import shutil

import pytest
from gateway_running import short_directory

from tests.tui.pty_session import Session, left_clean

pytestmark = pytest.mark.e2e

RUN_S = 240.0
"""A whole run on a machine that is shared."""


def test_the_first_run_of_a_demo_is_followed_and_a_check_opened(tmp_path):
    directory = short_directory()
    it = Session("--demo", columns=100, XDG_RUNTIME_DIR=str(directory), XDG_STATE_HOME=str(tmp_path))
    try:
        it.until("Health: not checked", 60)
        it.until("Model: ! DEMO · loaded", 60)
        it.type("\x0f")
        it.until("No run is on record")
        assert "DEMO, NOT MEDICAL" in it.text()
        it.type("r")
        it.until("Checking: ", 60)
        it.type("\x1b")
        it.until("Type a question")
        it.type("\x0f")  # it went on meanwhile
        it.until("took ", RUN_S)
        text = it.until("Checking: ", gone=True)
        assert re.search(r"(fit, with a warning|NOT FIT|not known to be fit|✓ fit) · \d\d:\d\d, just now", text)
        assert "GPU driver" in text
        it.type("\r")
        text = it.until("The last run, ")
        assert "To do" in text  # what is failing stands first
        it.type("\x1b")
        it.until("R check now")
        it.type("\x1b")
        it.until("Health: not checked", gone=True)
        it.until("Health: ")
        it.type("\x04")
        assert it.end(20) == 0
        assert left_clean(bytes(it.pty.seen))
    finally:
        it.pty.close()
        shutil.rmtree(directory, ignore_errors=True)
