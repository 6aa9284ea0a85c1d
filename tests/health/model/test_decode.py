"""The model is asked for a real token. Each reason why none comes is a real one here."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest
from gateway_running import STUB, Running, short_directory, wait_for
from health_examining import examine

from medgemma_tui import demo
from medgemma_tui.client import ServiceError
from medgemma_tui.health import decoding
from medgemma_tui.health.checks.model import AFTER_GOLDEN, CHECKS, decode
from medgemma_tui.protocol import ErrorInfo, Health

ALL = (*CHECKS, *AFTER_GOLDEN)


def ask(context, socket, **more):
    return examine(context(socket=socket, **more), ALL, "model.decode")


@pytest.mark.engine
def test_one_real_token(context, gateway):
    found = ask(context, gateway.socket)
    assert found.told == ("ok", "ok")
    assert 0 < found.figure("first_token").value < 15
    assert found.figure("first_token").unit == "s"


@pytest.mark.engine
def test_a_worker_that_hangs(context, gateway, monkeypatch):
    monkeypatch.setattr(decode, "WITHIN_S", 0.5)
    pid = gateway.health()["worker_pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        run = context(socket=gateway.socket)
        found = examine(run, ALL, "model.decode")
        assert found.told == ("no_answer", "critical")
        assert "it hangs" in found.text
        assert "systemctl restart medgemma" in found.advice
        found = examine(run, ALL, "model.logits")  # the next ones of the run do not wait for it, too
        assert found.told == ("not_asked", "unknown")
        assert "no_answer" in found.text
        assert found.result.seconds < 5
    finally:
        os.kill(pid, signal.SIGCONT)
    assert ask(context, gateway.socket).told == ("ok", "ok")


def test_all_places_taken(context, scripted, monkeypatch):
    monkeypatch.setattr(decode, "WITHIN_S", 0.3)
    scripted.engine.hold.clear()
    other = threading.Thread(target=lambda: scripted.gateway.ask("somebody's", stream=True))
    other.start()
    wait_for(lambda: scripted.engine.asked, what="somebody's question")
    found = ask(context, scripted.gateway.socket)
    assert found.told == ("busy", "unknown")
    assert "fewer people" in found.advice
    scripted.engine.hold.set()
    other.join(20)


def test_a_queue_that_is_full(context, scripted):
    scripted.engine.refuse = (429, {"type": "queue_full", "message": "full", "position": 3})
    assert ask(context, scripted.gateway.socket).told == ("busy", "unknown")


def test_an_engine_that_refuses(context, scripted):
    scripted.engine.refuse = (413, {"type": "too_large", "message": "SECRET", "code": "context_length_exceeded"})
    found = ask(context, scripted.gateway.socket)
    assert found.told == ("refused", "critical")
    assert "context_length_exceeded" in found.text
    assert "SECRET" not in found.result.model_dump_json()


def test_a_reply_without_a_token(context, scripted):
    scripted.engine.answers[""] = ""
    scripted.engine.finish = "non_finite"
    found = ask(context, scripted.gateway.socket)
    assert found.told == ("no_text", "critical")
    assert "non_finite" in found.text


def test_an_audit_log_on_a_full_disk(context, small_disk, scripted):
    gateway = Running(engine_socket=scripted.engine.socket, audit_dir=small_disk.log).ready()
    try:
        small_disk.disk_full()
        found = wait_for(lambda: refusing(ask(context, gateway.socket)), what="a refusal")
        assert found.told == ("audit_full", "critical")
        assert "disk_full" in found.text
        assert "group audit" in found.advice
    finally:
        gateway.stop()


def refusing(found):
    """A page of the log's file may still have room for a record or two."""
    return found if found.result.code != "ok" else None


def test_a_model_that_cannot_be_loaded(context, tmp_path):
    model = tmp_path / "broken"
    shutil.copytree(demo.model_dir(), model)
    (model / "config.json").write_text("{}")
    gateway = Running(model=model, private=True).listening()
    try:
        wait_for(lambda: gateway.health()["reason"] == "model_invalid", what="the verdict")
        found = ask(context, gateway.socket, model=model)
        assert found.told == ("model_invalid", "critical")
        assert "not_gemma3" in found.text
        assert "model.files" in found.advice
    finally:
        gateway.stop()


def test_no_memory_for_the_model(context, tmp_path):
    """A stand-in for the worker says what the real one says then: memory cannot be made short here on demand."""
    script = tmp_path / "worker.py"
    script.write_text(
        f"""
import sys
source = open({str(STUB)!r}).read()
reply = {{"status": "not_ready", "reason": "out_of_memory", "code": "gpu_loading"}}
source = source.replace("def health():", "def health():\\n    return 503, " + repr(reply), 1)
exec(compile(source, "stub", "exec"))
"""
    )
    patch = (
        "import dataclasses, sys, medgemma_tui.gateway.serve as s; made = s.worker_command; "
        "s.worker_command = lambda settings, socket: dataclasses.replace(made(settings, socket), "
        f"arguments=[sys.executable, '-I', {str(script)!r}, str(socket)])"
    )
    gateway = Running("--demo", patch=patch).listening()
    try:
        wait_for(lambda: gateway.health()["reason"] == "out_of_memory", what="the reason")
        found = ask(context, gateway.socket)
        assert found.told == ("out_of_memory", "critical")
        assert "gpu_loading" in found.text
        assert "F3" in found.advice
    finally:
        gateway.stop()


def test_nobody_on_the_socket(context, tmp_path):
    found = ask(context, tmp_path / "nobody.sock")
    assert found.told == ("unreachable", "critical")
    assert "systemctl status medgemma" in found.advice


def test_a_gateway_that_hangs(context, scripted, monkeypatch):
    monkeypatch.setattr(decoding, "_HEALTH_S", 0.3)
    monkeypatch.setattr("medgemma_tui.health.context._HEALTH_S", 0.3)
    scripted.gateway.process.send_signal(signal.SIGSTOP)
    try:
        assert ask(context, scripted.gateway.socket).told == ("unreachable", "critical")
    finally:
        scripted.gateway.process.send_signal(signal.SIGCONT)


def test_no_service(context):
    assert ask(context, None).told == ("no_service", "skipped")
    assert examine(context(), ALL, "model.logits").told == ("no_service", "skipped")
    assert examine(context(), ALL, "model.speed").told == ("no_service", "skipped")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_account_that_may_not_ask(context, scripted):
    scripted.gateway.directory.chmod(0o711)
    ask(context, scripted.gateway.socket)  # all that is imported lies in root's home, perhaps; settings, too
    run = context(socket=scripted.gateway.socket)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setresgid(65534, 65534, 65534)
        os.setresuid(65534, 65534, 65534)
        try:
            os.write(writing, json.dumps(examine(run, ALL, "model.decode").told).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as told:
        assert json.load(told) == ["forbidden", "unknown"]
    os.waitpid(child, 0)


@pytest.mark.parametrize(
    ("failure", "why"),
    [
        (decoding._of_health(Health(status="not_ready", reason="failed")), "failed_to_start"),
        (decoding._of_error(ServiceError(429, ErrorInfo(type="user_queue_full", message=""))), "busy"),
        (decoding._of_error(ServiceError(0, ErrorInfo(type="interrupted", message=""))), "unreachable"),
        (decoding._of_error(ServiceError(503, ErrorInfo(type="starting", message=""))), "loading"),
    ],
)
def test_other_reasons(failure, why):
    assert failure.why == why


# --- numbers that are not numbers -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broken_numbers():
    """A gateway and worker on a copy of the demo model whose last norm is not a number in one place."""
    directory = short_directory()
    model = directory / "model"
    shutil.copytree(demo.model_dir(), model)
    break_norm(model / "model.safetensors")
    running = Running(model=model)
    running.model = model
    try:
        yield running.ready()
    finally:
        running.stop()
        shutil.rmtree(directory)


def break_norm(file: Path) -> None:
    """Write a NaN (bfloat16) over the first value of ``model.norm.weight``."""
    raw = bytearray(file.read_bytes())
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    at = 8 + length + header["model.norm.weight"]["data_offsets"][0]
    raw[at : at + 2] = b"\xc0\x7f"
    file.write_bytes(raw)


@pytest.mark.engine
def test_invalid_numbers_are_seen_in_what_was_answered(context, broken_numbers):
    run = context(socket=broken_numbers.socket, model=broken_numbers.model)
    found = examine(run, ALL, "model.decode", "model.speed", "model.logits")
    assert found.result.id == "model.logits"
    assert found.told == ("non_finite", "critical")
    assert "in 3 of 3 replies" in found.text
    assert "Do not use its answers" in found.advice
    assert examine(context(model=broken_numbers.model), ALL, "model.hashes").told == ("wrong_hash", "critical")


@pytest.mark.engine
def test_the_check_alone_asks_for_itself(context, broken_numbers, gateway):
    found = examine(context(socket=broken_numbers.socket, model=broken_numbers.model), ALL, "model.logits")
    assert found.told == ("non_finite", "critical")
    found = examine(context(socket=gateway.socket), ALL, "model.logits")
    assert found.told == ("ok", "ok")
    assert "1 replies" in found.text


@pytest.mark.engine
def test_a_worker_that_is_killed_while_it_answers_and_then_loads_again(context, broken_numbers):
    own = broken_numbers  # the last test that needs it
    pid = own.health()["worker_pid"]
    os.kill(pid, signal.SIGSTOP)  # so that the question is there when it dies
    found = []
    asking = threading.Thread(target=lambda: found.append(ask(context, own.socket)))
    asking.start()
    wait_for(lambda: own.metrics()[("medgemma_requests_active", ())] == 1, what="the question")
    os.kill(pid, signal.SIGKILL)
    asking.join(20)
    assert found[0].told == ("worker_lost", "critical")
    assert "being restarted" in found[0].text
    assert "journalctl -u medgemma" in found[0].advice
    wait_for(lambda: own.health()["reason"] in ("starting", "loading"), what="the next worker")
    late = ask(context, own.socket)
    assert late.told == ("loading", "unknown")
    assert "Wait" in late.advice
