"""Tokens a second against this box's own record: what is recorded, what is slow, and what is not judged."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

import pytest
from gateway_running import Running, wait_for
from health_examining import examine

from medgemma_tui.health.checks.model import CHECKS, speed
from medgemma_tui.health.checks.model.speed import RECORD, Baseline

HELD_BACK = ("held back by the power supply (brake signal)", "held back by heat (hardware)")


def measure(context, socket, **more):
    return examine(context(socket=socket, **more), CHECKS, "model.speed")


def record(store) -> Baseline:
    return store.get(RECORD, Baseline)


def tampered(store, **changes):
    """The record as another day may have left it."""
    base = record(store)
    store.put(RECORD, base.model_copy(update=changes))


@pytest.fixture
def steady(scripted):
    """The engine says that it wrote 40 tokens a second."""
    scripted.engine.usage = {"tokens_per_second": 40.0}
    return scripted


@contextlib.contextmanager
def slowed(pid):
    """Let a process run for 4 ms of every 20 only."""
    done = threading.Event()

    def brake():
        while not done.wait(0.004):
            os.kill(pid, signal.SIGSTOP)
            time.sleep(0.016)
            os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=brake)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@pytest.mark.engine
def test_a_slowed_worker(context, gateway, store, monkeypatch):
    monkeypatch.setattr(speed, "TOKENS", 40)
    found = measure(context, gateway.socket)
    assert found.told == ("recorded", "ok")
    rate = found.figure("tokens_per_second")
    assert rate.value > 0
    assert (rate.unit, rate.below) == ("tok/s", True)
    assert rate.warning == pytest.approx(0.7 * rate.value, abs=0.01)
    base = record(store)
    assert base.identity.model == "medgemma-tui-demo"
    assert base.identity.weights
    assert base.identity.device.startswith("cpu nf4")
    assert not base.identity.on_card
    assert {"medgemma-tui", "torch", "transformers", "bitsandbytes"} <= set(base.identity.versions)

    with slowed(gateway.health()["worker_pid"]):
        found = measure(context, gateway.socket)
    assert found.told == ("slow", "warning")
    assert "tokens/s: only" in found.text
    assert "medgemma-tui health --new-baseline" in found.advice
    assert found.figure("tokens_per_second").value < found.figure("tokens_per_second").warning
    assert record(store) == base


def test_within_its_record(context, steady, store):
    assert measure(context, steady.gateway.socket).told == ("recorded", "ok")
    steady.engine.usage = {"tokens_per_second": 28.5}
    found = measure(context, steady.gateway.socket)
    assert found.told == ("ok", "ok")
    assert found.text.startswith("28.5 tokens/s: 71 % of the 40.0 that were recorded on ")
    steady.engine.usage = {"tokens_per_second": 27.5}
    assert measure(context, steady.gateway.socket).told == ("slow", "warning")


def test_a_new_baseline_on_request(context, steady, store):
    measure(context, steady.gateway.socket)
    steady.engine.usage = {"tokens_per_second": 10.0}
    assert measure(context, steady.gateway.socket, new_baseline=True).told == ("recorded", "ok")
    assert record(store).tokens_per_second == 10.0
    assert measure(context, steady.gateway.socket).told == ("ok", "ok")


def test_another_model_has_a_record_of_its_own(context, steady, store):
    measure(context, steady.gateway.socket)
    tampered(store, tokens_per_second=400.0, identity=record(store).identity.model_copy(update={"weights": "other"}))
    assert measure(context, steady.gateway.socket).told == ("recorded", "ok")
    assert record(store).tokens_per_second == 40.0


def test_another_window_is_no_other_box(context, steady, store):
    """Where none is set the window is what free memory leaves: another one at every start."""
    measure(context, steady.gateway.socket)
    steady.engine.usage = {"tokens_per_second": 20.0}
    steady.engine.card["max_model_len"] = 3968
    gateway = Running(engine_socket=steady.engine.socket, slots=1, telemetry_interval_s=0.2).ready()
    try:
        assert gateway.health()["model"]["max_model_len"] == 3968
        assert measure(context, gateway.socket).told == ("slow", "warning")
    finally:
        steady.engine.card["max_model_len"] = 4096
        gateway.stop()


def test_the_record_of_a_bad_day_is_replaced(context, steady, store):
    measure(context, steady.gateway.socket)
    tampered(store, tokens_per_second=20.0)  # not on a CPU, whose pace is everybody's
    assert measure(context, steady.gateway.socket).told == ("ok", "ok")
    steady.engine.card["device"] = "NVIDIA L4"
    gateway = Running(engine_socket=steady.engine.socket, slots=1, telemetry_interval_s=0.2).ready()
    try:
        measure(context, gateway.socket)
        tampered(store, tokens_per_second=30.0)
        assert measure(context, gateway.socket).told == ("ok", "ok")
        tampered(store, tokens_per_second=20.0)
        assert measure(context, gateway.socket).told == ("recorded", "ok")
        assert record(store).tokens_per_second == 40.0
    finally:
        del steady.engine.card["device"]
        gateway.stop()


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_a_record_that_nothing_can_be_compared_with(context, steady, store, value):
    measure(context, steady.gateway.socket)
    tampered(store, tokens_per_second=value)
    assert measure(context, steady.gateway.socket).told == ("recorded", "ok")
    assert record(store).tokens_per_second == 40.0


def test_a_model_that_has_lost_its_card_keeps_the_cards_record(context, steady, store):
    measure(context, steady.gateway.socket)
    on_card = record(store).identity.model_copy(update={"device": "NVIDIA L4 nf4", "on_card": True})
    tampered(store, tokens_per_second=900.0, identity=on_card)
    found = measure(context, steady.gateway.socket)
    assert found.told == ("off_card", "warning")
    assert "NVIDIA L4 nf4" in found.text
    assert "service.worker" in found.advice
    assert record(store).tokens_per_second == 900.0
    assert measure(context, steady.gateway.socket, new_baseline=True).told == ("recorded", "ok")


def test_new_versions_do_not_lower_the_record(context, steady, store):
    measure(context, steady.gateway.socket)
    older = record(store).identity.model_copy(update={"versions": {"torch": "1.0"}})
    tampered(store, tokens_per_second=80.0, identity=older)
    found = measure(context, steady.gateway.socket)
    assert found.told == ("slow", "warning")
    assert any(line.startswith("the record was made with ") and "torch 1.0" in line for line in found.lines)
    tampered(store, tokens_per_second=50.0)
    assert measure(context, steady.gateway.socket).told == ("ok", "ok")
    assert record(store).tokens_per_second == 50.0
    tampered(store, tokens_per_second=30.0)
    assert measure(context, steady.gateway.socket).told == ("recorded", "ok")
    assert record(store).tokens_per_second == 40.0


def test_an_engine_that_does_not_say_is_timed(context, scripted):
    scripted.engine.pause_s = 0.002
    found = measure(context, scripted.gateway.socket)
    assert found.told == ("recorded", "ok")
    assert 50 < found.figure("tokens_per_second").value < 500


def test_too_short_to_measure(context, steady):
    steady.engine.answers[""] = "word " * 5
    found = measure(context, steady.gateway.socket)
    assert found.told == ("too_short", "unknown")
    assert "6 tokens" in found.text


def test_a_record_that_cannot_be_kept(context, steady, store):
    store.directory.write_text("")
    found = measure(context, steady.gateway.socket)
    assert found.told == ("not_kept", "warning")
    assert "writable" in found.advice


def test_while_others_are_answered_it_is_not_judged(context, scripted, store):
    """Two places: one for somebody whose answer takes long."""
    gateway = Running(engine_socket=scripted.engine.socket, slots=2, telemetry_interval_s=0.2).ready()
    try:
        scripted.engine.usage = {"tokens_per_second": 40.0}
        measure(context, gateway.socket)
        scripted.engine.usage = {"tokens_per_second": 4.0}
        scripted.engine.answers["slow"] = "word " * 4000
        scripted.engine.pause_s = 0.001
        with gateway.stream("slow") as reply:
            lines = reply.iter_lines()
            next(lines)
            found = measure(context, gateway.socket)
        assert found.told == ("shared", "skipped")
        assert found.text == "4.0 tokens/s while 1 others were being answered: not judged."
        assert record(store).tokens_per_second == 40.0
    finally:
        gateway.stop()


def test_a_throttled_card(context, scripted, store, nvml_stub, monkeypatch):
    for name, value in nvml_stub.env.items():
        monkeypatch.setenv(name, value)
    nvml_stub.set("hot_throttled")
    scripted.engine.card["device"] = "NVIDIA L4"  # as a worker tells it
    scripted.engine.usage = {"tokens_per_second": 40.0}
    gateway = Running(engine_socket=scripted.engine.socket, slots=1, telemetry_interval_s=0.2).ready()
    try:
        wait_for(lambda: gpus(context, gateway), what="the card")
        found = measure(context, gateway.socket)
        assert found.told == ("throttled", "warning")
        assert record(store) is None
        assert set(HELD_BACK) <= set(found.lines)
        assert "cooling" in found.advice

        nvml_stub.set("healthy")  # at its power limit, as many cards are under load
        wait_for(lambda: "hw_thermal" not in (gpus(context, gateway)[0].throttle or ()), what="a cooler card")
        assert measure(context, gateway.socket).told == ("recorded", "ok")
        assert "NVIDIA L4" in record(store).identity.device
        assert record(store).identity.versions["driver"] == "580.95.05"

        nvml_stub.set("hot_throttled")
        wait_for(lambda: "hw_thermal" in (gpus(context, gateway)[0].throttle or ()), what="a hot card")
        scripted.engine.usage = {"tokens_per_second": 20.0}
        found = measure(context, gateway.socket)
        assert found.told == ("slow_throttled", "warning")
        assert "only 50 %" in found.text
        assert set(HELD_BACK) <= set(found.lines)
    finally:
        scripted.engine.card.pop("device")
        gateway.stop()


def gpus(context, gateway):
    return context(socket=gateway.socket).telemetry().gpus


def test_no_answer(context, scripted):
    scripted.engine.refuse = (500, {"type": "server_error", "message": "no"})
    found = measure(context, scripted.gateway.socket)
    assert found.told == ("not_asked", "unknown")
    assert "model.decode" in found.advice


def test_the_question_is_one_that_the_demo_model_answers_at_length():
    from medgemma_tui.demo.corpus import find

    assert find(speed.QUESTION, []) is not None
