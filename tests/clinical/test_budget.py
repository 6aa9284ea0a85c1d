"""The context budget, for any sizes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgemma_tui.clinical.budget import estimate, plan

tokens = st.integers(0, 20_000)


@given(st.integers(1, 131_072), tokens, tokens, tokens, st.lists(tokens, max_size=40), tokens)
def test_what_is_sent_fits_and_nothing_leaves_without_need(window, reserve, instructions, card, turns, draft):
    made = plan(window, reserve, instructions, card, turns, draft)
    kept = turns[made.dropped_turns :]
    assert made.history == sum(kept)
    assert (made.instructions, made.card, made.draft, made.reserve) == (instructions, card, draft, reserve)
    fixed = instructions + card + draft + reserve
    if made.fits:
        assert made.used + reserve <= window
        assert made.free == window - made.used - reserve
        if made.dropped_turns:  # the newest turn that left would not have fitted
            assert fixed + made.history + turns[made.dropped_turns - 1] > window
    else:
        assert made.over_by == fixed - window
        assert made.history == 0
        assert made.free == 0


@given(st.integers(100, 8192), st.lists(st.integers(1, 500), max_size=30), tokens, tokens)
def test_a_longer_draft_never_brings_a_turn_back(window, turns, one, other):
    short, long = sorted((one, other))
    assert plan(window, 50, 10, 0, turns, short).dropped_turns <= plan(window, 50, 10, 0, turns, long).dropped_turns


def test_the_card_and_the_draft_stay_when_everything_else_leaves():
    made = plan(1000, 500, 100, 100, [200, 200, 50], 250)
    assert made.dropped_turns == 2
    assert (made.card, made.draft, made.history) == (100, 250, 50)


def test_a_negative_count_is_refused():
    with pytest.raises(ValueError, match="negative"):
        plan(100, 1, 1, 1, [-1], 1)


def test_an_estimate_counts_chinese_by_the_sign():
    assert estimate("") == 0
    assert estimate("糖尿病") == 3
    assert estimate("abcdefgh") == 2
