"""How long the clinical layer takes, in CPU time, since the machine may have other work; and that it stays linear."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from medgemma_tui.clinical.analysis import analyze
from medgemma_tui.clinical.review import review
from tests.benchmarks.notes import NOTES

MOST_MS = 60.0
"""For a note of 4,000 characters, on any machine: 20 ms are promised for one that has nothing else to do."""
HOSTILE = {
    "no end": "心",
    "denied lists": "否认心梗、",
    "figures": "9",
    "points": "1.",
    "brackets": "((",
    "names": "患者张",
    "labels": "姓名：",
    "addresses": "北京市朝阳区",
    "telephones": "138-",
    "e-mail": "a@",
    "spaces": " ",
    "drugs": "阿司匹林100mg qd ",
    "pressures": "BP 120/80/",
    "relatives": "我爸心梗，",
    "words": "no mi ",
    "headings": "## 建议\n",
}


def cpu_ms(call: Callable[[], object], rounds: int) -> float:
    """The least CPU time of some rounds, in ms."""
    best = float("inf")
    for _round in range(rounds):
        start = time.process_time()
        call()
        best = min(best, (time.process_time() - start) * 1e3)
    return best


@pytest.mark.parametrize("kind", NOTES)
def test_a_note_is_analysed_while_someone_types(kind: str) -> None:
    note = NOTES[kind]
    assert len(note) == 4000
    assert len(analyze(note).entities) > 100
    assert cpu_ms(lambda: analyze(note), 3) < MOST_MS


@pytest.mark.parametrize("unit", HOSTILE.values(), ids=HOSTILE)
def test_time_grows_as_the_text_does(unit: str) -> None:
    """Twice the text takes about twice as long, whatever it is; four times would be the square."""
    short, long = ((unit * size)[:size] for size in (20_000, 40_000))
    for call in (analyze, lambda text: review(text[:200], text, text)):
        for rounds in (1, 3):  # a second look only where the first was no good
            once, twice = (cpu_ms(lambda text=text, call=call: call(text), rounds) for text in (short, long))
            if twice < 4 * max(once, 5.0):
                break
        else:
            pytest.fail(f"{once:.0f} ms, then {twice:.0f} ms")
