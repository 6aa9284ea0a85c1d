"""``host.disk``: free space where we write. How much is enough differs with what is written there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.host import places
from medgemma_tui.health.checks.host.places import Use
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import Figure, Item

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes below which there is a warning, and below which the box is not fit."""

    warning: int
    critical: int


NEEDS: Final[Mapping[Use, Need]] = {
    # 16 MiB a file of the log, a few kilobytes a question: weeks of a busy clinic, and days of it. No log, no answers.
    "audit": Need(512 * MIB, 64 * MIB),
    # 30 reports of some ten kilobytes, written beside the old one and renamed.
    "health": Need(64 * MIB, 4 * MIB),
    # Sockets, and the log of a private gateway; often in memory, a tenth of the RAM.
    "sockets": Need(32 * MIB, 2 * MIB),
}


def run(context: Context) -> Outcome:
    """Ask each file system."""
    figures, items, well = [], [], []
    codes: set[str] = set()
    least = None
    for use, path in places.written_to(context):
        params = {"path": str(path), "use": use}
        try:
            volume = places.volume(path)
        except OSError as error:
            codes.add("unreadable")
            items.append(Item(code="disk_unreadable", params={**params, "reason": error.strerror or "I/O error"}))
            continue
        need = NEEDS[use]
        figures.append(
            Figure(
                name="disk_free", value=volume.free, unit="B", label=use, warning=need.warning,
                critical=need.critical, below=True,
            )
        )  # fmt: skip
        least = volume.free if least is None else min(least, volume.free)
        params |= {"free": places.text(volume.free), "need": places.text(need.warning)}
        if volume.read_only:
            codes.add("read_only")
            items.append(Item(code="disk_read_only", params=params))
        elif volume.free < need.warning:
            codes.add("full" if volume.free < need.critical else "low")
            items.append(Item(code=f"disk_short_{use}", params=params))
        else:
            well.append(Item(code=f"disk_room_{use}", params=params))
    code = next((each for each in ("read_only", "full", "unreadable", "low") if each in codes), "room")
    return Outcome(code, {"free": places.text(least or 0)}, tuple(figures), (*items, *well))


CHECK = Check("host.disk", run, timeout_s=60.0)
