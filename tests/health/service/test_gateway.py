"""``service.gateway``: well, slow, stopped, gone, closed, somebody else's, and without an audit log."""

from __future__ import annotations

import signal
import socket as sockets
import threading
import time
from pathlib import Path

import pytest
from gateway_running import wait_for
from other_users import needs_root

from medgemma_tui.health.checks.service import gateway
from tests.health.looking import Seen, as_user, context, look


def seen(socket: Path | None, place: Path, **settings: object) -> Seen:
    return look(gateway.CHECK, context(place, socket, demo=True, **settings))


def test_it_answers(engine, tmp_path) -> None:
    told = seen(engine.socket, tmp_path)
    assert told.told == ("ok", "ok")
    assert told.figure("gateway_answer_seconds") < 1


def test_a_stopped_gateway_is_critical_and_within_the_checks_time(engine, tmp_path, monkeypatch) -> None:
    assert gateway.CHECK.timeout_s > gateway._HUNG_S
    monkeypatch.setattr(gateway, "_HUNG_S", 1.0)
    engine.gateway.process.send_signal(signal.SIGSTOP)
    try:
        begun = time.monotonic()
        told = seen(engine.socket, tmp_path)
        assert told.told == ("hung", "critical")
        assert time.monotonic() - begun < gateway.CHECK.timeout_s
        assert "systemctl restart medgemma" in told.advice
    finally:
        engine.gateway.process.send_signal(signal.SIGCONT)


def test_one_that_takes_its_time_is_a_warning(engine, tmp_path) -> None:
    engine.gateway.process.send_signal(signal.SIGSTOP)
    threading.Timer(1.2, engine.gateway.process.send_signal, [signal.SIGCONT]).start()
    told = seen(engine.socket, tmp_path)
    assert told.told == ("slow", "warning")
    assert told.figure("gateway_answer_seconds") > 1


def test_nobody_there(tmp_path) -> None:
    told = seen(tmp_path / "none.sock", tmp_path)
    assert told.told == ("unreachable", "critical")
    assert str(tmp_path / "none.sock") in told.text
    assert "systemctl restart medgemma" in told.advice
    assert seen(None, tmp_path).told == ("not_running", "critical")


@needs_root
def test_closed_to_this_user(engine, tmp_path) -> None:
    engine.socket.parent.chmod(0o711)
    try:
        assert as_user(12345, gateway.CHECK, context(tmp_path, engine.socket, demo=True)) == ("forbidden", "unknown")
    finally:
        engine.socket.parent.chmod(0o700)


def test_somebody_elses_program(tmp_path) -> None:
    path = tmp_path / "s"
    with sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()

        def answer() -> None:
            connection, _ = listener.accept()
            connection.recv(4096)
            connection.sendall(b"220 mail.example ESMTP\r\n")
            connection.close()

        threading.Thread(target=answer, daemon=True).start()
        assert seen(path, tmp_path).told == ("bad_reply", "critical")


def test_no_question_is_taken_without_the_audit_log(engine, tmp_path) -> None:
    kept = engine.key.read_bytes()
    engine.key.unlink()
    try:
        engine.gateway.http.put("/v1/session", json={"payload": "x"})  # something to record
        wait_for(lambda: engine.gateway.health()["reason"] == "audit_full", what="the log's trouble")
        told = seen(engine.socket, tmp_path)
        assert told.told == ("audit_full", "critical")
        assert any(str(engine.key) in line for line in told.lines)
    finally:
        engine.key.write_bytes(kept)
        engine.key.chmod(0o400)
        wait_for(lambda: engine.gateway.health()["reason"] == "ready", what="the log again")
    assert seen(engine.socket, tmp_path).told == ("ok", "ok")


@pytest.mark.parametrize("reason", ["unfit", "loading", "worker_lost"])
def test_what_keeps_the_model_from_answering_is_not_the_gateways_fault(reason: str, scripted, tmp_path) -> None:
    socket = scripted(health={"status": "not_ready", "reason": reason})
    if reason == "unfit" and "unfit" not in str(gateway.Health.model_fields["reason"].annotation):
        pytest.skip("the wire has no such reason yet")
    assert seen(socket, tmp_path).told == ("ok", "ok")
