"""The books of the slots, checked against a ring that really is written row by row."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from medgemma_tui.worker.slots import SlotTable, common_prefix

WINDOW, RING = 6, 10


class Rings:
    """What the tensors would hold: for each slot, ring row -> (position, token), and a copy of it."""

    def __init__(self, count):
        self.live = [{} for _ in range(count)]
        self.saved = [{} for _ in range(count)]
        self.full = [{} for _ in range(count)]

    def write(self, slot, start, ids):
        for position, token in enumerate(ids, start):
            self.live[slot][position % RING] = (position, token)
            self.full[slot][position] = token

    def can_continue(self, slot, prompt, at):
        """Whether a query at position ``at`` would find all that it may look at."""
        near = range(max(0, at - WINDOW + 1), at)
        return all(self.live[slot].get(p % RING) == (p, prompt[p]) for p in near) and all(
            self.full[slot].get(p) == prompt[p] for p in range(at)
        )


turn = st.tuples(
    st.sampled_from("ab"),  # owner
    st.sampled_from(["fresh", "next", "strip", "edit", "trim", "again", "alike"]),
    st.integers(1, 25),  # tokens of the prompt that are new
    st.integers(0, 25),  # tokens generated
    st.sampled_from([100, 100, 100, 0, 30, 60, 90]),  # where a cancel strikes, in per cent of the prompt; 100: never
    st.sampled_from([False, False, False, True]),  # whether the last chunk before that fails midway
)


@settings(max_examples=400, deadline=None)
@given(st.integers(1, 3), st.lists(turn, max_size=14))
def test_every_promised_prefix_is_there(count, turns):
    table, rings = SlotTable(count, window=WINDOW, ring=RING), Rings(count)
    last: dict[str, tuple[list[int], list[int]]] = {}
    owners: dict[int, str] = {}
    token = 0
    for owner, kind, new, generated, cut, fails in turns:
        old, reply = last.get(owner, ([], []))
        token += 100
        fresh = [token + n % 3 for n in range(new)]
        prompt = {
            "fresh": fresh,
            "next": [*old, *reply, *fresh],
            "strip": [*old, *reply[len(reply) // 2 :], *fresh],
            "edit": [*old[: max(0, len(old) - generated % 9)], *fresh],
            "trim": [*old, *reply[: max(0, len(reply) - generated % 9)], *fresh],
            "again": old or fresh,
            "alike": [*old[:4], *fresh],  # another conversation with the same instructions
        }[kind]
        reuse = table.take(owner, prompt)
        assert reuse is not None
        slot, at = reuse.slot, reuse.length
        assert at < len(prompt)
        source = reuse.source or slot
        if at:
            assert owners[source.index] == owner
        assert reuse.wipe == (owners.get(slot.index, "") != owner)
        if reuse.wipe:
            rings.live[slot.index], rings.full[slot.index], rings.saved[slot.index] = {}, {}, {}
        if at:
            kept = rings.saved if reuse.restore else rings.live
            rings.live[slot.index] = dict(kept[source.index])
            rings.full[slot.index] = dict(rings.full[source.index])
        assert rings.can_continue(slot.index, prompt, at)
        owners[slot.index] = owner
        stop = len(prompt) if cut == 100 else max(at, len(prompt) * cut // 100)
        for start in range(at, stop, RING - WINDOW):  # prefill in chunks
            ids = prompt[start : min(stop, start + RING - WINDOW)]
            table.writing(slot, len(ids))
            rings.write(slot.index, start, ids)
            if fails and start + len(ids) >= stop:  # out of memory: some layers have their new rows, and nobody's books
                break
            table.wrote(slot, ids)
        if fails:
            last[owner] = (prompt[:stop], [])
        elif stop == len(prompt):
            rings.saved[slot.index] = dict(rings.live[slot.index])
            table.saved(slot)
            reply = [token + 50 + n % 4 for n in range(generated)]
            for n, id_ in enumerate(reply):
                table.writing(slot, 1)
                rings.write(slot.index, stop + n, [id_])
                table.wrote(slot, [id_])
            last[owner] = (prompt, reply)
        table.release(slot)


@given(st.integers(0, 2000), st.integers(0, 1200), st.integers(0, 1200))
def test_common_prefix(shared, left, right):
    same = [7] * shared
    a, b = same + [1] * left, tuple(same + [2] * right)
    assert common_prefix(a, b) == common_prefix(b, a) == shared


def test_a_full_house_has_no_slot():
    table = SlotTable(1, window=WINDOW, ring=RING)
    first = table.take("a", [1, 2])
    assert first is not None
    assert table.take("b", [1, 2]) is None
    table.release(first.slot)
    assert table.take("b", [1, 2]) is not None
