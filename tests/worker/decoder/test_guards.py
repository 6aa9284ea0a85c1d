"""The loop detector: what is a loop, and what is only a table."""

from __future__ import annotations

import time

from hypothesis import given, settings
from hypothesis import strategies as st

from medgemma_tui.worker.guards import EVERY, MAX_PERIOD, MIN_ROUNDS, MIN_SPAN, LoopDetector


def fires_at(tokens):
    detector = LoopDetector()
    return next((at for at, token in enumerate(tokens) if detector.feed(token)), None)


@settings(max_examples=60)
@given(
    before=st.lists(st.integers(0, 9), max_size=80),
    period=st.lists(st.integers(10, 300), min_size=1, max_size=MAX_PERIOD, unique=True),
)
def test_every_period_is_caught_in_time(before, period):
    tokens = before + period * 200
    at = fires_at(tokens)
    enough = max(MIN_SPAN, MIN_ROUNDS * len(period)) + len(period)
    assert at is not None
    assert 0 <= at - (len(before) + enough - 1) < EVERY


@settings(max_examples=60)
@given(st.lists(st.integers(0, 5), max_size=90))
def test_nothing_short_is_a_loop(tokens):
    assert fires_at(tokens) is None


def test_a_table_is_not_a_loop():
    """Thirty rows of the same form whose cells differ: a medication list."""
    bar, line = 1, 2
    rows = [[bar, 100 + n, bar, 7, 7, bar, 200 + n % 3, bar, 8, bar, line] for n in range(30)]
    rule = [bar, *([3, bar] * 12), line]  # |---|---| … of twelve columns
    assert fires_at(rule + [token for row in rows for token in row]) is None


def test_a_refrain_is_not_a_loop():
    refrain = list(range(20, 40))
    assert fires_at([token for n in range(50) for token in [*refrain, 100 + n]]) is None


def test_cost_does_not_grow():
    detector = LoopDetector()

    def cost(start):
        began = time.process_time()
        for token in range(start, start + 4000):
            detector.feed(token)
        return time.process_time() - began

    first = min(cost(0), cost(4000))
    for start in range(8000, 60_000, 4000):
        cost(start)
    assert min(cost(0), cost(1)) < 3 * first
