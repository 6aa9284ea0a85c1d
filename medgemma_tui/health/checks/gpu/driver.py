"""gpu.driver: NVML opens, and the driver is new enough for the CUDA that PyTorch brings."""

from __future__ import annotations

from pathlib import Path

from medgemma_tui.health.check import Check, Outcome
from medgemma_tui.health.checks.gpu import cuda
from medgemma_tui.health.checks.gpu.cards import graded
from medgemma_tui.health.context import Context
from medgemma_tui.protocol import Item, NvmlErrorCode

PCI = Path("/sys/bus/pci/devices")
_NVIDIA = "0x10de"
_DISPLAY = "0x03"  # the PCI class of graphics and compute cards
_CODES: dict[NvmlErrorCode, str] = {
    "library_not_found": "library_not_found",
    "driver_not_loaded": "driver_not_loaded",
    "no_permission": "no_permission",
    "version_mismatch": "version_mismatch",
    "gpu_lost": "gpu_lost",
    "reset_required": "reset_required",
    "timeout": "nvml_timeout",  # "timeout" is the runner's own
}


def run(context: Context) -> Outcome:
    """The outcome on this box."""
    reading = context.gpu()
    if reading.error is not None and reading.error != "no_device":
        code = _CODES.get(reading.error, "nvml_error")
        error = (reading.error_text or "").removeprefix("NVML: ")
        return Outcome(graded(context, code), {"error": error}, items=_on_the_bus())
    driver = reading.driver_version
    if driver is None:
        return Outcome("no_version")
    if context.settings.uses_engine:
        return Outcome("engine", {"driver": driver})
    torch = cuda.installed()
    if torch is None:
        return Outcome("no_torch", {"driver": driver})
    if torch.cuda is None:
        # Without a card nothing is lost by it: gpu.present has that.
        return Outcome(graded(context, "cpu_torch") if reading.samples else "no_need", {"driver": driver})
    return _compared(context, driver, torch.cuda)


def _compared(context: Context, driver: str, version: str) -> Outcome:
    needs = cuda.needs_of(version)
    params = {"driver": driver, "cuda": version}
    if needs is None:
        return Outcome("unknown_cuda", params)
    params["needed"] = needs.driver
    try:
        too_old = cuda.number_of(driver) < cuda.number_of(needs.driver)
    except ValueError:
        return Outcome("odd_version", params)
    return Outcome(graded(context, "too_old") if too_old else "ok", params)


def _on_the_bus() -> tuple[Item, ...]:
    """Whether the PCI bus has a card for which a driver is wanted; nothing where the bus cannot be read."""
    try:
        devices = sorted(PCI.iterdir())
    except OSError:
        return ()
    found = [device.name for device in devices if _is_card(device)]
    return tuple(Item(code="pci_card", params={"address": name}) for name in found) or (Item(code="no_pci_card"),)


def _is_card(device: Path) -> bool:
    try:
        vendor, kind = (device / "vendor").read_text("ascii"), (device / "class").read_text("ascii")
    except (OSError, UnicodeDecodeError):
        return False
    return vendor.strip() == _NVIDIA and kind.startswith(_DISPLAY)


CHECK = Check("gpu.driver", run)
