"""Headings appear in order, whatever the model does."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from medgemma_tui.worker.reply import Reply
from medgemma_tui.worker.thinking import SpecialTokens
from medgemma_tui.worker.types import Channel, DecodeRequest, FinishReason, Thinking

OPEN, CLOSE, USER, END, LINE, HASH = 94, 95, 105, 106, 21, 35
IDS = SpecialTokens(
    trace_open=OPEN,
    trace_close=CLOSE,
    start_of_turn=USER,
    end_of_turn=END,
    eos=(1, END),
    thought=(20, LINE),
    newlines=frozenset({LINE}),
    blank_line=(LINE, LINE),
)
HEADINGS = ((HASH, 201, LINE), (HASH, 202, LINE), (HASH, 203, LINE))


def talk(tokens, limit=400, **options):
    request = DecodeRequest(id="a", prompt_ids=(1,), max_new_tokens=limit, sections=HEADINGS, **options)
    reply = Reply(request, IDS, limit)
    moves = [reply.begin()]
    for token in tokens:
        if moves[-1].finish is not None:
            break
        moves.append(reply.propose(token))
    events = [event for move in moves for event in move.events]
    return [event.token_id for event in events], moves[-1].finish, events


def headings(tokens):
    return [token for token in tokens if 201 <= token <= 203]


def test_ending_the_turn_brings_the_next_heading():
    said, finish, _ = talk([7, END, 8, END, 9, END])
    # The first proposal is replaced by the first heading; the model is asked again after it.
    assert headings(said) == [201, 202, 203]
    assert said == [HASH, 201, LINE, HASH, 202, LINE, 8, LINE, LINE, HASH, 203, LINE, 9]
    assert finish is FinishReason.STOP


def test_a_heading_of_its_own_becomes_the_next_one():
    said, _, _ = talk([7, 8, LINE, HASH, 9, HASH, 10, END, 11, END])
    # After "8 ⏎" a "##" is a heading; in the middle of a line it is not.
    assert said == [HASH, 201, LINE, 8, LINE, HASH, 202, LINE, 9, HASH, 10, LINE, LINE, HASH, 203, LINE, 11]


def test_section_budget():
    said, _, events = talk(range(300, 400), section_budget=5)
    assert headings(said) == [201, 202, 203]
    free = [not event.forced for event in events]
    assert free[3:8] == [True] * 5
    assert not any(free[8:13])


def test_headings_come_after_the_trace():
    said, _, events = talk([OPEN, 20, LINE, 7, CLOSE, 8, END, 9, END, 10, END])
    assert [event.channel for event in events][:2] == [Channel.REASONING, Channel.CONTENT]
    assert said[:4] == [7, HASH, 201, LINE]


@given(
    st.lists(st.sampled_from([OPEN, CLOSE, USER, END, LINE, HASH, 20, 7, 8, 9]), max_size=60),
    st.sampled_from([None, 0, 3]),
    st.sampled_from(list(Thinking)),
    st.integers(60, 200),
)
def test_in_order_whatever_the_model_does(tokens, budget, thinking, limit):
    endless = [*tokens, *(300 + n for n in range(400))]
    said, finish, events = talk(endless, limit, section_budget=budget, thinking=thinking)
    assert finish is not None
    assert headings(said) == [201, 202, 203]
    assert [event.token_id for event in events if event.forced and event.token_id > 200] == [201, 202, 203]
    for at, token in enumerate(said):
        if token == HASH and at + 1 < len(said) and said[at + 1] > 200 and events[at].forced and at:
            before = events[at - 1]
            assert before.token_id == LINE or before.channel is Channel.REASONING
