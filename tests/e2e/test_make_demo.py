"""`make demo` where no terminal is attached: the GFR question in plain mode, trace and answer, exit 0."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from medgemma_tui.demo import corpus

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.e2e
@pytest.mark.skipif(
    not (ROOT / ".venv" / ".ready").exists() or shutil.which("make") is None, reason="not set up by make"
)
def test_make_demo_without_a_terminal_prints_trace_and_answer() -> None:
    done = subprocess.run(
        ["make", "demo"], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=170
    )
    turn = corpus.find(corpus.GFR_QUESTION, ())
    assert turn is not None
    assert done.returncode == 0, done.stderr
    assert turn.reasoning in done.stdout
    assert turn.answer in done.stdout
    assert "DEMO, NOT MEDICAL" in done.stdout
