"""``host.inodes``: files can still be made where we write. A file system out of inodes is full with space to spare."""

from __future__ import annotations

from typing import Final

from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.host import places
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import Figure, Item

WARNING: Final = 1000
CRITICAL: Final = 50
"""The log, a report, and each private gateway need a handful."""


def run(context: Context) -> Outcome:
    """Ask each file system."""
    figures, items, well = [], [], []
    codes: set[str] = set()
    least: int | None = None
    for use, path in places.written_to(context):
        try:
            volume = places.volume(path)
        except OSError as error:
            codes.add("unreadable")
            items.append(
                Item(code="disk_unreadable", params={"path": str(path), "reason": error.strerror or "I/O error"})
            )
            continue
        if volume.inodes is None:
            continue
        least = volume.inodes if least is None else min(least, volume.inodes)
        figures.append(
            Figure(name="inodes_free", value=volume.inodes, label=use, warning=WARNING, critical=CRITICAL, below=True)
        )
        if volume.inodes < WARNING:
            codes.add("none" if volume.inodes < CRITICAL else "few")
            items.append(
                Item(
                    code="inodes_short",
                    params={"path": str(path), "free": f"{volume.inodes:,}", "total": f"{volume.inodes_total:,}"},
                )
            )
        else:
            well.append(Item(code="inodes_left", params={"path": str(path), "free": f"{volume.inodes:,}"}))
    code = next((each for each in ("none", "unreadable", "few") if each in codes), "enough")
    if code == "enough" and least is None:
        return Outcome("unlimited")
    return Outcome(code, {"free": f"{least or 0:,}"}, tuple(figures), (*items, *well))


CHECK = Check("host.inodes", run, timeout_s=60.0)
