"""Which card the model is, or will be, on; and what there is of its memory."""

from __future__ import annotations

from dataclasses import dataclass

from medgemma_tui.health.checks.gpu.cards import answering, ours
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import GpuSample


def used(context: Context) -> list[GpuSample]:
    """The card that our worker holds memory of; every card that answers, where it holds none yet."""
    return ours(context) or answering(context)


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes: what is free, what our own worker holds, and the whole. On a card that is cut into MIG instances: of the
    instance with most, for a process gets one only."""

    free: int
    held: int
    total: int

    @property
    def usable(self) -> int:
        """What the worker can have."""
        return self.free + self.held


def room_of(card: GpuSample) -> Room | None:
    """The card's room, None where it does not tell."""
    held = sum(process.used_bytes or 0 for process in card.processes or () if process.is_worker)
    if card.mig_enabled:
        rooms = [
            Room(max(0, part.memory_total - part.memory_used), held, part.memory_total)
            for part in card.mig
            if part.memory_total is not None and part.memory_used is not None and part.memory_used >= held
        ]
        return max(rooms, key=lambda room: room.free, default=None)
    if card.memory_free is None or card.memory_total is None:
        return None
    return Room(card.memory_free, held, card.memory_total)
