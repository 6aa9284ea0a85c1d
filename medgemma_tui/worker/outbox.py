"""What the engine hands to the server for one reply. No torch: the server is up before torch is imported."""

from __future__ import annotations

from dataclasses import dataclass

from medgemma_tui.http_errors import ApiError
from medgemma_tui.protocol import Progress, Usage
from medgemma_tui.worker.types import Channel, FinishReason


@dataclass(frozen=True, slots=True)
class Text:
    """More of the reply's text."""

    channel: Channel
    text: str


@dataclass(frozen=True, slots=True)
class Done:
    """The reply is complete."""

    reason: FinishReason
    usage: Usage


@dataclass(frozen=True, slots=True)
class Failed:
    """The reply ended with an error."""

    error: ApiError


EngineEvent = Text | Progress | Done | Failed
