"""What only the screen, plain mode and ``ask`` know, as the audit log takes it: words of fixed sets and counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Literal

from medgemma_tui.clinical.findings import Identifier
from medgemma_tui.protocol import EventBody


def guard(found: Iterable[Identifier], outcome: Literal["sent", "masked", "edited", "blocked"]) -> EventBody:
    """The guard fired: what became of it, and how many of each kind there were; never what they say."""
    return EventBody(event="guard", outcome=outcome, counts=dict(Counter(each.kind for each in found)))
