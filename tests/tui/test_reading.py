"""What was read of a draft stays, whenever the reading that warms the lists up is done."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from medgemma_tui.tui.reading import Reader, Reading

DRAFT = "65岁男性，突发胸痛2小时，如何处理？"


class Later:
    """A thread that answers when it is told to."""

    def __init__(self) -> None:
        self.work: dict[int, Callable[[], Reading]] = {}

    def read(self, ticket: int, work: Callable[[], Reading]) -> None:
        self.work[ticket] = work


@pytest.mark.parametrize("typed_first", [True, False])
@pytest.mark.parametrize("draft_first", [True, False])
def test_the_warm_up_never_takes_the_place_of_a_draft(typed_first: bool, draft_first: bool) -> None:
    desk = SimpleNamespace(sections="auto", conversation=SimpleNamespace(card=""))
    later, heard = Later(), []
    reader = Reader(desk, later)  # type: ignore[arg-type]
    steps = [lambda: reader.read(DRAFT, heard.append), reader.warm_up]
    for step in steps if typed_first else reversed(steps):
        step()
    draft = next(ticket for ticket in later.work if ticket)
    for ticket in (draft, 0) if draft_first else (0, draft):
        reader.take(ticket, later.work[ticket]())
    assert [reading.what.text for reading in heard] == [DRAFT]
    assert reader.has_read(DRAFT)
    assert reader.prompt_of("something else") == "something else"
