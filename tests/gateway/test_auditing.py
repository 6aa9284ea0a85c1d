"""What the gateway records: of questions and answers, of sessions, of itself; and never a text."""

from __future__ import annotations

import asyncio
import concurrent.futures
import json
import os
import shutil
import signal
import socket
import time
from types import SimpleNamespace

import pytest
from gateway_running import Engine, Running, events, short_directory, wait_for

from medgemma_tui.audit import key
from medgemma_tui.audit.places import beside
from medgemma_tui.audit.record import Entry
from medgemma_tui.client import Client
from medgemma_tui.gateway.account import canonical
from medgemma_tui.gateway.audit_store import AuditStore
from medgemma_tui.gateway.auditing import Auditor, own_entry
from medgemma_tui.gateway.board import Board, Signal
from medgemma_tui.protocol import AuditHead, ChatMessage, EventBody
from medgemma_tui.settings import Settings

NOBODY = 65534
SOON = "import medgemma_tui.gateway.logins as logins; logins.LOST_AFTER_S = 0.3"


@pytest.fixture(scope="module")
def audited():
    """A gateway before a stub engine, with an audit log of its own. ``.log`` is its directory, ``.key`` its key."""
    directory = short_directory()
    engine = Engine(directory, tally=directory / "tally")
    log = directory / "log.d" / "audit"
    gateway = Running(engine_socket=engine.socket, patch=SOON, audit_dir=log, queue_per_user=64, queue_limit=64).ready()
    try:
        wait_for(beside(log).key.exists, what="the key")  # the log is opened beside the engine's first look
        yield SimpleNamespace(
            engine=engine, gateway=gateway, log=log, key=key.load(beside(log).key), tally=directory / "tally"
        )
    finally:
        gateway.stop()
        engine.stop()
        shutil.rmtree(directory)


def of_session(audited, *events):
    """A fresh session name, and what gives its records."""
    name = os.urandom(6).hex()
    short = audited.key.digest(f"{os.getuid()}:s.{name}")[:12]
    headers = {"X-Medgemma-Session": name}

    def found(*events, count=1):
        def there():
            records = [record for record in audited.gateway.records(*events) if record["session"] == short]
            return records if len(records) >= count else None

        return wait_for(there, what=f"{count} records of {events}")

    return headers, found


def report(audited, headers, event, outcome, **counts):
    body = {"event": event, "outcome": outcome, "counts": counts}
    return audited.gateway.http.post("/v1/events", json=body, headers=headers)


@pytest.mark.parametrize(("stream", "wait"), [(True, True), (True, False), (False, False)])
def test_a_question_and_its_answer(audited, stream, wait):
    """``wait`` is how the screen and ``ask`` ask: the end of their stream is no hang-up."""
    headers, found = of_session(audited)
    if stream:
        with audited.gateway.stream("n=3 pause=0.01", headers=headers, **{"wait": True} if wait else {}) as response:
            chunks = [json.loads(data) for data in events(response) if data != "[DONE]"]
        parts = [chunk["choices"][0]["delta"] for chunk in chunks if chunk["choices"]]
        text = "".join(part.get("content") or "" for part in parts)
    else:
        text = audited.gateway.ask("n=3 pause=0.01", headers=headers).json()["choices"][0]["message"]["content"]
    question, answer = found(count=2)
    assert (question["event"], question["outcome"]) == ("question", "asked")
    assert (answer["event"], answer["outcome"]) == ("answer", "finished")
    asked = "n=3 pause=0.01"
    assert question["input"] == audited.key.digest(canonical([ChatMessage(role="user", content=asked)]))
    assert answer["output"] == audited.key.digest(f"why\n\n{text}")
    assert {record["uid"] for record in (question, answer)} == {os.getuid()}
    told = answer["counters"]
    assert told["finish"] == "stop"
    assert (told["prompt_tokens"], told["cached_tokens"], told["answer_tokens"]) == (7, 5, 3)
    assert told["characters"] == len("why" + text)
    assert told["seconds"] >= 0.02
    assert told["position"] == 0


def test_the_digest_is_of_the_text_however_it_is_written():
    """One form: a content in parts is the content in one piece."""
    whole = ChatMessage(role="user", content="心梗\ud83e")
    parts = ChatMessage.model_construct(role="user", content=whole.content)
    assert canonical([whole]) == canonical([parts])
    assert canonical([ChatMessage(role="user", content='a"],["user","b')]) != canonical(
        [ChatMessage(role="user", content="a"), ChatMessage(role="user", content="b")]
    )


def test_a_reply_that_was_stopped_and_one_that_was_refused(audited):
    headers, found = of_session(audited)
    with audited.gateway.stream("n=5000 pause=0.01", headers=headers) as response:
        lines = events(response)
        for _ in range(4):
            next(lines)
    _question, answer = found(count=2)
    assert answer["outcome"] == "stopped"
    assert answer["counters"]["characters"] > 0
    assert "finish" not in answer["counters"]
    headers, found = of_session(audited)
    audited.gateway.ask("refuse=413", headers=headers)
    _question, answer = found(count=2)
    assert (answer["outcome"], answer["counters"]["error"], answer["output"]) == ("failed", "too_large", "")


def test_the_headings_that_stand_in_the_answer(audited):
    headers, found = of_session(audited)
    wanted = ["Definition", "2. Mechanism", "Differential", "w0"]
    with audited.gateway.stream("n=1 sections", headers=headers, sections=wanted) as response:
        response.read()
    _question, answer = found(count=2)
    assert (answer["counters"]["sections"], answer["counters"]["sections_asked"]) == (3, 4)


def test_nothing_reaches_the_engine_without_a_record(audited):
    """Many at once, some of which leave before, while and after their question is written."""
    before = audited.tally.stat().st_size
    since = audited.gateway.records()[-1]["seq"]

    def one(number):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(audited.gateway.socket))
            body = {"messages": [{"role": "user", "content": "n=20 pause=0.005"}], "stream": True, "wait": True}
            data = json.dumps(body).encode()
            head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(data)}\r\n\r\n"
            connection.sendall(head.encode() + data)
            if number % 3:
                connection.settimeout(30)
                while b"[DONE]" not in connection.recv(65536):
                    pass
            else:
                time.sleep(number % 20 / 500)

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(90)))
    active = ("medgemma_requests_active", ())
    wait_for(lambda: audited.gateway.metrics()[active] == 0, what="a quiet gateway")
    questions = audited.gateway.records("question", since=since)
    asked = audited.tally.stat().st_size - before
    assert asked >= 60
    assert len(questions) >= asked

    def whole():
        found = audited.gateway.records("answer", since=since)
        return found if len(found) == len(questions) else None

    answers = wait_for(whole, what="an answer to each question")
    assert {answer["outcome"] for answer in answers} >= {"stopped"}


def test_a_session_from_login_to_logout(audited):
    headers, found = of_session(audited)
    assert report(audited, headers, "login", "ok").status_code == 204
    report(audited, headers, "guard", "masked", id_number=2, phone=1)
    report(audited, headers, "lock", "idle")
    report(audited, headers, "unlock_failed", "failed")
    report(audited, headers, "unlock", "ok")
    audited.gateway.http.delete("/v1/session", headers=headers)
    with audited.gateway.http.stream("GET", "/v1/telemetry", headers=headers) as stream:
        next(stream.iter_lines())
        report(audited, headers, "logout", "ok")
    records = found(count=7)
    told = [(record["event"], record["outcome"]) for record in records]
    assert told == [
        ("login", "ok"), ("guard", "masked"), ("lock", "idle"), ("unlock_failed", "failed"), ("unlock", "ok"),
        ("wipe", "asked"), ("logout", "ok"),
    ]  # fmt: skip
    assert records[1]["counters"] == {"id_number": 2, "phone": 1}
    assert {record["uid"] for record in records} == {os.getuid()}


def test_a_screen_that_is_gone_without_a_word_is_recorded_as_lost(audited):
    headers, found = of_session(audited)
    report(audited, headers, "login", "ok")
    for _ in range(2):  # a stream that is opened again is no loss
        with audited.gateway.http.stream("GET", "/v1/telemetry", headers=headers) as stream:
            next(stream.iter_lines())
    records = found("login", "logout", count=2)
    assert [(record["event"], record["outcome"]) for record in records] == [("login", "ok"), ("logout", "lost")]


def test_a_private_gateway_whose_screen_is_gone_says_so(audited):
    directory = short_directory()
    log = directory / "audit"
    gateway = Running(engine_socket=audited.engine.socket, private=True, audit_dir=log).ready()
    for name, event in (("a", "login"), ("b", "login"), ("b", "logout")):
        body = {"event": event, "outcome": "ok"}
        gateway.http.post("/v1/events", json=body, headers={"X-Medgemma-Session": name})
    gateway.process.stdin.close()
    assert gateway.process.wait(15) == 0
    gateway.stop()
    records = [json.loads(line) for line in (log / "audit-000000000001.jsonl").read_text().splitlines()]
    told = [(record["event"], record["outcome"]) for record in records[4:]]
    assert told == [("login", "ok"), ("login", "ok"), ("logout", "ok"), ("logout", "lost"), ("stop", "ok")]
    assert records[7]["session"] == records[4]["session"]
    shutil.rmtree(directory)


def test_a_stranger_who_is_refused_is_recorded_once_a_minute(audited):
    if os.geteuid() != 0:
        pytest.skip("calling as another user needs root")
    audited.gateway.directory.chmod(0o755)
    audited.gateway.socket.chmod(0o666)  # as a mistake would
    since = audited.gateway.records()[-1]["seq"]
    child = os.fork()
    if not child:
        refused = 0
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            for _ in range(3):
                with socket.socket(socket.AF_UNIX) as connection:
                    connection.connect(str(audited.gateway.socket))
                    connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
                    refused += b" 403 " in connection.recv(4096)
        finally:
            os._exit(0 if refused == 3 else 1)
    assert os.waitpid(child, 0)[1] == 0
    records = wait_for(lambda: audited.gateway.records("refused", since=since), what="a record")
    told = [(record["uid"], record["outcome"], record["counters"]) for record in records]
    assert told == [(NOBODY, "peer_not_allowed", {"count": 1})]


def test_parking_is_recorded_by_its_size(audited):
    headers, found = of_session(audited)
    audited.gateway.http.put("/v1/session", json={"payload": "病" * 100, "ttl_s": 60}, headers=headers)
    audited.gateway.http.get("/v1/session", headers=headers)
    audited.gateway.http.delete("/v1/session?parked=keep", headers=headers)
    audited.gateway.http.put("/v1/session", json={"payload": "x", "ttl_s": 0.05}, headers=headers)
    wait_for(lambda: audited.gateway.records()[-1]["outcome"] == "expired", what="the deadline")
    park, back, wipe, _again = found(count=4)
    assert (park["event"], park["counters"]["bytes"]) == ("park", 300)
    assert (back["event"], back["outcome"]) == ("take_back", "given")
    assert (wipe["event"], wipe["outcome"]) == ("wipe", "left")


@pytest.mark.parametrize(
    "body",
    [
        {}, {"event": "question", "outcome": "ok"}, {"event": "login", "outcome": "王小明"},
        {"event": "guard", "outcome": "sent", "counts": {"王小明": 1}},
        {"event": "guard", "outcome": "sent", "counts": {"phone": "x"}},
        {"event": "login", "outcome": "ok", "uid": 0},
        {"event": "guard", "outcome": "sent", "counts": {"wang_has_hiv": 1}},
        {"event": "policy", "outcome": "ok"},  # the gateway's own
    ],
)  # fmt: skip
def test_a_screen_can_say_nothing_but_words_and_counts(audited, body):
    response = audited.gateway.http.post("/v1/events", json=body)
    assert response.status_code == 400
    assert "王" not in audited.gateway.log.read_text()


def test_no_text_gets_into_the_log(audited):
    marker = "zqxmarkerzqx"
    headers = {"X-Medgemma-Session": marker, "X-Note": marker, "User-Agent": marker}
    chunk = {"choices": [{"index": 0, "delta": {"content": marker}, "finish_reason": marker}]}
    asked = f"n=1 {marker} raw={json.dumps(chunk, separators=(',', ':'))}"
    with audited.gateway.stream(asked, headers=headers, model=marker, user=marker, sections=[marker]) as response:
        assert marker in response.read().decode()
    error = {"error": {"type": marker, "message": marker}}
    with audited.gateway.stream(f"n=1 raw={json.dumps(error, separators=(',', ':'))}", headers=headers) as response:
        response.read()
    audited.gateway.http.put("/v1/session", json={"payload": marker}, headers=headers)
    audited.gateway.http.post(f"/v1/{marker}", json={marker: marker}, headers=headers)
    before = len(audited.gateway.records("answer"))
    audited.gateway.ask("n=1")
    wait_for(lambda: len(audited.gateway.records("answer")) > before, what="the last answer")
    files = [path for path in audited.log.parent.rglob("*") if path.is_file()]
    assert len(files) >= 3
    for path in files:
        assert marker not in path.read_text(errors="replace"), path
    assert marker not in audited.gateway.log.read_text()
    last = [record for record in audited.gateway.records("answer") if "error" in record["counters"]][-1]
    assert last["counters"]["error"] == "error"


def test_a_user_cannot_fill_the_log_with_events(audited):
    headers, _found = of_session(audited)
    codes = [report(audited, headers, "lock", "asked").status_code for _ in range(70)]
    assert codes[0] in (204, 429)  # the tests before have used some
    assert codes[-1] == 429


def test_the_log_can_be_read_on_and_the_health_has_its_head(audited):
    records = audited.gateway.records()
    assert [record["seq"] for record in records] == list(range(1, len(records) + 1))
    assert [record["event"] for record in records[:4]] == ["start", "policy", "seal", "model_load"]
    assert records[1]["outcome"] == "first"
    assert records[3]["counters"]["window"] == 4096
    assert audited.gateway.records(since=records[-3]["seq"])[:2] == records[-2:]  # more may have come meanwhile
    wait_for(lambda: audited.gateway.health()["audit"]["seq"] == records[-1]["seq"], what="the head, once it is synced")
    head = AuditHead.model_validate(audited.gateway.health()["audit"])
    assert (head.seq, head.mac, head.key_id) == (records[-1]["seq"], records[-1]["mac"], audited.key.id)
    assert audited.gateway.http.get("/v1/audit?since_seq=x").status_code == 400
    verdict = audited.gateway.http.get("/v1/audit/verify").json()
    assert (verdict["whole"], verdict["records"]) == (True, len(records))
    figures = audited.gateway.metrics()
    assert figures[("medgemma_audit_writable", ())] == 1
    assert figures[("medgemma_audit_records_total", ())] == len(records)
    assert figures[("medgemma_audit_failures_total", ())] == 0


def test_the_next_gateway_tells_whether_the_policy_has_changed(tmp_path):
    outcomes = []
    for settings in (Settings(), Settings(), Settings(queue_limit=7), Settings(users_group="a"), Settings()):
        store = AuditStore(settings, lambda _: beside(tmp_path / "audit"))
        opened = store.open()
        outcomes.append(opened.first[1].outcome)
        store.append(opened.first)
        store.append([Entry("policy", "changed", 1, "a screen")])
        store.close()
    assert outcomes == ["first", "same", "changed", "changed", "changed"]


def test_an_answer_names_its_question(audited):
    """Of two at once in one conversation the later one is answered first."""
    headers, found = of_session(audited)
    with audited.gateway.stream("n=5000 pause=0.01", headers=headers) as slow:
        arriving = events(slow)
        next(arriving)
        audited.gateway.ask("n=1", headers=headers)
        answer = found("answer")[0]
    slow_one, quick_one = found("question", count=2)
    assert answer["counters"]["question"] == quick_one["seq"]
    assert found("answer", count=2)[1]["counters"]["question"] == slow_one["seq"]


def test_answers_that_the_end_cuts_off_are_on_record_before_it(tmp_path):
    """Another engine goes on: the gateway ends, one reply flowing and one that its client does not read."""
    directory = short_directory()
    engine = Engine(directory)
    gateway = Running(engine_socket=engine.socket, audit_dir=tmp_path / "audit").ready()
    try:
        with (
            gateway.stream("n=5000 pause=0.01", wait=True) as flowing,
            gateway.stream("n=100000 big") as _unread,
        ):
            arriving = events(flowing)  # dropped, it would hang up
            next(arriving)
            wait_for(lambda: len(gateway.records("question")) == 2, what="both questions")
            gateway.process.send_signal(signal.SIGTERM)
            gateway.process.wait(timeout=15)
        lines = (tmp_path / "audit" / "audit-000000000001.jsonl").read_text().splitlines()
        ends = [(each["event"], each["outcome"], each["counters"].get("error")) for each in map(json.loads, lines[-3:])]
        assert ends == [("answer", "failed", "shutting_down")] * 2 + [("stop", "ok", None)]
    finally:
        gateway.stop()
        engine.stop()
        shutil.rmtree(directory)


async def test_the_client_reports_events(audited):
    since = audited.gateway.records()[-1]["seq"]
    async with Client(audited.gateway.socket) as http:
        wait_for(lambda: report(audited, {}, "lock", "ok").status_code == 204, what="an allowance")
        await asyncio.sleep(1.1)
        await http.note(EventBody(event="guard", outcome="blocked", counts={"phone": 1}))
    assert audited.gateway.records("guard", since=since)[0]["counters"] == {"phone": 1}


def test_one_write_takes_what_has_come_meanwhile(tmp_path):
    """Forty questions at once are a few syncs, not forty."""

    class Counted(AuditStore):
        calls = 0

        def append(self, entries):
            type(self).calls += 1
            return super().append(entries)

    async def run():
        auditor = Auditor(Counted(Settings(), lambda _: beside(tmp_path / "audit")), Board(Signal()))
        auditor.start()
        await asyncio.gather(*(auditor.record(Entry("question", "asked", 1, "a")) for _ in range(40)))
        assert auditor.figures.records == 42
        await auditor.close(own_entry("stop", "ok"))

    asyncio.run(run())
    assert Counted.calls <= 4
