"""What the checks of one run share: settings, the gateway's answers, one reading of the cards. Safe on any thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Generic, TypeVar

from medgemma_tui import demo, model_dir
from medgemma_tui.client import Client, ServiceError
from medgemma_tui.health import audit_place
from medgemma_tui.health.audit_place import AuditPlace
from medgemma_tui.health.store import Store
from medgemma_tui.model_dir import ModelDir
from medgemma_tui.protocol import ErrorInfo, Health, Phase, PrivacyReport, Telemetry
from medgemma_tui.settings import Settings
from medgemma_tui.telemetry.gpu import GpuReader, GpuReading
from medgemma_tui.telemetry.gpu_upkeep import CardUpkeep, read_upkeep

_T = TypeVar("_T")
_HEALTH_S = 5.0
Told = Callable[[str, float | None], None]
"""Called with a check's id and the percent of it that is done, None where that is not known."""


class Once(Generic[_T]):
    """A value that is made when first asked for. Who asks meanwhile waits for it; what was raised is raised again."""

    def __init__(self, make: Callable[[], _T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._value: _T | None = None
        self._error: Exception | None = None
        self._made = False

    def __call__(self) -> _T:
        """The value. Raises what making it raised."""
        with self._lock:
            if not self._made:
                try:
                    self._value = self._make()
                except Exception as error:
                    self._error = error
                self._made = True
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]


class Context:
    """One run's surroundings.

    ``socket``: the gateway's, None where there is none to ask (preflight). ``full``: hash every byte of the model.
    ``new_baseline``: record this run's speed as what later runs are compared with.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        *,
        phase: Phase,
        socket: Path | None = None,
        full: bool = False,
        new_baseline: bool = False,
        told: Told = lambda _id, _percent: None,
    ) -> None:
        self.settings = settings
        self.store = store
        self.phase: Phase = phase
        self.socket = socket
        self.full = full
        self.new_baseline = new_baseline
        self.finishes: list[str] = []
        """How the replies of this run's own questions ended, by their finish reasons."""
        self.no_answer = ""
        """Set once a question of this run found no model to answer it: why. The next ones need not wait for it, too."""
        self.started = time.time()
        self.told = told
        self.gpu: Once[GpuReading] = Once(self._read_gpu)
        """Every card, read once a run. NVML may hang in the driver: then every check that asks is UNKNOWN."""
        self.upkeep: Once[list[CardUpkeep]] = Once(read_upkeep)
        """What the cards tell of their own upkeep, read once a run; empty where NVML cannot be opened."""
        self.health: Once[Health] = Once(lambda: self.call(_health_in_time))
        """The gateway's health. Raises ServiceError, also where a hung gateway says nothing."""
        self.telemetry: Once[Telemetry] = Once(lambda: self.call(_one_sample))
        """One sample of the gateway's telemetry. Raises ServiceError, also where none comes."""
        self.privacy: Once[PrivacyReport] = Once(lambda: self.call(lambda client: client.privacy()))
        """What gateway and worker could prove shut. Takes seconds. Raises ServiceError."""
        self.model: Once[ModelDir] = Once(lambda: model_dir.inspect(self.model_directory))
        """The model's directory by its headers. Raises ModelDirError."""
        self.audit_place: Once[AuditPlace] = Once(lambda: audit_place.find(self))
        """Where the audit log is that the answering gateway writes. Raises ServiceError, SettingsError."""

    @property
    def installed(self) -> bool:
        """True where a model of the site's own is to be served: what is a warning for the demo is critical here."""
        return not self.settings.uses_demo

    @property
    def model_directory(self) -> Path:
        """The directory of the model that the settings ask for."""
        if self.settings.uses_demo or self.settings.model is None:
            return demo.model_dir()
        return self.settings.model

    def call(self, ask: Callable[[Client], Awaitable[_T]]) -> _T:
        """Ask the gateway on the calling thread; blocks. Raises ServiceError, ``unreachable`` without a socket."""
        socket = self.socket
        if socket is None:
            raise ServiceError(0, ErrorInfo(type="unreachable", message="no gateway is running"))

        async def asked() -> _T:
            async with Client(socket, health=True) as client:
                return await ask(client)

        return asyncio.run(asked())

    def _read_gpu(self) -> GpuReading:
        worker = None
        if self.socket is not None:
            try:
                worker = self.health().worker_pid
            except ServiceError:
                worker = None
        reader = GpuReader()
        try:
            return reader.read(worker)
        finally:
            reader.close()


async def _health_in_time(client: Client) -> Health:
    try:
        async with asyncio.timeout(_HEALTH_S):
            return await client.health()
    except TimeoutError:
        raise ServiceError(0, ErrorInfo(type="interrupted", message="the gateway hangs", code="silent")) from None


async def _one_sample(client: Client) -> Telemetry:
    return await sample_in_time(client, _HEALTH_S)


async def sample_in_time(client: Client, within_s: float, since: float = 0.0) -> Telemetry:
    """The first sample that was taken at ``since`` or later. Raises ServiceError, also where none comes in time."""
    try:
        async with asyncio.timeout(within_s), aclosing(client.telemetry()) as stream:
            async for sample in stream:
                if sample.time >= since:
                    return sample
    except TimeoutError:
        raise ServiceError(0, ErrorInfo(type="interrupted", message="no sample came", code="silent")) from None
    raise ServiceError(0, ErrorInfo(type="interrupted", message="the telemetry ended without a sample"))
