"""``service.worker`` in every state that a model process can be in."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from gateway_running import Running, wait_for

from medgemma_tui.health import context as health_context
from medgemma_tui.health.checks.service import parked, worker
from tests.health.looking import Seen, context, look

READY = {"status": "ok", "reason": "ready", "model": {"id": "stub", "max_model_len": 4096}}


def seen(running: Running, reason: str, place: Path, **settings: object) -> Seen:
    wait_for(lambda: running.health()["reason"] == reason, what=reason)
    return look(worker.CHECK, context(place, running.socket, demo=True, **settings))


def test_loaded_then_restarted_then_that_is_long_ago(with_worker, tmp_path, monkeypatch) -> None:
    running = with_worker(READY, pause_s=0.05)
    told = seen(running, "ready", tmp_path)
    assert told.told == ("ok", "ok")
    assert told.text == "stub is loaded."
    assert told.figure("worker_restarts") == 0
    first = running.health()["worker_pid"]
    os.kill(first, signal.SIGKILL)
    wait_for(lambda: running.health().get("worker_pid") not in (first, None), what="another worker")
    told = seen(running, "ready", tmp_path)
    assert told.told == ("restarted", "warning")
    assert "1 times; the last 0.0 hours ago" in told.text
    assert "journalctl -u medgemma" in told.advice
    assert told.figure("worker_restarts") == 1
    assert told.figure("worker_up_seconds") < 60
    monkeypatch.setattr(worker, "_RECENT_S", 0.0)
    assert seen(running, "ready", tmp_path).told == ("ok", "ok")


@pytest.mark.parametrize(
    ("device", "gpus", "told"),
    [
        ("cpu", [{"index": 0, "name": "NVIDIA L4"}], ("on_cpu", "critical")),
        ("NVIDIA L4", [{"index": 0, "name": "NVIDIA L4"}], ("ok", "ok")),
        ("cpu", [{"index": 0, "name": "", "error": "lost"}], ("ok", "ok")),  # gpu.present tells
        ("cpu", [], ("ok", "ok")),  # gpu.driver tells
    ],
)
def test_beside_the_card(device: str, gpus: list[object], told: tuple[str, str], scripted, tmp_path) -> None:
    health = {**READY, "model": {"id": "stub", "max_model_len": 4096, "device": device}}
    socket = scripted(health=health, telemetry={"time": 1.0, "gpus": gpus})
    found = look(worker.CHECK, context(tmp_path, socket, model=tmp_path))
    assert found.told == told
    if told[0] == "on_cpu":
        assert "/dev/nvidia-uvm" in found.advice
        assert look(worker.CHECK, context(tmp_path, socket, demo=True)).told == ("ok", "ok")


def test_telemetry_that_never_comes_keeps_no_check_waiting(scripted, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(health_context, "_HEALTH_S", 0.3)
    socket = scripted(health=READY, telemetry={"silent": True})
    assert look(worker.CHECK, context(tmp_path, socket, demo=True)).told == ("ok", "ok")
    assert look(parked.CHECK, context(tmp_path, socket, demo=True)).told == ("failed", "unknown")


def test_loading(with_worker, tmp_path) -> None:
    running = with_worker({"status": "not_ready", "reason": "loading", "percent": 40})
    told = seen(running, "loading", tmp_path)
    assert told.told == ("loading", "unknown")
    assert "40 %" in told.text


def test_gone(with_worker, tmp_path) -> None:
    told = seen(with_worker(READY, 7, 0.2), "worker_lost", tmp_path)
    assert told.told == ("lost", "critical")
    assert "exit code 7" in told.text


@pytest.mark.parametrize("code", ["gpu_loading", ""])
def test_out_of_memory(code: str, with_worker, tmp_path) -> None:
    health = {"status": "not_ready", "reason": "out_of_memory", "code": code}
    told = seen(with_worker(health, 4, 0.3), "out_of_memory", tmp_path)
    assert told.told == (f"out_of_memory_{code}" if code else "out_of_memory", "critical")
    assert "systemctl restart medgemma" in told.advice


def test_a_model_that_cannot_be_loaded_is_told_with_what_is_wrong_with_it(tmp_path) -> None:
    (tmp_path / "model").mkdir()
    running = Running(private=True, model=tmp_path / "model").listening()
    try:
        told = seen(running, "model_invalid", tmp_path)
        assert told.told == ("model_invalid", "critical")
        assert any("config.json" in line for line in told.lines)
        assert str(tmp_path / "model") in told.lines[0]
    finally:
        running.stop()


def test_given_up(scripted, tmp_path) -> None:
    socket = scripted(health={"status": "not_ready", "reason": "failed", "detail": "it ended", "restarts": 5})
    told = look(worker.CHECK, context(tmp_path, socket, demo=True))
    assert told.told == ("given_up", "critical")
    assert "5 restarts" in told.text


def test_starting(scripted, tmp_path) -> None:
    socket = scripted(health={"status": "not_ready", "reason": "starting"})
    assert look(worker.CHECK, context(tmp_path, socket, demo=True)).told == ("starting", "unknown")


@pytest.mark.parametrize("reason", ["audit_full", "unfit"])
def test_a_worker_whose_answers_are_held_back_is_well(reason: str, scripted, tmp_path) -> None:
    """What an earlier run found must not make the next one find it again."""
    socket = scripted(health={**READY, "status": "not_ready", "reason": reason})
    assert look(worker.CHECK, context(tmp_path, socket, demo=True)).told == ("ok", "ok")


def test_another_engine(engine, tmp_path) -> None:
    told = look(worker.CHECK, context(tmp_path, engine.socket, **engine.settings))
    assert told.told == ("engine", "ok")
    assert "stub" in told.text


def test_another_engine_that_is_gone(tmp_path) -> None:
    running = Running(engine_socket=tmp_path / "none.sock").listening()
    try:
        told = seen(running, "worker_lost", tmp_path)  # by what the gateway says, whatever our settings are
        assert told.told == ("engine_lost", "critical")
        assert "engine_socket" in told.advice
    finally:
        running.stop()


def test_no_service(tmp_path) -> None:
    assert look(worker.CHECK, context(tmp_path, tmp_path / "none.sock", demo=True)).told == ("no_service", "skipped")
