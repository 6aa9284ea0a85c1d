"""The cards, through NVML. Each figure is asked for on its own: what a card or driver does not tell is ``None``.

NVML is opened when first read, and again every few seconds while it fails, so a driver loaded later is seen.
One thread at a time: NVML itself is thread-safe, this reader's bookkeeping is not.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field

import pynvml

from medgemma_tui.protocol import GpuProcess, GpuSample, MigInstance, NvmlErrorCode, ThrottleReason
from medgemma_tui.telemetry.host import process_facts
from medgemma_tui.telemetry.nvml import NVML_IS_GONE, ask, figure, number, text

REOPEN_S = 10.0
"""Seconds between two tries to open NVML, or to find a lost card again."""

_SENTENCES: dict[NvmlErrorCode, str] = {
    "library_not_found": "NVML: library not found; no NVIDIA driver is installed",
    "driver_not_loaded": "NVML: driver not loaded",
    "no_permission": "NVML: no permission to read the GPU",
    "version_mismatch": "NVML: the loaded driver and its library differ in version; reboot",
    "no_device": "NVML: the driver finds no GPU",
    "gpu_lost": "GPU is lost",
    "reset_required": "GPU needs a reset",
}

_CODES: dict[int, NvmlErrorCode] = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: "library_not_found",
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: "driver_not_loaded",
    pynvml.NVML_ERROR_NO_PERMISSION: "no_permission",
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: "version_mismatch",
    pynvml.NVML_ERROR_GPU_NOT_FOUND: "gpu_lost",
    pynvml.NVML_ERROR_GPU_IS_LOST: "gpu_lost",
    pynvml.NVML_ERROR_RESET_REQUIRED: "reset_required",
    pynvml.NVML_ERROR_TIMEOUT: "timeout",
}


_THROTTLE: dict[int, ThrottleReason] = {
    pynvml.nvmlClocksEventReasonGpuIdle: "idle",
    pynvml.nvmlClocksEventReasonApplicationsClocksSetting: "applications_clocks",
    pynvml.nvmlClocksEventReasonSwPowerCap: "sw_power_cap",
    pynvml.nvmlClocksEventReasonHwSlowdown: "hw_slowdown",
    pynvml.nvmlClocksEventReasonSyncBoost: "sync_boost",
    pynvml.nvmlClocksEventReasonSwThermalSlowdown: "sw_thermal",
    pynvml.nvmlClocksEventReasonHwThermalSlowdown: "hw_thermal",
    pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown: "hw_power_brake",
    pynvml.nvmlClocksEventReasonDisplayClockSetting: "display_clocks",
}


@dataclass(frozen=True, slots=True)
class GpuReading:
    """What NVML said at one moment. ``error`` is set when it said nothing at all, or that there is no card."""

    samples: list[GpuSample] = field(default_factory=list)
    driver_version: str | None = None
    nvml_version: str | None = None
    error: NvmlErrorCode | None = None
    error_text: str | None = None


@dataclass(slots=True)
class _Card:
    """One card and what does not change while NVML is open. ``listed``: NVML still counts it."""

    index: int
    listed: bool = True
    name: str = ""
    uuid: str | None = None
    compute_capability: str | None = None
    temperature_slowdown: int | None = None
    clock_sm_max: int | None = None
    clock_memory_max: int | None = None


class GpuReader:
    """Reads every card of this machine. Never raises for what NVML says."""

    def __init__(self, reopen_s: float = REOPEN_S) -> None:
        self._reopen_s = reopen_s
        self._open = False
        self._tried_at: float | None = None
        self._failure = GpuReading()
        self._cards: list[_Card] = []
        self._lost = False
        self._driver: str | None = None
        self._version: str | None = None

    def read(self, worker_pid: int | None = None) -> GpuReading:
        """One sample of each card. ``worker_pid`` marks the worker among the processes."""
        if not self._open and not self._try_open():
            return self._failure
        try:
            samples = [self._sample(card, worker_pid) for card in self._cards]
        except pynvml.NVMLError as error:  # the driver went away under us
            self.close()
            self._failure = _failed(error)
            return self._failure
        was_lost, self._lost = self._lost, any(sample.error for sample in samples)
        if (self._lost and self._due()) or (was_lost and not self._lost):
            self.close()  # a card that fell off the bus is found by a fresh NVML only, and its maxima with it
        return GpuReading(samples, self._driver, self._version)

    def close(self) -> None:
        """Close NVML if it is open; the next :meth:`read` opens it again."""
        if self._open:
            self._open = False
            with contextlib.suppress(pynvml.NVMLError):
                pynvml.nvmlShutdown()

    def _due(self) -> bool:
        return self._tried_at is None or time.monotonic() - self._tried_at >= self._reopen_s

    def _try_open(self) -> bool:
        """Open NVML and list the cards, unless that failed a moment ago. False: ``_failure`` says why."""
        if self._failure.error is not None and not self._due():
            return False
        self._tried_at = time.monotonic()
        try:
            pynvml.nvmlInit()
            self._open = True
            self._driver = text("nvmlSystemGetDriverVersion")
            self._version = text("nvmlSystemGetNVMLVersion")
            self._cards = self._find_cards()
        except pynvml.NVMLError as error:
            self.close()
            self._failure = _failed(error)
            return False
        if not self._cards:
            self.close()
            self._failure = GpuReading([], self._driver, self._version, "no_device", _SENTENCES["no_device"])
            return False
        self._failure = GpuReading()
        return True

    def _find_cards(self) -> list[_Card]:
        """The cards NVML lists now, then those it listed before and has lost since, so that a loss stays visible."""
        found = [_card(index) for index in range(int(pynvml.nvmlDeviceGetCount()))]
        before = {card.index: card for card in self._cards}
        for card in found:
            if card.uuid is None and card.index in before:  # a lost card does not tell its name
                card.name, card.uuid = before[card.index].name, before[card.index].uuid
        present = {card.uuid for card in found}
        missing = [card for card in self._cards if card.uuid is not None and card.uuid not in present]
        return found + [
            _Card(len(found) + position, False, card.name, card.uuid) for position, card in enumerate(missing)
        ]

    def _sample(self, card: _Card, worker_pid: int | None) -> GpuSample:
        try:
            if not card.listed:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
            return _figures(card, pynvml.nvmlDeviceGetHandleByIndex(card.index), worker_pid)
        except pynvml.NVMLError as error:
            if error.value in NVML_IS_GONE:
                raise
            failed = _failed(error)
            return GpuSample(
                index=card.index, name=card.name, uuid=card.uuid, error=failed.error_text, error_code=failed.error
            )


def _card(index: int) -> _Card:
    """Open card ``index`` and read what stays the same."""
    try:
        handle = pynvml.nvmlDeviceGetHandleByIndex(index)
        capability = ask("nvmlDeviceGetCudaComputeCapability", handle)
        return _Card(
            index=index,
            name=text("nvmlDeviceGetName", handle) or "",
            uuid=text("nvmlDeviceGetUUID", handle),
            compute_capability=None if capability is None else f"{capability[0]}.{capability[1]}",
            temperature_slowdown=number(
                "nvmlDeviceGetTemperatureThreshold", handle, pynvml.NVML_TEMPERATURE_THRESHOLD_SLOWDOWN
            ),
            clock_sm_max=number("nvmlDeviceGetMaxClockInfo", handle, pynvml.NVML_CLOCK_SM),
            clock_memory_max=number("nvmlDeviceGetMaxClockInfo", handle, pynvml.NVML_CLOCK_MEM),
        )
    except pynvml.NVMLError as error:
        if error.value in NVML_IS_GONE:
            raise
        return _Card(index)  # the sample asks for the handle again, and says what is wrong


def _figures(card: _Card, handle: object, worker_pid: int | None) -> GpuSample:
    """The card's figures. Raises when the card or NVML is gone."""
    utilization = ask("nvmlDeviceGetUtilizationRates", handle)
    total, used, free, reserved = _memory(handle)
    power = number("nvmlDeviceGetPowerUsage", handle)
    limit = number("nvmlDeviceGetEnforcedPowerLimit", handle)
    ecc = ask("nvmlDeviceGetEccMode", handle)
    mig = ask("nvmlDeviceGetMigMode", handle)
    state = number("nvmlDeviceGetPerformanceState", handle)
    persistence = number("nvmlDeviceGetPersistenceMode", handle)
    return GpuSample(
        index=card.index,
        name=card.name,
        uuid=card.uuid,
        utilization=None if utilization is None else figure(utilization.gpu),
        memory_utilization=None if utilization is None else figure(utilization.memory),
        memory_total=total,
        memory_used=used,
        memory_free=free,
        memory_reserved=reserved,
        temperature=_temperature(handle),
        temperature_slowdown=card.temperature_slowdown,
        power=None if power is None else power / 1000,
        power_limit=None if limit is None else limit / 1000,
        clock_sm=number("nvmlDeviceGetClockInfo", handle, pynvml.NVML_CLOCK_SM),
        clock_sm_max=card.clock_sm_max,
        clock_memory=number("nvmlDeviceGetClockInfo", handle, pynvml.NVML_CLOCK_MEM),
        clock_memory_max=card.clock_memory_max,
        fan=number("nvmlDeviceGetFanSpeed", handle),
        performance_state=None if state == pynvml.NVML_PSTATE_UNKNOWN else state,
        throttle=_throttle(handle),
        ecc_enabled=None if ecc is None else bool(ecc[0]),
        ecc_corrected=_ecc(handle, pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED, pynvml.NVML_VOLATILE_ECC),
        ecc_uncorrected=_ecc(handle, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC),
        ecc_corrected_lifetime=_ecc(handle, pynvml.NVML_MEMORY_ERROR_TYPE_CORRECTED, pynvml.NVML_AGGREGATE_ECC),
        ecc_uncorrected_lifetime=_ecc(handle, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_AGGREGATE_ECC),
        mig_enabled=None if mig is None else bool(mig[0]),
        mig=_mig_instances(handle) if mig is not None and mig[0] else [],
        persistence=None if persistence is None else bool(persistence),
        compute_capability=card.compute_capability,
        processes=_processes(handle, worker_pid),
    )


def _memory(device: object) -> tuple[int | None, int | None, int | None, int | None]:
    """Total, used, free, reserved. Drivers before 510 have no v2 and count the reserved share as used."""
    memory = ask("nvmlDeviceGetMemoryInfo", device, pynvml.nvmlMemory_v2)
    if memory is not None:
        return figure(memory.total), figure(memory.used), figure(memory.free), figure(memory.reserved)
    memory = ask("nvmlDeviceGetMemoryInfo", device)
    if memory is None:
        return None, None, None, None
    return figure(memory.total), figure(memory.used), figure(memory.free), None


def _temperature(handle: object) -> int | None:
    """Degrees Celsius; by the call that CUDA 14 keeps, else by the one that drivers before 570 have."""
    value = number("nvmlDeviceGetTemperatureV", handle, pynvml.NVML_TEMPERATURE_GPU)
    if value is None:
        value = number("nvmlDeviceGetTemperature", handle, pynvml.NVML_TEMPERATURE_GPU)
    return value


def _throttle(handle: object) -> list[ThrottleReason] | None:
    """Why the clocks are below their maximum, lowest bit first; NVML renamed the call in 535."""
    bits = number("nvmlDeviceGetCurrentClocksEventReasons", handle)
    if bits is None:
        bits = number("nvmlDeviceGetCurrentClocksThrottleReasons", handle)
    if bits is None:
        return None
    reasons = [word for bit, word in _THROTTLE.items() if bits & bit]
    if bits & ~sum(_THROTTLE):
        reasons.append("unknown")
    return reasons


def _ecc(handle: object, error_type: int, counter: int) -> int | None:
    return number("nvmlDeviceGetTotalEccErrors", handle, error_type, counter)


def _mig_instances(handle: object) -> list[MigInstance]:
    """The card's MIG instances. Slots may be empty in between."""
    instances = []
    for index in range(number("nvmlDeviceGetMaxMigDeviceCount", handle) or 0):
        device = ask("nvmlDeviceGetMigDeviceHandleByIndex", handle, index)
        if device is None:
            continue
        total, used, _free, _reserved = _memory(device)
        instances.append(
            MigInstance(
                index=index,
                name=text("nvmlDeviceGetName", device),
                uuid=text("nvmlDeviceGetUUID", device),
                memory_total=total,
                memory_used=used,
            )
        )
    return instances


def _processes(handle: object, worker_pid: int | None) -> list[GpuProcess] | None:
    """Who holds memory, largest first. ``None`` where the compute list is not to be had: a part would mislead.

    A process with a compute and a graphics context stands in both lists with the same figure; one that
    uses several MIG instances has a figure in each.
    """
    compute = ask("nvmlDeviceGetComputeRunningProcesses_v3", handle)
    if compute is None:
        compute = ask("nvmlDeviceGetComputeRunningProcesses_v2", handle)
    if compute is None:
        return None
    graphics = ask("nvmlDeviceGetGraphicsRunningProcesses_v3", handle)
    if graphics is None:
        graphics = ask("nvmlDeviceGetGraphicsRunningProcesses_v2", handle)
    held: dict[int, dict[tuple[int, int], int | None]] = {}
    for entry in [*compute, *(graphics or [])]:
        instances = held.setdefault(int(entry.pid), {})
        instance = (int(entry.gpuInstanceId), int(entry.computeInstanceId))
        figure = None if entry.usedGpuMemory is None else int(entry.usedGpuMemory)
        known = instances.get(instance)
        instances[instance] = figure if known is None else max(known, figure or 0)
    processes = []
    for pid, instances in held.items():
        figures = list(instances.values())
        user, command = process_facts(pid)
        processes.append(
            GpuProcess(
                pid=pid,
                user=user,
                command=command,
                used_bytes=None if None in figures else sum(figure or 0 for figure in figures),
                is_worker=pid == worker_pid,
            )
        )
    return sorted(processes, key=lambda process: (-(process.used_bytes or 0), process.pid))


def _failed(error: pynvml.NVMLError) -> GpuReading:
    """A reading that says only what went wrong."""
    code = _CODES.get(error.value, "unknown")
    text = _SENTENCES.get(code) or "NVML: " + str(error).encode("utf-8", "ignore").decode()
    return GpuReading([], None, None, code, text)
