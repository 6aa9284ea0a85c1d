"""What a card tells of its own upkeep: memory rows and pages taken out of use, its usual power limit, its bus address.

None of it changes from second to second: it is read once for a health run, not with every sample.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import pynvml

from medgemma_tui.telemetry.nvml import ask, number, text

_PAGE_CAUSES = (
    pynvml.NVML_PAGE_RETIREMENT_CAUSE_MULTIPLE_SINGLE_BIT_ECC_ERRORS,
    pynvml.NVML_PAGE_RETIREMENT_CAUSE_DOUBLE_BIT_ECC_ERROR,
)


@dataclass(frozen=True, slots=True)
class CardUpkeep:
    """One card. ``None``: the card does not tell. Cards from Ampere on remap rows, older ones retire pages."""

    index: int
    uuid: str | None = None
    bus_address: str | None = None
    """As in the kernel's log, in lower case: ``0000:65:00``, without the function."""
    power_limit_default: float | None = None
    """Watts, as the card is delivered."""
    rows_corrected: int | None = None
    rows_uncorrected: int | None = None
    """Rows remapped after errors that could, or could not, be corrected."""
    pages_corrected: int | None = None
    pages_uncorrected: int | None = None
    """Pages retired after many single-bit errors, or after a double-bit one."""
    pending: bool | None = None
    """A remap or retirement waits for the next reset of the card or load of the driver."""
    remap_failed: bool | None = None
    """A row could not be remapped, once or more."""


def read_upkeep() -> list[CardUpkeep]:
    """Every card that answers; none where NVML cannot be opened. Never raises for what NVML says."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    found = []
    try:
        for index in range(number("nvmlDeviceGetCount") or 0):
            with contextlib.suppress(pynvml.NVMLError):  # lost: the card's sample says so
                found.append(_read(index, pynvml.nvmlDeviceGetHandleByIndex(index)))
    except pynvml.NVMLError:
        pass
    finally:
        with contextlib.suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()
    return found


def _read(index: int, handle: object) -> CardUpkeep:
    rows = ask("nvmlDeviceGetRemappedRows", handle)
    pages = [ask("nvmlDeviceGetRetiredPages", handle, cause) for cause in _PAGE_CAUSES]
    waiting = number("nvmlDeviceGetRetiredPagesPendingStatus", handle)
    flags = [bool(flag) for flag in (None if rows is None else rows[2], waiting) if flag is not None]
    limit = number("nvmlDeviceGetPowerManagementDefaultLimit", handle)
    return CardUpkeep(
        index=index,
        uuid=text("nvmlDeviceGetUUID", handle),
        bus_address=_bus_address(handle),
        power_limit_default=None if limit is None else limit / 1000,
        rows_corrected=None if rows is None else int(rows[0]),
        rows_uncorrected=None if rows is None else int(rows[1]),
        pages_corrected=None if pages[0] is None else len(pages[0]),
        pages_uncorrected=None if pages[1] is None else len(pages[1]),
        pending=any(flags) if flags else None,
        remap_failed=None if rows is None else bool(rows[3]),
    )


def _bus_address(handle: object) -> str | None:
    info = ask("nvmlDeviceGetPciInfo_v3", handle)
    return None if info is None else f"{info.domain:04x}:{info.bus:02x}:{info.device:02x}"
