"""Words for what a card says of itself: figures with units, why it is slowed, who holds its memory."""

from __future__ import annotations

from medgemma_tui.i18n import N_, _
from medgemma_tui.protocol import GpuSample, NvmlErrorCode, ThrottleReason

GIB = 1 << 30

# Reasons that cost speed, worst first. Idle, application clocks, boost groups and display clocks are not faults.
_SLOWED: dict[ThrottleReason, str] = {
    "hw_thermal": N_("too hot (hardware thermal limit)"),
    "sw_thermal": N_("too hot (driver thermal limit)"),
    "hw_power_brake": N_("power brake from the box's power supply"),
    "hw_slowdown": N_("hardware slowdown (heat or power)"),
    "sw_power_cap": N_("at its power limit"),
    "unknown": N_("a reason this driver does not name"),
}

_NVML: dict[NvmlErrorCode, str] = {
    "starting": N_("Reading the GPU: no figures yet."),
    "library_not_found": N_("NVML: library not found. No NVIDIA driver is installed on this box."),
    "driver_not_loaded": N_("NVML: driver not loaded."),
    "no_permission": N_("NVML: no permission to read the GPU."),
    "version_mismatch": N_("NVML: driver and library versions differ. Restart the box after a driver update."),
    "no_device": N_("NVML: no GPU in this box."),
    "gpu_lost": N_("The GPU is lost: it fell off the bus. The box must be restarted."),
    "reset_required": N_("The GPU needs a reset before it can be used."),
    "timeout": N_("NVML does not answer."),
    "unknown": N_("NVML: unknown error."),
}

_NVML_SHORT: dict[NvmlErrorCode, str] = {
    "starting": N_("NVML: starting"),
    "library_not_found": N_("NVML: no driver library"),
    "driver_not_loaded": N_("NVML: driver not loaded"),
    "no_permission": N_("NVML: no permission"),
    "version_mismatch": N_("NVML: driver and library differ"),
    "no_device": N_("NVML: no card"),
    "gpu_lost": N_("the card is lost"),
    "reset_required": N_("the card needs a reset"),
    "timeout": N_("NVML does not answer"),
    "unknown": N_("NVML: unknown error"),
}

THROTTLES = {
    "hw_thermal": N_("too hot"),
    "sw_thermal": N_("too hot"),
    "hw_power_brake": N_("power brake"),
    "sw_power_cap": N_("power limit"),
    "hw_slowdown": N_("hardware slowdown"),
    "sync_boost": N_("sync boost"),
    "unknown": N_("unknown reason"),
}  # idle and clocks that somebody set are no faults

_NO_CARD = ("library_not_found", "driver_not_loaded", "no_device")


def not_available() -> str:
    """What stands where a card does not say."""
    return _("n/a")


def number(value: float | None, unit: str) -> str:
    """A whole figure with its unit, or n/a."""
    return not_available() if value is None else f"{value:.0f}{unit}"


def gib(size: int | None) -> str:
    """Bytes in GiB without the unit, or n/a."""
    return not_available() if size is None else f"{size / GIB:.1f}"


def share(used: float | None, limit: float | None, unit: str, scale: float = 1.0, digits: int = 0) -> str:
    """``68/72 W``; n/a for a part that is not told, and once where neither is."""
    if used is None and limit is None:
        return not_available()
    parts = [not_available() if value is None else f"{value / scale:.{digits}f}" for value in (used, limit)]
    return f"{parts[0]}/{parts[1]}{unit}"


def nvml_sentence(code: NvmlErrorCode | None, otherwise: str) -> str:
    """Why there are no figures, in a sentence; ``otherwise`` where the code is not known."""
    return _(_NVML[code]) if code is not None and (code != "unknown" or not otherwise) else otherwise


def nvml_reason(code: NvmlErrorCode | None) -> str:
    """Why NVML tells nothing, in a few words."""
    return _(_NVML_SHORT[code or "unknown"])


def no_card(code: NvmlErrorCode | None) -> bool:
    """Whether this tells that there is no card that could be used; other codes tell that nobody knows."""
    return code in _NO_CARD


def slowed(gpu: GpuSample, *, short: bool = False) -> str | None:
    """Why the card is slowed, in words; empty where it says it is not; None where it does not say."""
    if gpu.throttle is None:
        return None
    words = {reason: THROTTLES[reason] if short else text for reason, text in _SLOWED.items()}
    reasons = list(dict.fromkeys(_(text) for reason, text in words.items() if reason in gpu.throttle))
    return _("Slowed: {reasons}").format(reasons=", ".join(reasons)) if reasons else ""


def holders(gpu: GpuSample) -> tuple[int | None, int | None]:
    """Bytes of the card's memory that our worker holds and that others hold; None where it is not told.

    Where the driver tells who is there but not how much, the others' share is what is used less the worker's.
    """
    if gpu.processes is None:
        return None, None
    worker: int | None = 0
    others: int | None = 0
    for process in gpu.processes:
        if process.is_worker:
            worker = None if worker is None or process.used_bytes is None else worker + process.used_bytes
        else:
            others = None if others is None or process.used_bytes is None else others + process.used_bytes
    if others is None and worker is not None and gpu.memory_used is not None:
        others = max(0, gpu.memory_used - worker)
    return worker, others


def ecc(gpu: GpuSample) -> tuple[str, bool] | None:
    """ECC errors in words and whether any was not corrected; None where there is nothing to say."""
    if not gpu.ecc_enabled:
        return None
    corrected = gpu.ecc_corrected or 0
    uncorrected = gpu.ecc_uncorrected or 0
    if uncorrected:
        return _("ECC: {n} uncorrected errors. Answers may be wrong; tell the box's staff.").format(n=uncorrected), True
    if gpu.ecc_corrected is None and gpu.ecc_uncorrected is None:
        return _("ECC on, counts n/a"), False
    return _("ECC: {n} corrected").format(n=corrected), False
