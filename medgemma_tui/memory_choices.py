"""What would make the model fit into memory, by arithmetic alone: ``vram.py``'s formula on the figures of a moment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from medgemma_tui.model_dir import ModelDir, is_vision
from medgemma_tui.protocol.memory import MemoryChoice, MemoryNeed, MemoryNote, MemoryPart
from medgemma_tui.protocol.telemetry import GpuProcess
from medgemma_tui.safetensors_header import read_header
from medgemma_tui.vram import (
    MIN_WINDOW,
    WORKING_BYTES,
    attention_bytes,
    graph_bytes,
    slot_bytes,
    upcast_bytes,
    vram_need,
    window_that_fits,
)

CONTEXT_BYTES = 512 * 1024 * 1024
"""Set aside for a CUDA context, which is made before the worker measures what is free. Reckoned, not measured: 250 to
450 MiB are usual."""
GOOD_WINDOW = 4096
"""Tokens: where a smaller window alone would go below this, fewer conversations with a larger one are offered too."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is to fit: a model for ``slots`` conversations of up to ``window`` tokens.

    ``context``: bytes that its process takes before the model. ``upcasts`` as in ``vram_need``.
    """

    model: ModelDir
    window: int
    slots: int
    upcasts: bool = False
    context: int = CONTEXT_BYTES

    def need(self, window: int | None = None, slots: int | None = None) -> int:
        """Bytes for this window and these slots; by default those that are asked for."""
        chosen = window or self.window, slots or self.slots
        return self.context + vram_need(self.model, *chosen, upcasts=self.upcasts)

    def largest_window(self, available: int, slots: int | None = None) -> int:
        """The largest window that fits with these slots; 0 where none is worth having."""
        room = available - self.context
        return window_that_fits(room, self.model, slots or self.slots, upcasts=self.upcasts) if room > 0 else 0

    @property
    def smallest(self) -> int:
        """Bytes for one conversation in the smallest window."""
        return self.need(min(MIN_WINDOW, self.model.context_limit), 1)


def breakdown(ask: Ask) -> MemoryNeed:
    """The need in its parts."""
    model, window, slots = ask.model, ask.window, ask.slots
    attention = attention_bytes(model, window) + (upcast_bytes(model, window, slots) if ask.upcasts else 0)
    parts = [
        MemoryPart(name="weights", size=model.loaded_bytes),
        MemoryPart(name="conversations", size=slots * slot_bytes(model, window)),
        MemoryPart(name="attention", size=attention),
        MemoryPart(name="recorded_steps", size=graph_bytes(model, window, slots)),
        MemoryPart(name="working", size=WORKING_BYTES),
    ]
    if ask.context:
        parts.append(MemoryPart(name="context", size=ask.context))
    return MemoryNeed(window=window, slots=slots, total=sum(part.size for part in parts), parts=parts)


def choices(ask: Ask, available: int, holders: Sequence[GpuProcess] = ()) -> list[MemoryChoice]:
    """Everything that would fit, the least change first; empty where nothing does.

    ``available``: bytes that the model can have now. ``holders``: the others' processes, without the service's own.
    """
    if ask.need() <= available:
        return [_choice(ask, "again", available), *_half(ask, available)]
    found = [*_smaller(ask, available), *_freed(ask, available, holders)]
    return found or _freed_and_smaller(ask, available, holders)


def _choice(ask: Ask, kind: str, available: int, window: int = 0, slots: int = 0, **more: object) -> MemoryChoice:
    window, slots = window or ask.window, slots or ask.slots
    changed = {"max_model_len": window} if window != ask.window else {}
    changed |= {"slots": slots} if slots != ask.slots else {}
    return MemoryChoice.model_validate(
        {
            "kind": kind, "needed": ask.need(window, slots), "available": available, "window": window, "slots": slots,
            "settings": changed, **more,
        }
    )  # fmt: skip


def _half(ask: Ask, available: int) -> Iterator[MemoryChoice]:
    """It fits by the figures and still ran out: half the window leaves room."""
    if ask.window // 2 >= MIN_WINDOW:
        yield _choice(ask, "window", available, ask.window // 2)


def _smaller(ask: Ask, available: int) -> Iterator[MemoryChoice]:
    """Smaller settings: of the window alone, of the conversations alone, of both where one alone asks for much."""
    window = ask.largest_window(available)
    if window:
        yield _choice(ask, "window", available, window)
    slots = next((fewer for fewer in range(ask.slots - 1, 0, -1) if ask.need(slots=fewer) <= available), 0)
    if slots:
        yield _choice(ask, "slots", available, slots=slots)
    good = min(GOOD_WINDOW, ask.window)
    if window >= good or 2 * slots >= ask.slots:
        return
    best = (window, ask.slots)
    fewer = ask.slots // 2
    while fewer > slots and best[0] < good:
        best = max(best, (min(ask.largest_window(available, fewer), ask.window), fewer))
        fewer //= 2
    if best[0] > window:
        yield _choice(ask, "both", available, *best)


def _freed(ask: Ask, available: int, holders: Sequence[GpuProcess]) -> Iterator[MemoryChoice]:
    """Each process that alone holds enough, the smallest of them first; else as few as together do."""
    known = _known(holders)
    alone = [one for one in reversed(known) if ask.need() <= available + (one.used_bytes or 0)]
    for one in alone:
        yield _choice(ask, "ask_owner", available + (one.used_bytes or 0), processes=[one])
    if not alone:
        for count in range(2, len(known) + 1):
            freed = available + _held(known[:count])
            if ask.need() <= freed:
                yield _choice(ask, "ask_owner", freed, processes=known[:count])
                return


def _freed_and_smaller(ask: Ask, available: int, holders: Sequence[GpuProcess]) -> list[MemoryChoice]:
    """Where neither alone is enough: all others' memory and smaller settings, the window's first."""
    known = _known(holders)
    freed = available + _held(known)
    if not known:
        return []
    return [one.model_copy(update={"kind": "ask_owner", "processes": known}) for one in _smaller(ask, freed)][:1]


def _known(holders: Sequence[GpuProcess]) -> list[GpuProcess]:
    """Those whose share is told, the largest first."""
    return sorted((one for one in holders if one.used_bytes), key=lambda one: -(one.used_bytes or 0))


def _held(holders: Sequence[GpuProcess]) -> int:
    return sum(one.used_bytes or 0 for one in holders)


def notes(model: ModelDir) -> list[MemoryNote]:
    """What another form of the checkpoint would save: next to nothing, for the vision tower is never loaded and the
    weights lie in 4 bits in any case. Reads the files' headers; raises OSError.
    """
    found = []
    tensors = [tensor for name, _size in model.files for tensor in read_header(model.path / name)]
    vision = sum(tensor.size for tensor in tensors if is_vision(tensor.name))
    if vision:
        found.append(MemoryNote(kind="text_only", saves=0, saves_on_disk=vision))
    if model.quantization is None:
        # One matrix at a time is on the card in 16 bits while it is quantised.
        largest = max((tensor.elements for tensor in tensors if tensor.name.endswith("_proj.weight")), default=0)
        smaller = max(0, model.weight_bytes - vision - model.loaded_bytes)
        found.append(MemoryNote(kind="prequantised", saves=2 * largest, saves_on_disk=smaller))
    return found
