"""``GET /v1/memory``: what the model needs of memory, what is there, who holds it, and what would fit. Sizes in bytes.

Every choice is reckoned by the gateway from the model's directory and the newest sample; the program changes nothing
by itself.
"""

from __future__ import annotations

from typing import Literal

from medgemma_tui.protocol.base import Reply
from medgemma_tui.protocol.replies import HealthReason
from medgemma_tui.protocol.telemetry import GpuProcess

MemoryPartName = Literal["weights", "conversations", "attention", "recorded_steps", "working", "context"]
"""``conversations``: the cache of all slots. ``attention``: a full prompt's last chunk. ``recorded_steps``: the decode
steps recorded on the card. ``working``: set aside for what does not grow. ``context``: CUDA's own share."""
MemoryChoiceKind = Literal["again", "window", "slots", "both", "ask_owner"]
"""``again``: it fits as things stand now. ``window``, ``slots``, ``both``: smaller settings. ``ask_owner``: another
process gives back what it holds, and then it fits (with the settings that stand beside it, if any do)."""
MemoryNoteKind = Literal["text_only", "prequantised"]
MemoryUnknown = Literal["", "no_figures", "mig", "model", "engine"]
"""Why nothing could be reckoned: the card tells no figures, is split into MIG instances, the model's directory cannot
be read, another engine answers."""


class MemoryPart(Reply):
    """One part of what the model needs."""

    name: MemoryPartName
    size: int


class MemoryNeed(Reply):
    """What the model needs for so many conversations (``slots``) of up to ``window`` tokens. ``total`` is the parts'
    sum."""

    window: int
    slots: int
    total: int
    parts: list[MemoryPart] = []


class MemoryChoice(Reply):
    """One thing that would make it fit: then ``needed`` is not more than ``available``.

    ``settings``: the lines for the settings file. ``processes``: those that would have to give back what they hold;
    for a reader who is not of ops, other people's are one entry without names (``GpuProcess.together``).
    """

    kind: MemoryChoiceKind
    needed: int
    available: int
    window: int
    slots: int
    settings: dict[Literal["max_model_len", "slots"], int] = {}
    processes: list[GpuProcess] = []


class MemoryNote(Reply):
    """What one might try and what it would save, of the memory asked for and on the disk: not enough to be a choice."""

    kind: MemoryNoteKind
    saves: int
    saves_on_disk: int


class MemoryHelp(Reply):
    """The whole answer. ``reason`` and ``code`` are the service's health as it stands.

    ``device``: whose memory this is about: the card's, or the box's where the model runs on the CPU.
    """

    at: float
    """When the figures were taken, in seconds since 1970."""
    reason: HealthReason
    code: str = ""
    device: Literal["gpu", "host"]
    gpu: int | None = None
    gpu_name: str = ""
    gpu_assumed: bool = False
    """True where there are several cards and the model's is not known for certain."""
    total: int | None = None
    free: int | None = None
    worker_bytes: int | None = None
    """What our worker holds; a model that is started again has it, too."""
    available: int | None = None
    """``free`` and what our worker holds; None: not known, and ``unknown`` says why."""
    need: MemoryNeed | None = None
    smallest: int | None = None
    """What one conversation in the smallest window that is worth having needs."""
    fits: bool | None = None
    holders: list[GpuProcess] | None = None
    """Who holds the card's memory, the largest first; None: the card does not say."""
    choices: list[MemoryChoice] = []
    """What would fit; none: nothing does."""
    notes: list[MemoryNote] = []
    unknown: MemoryUnknown = ""
    config: str = ""
    """The settings file of the service."""
    may_end: bool = False
    """True for a reader who may be offered to end a process; what the kernel allows is another matter."""
    own: list[int] = []
    """The service's own processes, which are never ended so."""
