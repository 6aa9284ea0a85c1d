"""``GET /metrics``: the gateway's figures in Prometheus's text format. A figure that is not known is not there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from medgemma_tui.gateway.auditing import Figures
from medgemma_tui.protocol import Fitness, GpuSample, Health, Telemetry, Usage

OUTCOMES = frozenset(
    {
        "ok", "cancelled", "error", "invalid_request_error", "forbidden", "too_large", "queue_full", "timeout",
        "starting", "loading", "worker_lost", "out_of_memory", "model_invalid", "failed", "audit_full",
        "unfit", "shutting_down",
    }
)  # fmt: skip
"""The values of ``outcome``; any other error type of an engine counts as ``error``."""

# A "_created" gauge beside each counter says nothing here.
disable_created_metrics()  # type: ignore[no-untyped-call]

_GPU_GAUGES: tuple[tuple[str, str, Callable[[GpuSample], float | None]], ...] = (
    ("utilization_percent", "Busy share of the card", lambda gpu: gpu.utilization),
    ("memory_total_bytes", "Memory of the card", lambda gpu: gpu.memory_total),
    ("memory_used_bytes", "Memory in use", lambda gpu: gpu.memory_used),
    ("memory_free_bytes", "Memory that is free", lambda gpu: gpu.memory_free),
    ("temperature_celsius", "Temperature", lambda gpu: gpu.temperature),
    ("power_watts", "Power drawn", lambda gpu: gpu.power),
    ("power_limit_watts", "Power limit", lambda gpu: gpu.power_limit),
    ("clock_sm_mhz", "Clock of the SMs", lambda gpu: gpu.clock_sm),
    ("ecc_uncorrected_errors", "Uncorrected ECC errors since the driver was loaded", lambda gpu: gpu.ecc_uncorrected),
    ("ecc_corrected_errors", "Corrected ECC errors since the driver was loaded", lambda gpu: gpu.ecc_corrected),
)


class Metrics:
    """The counters and histograms, in a registry of their own."""

    def __init__(
        self,
        live: Callable[[], tuple[Health, int, int, int]],
        audit: Callable[[], Figures] | None = None,
        fitness: Callable[[], Fitness | None] = lambda: None,
    ) -> None:
        """``live`` gives the health, and how many requests wait, are answered, and conversations are parked.
        ``fitness`` gives the last health run's verdict."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "medgemma_requests", "Chat requests by how they ended", ["outcome"], registry=self._registry
        )
        self._tokens = Counter("medgemma_tokens", "Tokens by kind", ["kind"], registry=self._registry)
        self._first = Histogram(
            "medgemma_time_to_first_token_seconds",
            "From the request to the first token of its reply, as the client sees it",
            buckets=(0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60, 120),
            registry=self._registry,
        )
        self._speed = Histogram(
            "medgemma_tokens_per_second",
            "Speed of one reply, as its engine tells it",
            buckets=(5, 10, 20, 30, 40, 60, 80, 100, 150, 200, 300, 500, 1000),
            registry=self._registry,
        )
        self.last_speed: float | None = None
        """Tokens a second of the reply that ended last, by its engine's account."""
        self._live = _Live(live, audit, fitness)
        self._registry.register(self._live)

    def count(self, outcome: str) -> None:
        """A request ended."""
        self._requests.labels(outcome if outcome in OUTCOMES else "error").inc()

    def first_token(self, seconds: float) -> None:
        """A reply began, so long after its request."""
        self._first.observe(seconds)

    def usage(self, usage: Usage) -> None:
        """A reply's own account of itself."""
        reasoning = usage.completion_tokens_details.reasoning_tokens
        for kind, tokens in (
            ("prompt", usage.prompt_tokens),
            ("cached", usage.prompt_tokens_details.cached_tokens),
            ("reasoning", reasoning),
            ("answer", usage.answer_tokens or max(0, usage.completion_tokens - reasoning)),
        ):
            self._tokens.labels(kind).inc(tokens)
        if usage.tokens_per_second is not None:
            self.last_speed = usage.tokens_per_second
            self._speed.observe(usage.tokens_per_second)

    def text(self, telemetry: Telemetry | None) -> bytes:
        """The page, with the cards' figures as in ``telemetry``."""
        self._live.gpus = [] if telemetry is None else telemetry.gpus
        return generate_latest(self._registry)


class _Live(Collector):
    """What is read when somebody asks."""

    def __init__(
        self,
        live: Callable[[], tuple[Health, int, int, int]],
        audit: Callable[[], Figures] | None,
        fitness: Callable[[], Fitness | None],
    ) -> None:
        self._read = live
        self._audit = audit
        self._fitness = fitness
        self.gpus: list[GpuSample] = []

    def describe(self) -> list[Metric]:
        """Nothing: the registry need not read us to know our names."""
        return []

    def collect(self) -> Iterator[Metric]:
        """The gauges now."""
        health, waiting, active, parked = self._read()
        yield GaugeMetricFamily("medgemma_ready", "1 while questions can be answered", value=health.status == "ok")
        reason = GaugeMetricFamily("medgemma_health", "1 for the reason that /health gives", labels=["reason"])
        reason.add_metric([health.reason], 1)
        yield reason
        yield GaugeMetricFamily("medgemma_queue_waiting", "Requests that wait", value=waiting)
        yield GaugeMetricFamily("medgemma_requests_active", "Requests with the engine", value=active)
        yield GaugeMetricFamily("medgemma_parked_sessions", "Conversations parked in memory", value=parked)
        yield CounterMetricFamily("medgemma_worker_restarts", "Restarts of the worker", value=health.restarts)
        yield from self._audit_figures()
        yield from self._fitness_figures()
        if health.percent is not None:
            yield GaugeMetricFamily("medgemma_load_percent", "How much of the model is loaded", value=health.percent)
        for name, text, figure in _GPU_GAUGES:
            gauge = GaugeMetricFamily(f"medgemma_gpu_{name}", text, labels=["gpu", "name"])
            for gpu in self.gpus:
                if (value := figure(gpu)) is not None:
                    gauge.add_metric([str(gpu.index), gpu.name], value)
            if gauge.samples:
                yield gauge

    def _fitness_figures(self) -> Iterator[Metric]:
        fitness = self._fitness()
        if fitness is None:
            return
        verdict = GaugeMetricFamily(
            "medgemma_fitness", "1 for the verdict of the last whole health run", labels=["verdict"]
        )
        for each in ("ok", "warning", "unknown", "critical"):
            verdict.add_metric([each], each == fitness.verdict)
        yield verdict
        yield GaugeMetricFamily(
            "medgemma_fitness_timestamp_seconds", "When that run began, since 1970", value=fitness.at
        )
        yield GaugeMetricFamily(
            "medgemma_fitness_failing_checks", "Its results that are not ok", value=len(fitness.failing)
        )
        yield GaugeMetricFamily(
            "medgemma_fitness_refuses", "1 while questions are refused for that verdict", value=fitness.refuses
        )

    def _audit_figures(self) -> Iterator[Metric]:
        if self._audit is None:
            return
        audit = self._audit()
        yield GaugeMetricFamily("medgemma_audit_writable", "1 while the audit log can be written", value=audit.writable)
        yield GaugeMetricFamily(
            "medgemma_audit_kept_records", "Records in memory that are still to be written", value=audit.kept
        )
        yield CounterMetricFamily("medgemma_audit_records", "Records written since the start", value=audit.records)
        yield CounterMetricFamily(
            "medgemma_audit_failures", "Times that writing failed since the start", value=audit.failures
        )
