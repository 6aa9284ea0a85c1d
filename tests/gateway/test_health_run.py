"""Health in the gateway: runs on request as real processes, reports told, who may what. The run itself is a stand-in
that does as it is told; the real one has its test at the end."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
from gateway_running import Engine, Running, events, short_directory, wait_for
from other_users import User, needs_root

from medgemma_tui.audit.places import beside
from medgemma_tui.audit.verify import verify
from medgemma_tui.client import Client, ServiceError
from medgemma_tui.health.store import Store
from medgemma_tui.protocol import CheckResult, HealthReport, worst

USERS, OPS = 47110, 47111
ANNA, OPERATOR = 48001, 48003
STUB = Path(__file__).with_name("health_stub.py")


def report(*statuses, at=None, **fields):
    """A report whose results have these statuses."""
    results = [CheckResult(id=f"host.c{number}", status=each, code="x") for number, each in enumerate(statuses)]
    given = {
        "phase": "health", "started": at or time.time(), "seconds": 1.5, "version": "1", "box": "b", "demo": False,
        "verdict": worst(list(statuses)), "results": results,
    }  # fmt: skip
    return HealthReport(**{**given, **fields})


class Clinic:
    """A gateway before a stub engine, whose health runs are stand-ins."""

    def __init__(self, **settings):
        self.directory = short_directory()
        self.directory.chmod(0o755)
        self.stub = self.directory / "health_stub.py"
        shutil.copy(STUB, self.stub)
        self.store = Store(self.directory / "health")
        self.engine = Engine(self.directory)
        self.log = self.directory / "audit"
        self.settings = {
            "engine_socket": self.engine.socket, "audit_dir": self.log, "health_dir": self.store.directory,
            "users_group": USERS, "ops_group": OPS, "slots": 2, **settings,
        }  # fmt: skip
        self.start()

    def start(self, *, ready=True):
        (self.directory / "g").mkdir(mode=0o755, exist_ok=True)
        patch = (
            "import medgemma_tui.gateway.health_child as c, medgemma_tui.gateway.fitness as f; "
            f"c.PROGRAM = ({str(self.stub)!r},); c.FULL_RUN_S = 2.0; f.LOOK_S = 0.1"
        )
        self.gateway = Running(patch=patch, directory=self.directory / "g", **self.settings)
        if ready:
            self.gateway.ready()
        else:
            self.gateway.listening()

    def orders(self, *lines):
        (self.directory / "go").unlink(missing_ok=True)
        (self.directory / "seen.json").unlink(missing_ok=True)
        (self.directory / "orders").write_text("\n".join(lines))

    def will_report(self, found, *before):
        """The next run tells this, after ``before``."""
        said = self.directory / "said"
        said.write_bytes(json.dumps({"done": 2, "total": 2, "report": found.model_dump()}).encode() + b"\n")
        self.orders(*before, f"say {said}")

    def go(self):
        (self.directory / "go").touch()

    def seen(self):
        """What the stand-in was started with."""
        return wait_for(self._seen, what="the run's process")

    def _seen(self):
        try:
            return json.loads((self.directory / "seen.json").read_text())
        except (FileNotFoundError, ValueError):
            return None

    def run(self, target="/v1/health/run"):
        """A run by root to its end: its events, and its error where it has one."""
        with self.gateway.http.stream("POST", target) as response:
            assert response.status_code == 200, response.read()
            return [json.loads(each) for each in events(response)]

    def record(self):
        return self.gateway.http.get("/v1/health/report").json()

    def tell(self, found):
        """Tell the gateway a report as the command does, as root."""
        return self.gateway.http.post("/v1/health/report", content=found.model_dump_json())

    def fitness(self, *, of=None):
        """As telemetry tells it; waits until it is of this report, where one is given."""
        if of is not None:
            return wait_for(lambda: (f := self.fitness()) and f["at"] == of.started and f, what="the verdict")
        with self.gateway.http.stream("GET", "/v1/telemetry") as response:
            return json.loads(next(events(response)))["service"].get("fitness")

    def recorded(self, count=1):
        """The audit log's last records of health runs, once there are none more to come."""
        wait_for(lambda: self.gateway.metrics()["medgemma_audit_kept_records", ()] == 0, what="the audit log")
        return self.gateway.records("health")[-count:]

    def stop(self):
        self.gateway.stop()
        self.engine.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


@pytest.fixture(scope="module")
def clinic():
    it = Clinic()
    try:
        yield it
    finally:
        it.stop()


@pytest.fixture(scope="module")
def refusing():
    it = Clinic(when_unfit="refuse")
    try:
        yield it
    finally:
        it.stop()


def gone(pid):
    return not Path(f"/proc/{pid}").exists() or "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()


# --- a run on request ---


@needs_root
def test_a_run_is_told_as_it_goes_and_counts(clinic):
    found = report("ok", "warning", "ok", "skipped")
    clinic.will_report(found, "event", "hold")
    with User(clinic.gateway.socket, OPERATOR, groups=(OPS,)) as ops:
        first = ops.call("POST", "/v1/health/run?full=0")  # reads one line and leaves
        assert first.status == 200
        assert json.loads(first.text.removeprefix("data: "))["result"]["id"] == "host.disk"
        assert clinic.record()["running"] is True
        again = ops.call("POST", "/v1/health/run")
        assert (again.status, again.json["error"]["type"]) == (409, "health_running")
    seen = clinic.seen()
    assert not gone(seen["pid"])  # who asked has left; the run goes on
    clinic.go()
    wait_for(lambda: not clinic.record()["running"], what="the run's end")
    record = clinic.record()
    assert record["report"]["started"] == found.started
    assert [run["statuses"] for run in record["history"]][-1]["host.c1"] == "warning"
    assert clinic.fitness(of=found) == {
        "verdict": "warning", "at": found.started, "failing": ["host.c1"], "refuses": False,
    }  # fmt: skip
    metrics = clinic.gateway.metrics()
    assert metrics["medgemma_fitness", ("warning",)] == 1
    assert metrics["medgemma_fitness", ("ok",)] == 0
    assert metrics["medgemma_fitness_timestamp_seconds", ()] == pytest.approx(found.started)
    assert metrics["medgemma_fitness_failing_checks", ()] == 1
    (last,) = clinic.recorded()
    assert (last["outcome"], last["uid"]) == ("warning", OPERATOR)
    expected = {"ok": 2, "warning": 1, "skipped": 1, "by": "gateway", "phase": "health", "partial": 0, "full": 0}
    assert expected.items() <= last["counters"].items()
    assert wait_for(lambda: gone(seen["pid"]), what="the process's end")
    arguments = seen["argv"]
    assert arguments == ["health", "--events", "--socket", str(clinic.gateway.socket)]  # the engine's model
    assert seen["env"]["MEDGEMMA_SLOTS"] == "2"
    assert seen["env"]["MEDGEMMA_CONFIG"].endswith("settings.toml")


def test_the_whole_stream_and_the_full_run(clinic):
    found = report("ok", full=True)
    clinic.will_report(found, "event", "spill 王小明 has ECG", "event")
    told = clinic.run("/v1/health/run?full=1")
    assert [("result" in each, "report" in each) for each in told] == [(True, False), (True, False), (False, True)]
    assert told[-1]["report"]["verdict"] == "ok"
    assert clinic.seen()["argv"][-1] == "--full"
    log = clinic.gateway.log.read_text()
    assert "bytes (withheld)" in log
    assert "王小明" not in log
    assert "ECG" not in log
    assert clinic.gateway.http.post("/v1/health/run?full=yes").status_code == 400


def ended_by(clinic, code, *orders):
    """The run ends with this error and the last report stays."""
    before = clinic.record()["report"] if clinic.record().get("report") else None
    clinic.orders(*orders)
    told = clinic.run()[-1]["error"]
    assert (told["type"], told["code"]) == ("health_failed", code)
    assert clinic.record()["running"] is False
    assert clinic.record().get("report") == before
    (last,) = clinic.recorded()
    assert (last["outcome"], last["counters"]["code"]) == ("run_failed", code)
    return told


def test_a_run_that_ends_without_a_report_is_an_error(clinic):
    assert ended_by(clinic, "no_report", "event", "exit 2")["params"] == {"exit": "2"}
    assert ended_by(clinic, "no_report", "event")["params"] == {"exit": "0"}


def test_what_no_run_tells_ends_it(clinic, tmp_path):
    said = tmp_path / "said"

    def says(content, *after):
        said.write_bytes(content)
        ended_by(clinic, "bad_output", f"say {said}", *after)
        assert wait_for(lambda: gone(clinic.seen()["pid"]), what="its end")

    says(b"Hello\n", "hold")
    says(b'{"done": "many"}\n', "hold")
    says(b"x" * 3_000_000 + b"\n", "hold")
    greener = report("critical").model_dump() | {"verdict": "ok"}
    partial = report("ok", partial=True).model_dump()
    for wrong in (greener, partial, report("ok", phase="preflight").model_dump()):
        says(json.dumps({"done": 1, "total": 1, "report": wrong}).encode() + b"\n")


def test_a_run_that_is_killed_is_told_as_such_by_the_client(clinic):
    clinic.orders("event", "hold")

    async def ask():
        told = []
        async with Client(clinic.gateway.socket) as client:
            run = client.run_health()
            told.append(await anext(run))
            with pytest.raises(ServiceError) as refused:  # another one meanwhile
                await anext(client.run_health())
            assert (refused.value.status, refused.value.info.type) == (409, "health_running")
            os.kill(clinic.seen()["pid"], signal.SIGKILL)
            try:
                async for progress in run:
                    told.append(progress)
            except ServiceError as error:
                return told, error
        raise AssertionError("no error")

    told, error = asyncio.run(ask())
    assert told[0].result.id == "host.disk"
    assert (error.info.type, error.info.code, error.info.params) == ("health_failed", "killed", {"signal": "SIGKILL"})


def test_a_run_that_hangs_is_killed_after_its_limit(clinic):
    clinic.orders("event", "hold")
    with clinic.gateway.http.stream("POST", "/v1/health/run?full=1") as response:
        lines = events(response)
        next(lines)
        pid = clinic.seen()["pid"]
        os.kill(pid, signal.SIGSTOP)
        error = json.loads(list(lines)[-1])["error"]
    assert (error["type"], error["code"], error["params"]) == ("health_failed", "hung", {"seconds": "2"})
    assert gone(pid)
    assert clinic.record()["running"] is False


# --- a report that is told ---


@needs_root
def test_only_the_gateways_own_user_and_root_tell_reports(clinic):
    body = report("critical").model_dump()
    before = clinic.record().get("report")
    with (
        User(clinic.gateway.socket, ANNA, groups=(USERS,)) as anna,
        User(clinic.gateway.socket, OPERATOR, groups=(OPS, USERS)) as ops,
    ):
        for user in (anna, ops):
            said = user.call("POST", "/v1/health/report", body, X_Medgemma_Health="1")
            assert (said.status, said.code) == (403, "own_user_needed")
        for method, target in (("GET", "/v1/health/report"), ("POST", "/v1/health/run")):
            assert anna.call(method, target).code == "role_needed"
    assert clinic.record().get("report") == before


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"verdict": "ok"}, 400),  # greener than its results
        ({"results": [{"id": "host.c0", "status": "warning", "code": "x"}] * 2, "verdict": "warning"}, 400),
        ({"results": [{"id": "../etc", "status": "ok", "code": "x"}], "verdict": "ok"}, 400),
        ({"demo": True}, 400),  # of another model than is served
        ({"started": -1}, 400),
        ({"started": 1e300}, 400),
        ({"started": "now"}, 400),
        ({"seconds": float("nan")}, 400),
        ({"schema_version": 2}, 400),
        ({"results": [{"id": "a.b", "status": "ok", "code": "x", "figures": [{"name": "Ü", "value": 1}]}]}, 400),
        ({"box": "x" * 3_000_000}, 413),
        ({"results": [{"id": f"a.c{n}", "status": "ok", "code": "x"} for n in range(20_000)]}, 413),
    ],
)
def test_a_hostile_report_is_refused(clinic, change, status):
    before = clinic.record().get("report")
    body = {**report("warning").model_dump(), **change}
    reply = clinic.gateway.http.post("/v1/health/report", content=json.dumps(body).encode())
    assert reply.status_code == status, reply.text
    assert "etc" not in reply.text
    assert clinic.record().get("report") == before


def test_what_is_no_json_is_refused(clinic):
    for body in (b"", b"[]", b"{", b"\xff", b"null"):
        assert clinic.gateway.http.post("/v1/health/report", content=body).status_code == 400


def test_a_report_of_a_part_changes_nothing_but_is_on_record(clinic):
    whole = report("ok")
    assert clinic.tell(whole).status_code == 204
    assert clinic.tell(report("critical", partial=True)).status_code == 204
    assert clinic.tell(report("critical", phase="preflight")).status_code == 204
    assert clinic.record()["report"]["started"] == whole.started
    assert clinic.fitness(of=whole)["verdict"] == "ok"
    outcomes = [(each["outcome"], each["counters"]["phase"]) for each in clinic.recorded(3)]
    assert outcomes == [("fit", "health"), ("unfit", "health"), ("unfit", "preflight")]


def test_the_clients_calls(clinic):
    found = report("unknown", "ok")

    async def ask():
        async with Client(clinic.gateway.socket) as client:
            await client.report_health(found)
            return await client.health_record()

    record = asyncio.run(ask())
    assert record.report == found
    assert record.history[-1].verdict == "unknown"
    assert record.running is False


def test_a_report_on_the_disk_is_found_and_an_older_one_is_not(clinic):
    clinic.tell(report("ok"))
    newer = report("warning", at=time.time() + 5)
    clinic.store.save(newer)
    assert clinic.fitness(of=newer)["verdict"] == "warning"
    clinic.store.save(report("critical", at=newer.started - 100))
    clinic.store.save(report("critical", at=newer.started + 100, demo=True))  # of another model
    clinic.store.save(report("critical", at=newer.started + 100, partial=True))
    greener = report("critical", at=newer.started + 100).model_copy(update={"verdict": "ok"})
    clinic.store.save(greener)
    assert len(clinic.record()["history"]) == 2  # asking looks at the disk at once
    assert clinic.fitness()["at"] == newer.started


# --- questions on an unfit box ---


@needs_root
def test_an_unfit_box_refuses_questions_but_those_of_a_health_run(refusing):
    it = refusing
    http, gateway = it.gateway.http, it.gateway
    assert gateway.ask("n=1").status_code == 200
    bad = report("ok", "critical", "warning", "critical")
    with gateway.stream("n=20 pause=0.05") as running:
        running_lines = events(running)
        next(running_lines)
        assert it.tell(bad).status_code == 204
        refused = gateway.ask("n=1")
        error = refused.json()["error"]
        assert (refused.status_code, error["type"]) == (503, "unfit")
        assert error["params"] == {
            "time": time.strftime("%Y-%m-%d %H:%M", time.localtime(bad.started)), "failing": "host.c1,host.c3",
        }  # fmt: skip
        assert int(refused.headers["Retry-After"]) > 0
        assert gateway.ask("n=1", wait=True).json()["error"]["type"] == "unfit"  # waiting would be for ever
        assert list(running_lines)[-1] == "[DONE]"  # what runs finishes
    health = http.get("/health")
    assert (health.status_code, health.json()["reason"]) == (503, "unfit")
    assert health.json()["model"]["id"] == "stub"
    assert http.post("/tokenize", json={"prompt": "x"}).status_code == 200
    assert it.fitness(of=bad)["refuses"] is True
    assert gateway.metrics()["medgemma_fitness_refuses", ()] == 1
    assert gateway.metrics()["medgemma_health", ("unfit",)] == 1
    # a health run is not kept out by the verdict of the one before it
    marked = {"X-Medgemma-Health": "1"}
    seen = http.get("/health", headers=marked)
    assert (seen.status_code, seen.json()["reason"]) == (200, "ready")
    assert gateway.ask("n=1", headers=marked).status_code == 200
    assert gateway.ask("n=1", headers=marked, wait=True).status_code == 200
    last = gateway.records("question", "answer")[-2:]
    assert [each["counters"]["health"] for each in last] == [1, 1]
    with User(gateway.socket, ANNA, groups=(USERS,)) as anna:  # whatever she says
        body = {"messages": [{"role": "user", "content": "n=1"}]}
        assert anna.call("POST", "/v1/chat/completions", body, X_Medgemma_Health="1").code == "unfit"
        assert anna.call("GET", "/health", X_Medgemma_Health="1").status == 503
    # neither a partial run nor an unknown one opens it by mistake, a fit one does
    it.tell(report("ok", partial=True))
    it.tell(report("ok", "unknown"))
    assert gateway.ask("n=1").json()["error"]["type"] == "unfit"
    it.tell(report("ok", "warning"))
    assert gateway.ask("n=1").status_code == 200
    assert http.get("/health").status_code == 200
    assert it.gateway.metrics()["medgemma_requests_total", ("unfit",)] >= 2


def test_who_waits_when_the_verdict_comes_is_refused(refusing):
    it = refusing
    it.tell(report("ok"))
    with (
        it.gateway.stream("n=60 pause=0.05") as one,
        it.gateway.stream("n=60 pause=0.05") as two,
        it.gateway.stream("n=1", wait=True) as third,
    ):
        running = [events(one), events(two)]  # kept: a generator that goes, hangs up
        assert all(next(lines) for lines in running)
        waiting = events(third)
        assert json.loads(next(waiting))["progress"]["phase"] == "queued"
        it.tell(report("critical"))
        assert json.loads(list(waiting)[-1])["error"]["type"] == "unfit"
    it.tell(report("ok"))


def test_where_the_site_answers_nothing_is_refused(clinic):
    bad = report("critical")
    clinic.tell(bad)
    fitness = clinic.fitness(of=bad)
    assert (fitness["verdict"], fitness["refuses"]) == ("critical", False)
    assert clinic.gateway.ask("n=1").status_code == 200
    assert clinic.gateway.health()["reason"] == "ready"
    clinic.tell(report("ok"))


# --- the gateway's end, and its next life ---


def test_the_verdict_outlives_the_gateway_and_its_end_ends_the_run():
    it = Clinic(when_unfit="refuse")
    try:
        it.store.save(report("critical"))
        wait_for(lambda: it.gateway.health()["reason"] == "unfit", what="the verdict on the disk")
        it.orders("event", "hold")
        with it.gateway.http.stream("POST", "/v1/health/run") as response:
            lines = events(response)
            next(lines)
            pid = it.seen()["pid"]
            it.gateway.process.send_signal(signal.SIGTERM)
            error = json.loads(list(lines)[-1])["error"]
        assert (error["type"], error["code"]) == ("health_failed", "shutting_down")
        assert gone(pid)
        it.gateway.stop()
        it.start(ready=False)
        refused = it.gateway.ask("n=1").json()["error"]["type"]  # the first of its life, before anything else
        assert refused == "unfit"
        outcomes = [each["outcome"] for each in it.gateway.records("health")]
        assert "run_failed" in outcomes
        policy = it.gateway.records("policy")[-1]
        assert policy["counters"]["when_unfit"] == "refuse"
        assert policy["counters"]["health_dir_set"] == 1
        it.orders("event", "rest")  # it would not notice that nobody reads
        with it.gateway.http.stream("POST", "/v1/health/run") as response:
            next(events(response))
            pid = it.seen()["pid"]
            it.gateway.process.kill()
            wait_for(lambda: gone(pid), what="the end of an orphaned run")
        where = beside(it.log)
        assert verify(where.directory, where.key, where.anchors).whole
    finally:
        it.stop()


# --- the real command, with a few of its real checks ---

REAL = """
import sys
from medgemma_tui.health import registry
wanted = ("service.gateway", "service.worker", "service.queue", "model.decode", "host.clock")
registry.CHECKS = tuple(check for check in registry.CHECKS if check.id in wanted)
from medgemma_tui.cli import run
sys.exit(run())
"""


def test_an_unfit_box_is_opened_again_by_a_real_run():
    directory = short_directory()
    patch = f"import medgemma_tui.gateway.health_child as c; c.PROGRAM = ('-c', {REAL!r})"
    bad = report("critical", at=time.time() - 60, demo=True)
    Store(directory / "health").save(bad)
    settings = {"audit_dir": directory / "audit", "health_dir": directory / "health", "when_unfit": "refuse"}
    gateway = Running("--demo", patch=patch, directory=directory, **settings).listening()
    try:
        wait_for(lambda: gateway.health()["reason"] == "unfit", 120, what="the loaded model")
        assert gateway.ask("What is an ECG?").json()["error"]["type"] == "unfit"
        with gateway.http.stream("POST", "/v1/health/run", timeout=120) as response:
            told = [json.loads(each) for each in events(response)]
        found = told[-1]["report"]
        assert {each["id"]: each["status"] for each in found["results"]} == {
            "service.gateway": "ok", "service.worker": "ok", "service.queue": "ok", "model.decode": "ok",
            "host.clock": "ok",
        }  # fmt: skip
        assert found["demo"] is True
        assert gateway.ask("What is an ECG?", max_tokens=2).status_code == 200
        asked, refused_none = gateway.records("question"), gateway.records("refused")
        assert asked[0]["counters"]["health"] == 1
        assert "health" not in asked[-1]["counters"]
        assert refused_none == []
        kept = Store(directory / "health").reports()
        assert [each.verdict for each in kept] == ["critical", "ok"]
        assert gateway.http.get("/v1/health/report").json()["report"]["started"] == kept[-1].started
        assert gateway.records("health")[-1]["outcome"] == "fit"
    finally:
        gateway.stop()
