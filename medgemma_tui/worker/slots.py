"""Which conversation lies in which slot, and how much of it a new prompt can use. No tensors here.

A slot remembers the token ids whose keys are in the cache and how far back its ring still reaches. After an answer
the ring has moved on, so a checkpoint (a copy of the ring as it stood at the end of the prompt) lets a later prompt
start there again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

_BLOCK = 512


@dataclass(slots=True)
class Slot:
    """One slot's memory. Lengths and positions are tokens."""

    index: int
    owner: str = ""
    tokens: list[int] = field(default_factory=list)  # position -> id, for everything in the cache
    low: int = 0  # the ring holds positions low … len(tokens) - 1
    saved: int = 0  # the checkpoint can be used for prefixes up to this length; 0: there is none
    saved_low: int = 0  # the oldest position in the checkpoint's ring
    busy: bool = False
    last_used: int = 0  # 0: never

    def forget(self) -> None:
        """Drop what is known of the conversation (the caller clears the tensors)."""
        self.tokens, self.owner = [], ""
        self.low = self.saved = self.saved_low = self.last_used = 0


@dataclass(frozen=True, slots=True)
class Reuse:
    """Start a prompt in ``slot`` after its first ``length`` tokens, from the checkpoint if ``restore``.

    ``source`` is another slot to copy them from, of a conversation that only begins alike. ``wipe``: what the slot
    holds is somebody else's, and is zeroed first.
    """

    slot: Slot
    length: int
    restore: bool
    source: Slot | None = None
    wipe: bool = False


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """How many leading ids are equal. Compares blocks, so long prompts cost microseconds."""
    end = min(len(a), len(b))
    start = 0
    while start < end and list(a[start : start + _BLOCK]) == list(b[start : start + _BLOCK]):
        start += _BLOCK
    while start < end and a[start] == b[start]:
        start += 1
    return min(start, end)


class SlotTable:
    """Chooses slots, and keeps their books as tokens are written."""

    def __init__(self, count: int, *, window: int, ring: int) -> None:
        self.slots = [Slot(index) for index in range(count)]
        self._window, self._ring = window, ring
        self._clock = 0

    def _reuse(self, slot: Slot, prompt: Sequence[int]) -> Reuse:
        """The longest prefix of ``prompt`` that the slot can continue from; one token is always left to feed."""
        common = min(common_prefix(slot.tokens, prompt), len(prompt) - 1)
        # A query at position n looks back to n - window + 1: those keys must still be in the ring.
        live = common if max(0, common - self._window + 1) >= slot.low else 0
        kept = min(common, slot.saved)
        # Of equals the ring that reaches back further: the next edit may want to rewind more than this one.
        better = kept > live or (kept == live and slot.saved_low < slot.low)
        if kept and better and max(0, kept - self._window + 1) >= slot.saved_low:
            return Reuse(slot, kept, restore=True)
        return Reuse(slot, live, restore=False)

    def take(self, owner: str, prompt: Sequence[int]) -> Reuse | None:
        """Claim a free slot for ``prompt``, or None. Prefixes are matched only within one owner."""
        free = [slot for slot in self.slots if not slot.busy]
        if not free:
            return None
        matches = [self._reuse(slot, prompt) for slot in free if slot.owner == owner and slot.tokens]
        best = max(matches, key=lambda match: match.length, default=Reuse(free[0], 0, restore=False))
        oldest = min(free, key=lambda slot: (slot.last_used, slot.index))
        if best.length == 0:
            taken = Reuse(oldest, 0, restore=False, wipe=oldest.owner != owner)
        elif best.length < (best.slot.saved or len(best.slot.tokens)) // 2 and oldest is not best.slot:
            # Another conversation with the same instructions: it keeps its slot, this one gets a copy of them.
            taken = replace(best, slot=oldest, source=best.slot, wipe=oldest.owner != owner)
        else:
            taken = best
        self._claim(taken, owner, prompt)
        return taken

    def _claim(self, taken: Reuse, owner: str, prompt: Sequence[int]) -> None:
        slot, source = taken.slot, taken.source or taken.slot
        slot.low = 0 if taken.length == 0 else source.saved_low if taken.restore else source.low
        slot.saved = 0 if taken.source else min(slot.saved, taken.length)  # later rows are about to be overwritten
        slot.owner, slot.busy = owner, True
        slot.tokens = list(prompt[: taken.length])

    def writing(self, slot: Slot, count: int) -> None:
        """``count`` tokens are about to be fed. Should that fail midway, the ring rows they go to are lost already."""
        slot.low = max(slot.low, len(slot.tokens) + count - self._ring)

    def wrote(self, slot: Slot, ids: Sequence[int]) -> None:
        """``ids`` were fed, as announced: their keys are in the cache now."""
        slot.tokens.extend(ids)

    def saved(self, slot: Slot) -> None:
        """A checkpoint was taken of the slot as it stands."""
        slot.saved, slot.saved_low = len(slot.tokens), slot.low

    def release(self, slot: Slot) -> None:
        """The conversation is over for now; its keys stay until somebody else needs the slot."""
        self._clock += 1
        slot.busy, slot.last_used = False, self._clock
