"""``service.queue`` and ``service.parked``: well, full for a while, nobody served, and no room left."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

import httpx
from gateway_running import client, wait_for

from medgemma_tui.health.checks.service import parked, queue
from tests.health.looking import context, look


def surroundings(engine, place):
    return context(place, engine.socket, **engine.settings)


@contextlib.contextmanager
def asking(engine, count: int) -> Iterator[None]:
    """So many questions at once, which take longer than we look."""
    clients = [client(engine.socket) for _ in range(count)]

    def ask(http: httpx.Client) -> None:
        body = {"messages": [{"role": "user", "content": "n=2000 pause=0.05"}], "stream": True}
        with (
            contextlib.suppress(httpx.HTTPError, RuntimeError),
            http.stream("POST", "/v1/chat/completions", json=body) as it,
        ):
            for _ in it.iter_lines():
                if ended.is_set():
                    return

    ended = threading.Event()
    threads = [threading.Thread(target=ask, args=(http,), daemon=True) for http in clients]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        engine.gateway.http.get("/health")
        for http in clients:
            http.close()


def test_a_queue_with_room(engine, tmp_path) -> None:
    told = look(queue.CHECK, surroundings(engine, tmp_path))
    assert told.told == ("ok", "ok")
    assert told.text == "0 of at most 2 questions wait; 0 of 1 places are taken."


def test_a_queue_that_stays_full(engine, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(queue, "_WATCHED_S", 1.0)
    with asking(engine, 3):
        wait_for(lambda: surroundings(engine, tmp_path).telemetry().service.queued == 2, what="a full queue")
        told = look(queue.CHECK, surroundings(engine, tmp_path))
    assert told.told == ("full", "warning")
    assert told.figure("queue_waiting") == 2
    assert told.figure("queue_active") == 1
    assert "batch" in told.advice


def test_a_queue_that_nobody_is_served_from(scripted, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(queue, "_WATCHED_S", 0.7)
    sample = {"time": 1.0, "service": {"queued": 1, "active": 0, "ready": True}}
    socket = scripted(health={"status": "ok", "reason": "ready"}, telemetry=sample)
    told = look(queue.CHECK, context(tmp_path, socket, demo=True, telemetry_interval_s=0.2))
    assert told.told == ("stuck", "critical")
    assert "systemctl restart medgemma" in told.advice


def test_parked_conversations_that_take_the_room(engine, tmp_path) -> None:
    assert look(parked.CHECK, surroundings(engine, tmp_path)).told == ("ok", "ok")
    engine.gateway.http.put("/v1/session", json={"payload": "x" * 3500, "replace": True}).raise_for_status()
    wait_for(lambda: surroundings(engine, tmp_path).telemetry().service.parked_bytes, what="a sample of it")
    told = look(parked.CHECK, surroundings(engine, tmp_path))
    assert told.told == ("nearly_full", "warning")
    assert told.figure("parked_sessions") == 1
    assert told.figure("parked_bytes") == 3500
    assert "parked_total_bytes" in told.advice
    engine.gateway.http.delete("/v1/session")


def test_no_service(tmp_path) -> None:
    for check in (queue.CHECK, parked.CHECK):
        assert look(check, context(tmp_path, tmp_path / "none.sock", demo=True)).told == ("no_service", "skipped")
