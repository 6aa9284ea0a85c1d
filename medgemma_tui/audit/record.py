"""One record of the audit log: its fields, its one written form, its keyed hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Event = Literal[
    "start", "stop", "login", "logout", "lock", "unlock", "unlock_failed", "question", "answer", "guard", "park",
    "take_back", "wipe", "policy", "health", "model_load", "seal", "refused", "dropped", "torn_tail", "rotate",
    "retention",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Entry:
    """What happened, as the gateway knows it: who by the kernel, words of fixed sets, counters, keyed hashes. No text.

    ``session`` is the gateway's own name for a conversation. ``input`` and ``output`` are ``Key.digest`` of the texts.
    """

    event: Event
    outcome: str
    uid: int
    login: str
    session: str = ""
    input: str = ""
    output: str = ""
    counters: Mapping[str, int | float | str] = field(default_factory=dict)
