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
        XidEvent(record.at, _short(found[1]), int(found[2]))
        for record in records
        if (found := _LINE.search(record.message)) is not None
    ]


def _short(address: str) -> str:
    domain, bus, device = address.lower().split(":")
    return f"{domain[-4:]}:{bus}:{device}"
