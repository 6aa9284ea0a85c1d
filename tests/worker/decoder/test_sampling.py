"""Choosing tokens from logits."""

from __future__ import annotations

from collections import Counter

import pytest

from medgemma_tui.worker.types import Sampling

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.engine

from medgemma_tui.worker.sampling import NOT_FINITE, Rule, Sampler, pick  # noqa: E402


def draws(logits, count=2000, **how):
    sampler = Sampler(Sampling(seed=1, **{"temperature": 1.0, **how}))
    return Counter(int(sampler.draw(logits)) for _ in range(count))


def test_frequencies_follow_the_probabilities():
    probability = torch.tensor([0.5, 0.3, 0.15, 0.05])
    seen = draws(probability.log())
    for token, expected in enumerate(probability.tolist()):
        assert abs(seen[token] / 2000 - expected) < 0.04


def test_temperature_sharpens():
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    assert draws(logits, temperature=0.3)[0] > draws(logits)[0] > draws(logits, temperature=3.0)[0]


def test_top_k_and_top_p_cut_the_tail():
    logits = torch.tensor([0.05, 0.5, 0.15, 0.3]).log()
    assert set(draws(logits, top_k=2)) == {1, 3}
    assert set(draws(logits, top_p=0.5)) == {1}
    assert set(draws(logits, top_p=0.6)) == {1, 3}
    assert set(draws(logits, top_p=0.0)) == {1}
    assert set(draws(logits, top_k=100)) == {0, 1, 2, 3}


def test_rows_are_chosen_by_their_own_rules():
    logits = torch.tensor([[0.0, 3.0, 1.0], [5.0, 4.0, 1.0], [0.0, 1.0, 2.0]], dtype=torch.bfloat16)
    rules = [None, Rule(allowed=[0b110]), Rule(Sampler(Sampling(temperature=0.01, seed=0)))]
    assert pick(logits, rules).tolist() == [1, 1, 2]


@pytest.mark.parametrize("temperature", [0.0, 1e-45, 1e-39, 1e-37, 1e-5, 1e-4])
def test_next_to_no_temperature_is_greedy(temperature):
    logits = torch.tensor([[10.0, 50.0, 30.0, -20.0]])
    sampler = Sampler.wanted(Sampling(temperature=temperature, seed=1))
    assert pick(logits, [Rule(sampler)]).tolist() == [1]


def test_words_of_a_mask_reach_every_token():
    logits = torch.zeros(1, 100)
    for token in (0, 31, 32, 63, 64, 95):
        words = [0, 0, 0]
        words[token // 32] = 1 << token % 32
        assert pick(logits, [Rule(allowed=words)]).tolist() == [token]
    signed = [-(2**31), 0, 0]  # the same words as signed integers
    assert pick(logits, [Rule(allowed=signed)]).tolist() == [31]
    logits[0, 99] = 9.0  # past the last word: not allowed, unless named beside the mask
    assert pick(logits, [Rule(allowed=[1, 0, 0])]).tolist() == [0]
    assert pick(logits, [Rule(allowed=[1, 0, 0], extra=(99,))]).tolist() == [99]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_not_finite_is_told_for_its_row_only(bad):
    logits = torch.tensor([[0.0, 3.0], [bad, 1.0], [bad, 1.0], [2.0, 1.0]], dtype=torch.bfloat16)
    rules = [None, None, Rule(Sampler(Sampling(temperature=1.0))), None]
    assert pick(logits, rules).tolist() == [1, NOT_FINITE, NOT_FINITE, 0]


def test_of_equals_the_first_is_taken_as_generate_does():
    logits = torch.zeros(64, 3000, dtype=torch.bfloat16)
    for row in range(64):
        logits[row, torch.randint(0, 3000, (5,))] = 7.0
    assert pick(logits, [None] * 64).tolist() == logits.argmax(-1).tolist()
    assert all(token == min(logits[row].eq(7.0).nonzero())[0] for row, token in enumerate(pick(logits, [None] * 64)))
