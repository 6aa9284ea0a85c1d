"""Xid events: the NVIDIA driver's lines in the kernel's log, and what kind of trouble each stands for."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from medgemma_tui.health.kernel_log import Record

_TABLE = Path(__file__).parent / "data" / "xid.toml"
_LINE = re.compile(
    r"NVRM: Xid \((?:PCI:)?([0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2})(?:\.[0-9a-fA-F])?\): (\d{1,4})\b"
)

_RECOVERY = 154
_ASKS_FOR = re.compile(r"\bto 0x[0-9a-fA-F]+ \(([A-Za-z0-9 ]{1,40})\)")

XidKind = Literal["application", "hardware", "follow", "note"]
XidAction = Literal[
    "restart_worker", "follow", "reset", "reset_soon", "restart_box", "replace", "power_cable", "nvlink", "watch",
    "recovery",
]  # fmt: skip


class XidEntry(BaseModel):
    """One line of NVIDIA's catalogue."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    code: int
    name: str
    kind: XidKind
    action: XidAction


class XidTable(BaseModel):
    """``data/xid.toml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    source: str
    reviewer: str
    xid: tuple[XidEntry, ...]


@dataclass(frozen=True, slots=True)
class XidEvent:
    """One line of the log. ``address``: the card's on the PCI bus, in lower case, with a domain of four digits."""

    at: float
    address: str
    code: int
    asks_for: str = ""
    """Of Xid 154 only: what the driver asks for from now on, in its own words (``GPU Reset Required``, ``None``)."""

    @property
    def kind(self) -> XidKind | Literal["other"]:
        """The catalogue's, ``other`` for a code that is not in it. That nothing is asked for any more is a note."""
        if self.asks_for == "None":
            return "note"
        entry = entry_of(self.code)
        return "other" if entry is None else entry.kind


@cache
def table() -> XidTable:
    """The catalogue."""
    return XidTable.model_validate(tomllib.loads(_TABLE.read_text(encoding="utf-8")))


@cache
def _by_code() -> dict[int, XidEntry]:
    return {entry.code: entry for entry in table().xid}


def entry_of(code: int) -> XidEntry | None:
    """What the catalogue says of a code; None where ours does not have it."""
    return _by_code().get(code)


def events(records: Iterable[Record]) -> list[XidEvent]:
    """The Xid events among the messages, in their order: ``NVRM: Xid (PCI:0000:65:00): 79, …``, and without PCI."""
    return [
        XidEvent(record.at, _short(found[1]), int(found[2]), _asks_for(int(found[2]), record.message))
        for record in records
        if (found := _LINE.search(record.message)) is not None
    ]


def _asks_for(code: int, message: str) -> str:
    found = _ASKS_FOR.search(message) if code == _RECOVERY else None
    return found[1] if found is not None else ""


def _short(address: str) -> str:
    domain, bus, device = address.lower().split(":")
    return f"{domain[-4:]}:{bus}:{device}"
