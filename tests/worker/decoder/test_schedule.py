"""The fair queue."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medgemma_tui.worker.schedule import FairQueue
from medgemma_tui.worker.types import DecodeRequest


def request(id_, owner):
    return DecodeRequest(id=id_, prompt_ids=(1,), max_new_tokens=1, owner=owner)


def drained(queue):
    return [queue.pop().id for _ in range(len(queue))]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30))
def test_positions_tell_the_order_of_service(pushes):
    queue, pushed = FairQueue(), []
    for n, (owner, remove) in enumerate(pushes):
        queue.push(request(f"{owner}{n}", owner))
        pushed.append(f"{owner}{n}")
        if remove:
            assert queue.remove(pushed.pop(n % len(pushed))) is not None
    places = queue.positions()
    order = drained(queue)
    assert order == sorted(places, key=places.__getitem__)
    assert sorted(order) == sorted(pushed)
    for owner in "abc":  # first come, first served within one owner
        own = [int(id_[1:]) for id_ in order if id_[0] == owner]
        assert own == sorted(own)
    # Fair: while an owner still waits, nobody is served twice between two of its turns.
    for at, id_ in enumerate(order):
        later = [other for other in order[at + 1 :] if other[0] == id_[0]]
        if later:
            between = order[at + 1 : order.index(later[0])]
            assert len({other[0] for other in between}) == len(between)


def test_one_who_asks_a_thousand_times_does_not_stand_before_the_others():
    queue = FairQueue()
    for n in range(1000):
        queue.push(request(f"batch{n}", "researcher"))
    queue.push(request("ward", "clinician"))
    assert queue.positions()["ward"] == 2
    assert [queue.pop().id for _ in range(3)] == ["batch0", "ward", "batch1"]


def test_empty():
    queue = FairQueue()
    assert (len(queue), queue.peek(), queue.positions(), queue.remove("x")) == (0, None, {}, None)
    with pytest.raises(IndexError):
        queue.pop()
