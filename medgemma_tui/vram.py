"""What a model needs of GPU memory, by arithmetic alone: no torch, no GPU.

Memory, in bytes, for a window of ``n`` tokens (DESIGN section 7 for Gemma 3 4B)::

    KV per token and layer      row = 2 (K and V) x kv_heads x head_dim x 2 (bf16)           4,096
    full layers                 row x full x n                                          20,480 x n
    sliding layers              row x sliding x min(n, window)                118,784 x min(n, 1024)
    one slot of the worker      full + 2 x sliding x min(n, window + a prefill chunk, rounded up to 128)
                                (the ring and its checkpoint)
    a chunk's attention         n x 4 x heads x head_dim (K and V expanded to every query head: SDPA with a mask
                                does that) + n x 2 x 2 x chunk (two masks)               9,216 x n, once
    attention below capability 8.0: no kernel there takes bf16, so K, V and a scaled K are made anew in fp32
      of a chunk                n x (12 x heads x head_dim + 8 x heads x chunk + 8 x chunk)     43,008 x n, once
      of a decode step          n x (12 x kv_heads x head_dim + 4 x heads + 8)                  12,328 x n, each slot
    recorded steps              GRAPH_BYTES + recordings x slots x vocabulary x 2 (the logits that each keeps)
    need                        weights + slots x one slot + attention + recorded steps + working memory
"""

from __future__ import annotations

from medgemma_tui.model_dir import ModelDir, ModelDirError

WORKING_BYTES = 768 * 1024 * 1024
"""Set aside for activations, logits, cuBLAS and bitsandbytes workspaces: what does not grow with the window."""
GRAPH_BYTES = 320 * 1024 * 1024
"""Set aside for the decode step's CUDA graphs beside their logits. Reckoned, not measured: 12 (64 to 131,072 keys) x
1,500 launches x 8 KiB in the driver + 64 MiB of scratch = 205 MiB, and half as much again."""
UPCASTS_BELOW = (8, 0)
"""The compute capability below which attention in bf16 is computed in fp32."""
DEFAULT_WINDOW = 8192
MIN_WINDOW = 512
PREFILL_CHUNK = 256
_BUCKET = 128
_FIRST_KEYS = 64  # the shortest recording; each next one looks at twice as many keys


def kv_bytes(model: ModelDir, tokens: int) -> int:
    """Keys and values of a conversation of ``tokens``: DESIGN section 7's formula."""
    return model.kv_row_bytes * (model.full_layers * tokens + model.sliding_layers * min(tokens, model.sliding_window))


def slot_bytes(model: ModelDir, window: int) -> int:
    """One slot of the worker's cache for a window of ``window`` tokens: rows, ring, and the ring's checkpoint."""
    ring = min(_round_up(model.sliding_window + PREFILL_CHUNK), _round_up(window))
    return model.kv_row_bytes * (model.full_layers * window + 2 * model.sliding_layers * ring)


def attention_bytes(model: ModelDir, window: int) -> int:
    """What one layer takes, besides, while the last chunk of a full prompt is read (bf16)."""
    return (4 * model.heads * model.head_dim + 4 * PREFILL_CHUNK) * window


def upcast_bytes(model: ModelDir, window: int, slots: int) -> int:
    """What one layer takes on top of that where attention is computed in fp32: a chunk's, and a decode step's."""
    chunk = 12 * model.heads * model.head_dim + 8 * model.heads * PREFILL_CHUNK + 8 * PREFILL_CHUNK
    step = 3 * model.kv_row_bytes + 4 * model.heads + 8
    return (chunk + slots * step) * window


def graph_bytes(model: ModelDir, window: int, slots: int) -> int:
    """What the recorded decode steps keep: one recording for each doubling of the keys, with its logits (bf16)."""
    recordings = 1 + max(0, (window - 1) // _FIRST_KEYS).bit_length()
    return GRAPH_BYTES + recordings * slots * model.vocab_size * 2


def vram_need(model: ModelDir, window: int, slots: int, *, upcasts: bool = False) -> int:
    """Bytes of GPU memory for ``slots`` conversations of up to ``window`` tokens: the module's table.

    ``upcasts``: the GPU's compute capability is below ``UPCASTS_BELOW``.
    """
    attention = attention_bytes(model, window) + (upcast_bytes(model, window, slots) if upcasts else 0)
    fixed = model.loaded_bytes + WORKING_BYTES + graph_bytes(model, window, slots)
    return fixed + slots * slot_bytes(model, window) + attention


def window_that_fits(free_bytes: int, model: ModelDir, slots: int, *, upcasts: bool = False) -> int:
    """The largest window, in tokens, that fits in ``free_bytes`` with ``slots`` conversations.

    A multiple of 128 (or the model's own limit), at most the model's limit; 0 where not even ``MIN_WINDOW`` fits.
    """
    low, high = 0, model.context_limit
    while low < high:  # the need grows with the window
        middle = (low + high + 1) // 2
        if vram_need(model, middle, slots, upcasts=upcasts) <= free_bytes:
            low = middle
        else:
            high = middle - 1
    window = low if low == model.context_limit else low // _BUCKET * _BUCKET
    return window if window >= min(MIN_WINDOW, model.context_limit) else 0


def default_window(model: ModelDir, free_bytes: int | None, slots: int, *, upcasts: bool = False) -> int:
    """The context window where none is set: what fits in free VRAM, 8,192 where that is not known.

    Raises ModelDirError ``too_small_gpu``.
    """
    if free_bytes is None:
        return min(model.context_limit, DEFAULT_WINDOW)
    window = window_that_fits(free_bytes, model, slots, upcasts=upcasts)
    if window == 0:
        check_fit(model, min(MIN_WINDOW, model.context_limit), slots, free_bytes, upcasts=upcasts)
    return window


def check_fit(model: ModelDir, window: int, slots: int, free_bytes: int, *, upcasts: bool = False) -> None:
    """Raises ModelDirError with what is needed and what is free.

    ``does_not_fit`` names the largest window that would fit; ``too_small_gpu``: there is none worth having.
    """
    if vram_need(model, window, slots, upcasts=upcasts) <= free_bytes:
        return
    fits = window_that_fits(free_bytes, model, slots, upcasts=upcasts)
    asked = window if fits else min(window, MIN_WINDOW)
    figures = {
        "needed": f"{vram_need(model, asked, slots, upcasts=upcasts) / 2**30:.1f} GiB",
        "free": f"{free_bytes / 2**30:.1f} GiB",
        "asked": str(asked),
    }
    if fits:
        raise ModelDirError("does_not_fit", {**figures, "window": str(fits)})
    raise ModelDirError("too_small_gpu", {**figures, "slots": str(slots)})


def _round_up(tokens: int) -> int:
    return -(-tokens // _BUCKET) * _BUCKET
