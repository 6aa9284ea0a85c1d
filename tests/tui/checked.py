"""A service with a health record, and reports made of real checks' outcomes, for tests of the health window."""

from __future__ import annotations

import asyncio
from datetime import datetime

from answering import Answering

from medgemma_tui.client import ServiceError
from medgemma_tui.health.check import Outcome
from medgemma_tui.health.run import result_of
from medgemma_tui.health.store import brief
from medgemma_tui.protocol import (
    ErrorInfo,
    Figure,
    Fitness,
    HealthProgress,
    HealthRecord,
    HealthReport,
    Item,
    PrivacyFacts,
    ProcessSeal,
    ServiceSample,
    Telemetry,
    worst,
)
from medgemma_tui.tui.health_seen import failing

GIB = 2**30
AT = datetime(2026, 6, 24, 6, 30).timestamp()
NOW = AT + 31 * 60
CARD = {"card": "GPU 0 (NVIDIA L4)", "index": "0"}
SEALED = ProcessSeal(inet_sockets=0)
NO_CARD = {"nvml_error": "x", "nvml_error_code": "library_not_found"}


def speed(rate: float) -> Figure:
    return Figure(name="tokens_per_second", value=rate, unit="tok/s", warning=28.7, below=True)


def room(gib: float) -> Figure:
    return Figure(name="vram_free", value=gib * GIB, unit="B", label="0")


HOT = Figure(name="gpu_temperature", value=91, unit="C", label="0", warning=83, critical=90)
FINE = {
    "gpu.present": Outcome("ok", {"count": "1", "cards": "GPU 0 (NVIDIA L4)"}),
    "gpu.memory": Outcome("loaded", CARD, (room(16.4),)),
    "gpu.temperature": Outcome("ok", {**CARD, "celsius": "61", "limit": "83"}),
    "gpu.xid": Outcome("ok", {"since": "06-01 00:00"}),
    "gpu.ecc": Outcome("left_out"),
    "model.hashes": Outcome("unchanged", {"count": "9", "cached": "9"}),
    "model.decode": Outcome("ok", {"seconds": "0.4"}),
    "model.speed": Outcome(
        "ok", {"rate": "40.1", "percent": "98", "baseline": "41.0", "date": "2026-05-02"}, (speed(40.1),)
    ),
    "service.gateway": Outcome("ok", {"seconds": "0.01"}),
    "golden.gfr": Outcome("ok", {"source": "KDIGO 2024"}),
}
WRONG = {
    "model.hashes": Outcome("wrong_hash", {"file": "model-00002-of-00002.safetensors"}),
    "gpu.holders": Outcome(
        "short_enough", {**CARD, "short": "1.20", "pids": "4711"}, (room(0.9),),
        (Item(code="holder", params={"pid": "4711", "user": "anna\x1b[31m", "gib": "3.10", "command": "python x.py"}),),
    ),
    "model.speed": Outcome(
        "slow_throttled", {"rate": "21.3", "percent": "52", "baseline": "41.0", "date": "2026-05-02"}, (speed(21.3),)
    ),
    "gpu.temperature": Outcome("too_hot", {**CARD, "celsius": "91", "limit": "83"}, (HOT,)),
    "service.queue": Outcome("timeout", {"seconds": "10"}),
}  # fmt: skip


def report(outcomes: dict[str, Outcome], at: float = AT, **more) -> HealthReport:
    results = [result_of(id, outcome, 0.4) for id, outcome in outcomes.items()]
    usual = {
        "phase": "health", "started": at, "seconds": 14.2, "version": "0.5.0", "box": "box-3", "demo": False,
        "verdict": worst([each.status for each in results]), "results": results,
    }  # fmt: skip
    return HealthReport(**{**usual, **more})


FIT = report(FINE)
UNFIT = report({**FINE, **WRONG})
HISTORY = [
    brief(report({**FINE, "model.speed": Outcome("ok", {}, (speed(41.0 - day % 3),))}, AT - day * 86400))
    for day in range(29, 0, -1)
]


def fitness(of: HealthReport, *, refuses: bool = False) -> Fitness:
    return Fitness(verdict=of.verdict, at=of.started, failing=failing(of.results), refuses=refuses)


def refused(status: int, type: str, **more) -> ServiceError:
    return ServiceError(status, ErrorInfo(type=type, message="no", **more))


class Checked(Answering):
    """It has a record, or raises ``denied``; a run tells what is put into ``events``, None ends it."""

    def __init__(self, last: HealthReport | None = None, *, told: Fitness | None = None, **more) -> None:
        super().__init__("fine", **more)
        history = [*HISTORY, brief(last)] if last is not None else []
        self.record = HealthRecord(report=last, history=history)
        self.fitness = told or (fitness(last) if last is not None else None)
        self.denied: ServiceError | None = None
        self.run_denied: ServiceError | None = None
        self.events: asyncio.Queue = asyncio.Queue()
        self.beats: asyncio.Queue = asyncio.Queue()
        self.runs: list[bool] = []
        self.looks = 0
        self.unfit: ServiceError | None = None

    async def telemetry(self):
        while True:
            service = ServiceSample(worker_pid=41, fitness=self.fitness)
            facts = PrivacyFacts(gateway_inet_sockets=0, worker_inet_sockets=0, gateway=SEALED, worker=SEALED)
            yield Telemetry(time=1.0, service=service, privacy=facts, **NO_CARD)
            await self.beats.get()

    async def stream(self, request):
        if self.unfit is not None:
            raise self.unfit
        async for chunk in super().stream(request):
            yield chunk

    async def note(self, event):
        pass

    async def health_record(self):
        self.looks += 1
        if self.denied is not None:
            raise self.denied
        return self.record

    async def run_health(self, full=False):
        if self.run_denied is not None:
            raise self.run_denied
        self.runs.append(full)
        while (event := await self.events.get()) is not None:
            if isinstance(event, ServiceError):
                raise event
            yield event

    def goes(self, done: int, total: int, **more) -> None:
        self.events.put_nowait(HealthProgress(done=done, total=total, **more))

    def beat(self, told: Fitness | None = None) -> None:
        """One more sample."""
        self.fitness = told or self.fitness
        self.beats.put_nowait(None)
