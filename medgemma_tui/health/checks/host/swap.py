"""``host.swap``: memory of ours, and so what was asked, must not go to a disk as it is.

Of a running service its processes say what holds for them: its unit may refuse it swap that this process has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import psutil

from medgemma_tui.client import ServiceError
from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.context import Context
from medgemma_tui.privacy import swap
from medgemma_tui.protocol import Figure, Item

_OUTCOMES: Final[Mapping[str, str]] = {
    "swap_none": "off", "swap_memory": "memory", "swap_encrypted": "encrypted", "swap_refused": "refused",
    "swap_plain": "plain",
}  # fmt: skip
_WORST: Final = ("swap_plain", "", "swap_encrypted", "swap_refused", "swap_memory", "swap_none")
"""Empty: it could not be read in that process."""


def run(context: Context) -> Outcome:
    """Ask gateway and worker; where no service answers, look at what holds for this process."""
    figures = (Figure(name="swap_used", value=float(psutil.swap_memory().used), unit="B"),)
    told = _told(context)
    if told is None:
        try:
            code, names = swap.state()
        except OSError:
            return Outcome("unreadable", figures=figures)
        return Outcome(_OUTCOMES[code], {"devices": ", ".join(names)}, figures)
    worst = min(told.values(), key=lambda found: _WORST.index(found[0]))
    items = tuple(
        Item(code="swap_plain_of" if code else "swap_unread_of", params={"process": process, "devices": said})
        for process, (code, said) in told.items()
        if code in ("swap_plain", "")
    )
    return Outcome(_OUTCOMES.get(worst[0], "unreadable"), {"devices": worst[1]}, figures, items)


def _told(context: Context) -> dict[str, tuple[str, str]] | None:
    """What each process of the service says: the code and the devices; None where there is nobody to ask."""
    if context.socket is None:
        return None
    try:
        report = context.privacy()
    except ServiceError:
        return None
    found = {
        each.process: (finding.code if finding.code in _OUTCOMES else "", finding.said)
        for each in report.processes
        for finding in each.findings
        if finding.id == "swap"
    }
    return {str(name): value for name, value in found.items()} or None


CHECK = Check("host.swap", run, timeout_s=75.0)
