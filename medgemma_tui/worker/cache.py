"""A key/value cache of fixed slots, under transformers' unmodified Gemma 3 forward.

Each conversation owns one slot. Full-attention layers keep a row per position; sliding layers keep a ring a
little longer than the window: ring row ``j`` holds the newest position congruent to ``j``. Every layer has one row
more than it needs, the *trash row*, where slots that lie between active ones write and which nobody reads.

A forward pass is announced with :meth:`SlotCache.decode` or :meth:`SlotCache.chunk`, which return the masks and
position ids the model wants and fix where :meth:`SlotCache.update` writes and what it returns.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers import Cache, PreTrainedConfig

BUCKET = 64  # attention looks at the longest row in use, rounded up to this many positions


@dataclass(frozen=True, slots=True)
class Pass:
    """What the model is given beside the token ids for one forward pass."""

    masks: dict[str, torch.Tensor]  # additive, [rows, 1, queries, keys], 0 or -inf
    position_ids: torch.Tensor  # [rows, queries]


class SlotCache(Cache):
    """Keys and values of ``slots`` conversations of up to ``length`` tokens; nothing is ever reallocated.

    Layer tensors are ``[slots, kv_heads, length + 1, head_dim]`` (full) and ``[slots, kv_heads, ring + 1, head_dim]``
    (sliding), with ``ring = window + prefill_chunk`` rounded up to a bucket. ``saved_*`` hold one copy of the ring
    rows of each slot: the prefix checkpoint.
    """

    def __init__(
        self,
        config: PreTrainedConfig,
        *,
        slots: int,
        length: int,
        prefill_chunk: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        super().__init__(layers=[])
        text = config.get_text_config()
        self.window: int = text.sliding_window
        self.slots = slots
        self.length = length
        self.ring = min(_round_up(self.window + prefill_chunk), _round_up(length))
        self._sliding = [kind == "sliding_attention" for kind in text.layer_types]
        self._dtype, self._device = dtype, device

        def rows(count: int) -> torch.Tensor:
            return torch.zeros(slots, text.num_key_value_heads, count, text.head_dim, dtype=dtype, device=device)

        self._keys = [rows(1 + (self.ring if sliding else length)) for sliding in self._sliding]
        self._values = [torch.zeros_like(keys) for keys in self._keys]
        self._saved = [(rows(self.ring), rows(self.ring)) if sliding else None for sliding in self._sliding]

        # Constants of the decode step. ``_base_*[s, h]`` is the first flat row of slot s, head h.
        heads = torch.arange(slots * text.num_key_value_heads, device=device).view(slots, -1)
        self._base_full = heads * (length + 1)
        self._base_ring = heads * (self.ring + 1)
        self._at = torch.arange(max(length, self.ring), device=device)
        self._minus_inf = torch.tensor(float("-inf"), dtype=dtype, device=device)
        self._zero = torch.tensor(0.0, dtype=dtype, device=device)

        self._view_of: tuple[int, int, int] = (-1, -1, -1)
        self._views: list[tuple[torch.Tensor, torch.Tensor]] = []
        self._flat = [
            (keys.view(-1, text.head_dim), values.view(-1, text.head_dim))
            for keys, values in zip(self._keys, self._values, strict=True)
        ]
        self._index: tuple[torch.Tensor, torch.Tensor] | None = None  # decode: flat rows (full, ring)
        self._spans: tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]] = ([], [])  # chunk

    # -- one forward pass ------------------------------------------------------------------------------------

    def decode(self, first: int, positions: torch.Tensor, active: torch.Tensor, keys: int) -> Pass:
        """One token for each of the slots ``first … first + rows - 1``.

        ``positions`` (int64 ``[rows]``) is where each row's token goes; rows with ``active`` (bool ``[rows]``) False
        write to the trash row. ``keys`` is how many positions the longest row has with this token.
        """
        rows = positions.shape[0]
        self._look(first, first + rows, keys)
        write_full = torch.where(active, positions, self.length)
        write_ring = torch.where(active, positions % self.ring, self.ring)
        self._index = (
            (self._base_full[first : first + rows] + write_full[:, None]).view(-1),
            (self._base_ring[first : first + rows] + write_ring[:, None]).view(-1),
        )
        return self._pass(positions[:, None], positions[:, None])

    def chunk(self, slot: int, start: int, count: int) -> Pass:
        """``count`` tokens (at most a prefill chunk) for one slot, at positions ``start`` onward."""
        end = start + count
        self._look(slot, slot + 1, end)
        self._index = None
        at = start % self.ring
        head = min(count, self.ring - at)
        ring = [(at, 0, head)]
        if head < count:
            ring.append((0, head, count - head))
        self._spans = ([(start, 0, count)], ring)
        positions = self._at[start:end][None] if end <= len(self._at) else None
        assert positions is not None, "a chunk past the cache's length"
        return self._pass(positions, positions[:, -1:])

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Called by every attention layer: store ``[rows, kv_heads, queries, head_dim]``, return what to look at."""
        sliding = self._sliding[layer_idx]
        if self._index is not None:
            flat_keys, flat_values = self._flat[layer_idx]
            flat_keys.index_copy_(0, self._index[sliding], key_states.reshape(-1, key_states.shape[-1]))
            flat_values.index_copy_(0, self._index[sliding], value_states.reshape(-1, value_states.shape[-1]))
        else:
            slot = self._view_of[0]
            for to, source, count in self._spans[sliding]:
                for store, new in ((self._keys, key_states), (self._values, value_states)):
                    store[layer_idx][slot, :, to : to + count] = new[0, :, source : source + count]
        return self._views[layer_idx]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Rows have lengths of their own, so there is no such number; positions are always given to the model."""
        raise NotImplementedError("SlotCache rows are ragged: pass position_ids")

    def _look(self, first: int, last: int, keys: int) -> None:
        """Fix the views that ``update`` returns; rebuilt only when the range or the bucket changes."""
        wanted = (first, last, _round_up(keys))
        if wanted == self._view_of:
            return
        self._view_of = wanted
        full, ring = min(wanted[2], self.length), min(wanted[2], self.ring)
        self._views = [
            (
                self._keys[layer][first:last, :, : ring if sliding else full],
                self._values[layer][first:last, :, : ring if sliding else full],
            )
            for layer, sliding in enumerate(self._sliding)
        ]

    def _pass(self, positions: torch.Tensor, newest: torch.Tensor) -> Pass:
        """Masks for queries at ``positions`` [rows, queries] when ``newest`` [rows, 1] was the last one written."""
        wanted = self._view_of[2]
        full, ring = self._at[: min(wanted, self.length)], self._at[: min(wanted, self.ring)]
        query = positions[:, None, :, None]
        sees = full <= query
        full_mask = torch.where(sees, self._zero, self._minus_inf)
        # Nothing is out of the window yet, and ring row j is position j. (Past the length, rings go on to the bucket.)
        if wanted <= min(self.window, self.length):
            return Pass({"full_attention": full_mask, "sliding_attention": full_mask}, positions)
        # The position that ring row j holds: the newest one congruent to j; negative where none was written yet.
        held = newest - (newest - ring) % self.ring
        held = held[:, None, None, :]
        near = (held >= 0) & (held <= query) & (held > query - self.window)
        ring_mask = torch.where(near, self._zero, self._minus_inf)
        return Pass({"full_attention": full_mask, "sliding_attention": ring_mask}, positions)

    # -- prefix checkpoints ----------------------------------------------------------------------------------

    def save(self, slot: int) -> None:
        """Copy the ring rows of ``slot`` aside."""
        for layer, saved in enumerate(self._saved):
            if saved is not None:
                saved[0][slot].copy_(self._keys[layer][slot, :, : self.ring])
                saved[1][slot].copy_(self._values[layer][slot, :, : self.ring])

    def restore(self, slot: int) -> None:
        """Put the ring rows of ``slot`` back as they were at :meth:`save`."""
        for layer, saved in enumerate(self._saved):
            if saved is not None:
                self._keys[layer][slot, :, : self.ring].copy_(saved[0][slot])
                self._values[layer][slot, :, : self.ring].copy_(saved[1][slot])

    def copy(self, source: int, slot: int, length: int, *, saved: bool) -> None:
        """Give ``slot`` the first ``length`` rows of ``source``, and its ring: the saved one if ``saved``."""
        for layer, aside in enumerate(self._saved):
            for kind, store in enumerate((self._keys, self._values)):
                rows = store[layer][source, :, : self.ring if aside is not None else length]
                if aside is not None and saved:
                    rows = aside[kind][source]
                store[layer][slot, :, : rows.shape[1]].copy_(rows)

    def clear(self, slot: int) -> None:
        """Zero everything the slot holds, its checkpoint and trash row too."""
        for tensors in (self._keys, self._values):
            for tensor in tensors:
                tensor[slot].zero_()
        for saved in self._saved:
            if saved is not None:
                saved[0][slot].zero_()
                saved[1][slot].zero_()


def _round_up(count: int) -> int:
    return -(-count // BUCKET) * BUCKET
