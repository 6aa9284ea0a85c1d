"""Health, metrics and telemetry."""

from __future__ import annotations

import json
import threading
import time

import pytest
from gateway_running import Running, client, events, wait_for

from medgemma_tui.gateway.metrics import Metrics
from medgemma_tui.protocol import GpuSample, Health, Telemetry, Usage


def test_health_is_the_engines(stubbed):
    health = Health.model_validate(stubbed.gateway.health())
    assert (health.status, health.reason, health.restarts) == ("ok", "ready", 0)
    assert health.model.id == "stub"
    assert health.model.max_model_len == 4096


def test_metrics_count_what_happened(stubbed):
    before = stubbed.gateway.metrics()
    stubbed.gateway.ask("n=4")
    with stubbed.gateway.stream("n=6") as response:
        response.read()
    stubbed.gateway.ask("n=1", temperature=9)
    after = stubbed.gateway.metrics()

    def grew(name, *labels):
        return after.get((name, labels), 0) - before.get((name, labels), 0)

    assert grew("medgemma_requests_total", "ok") == 2
    assert grew("medgemma_requests_total", "invalid_request_error") == 1
    assert grew("medgemma_tokens_total", "answer") == 10
    assert grew("medgemma_tokens_total", "prompt") == 14
    assert grew("medgemma_tokens_total", "cached") == 10
    assert grew("medgemma_time_to_first_token_seconds_count") == 1  # a whole reply has no first token to be seen
    assert grew("medgemma_tokens_per_second_count") == 2
    assert after[("medgemma_ready", ())] == 1
    assert after[("medgemma_health", ("ready",))] == 1
    assert ("medgemma_load_percent", ()) not in after  # not known: not there


def test_a_cards_figures_are_there_when_known_and_absent_when_not():
    metrics = Metrics(lambda: (Health(status="not_ready", reason="loading", percent=40, restarts=2), 3, 1, 0))
    gpus = [GpuSample(index=0, name='L4 "x"', temperature=61, memory_used=5), GpuSample(index=1, name="B", power=30.5)]
    text = metrics.text(Telemetry(time=0, gpus=gpus)).decode()
    assert 'medgemma_gpu_temperature_celsius{gpu="0",name="L4 \\"x\\""} 61.0' in text
    assert 'medgemma_gpu_power_watts{gpu="1",name="B"} 30.5' in text
    assert 'temperature_celsius{gpu="1"' not in text
    assert "utilization" not in text
    assert "medgemma_load_percent 40.0" in text
    assert "medgemma_worker_restarts_total 2.0" in text
    assert "medgemma_ready 0.0" in text
    assert "gpu" not in metrics.text(None).decode()


def test_an_engines_strange_error_type_makes_no_new_series():
    metrics = Metrics(lambda: (Health(status="ok", reason="ready"), 0, 0, 0))
    for number in range(50):
        metrics.count(f"strange {number}")
    metrics.usage(Usage(prompt_tokens=3))
    assert metrics.text(None).decode().count("medgemma_requests_total{") == 1


def test_the_speed_is_that_of_the_last_reply():
    metrics = Metrics(lambda: (Health(status="ok", reason="ready"), 0, 0, 0))
    assert metrics.last_speed is None
    metrics.usage(Usage(tokens_per_second=40.0))
    metrics.usage(Usage(tokens_per_second=31.5))
    metrics.usage(Usage())  # an engine that does not tell
    assert metrics.last_speed == 31.5


def test_telemetry_comes_as_it_is_sampled(stubbed):
    with stubbed.gateway.http.stream("GET", "/v1/telemetry") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        lines = events(response)
        samples = [Telemetry.model_validate_json(next(lines)) for _ in range(2)]
    assert samples[1].time - samples[0].time == pytest.approx(1.0, abs=0.5)
    assert samples[1].host.memory_total > 2**30
    assert samples[1].privacy.gateway_inet_sockets == 0
    assert samples[1].privacy.worker_inet_sockets is None  # another engine is not ours to look into
    assert samples[1].service.queued == 0


def test_telemetry_tells_what_the_gateway_does(stubbed):
    with client(stubbed.gateway.socket) as http, stubbed.gateway.stream("n=400 pause=0.01") as answer:
        lines = events(answer)
        next(lines)
        reading = threading.Thread(target=lambda: list(lines))
        reading.start()
        stubbed.gateway.http.put("/v1/session", json={"payload": "x"})
        with http.stream("GET", "/v1/telemetry") as response:
            for data in events(response):
                service = json.loads(data)["service"]
                if service["active"] == 1:
                    break
        assert service["parked_sessions"] == 1
        stubbed.gateway.http.delete("/v1/session")
        reading.join()


def test_a_card_that_is_known_to_nvml_is_in_the_metrics(nvml_stub, monkeypatch):
    """The real gateway over the stub NVML library."""
    for name, value in nvml_stub.env.items():
        monkeypatch.setenv(name, value)
    running = Running("--demo", telemetry_interval_s=0.2).listening()
    try:

        def known():
            return [key for key in running.metrics() if key[0] == "medgemma_gpu_temperature_celsius"]

        wait_for(known, 10, 0.2, "a card")
        with running.http.stream("GET", "/v1/telemetry") as response:
            sample = Telemetry.model_validate_json(next(events(response)))
        assert sample.gpus[0].temperature == running.metrics()[known()[0]]
    finally:
        running.stop()


def test_telemetry_streams_end_when_the_gateway_does():
    running = Running("--demo").listening()
    with client(running.socket) as http, http.stream("GET", "/v1/telemetry") as response:
        lines = events(response)
        next(lines)
        began = time.monotonic()
        code = []
        ending = threading.Thread(target=lambda: code.append(running.stop()))
        ending.start()
        list(lines)
        ending.join()
    assert code == [0]
    assert time.monotonic() - began < 10
