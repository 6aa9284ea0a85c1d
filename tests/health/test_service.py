"""Which service ``health`` asks, which model that one serves, and which report is its last."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from gateway_running import Engine, Running, short_directory, wait_for
from other_users import needs_root

from medgemma_tui import health_service, state_dirs
from medgemma_tui.gateway.health_pages import _served
from medgemma_tui.health.bundle import contents
from medgemma_tui.health.store import Store
from medgemma_tui.protocol import CheckResult, HealthReport
from medgemma_tui.settings import Settings

GOOD = """
import sys
from medgemma_tui import health_service
from medgemma_tui.health import registry, meanings
from medgemma_tui.health.check import Check, Outcome
meanings.MEANINGS["host.a"] = {"good": meanings.Meaning("ok", "It is good.")}
registry.CHECKS = (Check("host.a", lambda context: Outcome("good")),)
health_service._ANSWER_S = float(sys.argv.pop(1))
from medgemma_tui.cli import run
sys.exit(run())
"""


def environment(home: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEDGEMMA_")}
    return {**kept, "LANG": "en_US.UTF-8", "MEDGEMMA_CONFIG": str(home / "settings.toml")}


def run(home: Path, *arguments: str, answer_s: float = 10.0):
    return subprocess.run(
        [sys.executable, "-c", GOOD, str(answer_s), *arguments],
        capture_output=True, text=True, timeout=120, env=environment(home),
    )  # fmt: skip


def a_report(age_s: float, status) -> HealthReport:
    result = CheckResult(id="host.ram", status=status, code="left_out")
    return HealthReport(
        phase="health", started=time.time() - age_s, seconds=9.0, version="0.1.0", box="box-3", demo=False,
        verdict=status, results=[result],
    )  # fmt: skip


@pytest.fixture
def home(tmp_path) -> Path:
    (tmp_path / "settings.toml").write_text(f'health_dir = "{tmp_path}/health"\n')
    return tmp_path


@pytest.fixture
def service():
    """A gateway that serves what is not the demo; only its own settings say so. It keeps its reports elsewhere."""
    directory = short_directory()
    engine = Engine(directory)
    gateway = Running(engine_socket=engine.socket, health_dir=directory / "health", directory=directory)
    gateway.ready()
    yield gateway
    gateway.stop()
    engine.stop()


def report_of(done) -> dict:
    return json.loads(done.stdout)


def test_a_run_is_on_the_model_that_the_service_serves_also_while_it_is_down(service, home):
    found = run(home, "health", "--socket", str(service.socket), "--format", "json")
    assert (found.returncode, found.stderr) == (0, "")
    assert report_of(found)["demo"] is False, "judged as the demo: no GPU would be a warning only"
    assert service.http.get("/v1/health/report").json()["report"]["demo"] is False
    service.stop()
    down = run(home, "health", "--socket", str(service.socket), "--format", "json")
    assert report_of(down)["demo"] is False
    last = run(home, "health", "--socket", str(service.socket), "--last", "--format", "json")
    assert report_of(last)["started"] == report_of(down)["started"], "an older report passes for the last one"


def test_what_a_service_serves_is_what_its_own_settings_say(tmp_path):
    own = Settings(model=tmp_path, slots=3, max_model_len=4096)
    told = _served(own)
    there = health_service.as_served(Settings(demo=True), told)
    assert (there.uses_demo, there.model, there.slots, there.max_model_len) == (False, tmp_path, 3, 4096)
    assert health_service.as_served(own, _served(Settings(demo=True))).uses_demo
    engine = health_service.as_served(Settings(), _served(Settings(engine_socket=tmp_path / "e", model=tmp_path)))
    assert (engine.engine_socket, engine.model, engine.uses_engine) == (tmp_path / "e", None, True)
    assert health_service.as_served(own, None) == own


def test_a_report_that_was_told_and_could_not_be_kept_is_the_last_one(service, home):
    Store(home / "health").save(a_report(3600.0, "ok"))
    told = a_report(60.0, "critical")
    assert service.http.post("/v1/health/report", content=told.model_dump_json()).status_code == 204
    last = run(home, "health", "--socket", str(service.socket), "--last", "--format", "nagios")
    assert (last.returncode, last.stdout.split(" - ")[0]) == (2, "MEDGEMMA CRITICAL")


def test_a_service_that_is_installed_and_is_not_there_is_not_replaced_by_a_demo(tmp_path, monkeypatch):
    monkeypatch.setattr("medgemma_tui.launch.SERVICE_SOCKET", tmp_path / "gateway.sock")
    monkeypatch.setattr(health_service, "SERVICE_SOCKET", tmp_path / "gateway.sock")
    monkeypatch.setattr(state_dirs, "SERVICE_STATE", tmp_path / "state")
    assert health_service.meant(Settings()).socket is None, "nothing is installed"
    (tmp_path / "state").mkdir()
    assert health_service.meant(Settings()).socket == tmp_path / "gateway.sock"
    assert health_service.meant(Settings(demo=True)).socket is None
    assert health_service.meant(Settings(model=tmp_path)).socket is None


@needs_root
def test_a_hung_service_is_told_as_such_and_no_old_report_as_its_last(service, home):
    os.chown(service.socket, 12345, -1)
    service.process.send_signal(signal.SIGSTOP)
    try:
        done = run(home, "health", "--socket", str(service.socket), "--last", "--format", "nagios", answer_s=0.5)
    finally:
        service.process.send_signal(signal.SIGCONT)
    assert done.returncode == 3
    assert "DEMO" not in done.stdout, "nobody knows what it serves"


@needs_root
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_who_leaves_a_run_of_the_service_is_told_that_it_goes_on(home, number, code):
    directory = short_directory()
    engine = Engine(directory)
    (directory / "stub.py").write_text('import time; print(\'{"done":0,"total":2}\', flush=True); time.sleep(60)')
    patch = f"import medgemma_tui.gateway.health_child as c; c.PROGRAM = ({str(directory / 'stub.py')!r},)"
    gateway = Running(engine_socket=engine.socket, directory=directory, patch=patch)
    gateway.ready()
    os.chown(gateway.socket, 12345, -1)
    try:
        asking = [sys.executable, "-m", "medgemma_tui", "health", "--socket", str(gateway.socket)]
        left = subprocess.Popen(
            asking, stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(home), text=True
        )
        wait_for(lambda: gateway.http.get("/v1/health/report").json()["running"])
        left.send_signal(number)
        out, said = left.communicate(timeout=60)
        assert (left.returncode, out) == (code, "")
        assert "The service's run goes on without you." in said
        assert gateway.http.get("/v1/health/report").json()["running"]
    finally:
        gateway.stop()
        engine.stop()


def test_a_bundle_has_the_services_report_and_not_ones_own_tries(service, home, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(home))
    monkeypatch.setattr(contents, "SERVICE_REPORTS", home / "closed")
    Store(home / "medgemma" / "health").save(a_report(3600.0, "ok"))
    told = a_report(60.0, "critical")
    assert service.http.post("/v1/health/report", content=told.model_dump_json()).status_code == 204
    found = contents.Contents()
    contents._add_reports(found, Settings(socket=service.socket), service.socket)
    assert [json.loads(each.data)["verdict"] for each in found.members] == ["critical"]


def test_a_run_on_a_demo_of_its_own_is_not_kept_out_by_the_last_verdict(home):
    with (home / "settings.toml").open("a") as file:
        file.write('when_unfit = "refuse"\n')
    Store(home / "health").save(a_report(60.0, "critical").model_copy(update={"demo": True}))
    found = run(home, "health", "--demo")
    assert (found.returncode, found.stderr) == (0, "")
