"""What the model needs of a card's memory for the configured window, by ``medgemma_tui.vram``, and what is there."""

from __future__ import annotations

from dataclasses import dataclass

from medgemma_tui import vram
from medgemma_tui.client import ServiceError
from medgemma_tui.health.checks.gpu.cards import gib
from medgemma_tui.health.checks.gpu.cuda import number_of
from medgemma_tui.health.checks.gpu.used import Room, room_of
from medgemma_tui.health.context import Context
from medgemma_tui.memory_choices import CONTEXT_BYTES, Ask
from medgemma_tui.model_dir import ModelDir
from medgemma_tui.protocol import GpuSample, Item


@dataclass(frozen=True, slots=True)
class Need:
    """The need on one card. ``window`` in tokens: as configured or as the running worker has it, else the largest that
    fits, 0 where none worth having does. ``chosen``: it was configured, or is in use."""

    model: ModelDir
    room: Room
    window: int
    chosen: bool
    slots: int
    upcasts: bool

    @property
    def asked(self) -> int:
        """The window that the sum is for."""
        return self.window or min(vram.MIN_WINDOW, self.model.context_limit)

    @property
    def needed(self) -> int:
        """Bytes."""
        return self._ask.need()

    @property
    def _ask(self) -> Ask:
        """As the memory help reckons, so that both say the same."""
        return Ask(self.model, self.asked, self.slots, self.upcasts)

    @property
    def short(self) -> int:
        """Bytes that are missing; 0 where it fits."""
        return max(0, self.needed - self.room.usable)

    @property
    def window_that_fits(self) -> int:
        """The largest window, in tokens; 0 where none worth having fits."""
        return self._ask.largest_window(self.room.usable)

    @property
    def slots_that_fit(self) -> int:
        """The most conversations together that the window leaves room for."""
        fits = (n for n in range(self.slots, 0, -1) if self._ask.need(slots=n) <= self.room.usable)
        return next(fits, 0)

    def items(self) -> tuple[Item, ...]:
        """The sum, a line for each part."""
        window, slots, slot = self.asked, self.slots, vram.slot_bytes(self.model, self.asked)
        upcast = vram.upcast_bytes(self.model, window, slots) if self.upcasts else 0
        parts = [
            ("memory_weights", {}, self.model.loaded_bytes),
            ("memory_slots", {"slots": str(slots), "each": gib(slot), "window": str(window)}, slots * slot),
            ("memory_attention", {}, vram.attention_bytes(self.model, window)),
            *([("memory_upcast", {}, upcast)] if upcast else []),
            ("memory_graphs", {}, vram.graph_bytes(self.model, window, slots)),
            ("memory_working", {}, vram.WORKING_BYTES),
            ("memory_context", {}, CONTEXT_BYTES),
        ]
        room = {"free": gib(self.room.free), "held": gib(self.room.held), "total": gib(self.room.total)}
        return (
            *(Item(code=code, params={**params, "gib": gib(size)}) for code, params, size in parts),
            Item(code="memory_needed", params={"gib": gib(self.needed)}),
            Item(code="memory_room", params={**room, "gib": gib(self.room.usable)}),
        )


def need_on(context: Context, card: GpuSample) -> Need | None:
    """The need on this card; None where the card does not tell its memory. Raises ModelDirError."""
    room = room_of(card)
    if room is None:
        return None
    model, slots = context.model(), context.settings.slots
    upcasts = card.compute_capability is not None and number_of(card.compute_capability) < vram.UPCASTS_BELOW
    chosen = _chosen_window(context)
    if chosen is not None:
        return Need(model, room, min(chosen, model.context_limit), True, slots, upcasts)
    fits = Ask(model, vram.MIN_WINDOW, slots, upcasts).largest_window(room.usable)
    return Need(model, room, fits, False, slots, upcasts)


def _chosen_window(context: Context) -> int | None:
    """The running worker's window, else the configured one."""
    running = None
    if context.socket is not None:
        try:
            card = context.health().model
            running = card.max_model_len if card is not None else None
        except ServiceError:
            running = None
    return running or context.settings.max_model_len


def loaded(context: Context) -> bool:
    """Whether the service answers and its model is loaded."""
    if context.socket is None:
        return False
    try:
        return context.health().status == "ok"
    except ServiceError:
        return False
