"""The gateway as a process: how it comes, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest
from gateway_running import Running, client, events, short_directory, wait_for


def worker_of(running):
    return wait_for(lambda: running.health().get("worker_pid"), what="a worker")


def gone(running, worker):
    assert not psutil.pid_exists(worker)
    assert sorted(path.name for path in running.directory.iterdir()) == ["log", "settings.toml"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_promptly_and_leaves_nothing(number):
    running = Running("--demo").listening()
    try:
        worker = worker_of(running)
        began = time.monotonic()
        running.process.send_signal(number)
        assert running.process.wait(timeout=10) == 0
        assert time.monotonic() - began < 8
        gone(running, worker)
    finally:
        running.stop()


def test_a_private_gateway_ends_with_its_standard_input():
    running = Running("--demo", private=True).listening()
    try:
        worker = worker_of(running)
        running.process.stdin.write(b"anything")
        running.process.stdin.flush()
        time.sleep(0.2)
        assert running.process.poll() is None
        running.process.stdin.close()
        assert running.process.wait(timeout=10) == 0
        gone(running, worker)
    finally:
        running.stop()


def test_a_private_gateway_ends_when_its_screen_is_killed():
    """A parent that holds the pipe, killed with -9."""
    directory = short_directory()
    path = directory / "gateway.sock"
    script = (
        "import subprocess, sys, time;"
        "subprocess.Popen([sys.executable, '-m', 'medgemma_tui', 'serve', '--private', '--demo',"
        f" '--socket', {str(path)!r}], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", script])
    try:
        wait_for(path.exists, what="the socket")
        with client(path) as http:
            worker = wait_for(lambda: http.get("/health").json().get("worker_pid"), what="a worker")
        parent.kill()
        parent.wait()
        wait_for(lambda: not path.exists(), 10, what="the gateway's end")
        wait_for(lambda: not psutil.pid_exists(worker), 10, what="the worker's end")
    finally:
        parent.kill()
        parent.wait()
    directory.rmdir()


def test_the_service_does_not_care_about_standard_input():
    running = Running("--demo").listening()
    try:
        running.process.stdin.close()
        time.sleep(0.5)
        assert running.http.get("/health").status_code in (200, 503)
    finally:
        assert running.stop() == 0


def test_a_second_gateway_on_one_socket_says_so():
    running = Running("--demo").listening()
    second = None
    try:
        second = Running("--demo", directory=running.directory)
        assert second.process.wait(timeout=10) == 1
        assert "another gateway answers here" in running.log.read_text()
        assert running.http.get("/health").status_code in (200, 503)
    finally:
        running.stop()
        if second is not None:
            second.http.close()
            second.process.stdin.close()


def test_a_model_that_cannot_be_loaded_ends_the_service_with_3(tmp_path):
    running = Running("--model", str(tmp_path))
    try:
        assert running.process.wait(timeout=20) == 3
        assert f"the model is not valid: {tmp_path}" in running.log.read_text()
    finally:
        running.stop()


def test_a_model_that_cannot_be_loaded_is_explained_by_a_private_gateway(tmp_path):
    running = Running("--model", str(tmp_path), private=True).listening()
    try:
        wait_for(lambda: running.health()["reason"] == "model_invalid", what="the reason")
        health = running.health()
        assert health["code"] == "no_config"
        assert health["params"] == {"path": str(tmp_path)}
        for wait in (False, True):
            response = running.ask("x", wait=wait)
            assert response.status_code == 503
            error = response.json()["error"]
            assert (error["type"], error["code"]) == ("model_invalid", "no_config")
            assert str(tmp_path) in error["message"]
        assert running.process.poll() is None
    finally:
        assert running.stop() == 0


def test_questions_that_wait_are_told_when_it_ends():
    running = Running("--demo").listening()
    try:
        with running.stream("x", wait=True) as response:
            lines = events(response)
            assert json.loads(next(lines))["progress"]["phase"] == "loading"
            running.process.send_signal(signal.SIGTERM)
            last = list(lines)[-1]
        assert json.loads(last)["error"]["type"] == "failed"
        assert running.process.wait(timeout=10) == 0
    finally:
        running.stop()


def test_systemd_is_told(tmp_path, monkeypatch):
    directory = short_directory()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(directory / "notify"))
        notify.settimeout(20)
        monkeypatch.setenv("NOTIFY_SOCKET", str(directory / "notify"))
        running = Running("--model", str(tmp_path))
        told = [notify.recv(200).decode() for _ in range(4)]
        running.stop()
    assert told[0] == "READY=1"
    assert "STATUS=model_invalid" in told
    assert told[-1] == "STOPPING=1"
    os.unlink(directory / "notify")
    directory.rmdir()
