"""Text on the command line, looked for from outside while the program runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from medgemma_tui.privacy import arguments

MARKER = "患者张三 MARKER-9921"
PROGRAM = str(Path(sys.executable).parent / "medgemma-tui")


@pytest.mark.parametrize(
    ("given", "seen"),
    [
        ("ask TEXT", "ask ***"),
        ("ask --demo TEXT --json", "ask --demo *** --json"),
        ("--lang zh ask TEXT", "--lang *** ask ***"),
        ("ask -- --demo", "ask *** ***"),
        ("ask --dizzy", "ask ***"),
        ("ask --seed=TEXT TEXT", "ask *** ***"),
        ("analyze", "analyze"),
        ("analyze -", "analyze -"),
        ("terms lookup TEXT", "terms lookup ***"),
        ("terms import FILE --name x", "terms import FILE --name x"),
        ("serve --socket /run/x", "serve --socket /run/x"),
        ("locate", "locate"),
        ("TEXT", "***"),
        ("aks TEXT", "*** ***"),
        ("--demo", "--demo"),
        ("ask serve", "ask ***"),
    ],
)
def test_what_others_may_see(given, seen):
    assert arguments.shown(given.split()) == seen.split()


STARTS = {
    "console script": [PROGRAM],
    "module": [sys.executable, "-m", "medgemma_tui"],
    "isolated already": [sys.executable, "-I", "-m", "medgemma_tui"],
}


@pytest.mark.parametrize(
    ("start", "command"),
    [
        ("console script", ("analyze", MARKER)),
        ("module", ("terms", "lookup", MARKER)),
        ("isolated already", ("ask", "--socket", "/no/such", MARKER)),
    ],
)
def test_no_text_is_in_ps_while_the_program_runs(start, command):
    """It is stopped as soon as the arguments are gone, well before the program's work, and looked at."""
    environment = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": "/nonexistent"}
    with subprocess.Popen(
        [*STARTS[start], *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as program:
        place = Path(f"/proc/{program.pid}/cmdline")
        deadline = time.monotonic() + 20
        while b"***" not in (shown := place.read_bytes()):
            assert program.poll() is None, "it ended with its text for all to see"
            assert time.monotonic() < deadline
        program.send_signal(signal.SIGSTOP)
        try:
            assert b"MARKER" not in shown
            assert command[0].encode() in shown
            assert len(shown.split(b"\0")) < 15
            assert b"MARKER" not in Path(f"/proc/{program.pid}/environ").read_bytes()
        finally:
            program.send_signal(signal.SIGCONT)
        _, errors = program.communicate(timeout=60)
    # The arguments themselves have arrived: no complaint about them, and the service that is named is looked for.
    assert program.returncode == (0 if command[0] == "analyze" else 1 if command[0] == "terms" else 5), errors


def test_arguments_arrive_as_they_were(tmp_path):
    """Bytes that are no UTF-8, an empty one, a line break."""
    code = (
        "import os, sys\nfrom medgemma_tui.privacy import arguments\n"
        "if arguments.take_over():\n"
        "    sys.stdout.buffer.write(b'|'.join(map(os.fsencode, sys.argv[1:])))\n    sys.exit()\n"
        "environ = dict(os.environ)\nshown = arguments.hand_over(sys.argv[1:], environ)\n"
        "os.execve(sys.executable, [sys.executable, sys.argv[0], *shown], environ)\n"
    )
    (tmp_path / "program.py").write_text(code)
    given = [b"ask", b"", b"a\nb", b"\xff\xfe", "胸痛".encode()]
    done = subprocess.run([sys.executable, str(tmp_path / "program.py"), *given], capture_output=True, check=True)
    assert done.stdout == b"|".join(given)


def test_a_number_that_leads_nowhere_is_no_arguments(monkeypatch):
    for number in ("", "x", "987654", "9" * 40):
        monkeypatch.setenv(arguments.HANDED_OVER, number)
        before = list(sys.argv)
        assert arguments.take_over() is False
        assert sys.argv == before
        assert arguments.HANDED_OVER not in os.environ
