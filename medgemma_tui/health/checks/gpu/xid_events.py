"""gpu.xid: what the driver wrote to the kernel's log of faults on the card."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from medgemma_tui.health import kernel_log, xid
from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.gpu.cards import NO_CARD, ours
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import Figure, Item

ID = "gpu.xid"
_RECENT_S = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class _Group:
    """The events of one code on one card: the newest, and how many there are."""

    newest: xid.XidEvent
    count: int

    @property
    def code(self) -> int:
        """The Xid."""
        return self.newest.code

    @property
    def last(self) -> float:
        """When the newest came."""
        return self.newest.at


def run(context: Context) -> Outcome:
    """The outcome on this box. The log counts also where no card is found: that may be why."""
    no_card = context.gpu().error in NO_CARD
    try:
        log = kernel_log.read(_RECENT_S)
    except kernel_log.NotReadable as error:
        return Outcome("no_card") if no_card else Outcome("unreadable", {"kmsg": error.kmsg, "journal": error.journal})
    groups = _grouped(xid.events(log.records))
    figures = (Figure(name="xid_events", value=sum(group.count for group in groups)),)
    cards = {card.bus_address: f"GPU {card.index}" for card in context.upkeep() if card.bus_address is not None}
    mine = {card.index for card in ours(context)}
    places = {card.bus_address for card in context.upkeep() if card.index in mine and card.bus_address is not None}
    items = tuple(_item(group, cards) for group in groups)
    if groups:
        code, group = _worst(groups, time.time(), places)
        params = {"code": str(group.code), "card": _where(group, cards), "time": _clock(group.last)}
        return Outcome(code, params, figures, items)
    if no_card:
        return Outcome("no_card")
    since = log.since
    if not log.complete and (since is None or since > time.time() - _RECENT_S):
        return Outcome("partial", {"since": _clock(since)}, figures)
    return Outcome("ok", {"since": _clock(since)}, figures)


def _grouped(events: Sequence[xid.XidEvent]) -> list[_Group]:
    """Events of one code on one card together, the last one first."""
    together: dict[tuple[int, str], list[xid.XidEvent]] = {}
    for event in events:
        together.setdefault((event.code, event.address), []).append(event)
    groups = [_Group(max(found, key=lambda event: event.at), len(found)) for found in together.values()]
    return sorted(groups, key=lambda group: -group.last)


def _worst(groups: Sequence[_Group], now: float, places: set[str]) -> tuple[str, _Group]:
    """The outcome's code, and the event that makes it. What is older than a day and could be lived with is history.
    ``places``: the bus addresses of the cards that the model is on; empty where nobody knows."""
    recent = [group for group in groups if group.last > now - _RECENT_S]
    for code, kind, among in (
        ("hardware", "hardware", [group for group in recent if not places or group.newest.address in places]),
        ("hardware_beside", "hardware", recent),
        ("hardware_old", "hardware", groups),
        ("application", "application", recent),
        ("other", "other", recent),
    ):
        found = [group for group in among if group.newest.kind == kind]
        if found:
            return code, found[0]
    return "noted", groups[0]


def _where(group: _Group, cards: dict[str, str]) -> str:
    address = group.newest.address
    return f"{cards[address]} ({address})" if address in cards else address


def _item(group: _Group, cards: dict[str, str]) -> Item:
    known = xid.entry_of(group.code) is not None
    params = {
        "code": str(group.code),
        "card": _where(group, cards),
        "count": str(group.count),
        "time": _clock(group.last),
        "asks": group.newest.asks_for or "?",
    }
    return Item(code=f"xid_{group.code}" if known else "xid_other", params=params)


def _clock(at: float | None) -> str:
    return "?" if at is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(at))


CHECK = Check(ID, run, timeout_s=15.0)
