"""Samples of GPU, host and service. ``None`` means "this card does not say": the screen shows n/a, never zero."""

from __future__ import annotations

from typing import Literal

from medgemma_tui.protocol.base import Reply
from medgemma_tui.protocol.fitness import Fitness
from medgemma_tui.protocol.privacy import ProcessSeal

NvmlErrorCode = Literal[
    "starting",
    "library_not_found",
    "driver_not_loaded",
    "no_permission",
    "version_mismatch",
    "no_device",
    "gpu_lost",
    "reset_required",
    "timeout",
    "unknown",
]


class GpuProcess(Reply):
    """A process that holds memory on a card."""

    pid: int
    user: str | None = None
    command: str | None = None
    used_bytes: int | None = None
    is_worker: bool = False
    together: int = 0
    """Not 0: so many processes told as one, without names, because the reader is not one of ops. ``pid`` is 0."""


class MigInstance(Reply):
    """One MIG instance of a card."""

    index: int
    name: str | None = None
    uuid: str | None = None
    memory_total: int | None = None
    memory_used: int | None = None


ThrottleReason = Literal[
    "idle",
    "applications_clocks",
    "sw_power_cap",
    "hw_slowdown",
    "sync_boost",
    "sw_thermal",
    "hw_thermal",
    "hw_power_brake",
    "display_clocks",
    "unknown",
]


class GpuSample(Reply):
    """One card at one moment: bytes, percent, degrees Celsius, watts, MHz."""

    index: int
    name: str = ""
    uuid: str | None = None
    utilization: float | None = None
    memory_utilization: float | None = None
    memory_total: int | None = None
    memory_used: int | None = None
    memory_free: int | None = None
    memory_reserved: int | None = None
    """The driver's own share. ``total = used + free + reserved`` where this is told, else ``used`` has it in it."""
    temperature: float | None = None
    temperature_slowdown: float | None = None
    power: float | None = None
    power_limit: float | None = None
    clock_sm: int | None = None
    clock_sm_max: int | None = None
    clock_memory: int | None = None
    clock_memory_max: int | None = None
    fan: float | None = None
    performance_state: int | None = None
    throttle: list[ThrottleReason] | None = None
    ecc_enabled: bool | None = None
    ecc_corrected: int | None = None
    ecc_uncorrected: int | None = None
    ecc_corrected_lifetime: int | None = None
    ecc_uncorrected_lifetime: int | None = None
    """ECC counts since the driver was loaded (NVML: volatile), then over the card's life (aggregate)."""
    mig_enabled: bool | None = None
    mig: list[MigInstance] = []
    persistence: bool | None = None
    compute_capability: str | None = None
    processes: list[GpuProcess] | None = None
    error: str | None = None
    """Set when the card was lost mid-run ("GPU is lost"): the figures above are then all ``None``."""
    error_code: NvmlErrorCode | None = None
    """Set with ``error``: the screen words this."""


class HostSample(Reply):
    """The box: percent, bytes."""

    cpu_percent: float | None = None
    load_1m: float | None = None
    memory_total: int | None = None
    memory_used: int | None = None
    memory_available: int | None = None
    swap_total: int | None = None
    swap_used: int | None = None


class PrivacyFacts(Reply):
    """What was measured about leaks: sockets other than Unix ones held open, by process. ``None``: not readable.

    ``gateway`` and ``worker``: what each could prove of itself; ``None``: not known.
    """

    gateway_inet_sockets: int | None = None
    worker_inet_sockets: int | None = None
    gateway: ProcessSeal | None = None
    worker: ProcessSeal | None = None
    foreign_engine: bool = False
    """True where another program answers in the worker's place: it is not ours to seal."""


class ServiceSample(Reply):
    """The gateway's own figures. ``tokens_per_second`` is of the reply that ended last; ``ready`` is as in health."""

    queued: int = 0
    active: int = 0
    parked_sessions: int = 0
    parked_bytes: int | None = None
    """Of all parked conversations together."""
    worker_pid: int | None = None
    worker_rss: int | None = None
    tokens_per_second: float | None = None
    ready: bool | None = None
    fitness: Fitness | None = None
    """The last health run's verdict; None: none is known."""


class Telemetry(Reply):
    """One event of ``GET /v1/telemetry``.

    ``nvml_error`` says, in English for logs, why ``gpus`` is empty or has no figures; the screen words the code.
    """

    time: float
    nvml_version: str | None = None
    driver_version: str | None = None
    nvml_error: str | None = None
    nvml_error_code: NvmlErrorCode | None = None
    gpu_age_s: float | None = None
    """Seconds since NVML last answered; more than a few means the figures of ``gpus`` are not current."""
    gpus: list[GpuSample] = []
    host: HostSample = HostSample()
    service: ServiceSample = ServiceSample()
    privacy: PrivacyFacts = PrivacyFacts()
